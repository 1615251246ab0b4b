"""Paused and drained: what the dispatcher of an upstream sends, and what waits."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from protocols.smpp.constants import CommandStatus
from smscd.core.records import Outcome
from smscd.egress.dispatch import halting
from smscd.egress.dispatch.halting import NOTHING_HALTED, Halting
from tests.unit.smscd.egress.dispatch.dispatcher_rig import Rig
from tests.unit.smscd.egress.doubles import message
from tests.unit.smscd.egress.redis_double import FakeRedis

OTHER_QUEUE = "{s00}:q:carrier:1:other"
PAUSED = Halting(is_paused=True)


def paused_account(account: str) -> Halting:
    return Halting(accounts=frozenset((account,)), waits=lambda record: record.account == account)


def paused_route(prefix: bytes) -> Halting:
    return Halting(waits=lambda record: record.dest.startswith(prefix))


def numbers(rig: Rig) -> list[int]:
    """The messages that were sent, by the number in their text."""
    return [int(pdu.short_message.split()[-1]) for pdu in rig.sent()]


async def test_a_paused_upstream_finishes_its_window_and_takes_nothing_new() -> None:
    rig = Rig()
    rig.link.window = 1
    rig.redis.admit(message(1, segments=[b"part 1", b"part 2"]), message(2))
    await rig.work()
    assert len(rig.sent()) == 1
    rig.dispatcher.halt(PAUSED)
    rig.redis.admit(message(3))
    await rig.answer((0, b"a"))
    await rig.answer((0, b"b"))
    assert [pdu.short_message for pdu in rig.sent()] == [b"part 1", b"part 2"], "a message that was begun is finished"
    assert rig.outcomes() == [Outcome.ACCEPTED] * 2
    await rig.work()
    assert len(rig.sent()) == 2
    rig.dispatcher.halt(NOTHING_HALTED)
    await rig.work()
    await rig.answer((0, b"c"))
    await rig.answer((0, b"d"))
    assert [pdu.short_message for pdu in rig.sent()][2:] == [b"text 2", b"text 3"]


async def test_what_a_paused_upstream_refused_for_now_waits_too() -> None:
    rig = Rig()
    rig.redis.admit(message(1))
    await rig.work()
    rig.dispatcher.halt(PAUSED)
    await rig.answer((int(CommandStatus.ESME_RTHROTTLED), b""))
    rig.clock.advance(600)
    await rig.work()
    assert len(rig.sent()) == 1 and not rig.redis.later
    rig.dispatcher.halt(NOTHING_HALTED)
    await rig.work()
    assert len(rig.sent()) == 2


async def test_a_paused_account_waits_in_its_queue_and_others_go_on() -> None:
    rig = Rig()
    rig.dispatcher.halt(paused_account("acme"))
    rig.redis.admit(message(1))
    rig.redis.admit(message(2, account="other"), queue=OTHER_QUEUE)
    await rig.work()
    assert numbers(rig) == [2]
    assert not rig.dispatcher._claims._open.get("{s00}:q:carrier:1:acme"), "it was read all the same"
    rig.dispatcher.halt(NOTHING_HALTED)
    await rig.work()
    assert numbers(rig) == [2, 1]


async def test_what_was_claimed_of_a_paused_account_waits_and_goes_on_in_its_order() -> None:
    rig = Rig()
    rig.link.can_send = False
    rig.redis.admit(message(1), message(2))
    rig.redis.admit(message(3, account="other"), queue=OTHER_QUEUE)
    await rig.work()
    rig.dispatcher.halt(paused_account("acme"))
    rig.redis.admit(message(4))
    rig.link.can_send = True
    await rig.work()
    assert numbers(rig) == [3]
    rig.dispatcher.halt(NOTHING_HALTED)
    await rig.work()
    assert numbers(rig) == [3, 1, 2, 4]


async def test_messages_of_a_paused_route_wait_and_those_behind_them_pass() -> None:
    rig = Rig()
    rig.dispatcher.halt(paused_route(b"4917000000"))
    waiting = [message(number) for number in range(1, 10)]
    for each in waiting:
        rig.redis.admit(each)
    rig.redis.admit(message(20, dest=b"3312345"))
    await rig.work()
    assert numbers(rig) == [20]
    rig.dispatcher.halt(paused_route(b"49170000001"))
    await rig.work()
    assert numbers(rig) == [20, *range(1, 10)]
    assert rig.dispatcher._backlog.held.size == 0


async def test_a_message_that_waits_for_its_route_expires_in_time() -> None:
    rig = Rig()
    rig.dispatcher.halt(paused_route(b"49"))
    rig.redis.admit(message(1))
    await rig.work()
    rig.clock.advance(3_601)
    await rig.work()
    assert rig.outcomes() == [Outcome.EXPIRED]
    assert not rig.redis.queues and rig.dispatcher._backlog.held.size == 0
    rig.dispatcher.halt(NOTHING_HALTED)
    await rig.work()
    assert not rig.sent()


async def test_what_waits_for_routes_is_bounded_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(halting, "HELD_MAX", 50)
    rig = Rig()
    rig.dispatcher.halt(paused_route(b"49"))
    for number in range(1, 300):
        rig.redis.admit(message(number))
    rig.redis.admit(message(300, account="other", dest=b"33"), queue=OTHER_QUEUE)
    await rig.work()
    assert numbers(rig) == [300], "another account goes on"
    assert 50 <= rig.dispatcher._backlog.held.size < 200
    rig.dispatcher.halt(NOTHING_HALTED)
    for _ in range(40):
        await rig.work()
        if rig.link.pending:
            await rig.answer(*((0, b"%d" % len(rig.sent())) for _ in rig.link.pending))
    assert sorted(numbers(rig)) == list(range(1, 301))


async def test_a_message_in_doubt_is_sent_again_by_its_policy_though_its_account_is_paused() -> None:
    rig = Rig(links=2)
    rig.redis.admit(message(1))
    await rig.work()
    busy = next(link for link in rig.links if link.written)
    rig.dispatcher.halt(paused_account("acme"))
    await rig.lose(busy)
    other = next(link for link in rig.links if link is not busy)
    assert len(rig.sent(other)) == 1


async def test_a_new_owner_lets_wait_what_its_predecessor_had_not_begun() -> None:
    redis = FakeRedis()
    first = Rig(redis)
    redis.admit(message(1))
    await first.work()
    redis.admit(message(2))
    second = Rig(redis)
    second.dispatcher.halt(paused_route(b"49"))
    await second.dispatcher.take_rest_over()
    await second.work()
    assert numbers(second) == [1], "what may have been sent is sent again; what was not waits"


async def test_a_drained_upstream_sends_what_waits_and_says_when_it_is_empty() -> None:
    rig = Rig()
    rig.dispatcher.halt(Halting(is_drained=True))
    rig.redis.admit(message(1))
    rig.redis.depth = 1
    await rig.work()
    assert numbers(rig) == [1]
    await rig.answer((0, b"a"))
    rig.redis.depth = 0
    with capture_logs() as logs:
        for _ in range(3):
            rig.clock.advance(1.1)
            await rig.work()
    assert [entry["event"] for entry in logs if entry["event"] == "upstream.drained"] == ["upstream.drained"]
