"""The turn loop when the upstream slows it: throttling, the breaker, and lost sessions."""

from __future__ import annotations

from typing import Any

from smscd.core.breaker import BreakerState
from tests.unit.smscd.egress.dispatch.dispatcher_rig import RINVDSTADR, RMSGQFUL, ROK, RSYSERR, RTHROTTLED, Rig
from tests.unit.smscd.egress.doubles import message, profile


async def test_throttling_slows_the_bind_and_retries_soon() -> None:
    """Quirk 16: ESME_RTHROTTLED means rate."""
    rig = Rig()
    rig.redis.admit(message())
    await rig.work()
    await rig.answer((RTHROTTLED, b""))
    assert rig.link.throttled == 1
    assert rig.redis.later[0][0] - rig.clock.now_ms == 1000


async def test_the_breaker_opens_and_lets_one_probe_through() -> None:
    rig = Rig()
    rig.redis.admit(*[message(number) for number in range(20)])
    rig.link.window = 5
    await rig.work()
    await rig.answer(*[(RSYSERR, b"")] * 5)
    assert rig.breaker_state() is BreakerState.OPEN
    assert len(rig.link.written) == 5
    rig.clock.advance(5.1)
    await rig.work()
    assert len(rig.link.written) == 6
    await rig.work()
    assert len(rig.link.written) == 6
    await rig.answer((ROK, b"probe"))
    assert rig.breaker_state() is BreakerState.CLOSED
    assert len(rig.link.written) == 11


async def test_quirk_15_a_full_queue_is_no_failure_as_long_as_the_window_can_narrow() -> None:
    for can_narrow, state in ((True, BreakerState.CLOSED), (False, BreakerState.OPEN)):
        rig = Rig()
        rig.link.can_narrow = can_narrow
        rig.redis.admit(*[message(number) for number in range(6)])
        await rig.work()
        await rig.answer(*[(RMSGQFUL, b"")] * 6)
        assert rig.breaker_state() is state
        assert (rig.link.throttled, rig.link.full) == (6, 6)


async def test_a_status_that_the_profile_calls_throttling_slows_the_bind_and_waits_as_long_as_it_says() -> None:
    rig = Rig(upstream=profile(throttling_statuses=frozenset({0x400}), status_delays={0x400: 7.0}))
    rig.redis.admit(message(1))
    await rig.work()
    await rig.answer((0x400, b""))
    assert (rig.link.throttled, rig.link.full, rig.figures.tally.throttled) == (1, 0, 1)
    rig.clock.advance(6.9)
    await rig.work()
    assert len(rig.link.written) == 1
    rig.clock.advance(1.9)
    await rig.work()
    assert len(rig.link.written) == 2


async def test_a_changed_error_table_counts_for_the_next_answer() -> None:
    rig = Rig()
    rig.redis.admit(message(1))
    await rig.work()
    rig.dispatcher.reconfigure(profile(temporary_statuses=frozenset({RINVDSTADR})))
    await rig.answer((RINVDSTADR, b""))
    assert (rig.figures.tally.retried, rig.figures.tally.failed) == (1, 0)


async def test_slow_responses_are_failures_to_the_breaker_when_the_profile_has_a_limit() -> None:
    for limit, state in ((0.0, BreakerState.CLOSED), (3.0, BreakerState.OPEN)):
        rig = Rig(upstream=profile(breaker_slow_seconds=limit))
        rig.redis.admit(*[message(number) for number in range(5)])
        await rig.work()
        rig.clock.advance(3.1)
        await rig.answer(*[(ROK, b"%d" % number) for number in range(5)])
        assert rig.breaker_state() is state
        assert rig.figures.tally.accepted == 5


async def test_while_the_breaker_is_open_nothing_turns_for_the_room_that_binds_have() -> None:
    rig = Rig()
    rig.redis.admit(*[message(number) for number in range(20)])
    rig.link.window = 5
    await rig.work()
    await rig.answer(*[(RSYSERR, b"")] * 5)
    assert rig.breaker_state() is BreakerState.OPEN and rig.link.free == 5
    assert rig.dispatcher._pause(rig.clock.now) > 0.1


async def test_a_rate_limits_what_goes_out() -> None:
    rig = Rig()
    rig.senders.rate = 3
    rig.redis.admit(*[message(number) for number in range(10)])
    rig.dispatcher.wake()
    await rig.dispatcher.cycle()
    assert len(rig.link.written) == 3


async def test_a_session_lost_with_what_was_not_answered_is_one_failure_and_five_open_the_breaker() -> None:
    rig = Rig()
    rig.link.window = 8
    rig.redis.admit(*[message(number) for number in range(100)])
    for _ in range(5):
        assert rig.breaker_state() is BreakerState.CLOSED
        await rig.work()
        assert len(rig.link.pending) == 8
        await rig.lose()
        rig.link.can_send = True
    assert rig.breaker_state() is BreakerState.OPEN
    rig.clock.now += 5
    await rig.work()
    assert len(rig.link.pending) == 1, "one probe"
    await rig.lose()
    assert rig.breaker_state() is BreakerState.OPEN, "it failed at once, and is not waited for"


async def test_a_session_lost_with_nothing_under_way_is_no_failure() -> None:
    rig = Rig()
    for _ in range(5):
        await rig.lose()
    assert rig.breaker_state() is BreakerState.CLOSED


async def test_binds_that_cannot_be_made_open_the_breaker_unless_another_one_sends() -> None:
    rig = Rig(links=2)
    rig.dispatcher.unreached(5)
    assert rig.breaker_state() is BreakerState.CLOSED
    for link in rig.links:
        link.can_send = False
    rig.dispatcher.unreached(4)
    assert rig.breaker_state() is BreakerState.CLOSED
    rig.dispatcher.unreached(5)
    assert rig.breaker_state() is BreakerState.OPEN and rig.figures.breaker_opened == 1
    rig.redis.admit(*[message(number) for number in range(10)])
    rig.link.can_send = True
    await rig.work()
    assert len(rig.link.pending) == 1
    await rig.answer((ROK, b"abc"))
    assert rig.breaker_state() is BreakerState.CLOSED and len(rig.link.written) > 1


async def test_a_probe_that_could_not_be_written_does_not_hold_the_next_one_up() -> None:
    rig = Rig()
    rig.dispatcher.breaker.trip(rig.clock.now)
    rig.redis.admit(*[message(number) for number in range(10)])
    rig.clock.now += 5
    turn = rig.store.turn

    async def lost_meanwhile(draft: Any) -> Any:
        reply = await turn(draft)
        rig.link.can_send = not draft.intents
        return reply

    rig.store.turn = lost_meanwhile  # type: ignore[method-assign]
    await rig.work()
    assert not rig.link.written
    rig.store.turn = turn  # type: ignore[method-assign]
    rig.link.can_send = True
    await rig.work()
    assert len(rig.link.written) == 1
