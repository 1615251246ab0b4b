"""The turn loop when nobody knows what was sent: time-outs, lost binds, a lease that ran out, and who comes after."""

from __future__ import annotations

import pytest

from smscd.core.records import MessageRecord, Outcome, ParkedReceipt, State
from storage.redis.errors import Fenced
from tests.unit.smscd.egress.dispatch.dispatcher_rig import ROK, RSYSERR, Rig
from tests.unit.smscd.egress.doubles import FIRST_ID, NOW_MS, encode, message, profile


async def test_a_time_out_alone_never_sends_again_and_the_late_answer_counts() -> None:
    """Quirk 19: the response does not come."""
    rig = Rig()
    rig.redis.admit(message())
    await rig.work()
    refs, rig.link.pending = list(rig.link.pending), []
    rig.dispatcher.timed_out(refs)
    await rig.work()
    rig.clock.advance(60)
    await rig.work()
    assert len(rig.link.written) == 1 and rig.outcomes() == []
    rig.dispatcher.answered(rig.link, [(refs[0], ROK, b"late")], rig.clock.now)  # type: ignore[arg-type]
    await rig.work()
    assert rig.outcomes() == [Outcome.ACCEPTED]
    assert not rig.redis.queues and not rig.redis.rest
    assert rig.figures.tally.late == 1


async def test_a_stuck_message_moves_to_the_rest_so_that_its_blob_can_go() -> None:
    rig = Rig()
    rig.redis.admit(message(1), message(2))
    await rig.work()
    stuck = rig.link.pending[1]
    await rig.answer((ROK, b"a"))
    rig.link.pending.clear()
    rig.dispatcher.timed_out([stuck])
    await rig.work()
    assert rig.redis.queues
    rig.clock.advance(11)
    await rig.work()
    assert not rig.redis.queues and list(rig.redis.rest) == [FIRST_ID + 2]
    rig.dispatcher.answered(rig.link, [(stuck, ROK, b"late")], rig.clock.now)  # type: ignore[arg-type]
    await rig.work()
    assert not rig.redis.rest and rig.redis.depth == 0
    assert rig.redis.results()[-1].state == State.SENT


async def test_what_was_never_answered_is_unknown_at_its_validity_and_not_refunded() -> None:
    rig = Rig()
    rig.redis.admit(message())
    await rig.work()
    refs, rig.link.pending = list(rig.link.pending), []
    rig.dispatcher.timed_out(refs)
    await rig.work()
    rig.clock.advance(3601)
    await rig.work()
    assert rig.outcomes() == [Outcome.UNKNOWN]
    assert rig.redis.states == {FIRST_ID + 1: State.UNKNOWN} and not rig.redis.refunded
    assert [callback.stat for callback in rig.redis.callbacks()] == [b"UNKNOWN"]
    assert not rig.redis.rest and not rig.redis.queues


async def test_a_lost_bind_puts_exactly_its_unanswered_segments_in_doubt_and_sends_them_again() -> None:
    rig = Rig(links=2)
    rig.redis.admit(*[message(number) for number in range(4)])
    await rig.work()
    first, second = rig.links
    lost = [ref[0].record.id for ref in first.pending]
    assert len(lost) == 2
    await rig.lose(first)
    doubted = [result for result in rig.redis.results() if result.outcome == Outcome.DOUBTED]
    assert [result.id for result in doubted] == lost
    assert len(second.written) == 4
    assert set(rig.redis.open[next(iter(rig.redis.open))].values()) == {b"i0", b"i1"}
    assert rig.figures.tally.resent == 2


async def test_an_answer_before_the_loss_is_not_in_doubt() -> None:
    rig = Rig()
    rig.redis.admit(message(1), message(2))
    await rig.work()
    rig.dispatcher.answered(rig.link, rig.link.answer((ROK, b"a")), rig.clock.now)  # type: ignore[arg-type]
    await rig.lose()
    assert rig.outcomes() == [Outcome.ACCEPTED, Outcome.DOUBTED]


