"""An upstream that is out: the others are told, and what it was never sent goes to the next of its route."""

from __future__ import annotations

import msgspec

from protocols.smpp.constants import CommandStatus
from smscd.core.breaker import BreakerState
from smscd.core.directory import Account, Route, Snapshot
from smscd.core.directory_index import DirectoryIndex
from smscd.core.records import MessageRecord
from smscd.egress.dispatch.failover import Failover
from smscd.egress.figures import Tally
from tests.unit.smscd.egress.dispatch.dispatcher_rig import Rig
from tests.unit.smscd.egress.doubles import FIRST_ID, message, profile

RSYSERR = int(CommandStatus.ESME_RSYSERR)
_decode = msgspec.msgpack.Decoder(MessageRecord).decode


def failing(rig: Rig, *, room: int = 1_000_000, routes: tuple[str, ...] = ("carrier", "second")) -> DirectoryIndex:
    """Give the dispatcher a route with another upstream."""
    directory = DirectoryIndex(
        Snapshot(
            accounts=(Account(id="acme"),),
            upstreams=(profile(), profile(id="second", queue_messages_max=room)),
            routes=(Route(prefix="49", upstreams=routes),),
        )
    )
    rig.dispatcher._leaving.failover = Failover(
        "carrier",
        rig.store,
        lambda: directory,
        rig.figures,
        grace_seconds=5.0,
        no_bind_seconds=5.0,
        throttled_seconds=60.0,
    )
    return directory


def moved(rig: Rig) -> list[int]:
    """Numbers of the messages that the other upstream has."""
    found = [_decode(blob) for blobs in rig.redis.moved.values() for blob in blobs]
    assert all(record.upstream == "second" for record in found)
    assert sorted(rig.redis.replaced) == sorted(blob for blobs in rig.redis.moved.values() for blob in blobs)
    return sorted(record.id - FIRST_ID for record in found)


async def pass_seconds(rig: Rig, count: int) -> None:
    for _ in range(count):
        rig.clock.advance(1.0)
        await rig.work()


async def test_without_a_bind_everything_moves_after_the_grace() -> None:
    rig = Rig()
    failing(rig)
    rig.link.can_send = False
    rig.redis.admit(*[message(number) for number in range(300)])
    rig.redis.admit(*[message(number) for number in range(300, 500)])
    await pass_seconds(rig, 6)
    assert rig.redis.standings[0] == "" and rig.redis.standings[-1].startswith("closed ")
    assert not moved(rig), "it is out, and the grace is not over"
    await pass_seconds(rig, 6)
    assert moved(rig) == list(range(500))
    assert not rig.redis.queues and not rig.redis.open and rig.redis.depth == 0
    assert rig.figures.moved == 500
    rig.link.can_send = True
    await pass_seconds(rig, 1)
    assert rig.redis.standings[-1] == "" and rig.figures.out_since_ms == 0
    assert not rig.link.written


async def test_what_was_sent_stays_and_one_is_kept_as_the_probe() -> None:
    rig = Rig()
    failing(rig)
    rig.link.window = 10
    rig.redis.admit(*[message(number) for number in range(30)])
    await rig.work()
    await rig.answer(*[(RSYSERR, b"")] * 5)
    assert rig.redis.standings[-1].startswith("open "), "told in the turn that opened it"
    assert len(rig.link.pending) == 5
    rig.redis.later.clear()
    for _ in range(4):
        await pass_seconds(rig, 1)
        assert not moved(rig)
    rig.dispatcher.breaker.trip(rig.clock.now)
    await pass_seconds(rig, 2)
    sent = {number for number in range(30) if number not in moved(rig)}
    assert set(range(10)) <= sent and len(rig.link.written) <= 11
    assert len(moved(rig)) == 18, "ten were sent before, one is out as the probe, one is kept for the next"


