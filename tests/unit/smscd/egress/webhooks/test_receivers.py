"""Callbacks for endpoints: one for each, with an end of its own, and the journal told of every step."""

from __future__ import annotations

import asyncio

import msgspec

from protocols.webhooks import SIGNATURE_HEADER
from smscd.core.callback_records import CallbackOutcome, CallbackRecord, CallbackResult
from smscd.core.directory import Snapshot, WebhookEndpoint
from smscd.core.directory_index import DirectoryIndex
from smscd.egress.webhooks.receivers import GONE_MAX, Receivers
from smscd.egress.webhooks.schedule import Posted
from tests.unit.smscd.egress.webhook_fixture import ACCOUNTS, SECRET, START_MS, Rig, callback, rig

FANNED, PENDING = int(CallbackOutcome.FANNED), int(CallbackOutcome.PENDING)
DELIVERED, DEAD = int(CallbackOutcome.DELIVERED), int(CallbackOutcome.DEAD)


def endpoint(number: int, **changed: object) -> WebhookEndpoint:
    values: dict[str, object] = {
        "id": number, "account": "acme", "url": f"https://h{number}.example/", "secret": SECRET,
    }  # fmt: skip
    return WebhookEndpoint(**{**values, **changed})  # type: ignore[arg-type]  # the test's own values


def directory(*endpoints: WebhookEndpoint) -> DirectoryIndex:
    return DirectoryIndex(Snapshot(accounts=ACCOUNTS, webhook_endpoints=endpoints))


def told(hooks: Rig) -> list[tuple[int, int, int]]:
    """(outcome, endpoint, attempts) of all that was journalled."""
    return [(result.outcome, result.endpoint, result.attempts) for result in hooks.store.results]


async def test_a_callback_for_several_endpoints_becomes_one_for_each() -> None:
    async with rig() as hooks:
        hooks.index = directory(endpoint(1), endpoint(2), endpoint(3, events=frozenset({"message.failed"})))
        hooks.store.add(callback(7), callback(8, account="local", url="http://own.example/"))
        await hooks.until(lambda: len([one for one in told(hooks) if one[0] == DELIVERED]) == 3)
        assert sorted(str(sent.url) for sent in hooks.sent) == [
            "http://own.example/", "https://h1.example/", "https://h2.example/",
        ]  # fmt: skip
        assert told(hooks)[:3] == [(FANNED, 0, 2), (PENDING, 1, 0), (PENDING, 2, 0)]
        assert sorted(told(hooks)[3:]) == [(DELIVERED, 0, 1), (DELIVERED, 1, 1), (DELIVERED, 2, 1)]
        assert {sent.headers["webhook-id"] for sent in hooks.sent} == {"msg_7_delivered", "msg_8_delivered"}
        assert (hooks.store.stream, hooks.store.later) == ({}, {})


async def test_one_that_hangs_holds_up_no_other_of_the_same_event_nor_its_record() -> None:
    async with rig() as hooks:
        hooks.index = directory(endpoint(1), endpoint(2))
        hooks.gates["h1.example"] = gate = asyncio.Event()
        hooks.store.add(*(callback(number) for number in range(1, 30)))
        await hooks.until(lambda: len([one for one in told(hooks) if one[:2] == (DELIVERED, 2)]) == 29)
        assert not [one for one in told(hooks) if one[:2] == (DELIVERED, 1)]
        gate.set()
        await hooks.until(lambda: len([one for one in told(hooks) if one[:2] == (DELIVERED, 1)]) == 29)


async def test_a_single_endpoint_costs_no_step_more_and_nobody_is_an_end() -> None:
    async with rig() as hooks:
        hooks.index = directory(endpoint(1, events=frozenset({"message.delivered"})))
        hooks.store.add(callback(7))
        await hooks.until(lambda: hooks.store.results)
        assert (told(hooks), hooks.store.settles) == ([(DELIVERED, 1, 1)], 1)
        hooks.index = directory(endpoint(1, events=frozenset({"message.received"})))
        hooks.store.add(callback(8))
        hooks.webhooks.ring()
        await hooks.until(lambda: len(hooks.store.results) == 2)
        assert told(hooks)[1] == (FANNED, 0, 0)
        assert len(hooks.sent) == 1