async def test_a_doubt_is_sent_again_at_most_twice_and_then_stays_until_its_validity() -> None:
    rig = Rig(links=4)
    rig.redis.admit(message())
    for _ in range(3):
        await rig.work()
        await rig.lose(next(link for link in rig.links if link.pending))
    await rig.work()
    assert sum(len(link.written) for link in rig.links) == 3
    assert rig.outcomes() == [Outcome.DOUBTED] * 3
    rig.clock.advance(3601)
    await rig.work()
    assert rig.outcomes()[-1] == Outcome.UNKNOWN and not rig.redis.refunded


@pytest.mark.parametrize(("policy", "outcome"), [("hold", Outcome.UNKNOWN), ("fail", Outcome.FAILED)])
async def test_hold_and_fail_send_nothing_again(policy: str, outcome: Outcome) -> None:
    rig = Rig(upstream=profile(in_doubt=policy), links=2)
    rig.redis.admit(message())
    await rig.work()
    await rig.lose(next(link for link in rig.links if link.pending))
    rig.clock.advance(3601)
    await rig.work()
    assert sum(len(link.written) for link in rig.links) == 1
    assert rig.outcomes() == [Outcome.DOUBTED, outcome] and not rig.redis.refunded


async def doubted(*records: MessageRecord) -> Rig:
    """A dispatcher whose policy is to hold, with these messages in doubt."""
    rig = Rig(upstream=profile(in_doubt="hold"), links=2)
    rig.redis.admit(*records)
    await rig.work()
    for link in rig.links:
        await rig.lose(link)
    return rig


async def test_a_receipt_between_the_same_addresses_settles_the_one_doubt() -> None:
    rig = await doubted(message(1), message(2))
    parked = ParkedReceipt(b"abc", b"DELIVRD", b"000", int(State.DELIVERED), 1, b"raw", 1)
    rig.redis.park[b"abc"] = [encode(parked)]
    rig.dispatcher.reported(b"Sender", message(1).dest, b"abc", NOW_MS)
    await rig.work()
    assert rig.redis.results()[-1].outcome == Outcome.ACCEPTED
    [(key, context, receipts)] = rig.parked.parked
    assert (key, context.id, receipts) == (b"abc", FIRST_ID + 1, [parked])


async def test_the_rest_of_a_long_message_goes_out_once_its_doubt_is_settled() -> None:
    rig = Rig(upstream=profile(in_doubt="hold"))
    rig.redis.admit(message(1, segments=[b"one", b"two"]))
    rig.link.window = 1
    await rig.work()
    heir = Rig(rig.redis, upstream=profile(in_doubt="hold"))
    await heir.work()
    assert heir.outcomes() == [Outcome.DOUBTED] and not heir.link.written
    heir.dispatcher.reported(b"Sender", message(1).dest, b"abc", NOW_MS)
    await heir.work()
    assert [pdu.short_message for pdu in heir.sent()] == [b"two"]


async def test_a_receipt_that_fits_two_doubts_or_an_awaited_answer_settles_nothing() -> None:
    rig = await doubted(message(1), message(2, dest=message(1).dest))
    rig.dispatcher.reported(b"Sender", message(1).dest, b"abc", NOW_MS)
    await rig.work()
    assert rig.outcomes() == [Outcome.DOUBTED] * 2
    rig = await doubted(message(1))
    rig.link.can_send = True
    rig.redis.admit(message(2, dest=message(1).dest))
    await rig.work()
    rig.dispatcher.reported(b"Sender", message(1).dest, b"abc", NOW_MS)
    await rig.work()
    assert rig.outcomes() == [Outcome.DOUBTED]


