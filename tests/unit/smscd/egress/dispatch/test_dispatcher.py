"""The turn loop, one turn at a time, over a played Redis and played binds."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from smscd.core.records import Outcome, ParkedReceipt, State, Tariff
from storage.redis.dispatch import Turn, TurnReply
from tests.unit.smscd.egress.dispatch.dispatcher_rig import RINVDSTADR, ROK, ROPTPARNOTALLWD, RSYSERR, Rig
from tests.unit.smscd.egress.doubles import FIRST_ID, QUEUE, Clock, encode, message


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
