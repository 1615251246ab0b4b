"""Webhooks are delivered, retried on schedule, bounded by receiver, and recorded once."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import pytest
from yarl import URL

from protocols.webhooks import verify
from smscd.core.callback_records import CallbackOutcome, CallbackRecord
from smscd.egress.webhooks.schedule import SCHEDULE_SECONDS, Posted
from tests.unit.smscd.egress.webhook_fixture import SECRET, START_MS, callback, rig

IN = URL("https://hooks.example/in")


async def test_a_callback_is_posted_signed_and_recorded() -> None:
    async with rig() as hooks:
        hooks.store.add(callback(7))
        await hooks.until(lambda: hooks.store.results)
        (sent,) = hooks.sent
        verify(
            sent.headers["webhook-id"],
            sent.headers["webhook-timestamp"],
            sent.body,
            sent.headers["webhook-signature"],
            (SECRET,),
            START_MS / 1000,
        )
        assert json.loads(sent.body)["type"] == "message.delivered"
        assert (str(sent.url), sent.account, sent.allows_private) == ("https://hooks.example/in", "acme", False)
        (result,) = hooks.store.results
        assert (result.id, result.outcome, result.attempts, result.account) == (7, CallbackOutcome.DELIVERED, 1, "acme")
        assert (hooks.store.stream, hooks.store.later) == ({}, {})


async def test_a_callback_with_its_own_url_goes_there() -> None:
    async with rig() as hooks:
        hooks.store.add(callback(url="http://127.0.0.1:9/x", account="local"))
        await hooks.until(lambda: hooks.store.results)
        assert (str(hooks.sent[0].url), hooks.sent[0].allows_private) == ("http://127.0.0.1:9/x", True)


async def test_a_receiver_that_always_fails_is_tried_exactly_on_schedule_and_then_dead() -> None:
    async with rig() as hooks:
        hooks.answer = lambda _: Posted(500)
        hooks.store.add(callback(7))
        await hooks.until(lambda: hooks.store.later)
        for attempt, seconds in enumerate(SCHEDULE_SECONDS[1:], 2):
            await hooks.pass_time(seconds - 1)
            assert len(hooks.sent) == attempt - 1
            await hooks.pass_time(1)
            await hooks.idle_after(attempt)
            await hooks.pass_time(0)
        await hooks.until(lambda: hooks.store.results)
        (result,) = hooks.store.results
        assert (result.outcome, result.attempts, result.detail) == (CallbackOutcome.DEAD, 10, "status 500")
        assert (hooks.store.stream, hooks.store.later) == ({}, {})
        assert len({sent.headers["webhook-id"] for sent in hooks.sent}) == 1
        assert len({sent.headers["webhook-timestamp"] for sent in hooks.sent}) == 10
        assert len({sent.body for sent in hooks.sent}) == 1


async def test_a_receiver_that_recovers_gets_it_at_the_next_attempt() -> None:
    async with rig() as hooks:
        answers = iter([Posted(0, "time-out", is_slow=True), Posted(302), Posted(200)])
        hooks.answer = lambda _: next(answers)
        hooks.store.add(callback())
        await hooks.until(lambda: hooks.store.later)
        await hooks.pass_time(5)
        await hooks.until(lambda: len(hooks.sent) == 2)
        await hooks.pass_time(300)
        await hooks.until(lambda: hooks.store.results)
        assert (hooks.store.results[0].outcome, hooks.store.results[0].attempts) == (CallbackOutcome.DELIVERED, 3)
        assert hooks.figures.retried == 2


async def test_gone_is_dead_at_once() -> None:
    async with rig() as hooks:
        hooks.answer = lambda _: Posted(410)
        hooks.store.add(callback())
        await hooks.until(lambda: hooks.store.results)
        assert (hooks.store.results[0].outcome, hooks.store.results[0].detail) == (CallbackOutcome.DEAD, "status 410")


async def test_jitter_and_retry_after_only_make_it_later() -> None:
    async with rig(chance=1.0) as hooks:
        answers = iter([Posted(503), Posted(429, retry_after="600"), Posted(503, retry_after="1")])
        hooks.answer = lambda _: next(answers)
        hooks.store.add(callback())
        await hooks.until(lambda: hooks.store.later)
        assert hooks.store.kept()[0][0] == 5
        await hooks.pass_time(5.5)
        await hooks.until(lambda: len(hooks.sent) == 2)
        await hooks.until(lambda: hooks.store.kept()[0][1].attempt == 2)
        assert hooks.store.kept()[0][0] == 605
        await hooks.pass_time(600)
        await hooks.until(lambda: hooks.store.kept()[0][1].attempt == 3)
        assert hooks.store.kept()[0][0] == 605 + 1_980


@pytest.mark.parametrize(
    ("record", "detail"),
    [
        (callback(account="nobody", attempt=9), "no account"),
        (callback(account="open", attempt=9), "no URL"),
        (callback(account="open", url="mailto:x", attempt=9), "no URL"),
        (callback(account="unsigned", attempt=9), "the account has no valid secret"),
    ],
)
async def test_what_cannot_be_posted_keeps_its_schedule_and_ends_dead(record: CallbackRecord, detail: str) -> None:
    async with rig() as hooks:
        hooks.store.add(record)
        await hooks.until(lambda: hooks.store.results)
        assert (hooks.store.results[0].outcome, hooks.store.results[0].detail) == (CallbackOutcome.DEAD, detail)
        assert hooks.sent == []


async def test_what_cannot_be_read_is_set_aside_and_stops_nothing() -> None:
    async with rig() as hooks:
        hooks.store.add_blob(b"\xc1garbage")
        hooks.store.add_blob(b"\x90")
        hooks.store.later[b"garbage"] = START_MS
        hooks.store.add(callback(8))
        await hooks.until(lambda: hooks.store.results)
        await hooks.until(lambda: not hooks.store.stream and not hooks.store.later)
        assert [result.id for result in hooks.store.results] == [8]


async def test_an_entry_is_settled_whole() -> None:
    async with rig() as hooks:
        gate = hooks.gates["slow.example"] = asyncio.Event()
        hooks.store.add(callback(1), callback(2, url="https://slow.example/"), callback(3))
        await hooks.until(lambda: len(hooks.sent) == 3 and hooks.figures.delivered == 2)
        await hooks.pass_time(0)
        assert hooks.store.results == []
        gate.set()
        await hooks.until(lambda: hooks.store.results)
        assert sorted(result.id for result in hooks.store.results) == [1, 2, 3]
        assert hooks.store.settles == 1


async def test_a_slow_receiver_holds_up_nobody_else() -> None:
    async with rig(requests_max=40, per_endpoint_max=8) as hooks:
        hooks.gates["slow.example"] = asyncio.Event()
        for number in range(200):
            hooks.store.add(callback(number, account="open", url="https://slow.example/"))
            hooks.store.add(callback(1_000 + number))
        await hooks.until(lambda: len(hooks.store.results) == 200)
        at_once = Counter(sent.url.host for sent in hooks.sent)
        assert at_once["slow.example"] == 8
        assert {result.account for result in hooks.store.results} == {"acme"}


async def test_one_account_takes_no_more_than_a_quarter_of_all_requests() -> None:
    async with rig(requests_max=40, per_endpoint_max=10) as hooks:
        for number in range(100):
            hooks.gates[f"h{number}.example"] = asyncio.Event()
            hooks.store.add(callback(number, account="open", url=f"https://h{number}.example/"))
        await hooks.until(lambda: len(hooks.sent) == 10)
        hooks.store.add(callback(500))
        await hooks.until(lambda: hooks.store.results)
        assert len(hooks.sent) == 11


async def test_callbacks_of_a_slow_receiver_go_back_to_storage_without_losing_an_attempt() -> None:
    async with rig(per_endpoint_max=2) as hooks:
        await hooks.pass_time(0)
        hooks.webhooks._endpoints.of("acme", IN).answered(5.0, 1.0, is_success=True, is_slow=False)
        gate = hooks.gates["hooks.example"] = asyncio.Event()
        hooks.store.add(*(callback(number) for number in range(100)))
        await hooks.until(lambda: hooks.figures.postponed == 80)
        gate.set()
        await hooks.until(lambda: not hooks.store.stream)
        kept = hooks.store.kept()
        assert {record.attempt for _, record in kept} == {0}
        assert (kept[0][0], kept[-1][0]) == (5, 25)
        while len(hooks.store.results) < 100:
            await hooks.pass_time(5)
        assert sorted(result.id for result in hooks.store.results) == list(range(100))
        assert {result.attempts for result in hooks.store.results} == {1}


async def test_what_stands_still_in_memory_goes_back_to_storage() -> None:
    async with rig(per_endpoint_max=2) as hooks:
        gate = hooks.gates["hooks.example"] = asyncio.Event()
        hooks.store.add(*(callback(number) for number in range(100)))
        await hooks.until(lambda: len(hooks.sent) == 2)
        hooks.elapsed = 11.0
        await hooks.pass_time(11)
        assert (hooks.figures.waiting, hooks.figures.postponed) == (4, 94)
        gate.set()
        await hooks.until(lambda: len(hooks.store.results) == 6)


async def test_callbacks_of_a_dead_receiver_come_to_their_end() -> None:
    async with rig(per_endpoint_max=2) as hooks:
        await hooks.pass_time(0)
        hooks.webhooks._endpoints.of("acme", IN).answered(5.0, 10.0, is_success=False, is_slow=True)
        hooks.answer = lambda _: Posted(0, "time-out", is_slow=True)
        hooks.store.add(*(callback(number) for number in range(200)))
        await hooks.until(lambda: not hooks.store.stream)
        while len(hooks.store.results) < 200:
            await hooks.pass_time(90_000)
        assert {(result.outcome, result.attempts) for result in hooks.store.results} == {(CallbackOutcome.DEAD, 10)}


async def test_storage_that_goes_away_is_waited_for() -> None:
    async with rig() as hooks:
        gate = hooks.gates["hooks.example"] = asyncio.Event()
        hooks.store.add(callback(1))
        await hooks.until(lambda: hooks.sent)
        hooks.store.is_away = True
        gate.set()
        await hooks.until(lambda: hooks.figures.delivered == 1)
        await hooks.pass_time(0)
        assert hooks.store.results == []
        hooks.store.is_away = False
        await hooks.until(lambda: hooks.store.results)
        assert len(hooks.sent) == 1


async def test_nothing_is_sent_once_the_role_may_be_anothers() -> None:
    async with rig() as hooks:
        hooks.is_held = False
        hooks.store.add(callback(1))
        await hooks.pass_time(1)
        assert hooks.sent == []
        hooks.is_held = True
        hooks.webhooks.ring()
        await hooks.until(lambda: hooks.store.results)


async def test_what_is_due_again_is_leased_while_it_is_worked_on() -> None:
    async with rig() as hooks:
        hooks.answer = lambda _: Posted(500)
        hooks.store.add(callback(1))
        await hooks.until(lambda: hooks.store.later)
        gate = hooks.gates["hooks.example"] = asyncio.Event()
        await hooks.pass_time(5)
        await hooks.until(lambda: len(hooks.sent) == 2)
        assert hooks.store.kept()[0][0] == 65
        await hooks.pass_time(61)
        assert hooks.store.kept()[0][0] == 126
        assert len(hooks.sent) == 2
        hooks.answer = lambda _: Posted(200)
        gate.set()
        await hooks.until(lambda: hooks.store.results)
        assert hooks.store.later == {}


async def test_draining_finishes_what_is_under_way_and_keeps_the_rest_for_the_next() -> None:
    async with rig(per_endpoint_max=2) as hooks:
        gate = hooks.gates["hooks.example"] = asyncio.Event()
        hooks.store.add(*(callback(number) for number in range(5)))
        await hooks.until(lambda: len(hooks.sent) == 2)
        finishing = asyncio.create_task(hooks.webhooks.finish())
        await hooks.pass_time(0)
        assert not finishing.done()
        hooks.store.add(callback(9))
        gate.set()
        await finishing
        assert len(hooks.store.results) == 2
        assert [record.attempt for _, record in hooks.store.kept()] == [0, 0, 0]
        assert len(hooks.store.stream) == 1
        assert len(hooks.sent) == 2


async def test_after_a_crash_everything_unsettled_is_sent_again_with_the_same_id() -> None:
    async with rig() as hooks:
        hooks.gates["hooks.example"] = asyncio.Event()
        hooks.store.add(callback(1))
        await hooks.until(lambda: hooks.sent)
        hooks.task.cancel()
        await asyncio.gather(hooks.task, return_exceptions=True)
        hooks.gates.clear()
        hooks.task = asyncio.create_task(hooks.webhooks.run())
        await hooks.until(lambda: hooks.store.results)
        first, second = hooks.sent
        assert first.headers["webhook-id"] == second.headers["webhook-id"]


async def test_a_callback_in_another_gateway_s_form_is_asked_and_retried_like_any_other() -> None:
    """The account needs no secret for it, and its URL stays the whole form in storage."""
    url = "jasmin:2:POST:https://theirs.example/dlr"
    async with rig() as hooks:
        hooks.answer = lambda _: Posted(0, "not answered with ACK/Jasmin")
        hooks.store.add(callback(7, "unsigned", url))
        await hooks.until(lambda: hooks.store.kept())
        [(due, kept)] = hooks.store.kept()
        assert (due, kept.url, kept.attempt) == (SCHEDULE_SECONDS[1], url, 1)
        hooks.answer = lambda _: Posted(200)
        await hooks.pass_time(due)
        await hooks.until(lambda: hooks.store.results)
        assert [result.outcome for result in hooks.store.results] == [CallbackOutcome.DELIVERED]
        first, second = hooks.asked
        assert first == second and first.acknowledgement == b"ACK/Jasmin"
        assert {str(sent.url) for sent in hooks.sent} == {"https://theirs.example/dlr"}


async def test_kannel_s_form_is_filled_in_and_an_unusable_url_is_dead_at_last() -> None:
    async with rig() as hooks:
        hooks.store.add(callback(8, "open", "kannel:1:http://theirs.example/?d=%d&i=%I"))
        await hooks.until(lambda: hooks.store.results)
        assert [str(sent.url) for sent in hooks.sent] == ["http://theirs.example/?d=1&i=8"]
        hooks.store.add(callback(9, "open", "kannel:1:http://bad host/"))
        await hooks.until(lambda: hooks.store.kept() or len(hooks.store.results) > 1)
        assert len(hooks.sent) == 1