async def test_a_successor_finds_the_intents_without_results_in_doubt() -> None:
    rig = Rig()
    rig.redis.admit(message(1), message(2), message(3))
    rig.link.window = 2
    await rig.work()
    await rig.answer((ROK, b"a"))
    heir = Rig(rig.redis)
    await heir.work()
    assert [pdu.short_message for pdu in heir.sent()] == [b"text 2", b"text 3"]
    doubted = [result.id for result in rig.redis.results() if result.outcome == Outcome.DOUBTED]
    assert doubted == [FIRST_ID + 2, FIRST_ID + 3]
    await heir.answer((ROK, b"b"), (ROK, b"c"))
    assert not rig.redis.queues and rig.redis.depth == 0


async def test_a_successor_counts_the_resends_of_the_one_before() -> None:
    rig = Rig()
    rig.redis.admit(message())
    for expected in (1, 2, 3):
        await rig.work()
        assert len(rig.link.written) == 1, expected
        rig = Rig(rig.redis)
    await rig.work()
    assert not rig.link.written
    assert rig.outcomes() == [Outcome.DOUBTED] * 3


async def test_a_successor_takes_the_rest_over() -> None:
    rig = Rig()
    rig.redis.admit(message())
    await rig.work()
    refs, rig.link.pending = list(rig.link.pending), []
    rig.dispatcher.timed_out(refs)
    rig.clock.advance(11)
    await rig.work()
    await rig.work()
    assert rig.redis.rest and not rig.redis.queues
    heir = Rig(rig.redis)
    await heir.dispatcher.take_rest_over()
    await heir.work()
    assert len(heir.link.written) == 1
    assert rig.outcomes() == [Outcome.DOUBTED]
    await heir.answer((ROK, b"x"))
    assert not rig.redis.rest and rig.redis.depth == 0


async def test_nothing_is_written_past_the_deadline_of_the_lease() -> None:
    rig = Rig()
    rig.redis.admit(message())
    rig.session.deadline = rig.clock.now - 1
    await rig.work()
    assert not rig.link.written and not rig.redis.open
    rig.session.deadline = rig.clock.now + 10
    await rig.work()
    assert len(rig.link.written) == 1


async def test_a_deadline_that_passes_during_the_turn_holds_the_bytes_back() -> None:
    rig = Rig()
    rig.redis.admit(message())
    turn = rig.store.turn

    async def slow(asked):  # type: ignore[no-untyped-def]  # wraps the double's method
        rig.session.deadline = rig.clock.now - 1
        return await turn(asked)

    rig.store.turn = slow  # type: ignore[method-assign]
    await rig.work()
    assert not rig.link.written and rig.redis.open
    rig.store.turn = turn  # type: ignore[method-assign]
    rig.session.deadline = rig.clock.now + 10
    await rig.work()
    assert len(rig.link.written) == 1 and rig.outcomes() == []


async def test_a_fenced_dispatcher_writes_nothing() -> None:
    rig = Rig()
    rig.redis.admit(message())
    turn = rig.store.turn

    async def fenced(asked):  # type: ignore[no-untyped-def]  # wraps the double's method
        rig.redis.fenced = True
        return await turn(asked)

    rig.store.turn = fenced  # type: ignore[method-assign]
    with pytest.raises(Fenced):
        await rig.work()
    assert not rig.link.written


async def test_a_successor_sends_only_the_missing_segments() -> None:
    rig = Rig()
    rig.link.window = 2
    rig.redis.admit(message(1, segments=[b"a", b"b", b"c"]))
    await rig.work()
    rig.link.window = 0
    await rig.answer((ROK, b"1"))
    heir = Rig(rig.redis)
    await heir.work()
    assert [pdu.short_message for pdu in heir.sent()] == [b"b", b"c"]


async def test_a_doubt_that_was_sent_again_and_refused_for_now_keeps_its_count() -> None:
    rig = Rig(links=2)
    rig.redis.admit(message())
    await rig.work()
    lost = next(link for link in rig.links if link.pending)
    await rig.lose(lost)
    other = next(link for link in rig.links if link is not lost)
    await rig.answer((RSYSERR, b""), link=other)
    rig.clock.advance(2.1)
    await rig.work()
    assert set(next(iter(rig.redis.open.values())).values()) == {b"i1"}