async def test_the_other_upstream_gets_no_more_than_it_has_room_for() -> None:
    rig = Rig()
    failing(rig, room=7)
    rig.link.can_send = False
    rig.redis.admit(*[message(number) for number in range(20)])
    await pass_seconds(rig, 13)
    assert moved(rig) == list(range(7))
    assert rig.redis.depth == 13


async def test_what_has_no_other_way_waits() -> None:
    rig = Rig()
    directory = failing(rig)
    rig.link.can_send = False
    directory.go_around(frozenset({"carrier", "second"}))
    rig.redis.admit(*[message(number) for number in range(20)])
    await pass_seconds(rig, 13)
    assert not moved(rig)
    directory.go_around(frozenset({"carrier"}))
    await pass_seconds(rig, 2)
    assert moved(rig) == list(range(20))


async def test_an_upstream_that_is_well_costs_one_word_and_nothing_more() -> None:
    rig = Rig()
    failing(rig)
    rig.redis.admit(message(1))
    await pass_seconds(rig, 20)
    assert rig.redis.standings == [""]
    assert not rig.redis.moved


async def test_when_nothing_is_here_to_probe_with_new_messages_are_let_come() -> None:
    rig = Rig()
    failing(rig)
    rig.dispatcher.breaker.trip(rig.clock.now)
    await pass_seconds(rig, 2)
    assert rig.redis.standings[-1].startswith("open ") and rig.redis.standings[-1].endswith(" 0")
    await pass_seconds(rig, 4)
    assert rig.redis.standings[-1].endswith(" 1"), "its time has come, and there is a bind"
    rig.redis.admit(*[message(number) for number in range(20)])
    await pass_seconds(rig, 1)
    assert len(rig.link.written) == 1, "one probe"
    await rig.answer((0, b"id"))
    assert rig.redis.standings[-1] == ""


async def test_what_waits_for_one_that_only_throttles_goes_on_and_comes_back_when_it_takes_one() -> None:
    rig = Rig()
    failing(rig)
    rig.link.window = 1
    throttled = int(CommandStatus.ESME_RTHROTTLED)
    rig.redis.admit(*[message(number) for number in range(100)])
    await rig.work()
    for _ in range(60):
        await rig.answer((throttled, b""))
        await pass_seconds(rig, 1)
        assert not moved(rig) and rig.redis.standings[-1] == ""
    await rig.answer((throttled, b""))
    await pass_seconds(rig, 1)
    assert rig.redis.standings[-1].startswith("throttled ") and rig.figures.is_throttled
    assert rig.breaker_state() is BreakerState.CLOSED, "the link is well"
    await pass_seconds(rig, 6)
    before = len(moved(rig))
    assert before > 30
    await rig.answer((0, b"id"))
    await pass_seconds(rig, 1)
    assert rig.redis.standings[-1] == "" and not rig.figures.is_throttled
    rig.redis.admit(*[message(number) for number in range(200, 220)])
    await pass_seconds(rig, 5)
    assert len(moved(rig)) == before


async def test_one_that_only_throttled_and_has_nothing_to_be_asked_with_is_sent_one_again() -> None:
    rig = Rig()
    failing(rig)
    assert rig.dispatcher._leaving.failover is not None
    for second in (0.0, 30.0, 60.0):
        rig.dispatcher._leaving.failover.answered(Tally(throttled=1), second)
    await pass_seconds(rig, 1)
    assert rig.redis.standings[-1].startswith("throttled ") and rig.redis.standings[-1].endswith(" 1")


async def test_what_was_ever_in_doubt_does_not_move() -> None:
    rig = Rig()
    failing(rig)
    rig.link.can_send = False
    doubted = message(2)
    doubted.resends = 1
    rig.redis.admit(message(1), doubted, message(3, attempt=2))
    await pass_seconds(rig, 13)
    assert moved(rig) == [1, 3], "a retry that was never in doubt moves too"
    assert rig.redis.depth == 1