async def test_a_failure_is_journalled_with_its_next_attempt_and_what_a_replay_needs() -> None:
    async with rig() as hooks:
        hooks.index = directory(endpoint(1, revision=4))
        hooks.answer = lambda _: Posted(503)
        hooks.store.add(callback(7))
        await hooks.until(lambda: hooks.store.later)
        (result,) = hooks.store.results
        ((kept, due_ms),) = hooks.store.later.items()
        record = msgspec.msgpack.decode(kept, type=CallbackRecord)
        assert (result.outcome, result.code, result.next_ms, result.event, result.event_type, result.is_replay) == (
            PENDING, 503, due_ms, "msg_7_delivered", "message.delivered", False,
        )  # fmt: skip
        assert due_ms == START_MS + 5_000
        assert (record.endpoint, record.attempt) == (1, 1)
        assert msgspec.msgpack.decode(result.record, type=CallbackRecord) == record


async def test_gone_is_remembered_until_the_endpoint_changes() -> None:
    async with rig() as hooks:
        hooks.index = directory(endpoint(1, revision=2))
        hooks.answer = lambda _: Posted(410)
        hooks.store.add(callback(7))
        await hooks.until(lambda: hooks.store.results)
        gone = hooks.store.results[0]
        assert (gone.outcome, gone.code, gone.revision, gone.detail) == (DEAD, 410, 2, "status 410")
        waiting = callback(8)
        waiting.endpoint = 1
        hooks.store.add(waiting)
        hooks.store.add(callback(9))
        hooks.webhooks.ring()
        await hooks.until(lambda: len(hooks.store.results) == 3)
        assert sorted((one.outcome, one.detail) for one in hooks.store.results[1:]) == [
            (DEAD, "endpoint disabled"), (FANNED, ""),
        ]  # fmt: skip
        assert len(hooks.sent) == 1
        hooks.index = directory(endpoint(1, revision=3))
        hooks.answer = lambda _: Posted(204)
        hooks.store.add(callback(10))
        hooks.webhooks.ring()
        await hooks.until(lambda: len(hooks.store.results) == 4)
        assert hooks.store.results[3].outcome == DELIVERED


async def test_one_for_an_endpoint_that_was_deleted_is_dead_without_an_attempt() -> None:
    async with rig() as hooks:
        record = callback(7, attempt=3)
        record.endpoint, record.is_replay = 5, True
        hooks.store.add(record)
        await hooks.until(lambda: hooks.store.results)
        result: CallbackResult = hooks.store.results[0]
        assert (result.outcome, result.attempts, result.detail, result.is_replay) == (DEAD, 3, "endpoint deleted", True)
        assert hooks.sent == []


async def test_a_replay_for_several_endpoints_stays_one() -> None:
    async with rig() as hooks:
        hooks.index = directory(endpoint(1), endpoint(2))
        record = callback(7)
        record.is_replay = True
        hooks.store.add(record)
        await hooks.until(lambda: len(hooks.store.results) == 5)
        assert all(result.is_replay for result in hooks.store.results)


async def test_all_secrets_that_count_now_sign() -> None:
    async with rig() as hooks:
        hooks.index = directory(endpoint(1, old_secrets=(SECRET, SECRET), old_until_ms=(START_MS + 1, START_MS)))
        hooks.store.add(callback(7))
        await hooks.until(lambda: hooks.sent)
        assert len(hooks.sent[0].headers[SIGNATURE_HEADER].split(" ")) == 2


def test_what_is_remembered_of_410_is_bounded() -> None:
    receivers = Receivers()
    for number in range(GONE_MAX + 1):
        receivers.gone(number + 1, 0)
    assert not isinstance(receivers.find(1, directory(endpoint(1))), str)
    assert isinstance(receivers.find(2, directory(endpoint(2))), str)
