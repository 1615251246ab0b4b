"""The turn loop, one turn at a time, over a played Redis and played binds."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from protocols.smpp.codec import DECODERS
from protocols.smpp.constants import CommandId, CommandStatus
from protocols.smpp.pdu import SubmitSm
from smscd.core.breaker import Breaker, BreakerState
from smscd.core.records import MessageRecord, Outcome, ParkedReceipt, State, Tariff
from smscd.core.upstream import Upstream
from smscd.egress.dispatch.dispatcher import Dispatcher
from smscd.egress.figures import UpstreamFigures
from storage.redis.dispatch import Turn, TurnReply
from storage.redis.errors import Fenced
from tests.unit.smscd.egress.doubles import (
    FIRST_ID,
    NOW_MS,
    QUEUE,
    Clock,
    FakeDispatchStore,
    FakeLink,
    FakeParkedSink,
    FakeRedis,
    FakeSenders,
    FakeSession,
    encode,
    message,
    profile,
)

ROK = 0
RSYSERR = int(CommandStatus.ESME_RSYSERR)
RMSGQFUL = int(CommandStatus.ESME_RMSGQFUL)
RTHROTTLED = int(CommandStatus.ESME_RTHROTTLED)
ROPTPARNOTALLWD = int(CommandStatus.ESME_ROPTPARNOTALLWD)
RINVDSTADR = int(CommandStatus.ESME_RINVDSTADR)


class Rig:
    """A dispatcher with everything around it."""

    def __init__(self, redis: FakeRedis | None = None, *, upstream: Upstream | None = None, links: int = 1) -> None:
        self.redis = redis or FakeRedis()
        self.clock = Clock()
        self.store = FakeDispatchStore(self.redis)
        self.session = FakeSession()
        self.links = [FakeLink() for _ in range(links)]
        self.senders = FakeSenders(*self.links)
        self.parked = FakeParkedSink()
        self.figures = UpstreamFigures("carrier")
        self.dispatcher = Dispatcher(
            upstream or profile(),
            store=self.store,  # type: ignore[arg-type]  # the double
            session=self.session,  # type: ignore[arg-type]  # the double
            senders=self.senders,  # type: ignore[arg-type]  # the double
            parked=self.parked,
            figures=self.figures,
            breaker=Breaker(),
            clock=self.clock.seconds,
            wall_ms=self.clock.wall_ms,
            chance=lambda: 0.0,
        )

    @property
    def link(self) -> FakeLink:
        return self.links[0]

    async def work(self) -> None:
        """Turns until there is nothing to do."""
        self.dispatcher.wake()
        for _ in range(50):
            if await self.dispatcher.cycle():
                return
        raise AssertionError("the dispatcher finds no rest")

    async def answer(self, *answers: tuple[int, bytes], link: FakeLink | None = None) -> None:
        """Answer the oldest segments of a bind, and let the dispatcher work."""
        link = link or self.link
        self.dispatcher.answered(link, link.answer(*answers), self.clock.now)  # type: ignore[arg-type]  # the double
        await self.work()

    async def lose(self, link: FakeLink | None = None) -> None:
        """The bind is lost; what it had pending is not answered."""
        link = link or self.link
        refs, link.pending = link.pending, []
        link.can_send = False
        self.dispatcher.lost(link, refs)  # type: ignore[arg-type]  # the double
        await self.work()

    def breaker_state(self) -> BreakerState:
        return self.dispatcher.breaker.state

    def outcomes(self) -> list[int]:
        return [result.outcome for result in self.redis.results()]

    def sent(self, link: FakeLink | None = None) -> list[SubmitSm]:
        decode = DECODERS[CommandId.SUBMIT_SM]
        return [decode(body, 0, len(body), 0, 0) for body, _ in (link or self.link).written]


async def test_a_message_is_sent_after_its_intent_and_leaves_the_queue_when_accepted() -> None:
    rig = Rig()
    entry = rig.redis.admit(message())
    await rig.work()
    assert rig.redis.open == {(QUEUE, entry): {b"0.0": b"i0"}}
    [pdu] = rig.sent()
    assert (pdu.destination_addr, pdu.short_message, pdu.registered_delivery) == (b"491700000001", b"text 1", 1)
    assert pdu.validity_period == b"000000010000000R"
    await rig.answer((ROK, b"abc"))
    assert not rig.redis.queues and not rig.redis.open
    [result] = rig.redis.results()
    assert (result.outcome, result.state, result.upstream_message_id) == (Outcome.ACCEPTED, State.SENT, b"abc")
    assert rig.redis.depth == 0
    assert list(rig.redis.corr) == [b"abc"]


async def test_correlation_is_written_before_the_turn_that_records_the_acceptance() -> None:
    rig = Rig()
    rig.redis.admit(message())
    await rig.work()
    turns = len(rig.redis.turns)
    rig.dispatcher.answered(rig.link, rig.link.answer((ROK, b"abc")), rig.clock.now)  # type: ignore[arg-type]
    seen: list[int] = []
    correlate = rig.store.correlate

    async def look(items, at_ms):  # type: ignore[no-untyped-def]  # wraps the double's method
        seen.append(len(rig.redis.turns))
        return await correlate(items, at_ms)

    rig.store.correlate = look  # type: ignore[method-assign]
    await rig.work()
    assert seen == [turns]


async def test_receipts_that_came_first_are_applied_before_the_acceptance_is_recorded() -> None:
    rig = Rig()
    receipt = ParkedReceipt(b"abc", b"DELIVRD", b"000", int(State.DELIVERED), 1, b"raw", 1)
    rig.redis.park[b"abc"] = [encode(receipt)]
    rig.redis.admit(message())
    await rig.work()
    await rig.answer((ROK, b"abc"))
    [(key, context, receipts)] = rig.parked.parked
    assert (key, context.id, receipts) == (b"abc", FIRST_ID + 1, [receipt])


async def test_receipts_wait_until_what_was_answered_before_is_correlated() -> None:
    rig = Rig()
    rig.redis.admit(message(1), message(2))
    await rig.work()
    await rig.dispatcher.gate.wait()
    rig.dispatcher.answered(rig.link, rig.link.answer((ROK, b"abc")), rig.clock.now)  # type: ignore[arg-type]
    waiting = asyncio.create_task(rig.dispatcher.gate.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    await rig.work()
    await waiting
    assert b"abc" in rig.redis.corr


async def test_only_the_window_is_sent_and_at_most_twice_the_free_window_is_claimed() -> None:
    rig = Rig()
    rig.link.window = 10
    for number in range(100):
        rig.redis.admit(message(number))
    await rig.work()
    assert len(rig.link.written) == 10
    assert rig.figures.tally.accepted == 0
    await rig.answer(*[(ROK, b"%d" % at) for at in range(4)])
    assert len(rig.link.written) == 14
    assert [pdu.short_message for pdu in rig.sent()] == [b"text %d" % number for number in range(14)]


async def test_a_blob_is_finished_when_its_last_message_is_settled() -> None:
    rig = Rig()
    entry = rig.redis.admit(message(1), message(2), message(3))
    await rig.work()
    await rig.answer((ROK, b"a"), (RINVDSTADR, b""))
    assert rig.redis.open[(QUEUE, entry)] == {b"0.0": b"d", b"1.0": b"d", b"2.0": b"i0"}
    await rig.answer((ROK, b"c"))
    assert not rig.redis.queues and not rig.redis.open
    assert rig.redis.depth == 0


async def test_a_permanent_error_fails_the_message_refunds_it_and_calls_back() -> None:
    rig = Rig()
    rig.redis.admit(message())
    await rig.work()
    await rig.answer((RINVDSTADR, b""))
    [result] = rig.redis.results()
    assert (result.outcome, result.state, result.command_status) == (Outcome.FAILED, State.FAILED, RINVDSTADR)
    assert result.refund_micros == 70_000 and result.due
    assert rig.redis.refunded == {FIRST_ID + 1: 70_000}
    assert rig.redis.states == {FIRST_ID + 1: State.FAILED}
    [callback] = rig.redis.callbacks()
    assert (callback.state, callback.stat, callback.err) == (State.FAILED, b"UNDELIV", b"011")


async def test_a_temporary_error_brings_the_message_back_later_with_one_attempt_more() -> None:
    """Quirk 18: no final callback and no refund while a retry is due."""
    rig = Rig()
    rig.redis.admit(message())
    await rig.work()
    await rig.answer((RSYSERR, b""))
    assert not rig.redis.queues and len(rig.redis.later) == 1
    assert rig.outcomes() == [Outcome.RETRIED] and not rig.redis.refunded and not rig.redis.out
    assert rig.redis.depth == 1
    await rig.work()
    assert len(rig.link.written) == 1
    rig.clock.advance(2.1)
    await rig.work()
    assert len(rig.link.written) == 2
    await rig.answer((RSYSERR, b""))
    due_ms = rig.redis.later[0][0]
    assert due_ms - rig.clock.now_ms == 4000
    rig.clock.advance(4.1)
    await rig.work()
    await rig.answer((ROK, b"abc"))
    assert rig.redis.results()[-1].attempt == 2
    assert rig.redis.depth == 0


async def test_throttling_slows_the_bind_and_retries_soon() -> None:
    """Quirk 16: ESME_RTHROTTLED means rate."""
    rig = Rig()
    rig.redis.admit(message())
    await rig.work()
    await rig.answer((RTHROTTLED, b""))
    assert rig.link.throttled == 1
    assert rig.redis.later[0][0] - rig.clock.now_ms == 1000


async def test_retries_end_with_the_validity() -> None:
    rig = Rig()
    rig.redis.admit(message(valid_until_ms=Clock().now_ms + 1500))
    await rig.work()
    await rig.answer((RSYSERR, b""))
    assert rig.redis.later[0][0] == Clock().now_ms + 1500
    rig.clock.advance(1.6)
    await rig.work()
    assert rig.outcomes() == [Outcome.RETRIED, Outcome.EXPIRED]
    assert rig.redis.refunded == {FIRST_ID + 1: 70_000}
    assert [callback.stat for callback in rig.redis.callbacks()] == [b"EXPIRED"]
    assert len(rig.link.written) == 1 and rig.redis.depth == 0


async def test_a_message_expires_in_the_queue_while_the_upstream_is_down() -> None:
    """Quirk 38: the validity is enforced here, and EXPIRED reported."""
    rig = Rig()
    rig.link.can_send = False
    rig.redis.admit(message(1, valid_until_ms=Clock().now_ms + 5000), message(2))
    await rig.work()
    rig.clock.advance(6)
    await rig.work()
    assert rig.outcomes() == [Outcome.EXPIRED]
    assert rig.redis.states == {FIRST_ID + 1: State.EXPIRED}
    rig.link.can_send = True
    await rig.work()
    assert [pdu.short_message for pdu in rig.sent()] == [b"text 2"]


async def test_a_cancelled_message_is_not_sent_but_paid_back_without_a_callback() -> None:
    rig = Rig()
    rig.redis.admit(message(1), message(2))
    rig.redis.changes.add(FIRST_ID + 1)
    await rig.work()
    assert [pdu.short_message for pdu in rig.sent()] == [b"text 2"]
    assert rig.outcomes() == [Outcome.CANCELED]
    assert rig.redis.states == {FIRST_ID + 1: State.CANCELED} and not rig.redis.out
    assert rig.redis.refunded == {FIRST_ID + 1: 70_000} and not rig.redis.changes


async def test_quirk_25_a_text_is_never_left_out_with_the_tlvs_that_an_old_upstream_does_not_take() -> None:
    rig = Rig()
    rig.link.takes_tlvs = False
    rig.redis.admit(message(1, segments=[b"x" * 255]), message(2))
    await rig.work()
    assert [pdu.short_message for pdu in rig.sent()] == [b"text 2"]
    [result] = rig.redis.results()
    assert (result.id, result.outcome, result.command_status) == (FIRST_ID + 1, Outcome.FAILED, ROPTPARNOTALLWD)
    assert rig.redis.refunded == {FIRST_ID + 1: 70_000}
    assert [callback.id for callback in rig.redis.callbacks()] == [FIRST_ID + 1]


async def test_quirk_25_what_was_meant_for_tlvs_waits_when_the_bind_comes_back_without() -> None:
    rig = Rig(links=2)
    rig.links[1].can_send = False
    rig.redis.admit(message(1, segments=[b"x" * 255]))
    record_turn = rig.store.turn

    async def turn(draft: Turn) -> TurnReply:
        rig.link.takes_tlvs = False
        return await record_turn(draft)

    rig.store.turn = turn  # type: ignore[method-assign]  # the bind is another one when the turn is recorded
    rig.dispatcher.wake()
    await rig.dispatcher.cycle()
    assert rig.sent() == [] and rig.figures.unwritten == 1
    rig.links[0].can_send, rig.links[1].can_send = False, True
    await rig.work()
    assert len(rig.sent(rig.links[1])) == 1


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


async def test_segments_go_over_one_bind_in_order_also_when_the_window_is_smaller() -> None:
    rig = Rig(links=2)
    for link in rig.links:
        link.window = 2
    rig.redis.admit(message(1, segments=[b"a", b"b", b"c", b"d", b"e"]))
    await rig.work()
    used = next(link for link in rig.links if link.written)
    for _ in range(3):
        while used.pending:
            await rig.answer((ROK, b"id%d" % len(rig.redis.corr)), link=used)
    assert [pdu.short_message for pdu in rig.sent(used)] == [b"a", b"b", b"c", b"d", b"e"]
    assert sum(len(link.written) for link in rig.links) == 5
    results = rig.redis.results()
    assert [result.state for result in results] == [State.SENDING] * 4 + [State.SENT]
    assert rig.redis.depth == 0 and not rig.redis.queues


async def test_a_permanent_error_of_one_segment_stops_the_rest() -> None:
    rig = Rig()
    rig.link.window = 2
    rig.redis.admit(message(1, segments=[b"a", b"b", b"c"]))
    await rig.work()
    await rig.answer((RINVDSTADR, b""), (RINVDSTADR, b""))
    assert len(rig.link.written) == 2
    assert rig.outcomes() == [Outcome.FAILED] and rig.redis.refunded == {FIRST_ID + 1: 70_000}
    assert not rig.redis.queues


async def test_a_refused_segment_is_not_sent_again_while_others_are_awaited() -> None:
    rig = Rig()
    rig.link.window = 2
    rig.redis.admit(message(1, segments=[b"a", b"b", b"c"]))
    await rig.work()
    await rig.answer((RSYSERR, b""))
    assert len(rig.link.written) == 2
    await rig.answer((RSYSERR, b""))
    assert len(rig.link.written) == 2 and len(rig.redis.later) == 1


@pytest.mark.parametrize(("tariff", "refunds"), [(Tariff.ON_ACCEPT, 0), (Tariff.ON_DELIVERY, 1)])
async def test_the_tariff_decides_the_refund_of_a_message_of_which_a_part_was_accepted(
    tariff: Tariff, refunds: int
) -> None:
    rig = Rig()
    rig.redis.admit(message(1, segments=[b"a", b"b"], tariff=int(tariff)))
    await rig.work()
    await rig.answer((ROK, b"x"), (RINVDSTADR, b""))
    assert rig.redis.results()[-1].state == State.FAILED
    assert len(rig.redis.refunded) == refunds


async def test_only_the_refused_segment_is_sent_again_when_others_were_accepted() -> None:
    rig = Rig()
    rig.redis.admit(message(1, segments=[b"a", b"b", b"c"]))
    await rig.work()
    await rig.answer((ROK, b"1"), (RSYSERR, b""), (ROK, b"3"))
    assert not rig.redis.queues and not rig.redis.later
    assert list(rig.redis.rest) == [FIRST_ID + 1]
    assert len(rig.link.written) == 3
    rig.clock.advance(2.1)
    await rig.work()
    assert [pdu.short_message for pdu in rig.sent()] == [b"a", b"b", b"c", b"b"]
    await rig.answer((ROK, b"2"))
    assert not rig.redis.rest and rig.redis.depth == 0
    assert rig.redis.results()[-1].state == State.SENT


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


async def test_higher_priority_goes_first_even_when_others_were_claimed_before() -> None:
    rig = Rig()
    rig.link.window = 2
    for number in range(50):
        rig.redis.admit(message(number))
    await rig.work()
    rig.redis.admit(message(77), queue="{s00}:q:carrier:0:acme")
    await rig.answer((ROK, b"a"))
    assert rig.sent()[-1].short_message == b"text 77"


async def test_accounts_take_turns() -> None:
    rig = Rig()
    rig.link.window = 10
    rig.redis.admit(*[message(number) for number in range(200)])
    await rig.work()
    rig.redis.admit(message(900, account="beta"), queue="{s00}:q:carrier:1:beta")
    await rig.answer(*[(ROK, b"%d" % at) for at in range(10)])
    assert b"text 900" in [pdu.short_message for pdu in rig.sent()[10:20]]


async def test_a_code_is_in_the_next_turn_whatever_a_bulk_run_has_queued() -> None:
    rig = Rig()
    rig.link.window = 50
    for first in range(0, 20_000, 100):
        rig.redis.admit(*[message(number) for number in range(first, first + 100)])
    await rig.work()
    rig.redis.admit(message(77_777, priority=0, account="codes"), queue="{s00}:q:carrier:0:codes")
    rig.dispatcher.wake()
    turns = len(rig.redis.turns)
    rig.dispatcher.answered(rig.link, rig.link.answer((ROK, b"a")), rig.clock.now)  # type: ignore[arg-type]  # the double
    await rig.dispatcher.cycle()
    assert len(rig.redis.turns) == turns + 1
    assert [pdu.short_message for pdu in rig.sent()[50:]] == [b"text 77777"]


async def test_one_message_of_an_account_waits_for_two_windows_of_another_ones_twenty_thousand() -> None:
    """At the window and the answers of a second that a carrier has, that is under a second."""
    rig = Rig()
    rig.link.window = 50
    for first in range(0, 20_000, 100):
        rig.redis.admit(*[message(number) for number in range(first, first + 100)])
    await rig.work()
    rig.redis.admit(message(77_777, account="small"), queue="{s00}:q:carrier:1:small")
    for _ in range(2):
        await rig.answer(*[(ROK, b"a%d" % at) for at in range(50)])
    assert b"text 77777" in [pdu.short_message for pdu in rig.sent()]


@pytest.mark.parametrize(("tariff", "refunds"), [(Tariff.ON_ACCEPT, 0), (Tariff.ON_DELIVERY, 1)])
async def test_the_tariff_decides_the_refund_of_a_message_that_expired_when_a_part_was_accepted(
    tariff: Tariff, refunds: int
) -> None:
    rig = Rig()
    end_ms = Clock().now_ms + 1500
    rig.redis.admit(message(1, segments=[b"a", b"b"], tariff=int(tariff), valid_until_ms=end_ms))
    await rig.work()
    await rig.answer((ROK, b"x"), (RSYSERR, b""))
    rig.clock.advance(1.6)
    await rig.work()
    assert rig.redis.results()[-1].state == State.EXPIRED and rig.redis.depth == 0
    assert [callback.stat for callback in rig.redis.callbacks()] == [b"EXPIRED"]
    assert len(rig.redis.refunded) == refunds


async def test_storage_that_is_away_for_a_while_loses_nothing() -> None:
    rig = Rig()
    rig.redis.admit(message())
    rig.redis.unavailable = 1
    await rig.work()
    await rig.work()
    assert len(rig.link.written) == 1
    rig.redis.unavailable = 2
    await rig.answer((ROK, b"abc"))
    assert rig.outcomes() == [Outcome.ACCEPTED] and not rig.redis.queues


async def test_a_message_that_does_not_fit_submit_sm_fails_with_a_refund() -> None:
    rig = Rig()
    rig.redis.admit(message(1, source=b"x" * 30), message(2))
    await rig.work()
    assert [pdu.short_message for pdu in rig.sent()] == [b"text 2"]
    await rig.answer((ROK, b"abc"))
    assert rig.redis.states == {FIRST_ID + 1: State.FAILED}
    assert rig.redis.refunded == {FIRST_ID + 1: 70_000} and not rig.redis.queues


async def test_an_unreadable_blob_is_left_where_it_is_and_disturbs_nothing() -> None:
    rig = Rig()
    rig.redis.queues[QUEUE] = {"1-1": b"\xc1 garbage"}
    rig.redis.admit(message())
    await rig.work()
    await rig.answer((ROK, b"abc"))
    assert list(rig.redis.queues[QUEUE]) == ["1-1"]


async def test_draining_sends_nothing_new_but_records_answers() -> None:
    rig = Rig()
    rig.link.window = 1
    rig.redis.admit(message(1), message(2))
    await rig.work()
    rig.dispatcher.drain()
    await rig.answer((ROK, b"a"))
    assert len(rig.link.written) == 1 and rig.outcomes() == [Outcome.ACCEPTED]


async def test_quirk_11_an_acceptance_without_an_id_counts_as_sent_and_is_flagged_once() -> None:
    rig = Rig()
    with capture_logs() as logs:
        for number in (1, 2):
            rig.redis.admit(message(number))
            await rig.work()
            await rig.answer((ROK, b""))
    assert [log["log_level"] for log in logs if log["event"] == "upstream.accepted_without_id"] == ["warning"]
    assert rig.redis.results()[0].state == State.SENT and not rig.redis.corr
    assert rig.figures.tally.without_id == 2 and not rig.redis.queues


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
