"""The decisions of a dispatcher: what facts make of messages."""

from __future__ import annotations

import msgspec
import pytest

from smscd.core.callback_records import CallbackRecord
from smscd.core.callbacks import receipt_callback, result_callback
from smscd.core.error_table import ErrorTable
from smscd.core.ids import message_ms
from smscd.core.records import Conversion, Form, Outcome, ResultRecord, State, Tariff, Via
from smscd.egress.dispatch.blobs import ACCEPTED, DOUBTED, LATE, SENDING, WAITING, Blob, Item, open_rest
from smscd.egress.dispatch.turn import Draft, refund_of, sent_context
from storage.redis.keys import DAY_MS
from tests.unit.smscd.egress.doubles import NOW_MS, QUEUE, message, profile
from tests.unit.smscd.egress.redis_double import decode_results

RINVDSTADR, RSYSERR = 0x0B, 0x08


def draft(**changes: object) -> Draft:
    return Draft(made := profile(**changes), NOW_MS, lambda: 0.0, ErrorTable(made))


def sending(*, segments: int = 1, in_blob: bool = True, others: int = 0, **changes: object) -> Item:
    """A message whose segments are all under way."""
    blob = Blob(QUEUE, "1-0", NOW_MS) if in_blob else None
    item = Item(message(1, segments=[b"part"] * segments, **changes), blob, 0)
    item.states[:] = bytes((SENDING,)) * segments
    if blob is not None:
        blob.items = [item]
        blob.unsettled = 1 + others
    return item


def journal(made: Draft) -> list[ResultRecord]:
    return [decode_results(blob) for blob in made.turn.journal]


def ended(made: Draft) -> list[tuple[int, int]]:
    return [(end.message_id, end.state) for end in made.turn.ends]


def test_an_accepted_message_finishes_its_blob_or_settles_its_field() -> None:
    for others, finished, settled in ((0, [(QUEUE, "1-0")], []), (1, [], [(QUEUE, "1-0", b"0.0")])):
        made = draft()
        made.answered([((sending(others=others), 0), 0, b"x")])
        turn = made.finish()
        assert (turn.finished, turn.settled, turn.depth_delta) == (finished, settled, -1)


def test_an_accepted_segment_is_dated_by_its_answer_and_not_by_the_turn_that_records_it() -> None:
    made = draft()
    made.answered([((sending(), 0), 0, b"x")], NOW_MS - 15)
    assert journal(made)[0].at_ms == NOW_MS - 15


def test_a_message_of_the_rest_is_deleted_from_it_when_accepted() -> None:
    made = draft()
    item = sending(in_blob=False)
    made.answered([((item, 0), 0, b"x")])
    assert made.finish().rest_del == [item.record.id]


def test_a_refusal_waits_until_no_other_segment_is_awaited() -> None:
    item = sending(segments=3)
    made = draft()
    made.answered([((item, 0), RINVDSTADR, b""), ((item, 1), 0, b"x")])
    assert not made.turn.ends and not item.is_over
    made = draft()
    made.answered([((item, 2), 0, b"y")])
    assert ended(made) == [(item.record.id, State.FAILED)]
    assert journal(made)[-1].segment == 0


def test_a_permanent_refusal_outweighs_a_temporary_one() -> None:
    item = sending(segments=2)
    made = draft()
    made.answered([((item, 0), RSYSERR, b""), ((item, 1), RINVDSTADR, b"")])
    assert [record.outcome for record in journal(made)] == [Outcome.FAILED]


def test_a_time_out_lets_a_waiting_refusal_conclude() -> None:
    item = sending(segments=2)
    made = draft()
    made.answered([((item, 0), RINVDSTADR, b"")])
    made.timed_out([(item, 1)])
    assert made.turn.ends and not made.turn.refunds, "the other segment may be with the upstream"


def test_a_late_answer_after_the_end_is_recorded_and_changes_no_state() -> None:
    item = sending(segments=2)
    made = draft()
    made.timed_out([(item, 1)])
    made.answered([((item, 0), RINVDSTADR, b"")])
    assert item.is_over
    late = draft()
    late.answered([((item, 1), 0, b"x")])
    [record] = journal(late)
    assert (record.outcome, record.state) == (Outcome.ACCEPTED, State.FAILED)
    assert late.correlated and late.turn.depth_delta == 0 and not late.finish().finished


def test_webhook_customers_are_told_over_the_hooks() -> None:
    made = draft()
    made.answered([((sending(via=int(Via.WEBHOOK), callback_url="http://x"), 0), RINVDSTADR, b"")])
    [end] = made.turn.ends
    assert end.callback and not end.account and not made.turn.hooks


def test_who_asked_for_no_receipt_is_told_nothing() -> None:
    made = draft()
    made.answered([((sending(registered_delivery=0), 0), RINVDSTADR, b"")])
    assert not made.turn.ends[0].callback and not journal(made)[0].due


def test_refunds_stand_in_the_order_of_the_records_that_propose_them() -> None:
    made = draft()
    items = [sending(id=message(number).id) for number in (1, 2, 3)]
    made.answered([((items[0], 0), RINVDSTADR, b""), ((items[1], 0), 0, b"x"), ((items[2], 0), RINVDSTADR, b"")])
    proposing = [record.id for record in journal(made) if record.refund_micros]
    assert (
        [message_id for _, message_id, _ in made.turn.refunds] == proposing == [items[0].record.id, items[2].record.id]
    )


def test_a_doubt_of_a_message_that_was_refused_for_good_is_not_sent_again() -> None:
    item = sending(segments=2)
    made = draft()
    made.answered([((item, 0), RINVDSTADR, b"")])
    made.lost([(item, 1)])
    assert not made.again and ended(made) == [(item.record.id, State.FAILED)]
    assert bytes(item.states) == bytes((WAITING, DOUBTED))


@pytest.mark.parametrize(("tariff", "refunds"), [(Tariff.ON_ACCEPT, 0), (Tariff.ON_DELIVERY, 1)])
def test_a_doubt_that_is_sent_again_and_refused_may_have_been_accepted_before(tariff: Tariff, refunds: int) -> None:
    item = sending(tariff=int(tariff))
    made = draft()
    made.lost([(item, 0)])
    made.answered([((item, 0), RINVDSTADR, b"")])
    assert ended(made) == [(item.record.id, State.FAILED)] and len(made.turn.refunds) == refunds


def test_a_doubt_beside_a_temporary_refusal_is_tried_again_later_as_a_whole() -> None:
    item = sending(segments=2)
    made = draft()
    made.answered([((item, 0), RSYSERR, b"")])
    made.lost([(item, 1)])
    assert len(made.turn.later) == 1 and not made.again
    assert [record.outcome for record in journal(made)] == [Outcome.DOUBTED, Outcome.RETRIED]


def test_where_doubts_fail_a_long_message_does_when_its_other_segments_are_answered_or_late() -> None:
    for ends in ("answered", "timed out"):
        item = sending(segments=2)
        made = draft(in_doubt="fail")
        made.lost([(item, 0)])
        assert not item.is_over and item.states[0] == DOUBTED, "the other one is awaited"
        made = draft(in_doubt="fail")
        if ends == "answered":
            made.answered([((item, 1), 0, b"x")])
        else:
            made.timed_out([(item, 1)])
        assert ended(made) == [(item.record.id, State.FAILED)] and not made.turn.refunds
        assert made.finish().rest_del == [item.record.id]


def test_an_expired_doubt_is_not_sent_again() -> None:
    item = sending(valid_until_ms=NOW_MS)
    made = draft()
    made.lost([(item, 0)])
    assert not made.again and item.states[0] == DOUBTED
    made.end_of_validity([item])
    assert journal(made)[-1].outcome == Outcome.UNKNOWN


def test_the_end_of_validity_waits_for_an_answer_that_is_due() -> None:
    item = sending(valid_until_ms=NOW_MS - 1)
    made = draft()
    made.end_of_validity([item])
    assert made.finish().is_empty
    item.states[0] = LATE
    made.end_of_validity([item])
    assert item.state == State.UNKNOWN and not made.turn.refunds


def test_one_that_was_sent_again_and_then_expired_is_unknown() -> None:
    item = sending(valid_until_ms=NOW_MS)
    item.states[0], item.resends = WAITING, 1
    made = draft()
    made.end_of_validity([item])
    assert item.state == State.UNKNOWN and not made.turn.refunds


def test_moving_to_the_rest_settles_the_blob_and_keeps_the_message() -> None:
    item = sending(segments=2)
    item.states[:] = bytes((ACCEPTED, LATE))
    made = draft()
    made.to_rest(item)
    turn = made.finish()
    assert turn.finished == [(QUEUE, "1-0")] and turn.depth_delta == 0
    [(message_id, blob)] = turn.rest_set
    assert message_id == item.record.id and bytes(open_rest(blob).states) == bytes((ACCEPTED, SENDING))


def test_the_tariff_decides_what_goes_back() -> None:
    item = sending(segments=2)
    item.states[:] = bytes((WAITING, WAITING))
    assert refund_of(item) == 70_000
    item.states[0] = ACCEPTED
    assert refund_of(item) == 0
    item.record.tariff = int(Tariff.ON_DELIVERY)
    assert refund_of(item) == 70_000


def test_the_context_of_a_segment_has_all_that_its_receipt_needs() -> None:
    record = message(1, segments=[b"\x05\x00\x03\x01\x02\x01hello world, this is long", b"x"], esm_class=0x40)
    context = sent_context(record, 1)
    assert (context.segment, context.segments, context.excerpt) == (1, 2, b"hello world, this is")
    assert (context.source, context.dest, context.price_micros) == (record.source, record.dest, 70_000)


def test_the_end_of_a_message_is_looked_for_where_its_receipts_leave_theirs() -> None:
    for segments, days in ((2, 5), (1, 5), (2, 1)):
        made, item = draft(), sending(segments=segments)
        item.states[:] = bytes(segments)
        item.record.valid_until_ms = message_ms(item.record.id) + days * DAY_MS
        made.withheld([item])
        context = sent_context(item.record, 0)
        assert made.turn.ends[0].until_ms == context.states_until_ms
        assert bool(context.states_until_ms) is (segments == 2 and days == 5)


def test_a_receipts_excerpt_and_segments_are_of_what_the_customer_sent() -> None:
    conversion = Conversion(int(Form.PAYLOAD), 3, b"caf\xe9", 0, 0, b"", b"caf?")
    record = message(1, segments=[b"caf\x05"], conversion=conversion)
    context = sent_context(record, 0)
    assert (context.data_coding, context.excerpt, context.segments, context.parts) == (1, b"caf?", 1, 3)
    receipt = receipt_callback(context, b"DELIVRD", b"000", State.DELIVERED, NOW_MS)
    result = result_callback(record, State.EXPIRED, 0, NOW_MS)
    for told in (receipt, result):
        assert told is not None
        assert (told.data_coding, told.body, told.segments) == (1, b"caf?", 3)
    plain = sent_context(message(1), 0)
    assert (plain.data_coding, plain.excerpt, plain.parts) == (0, b"text 1", 0)


def test_in_the_forms_of_other_gateways_the_acceptance_of_the_last_segment_is_told_once() -> None:
    made = draft()
    item = sending(segments=2, via=int(Via.WEBHOOK), registered_delivery=0x11, callback_url="kannel:8:http://x")
    made.answered([((item, 0), 0, b"x")])
    assert not made.turn.hooks
    made.answered([((item, 1), 0, b"y")])
    made.answered([((item, 1), 0, b"z")])
    [blob] = made.turn.hooks
    told = msgspec.msgpack.decode(blob, type=CallbackRecord)
    assert (told.state, told.upstream, told.upstream_message_id) == (State.SENT, made.profile.id, b"y")
    assert [record.due for record in journal(made)] == [False, True, False]


def test_nobody_else_is_told_of_an_acceptance() -> None:
    for url in (None, "", "http://x", "kannel:23:http://x", "jasmin:2:GET:http://x"):
        made = draft()
        item = sending(via=int(Via.WEBHOOK), registered_delivery=0x11, callback_url=url)
        made.answered([((item, 0), 0, b"x")])
        assert not made.turn.hooks and not journal(made)[0].due


def test_a_form_is_told_of_the_ends_that_it_asked_for() -> None:
    for url, is_told in (("kannel:16:http://x", True), ("kannel:15:http://x", False), ("jasmin:2:GET:http://x", True)):
        made = draft()
        item = sending(via=int(Via.WEBHOOK), registered_delivery=0x11, callback_url=url)
        made.answered([((item, 0), RINVDSTADR, b"")])
        assert (bool(made.turn.ends[0].callback), journal(made)[0].due) == (is_told, is_told)


def test_an_end_that_a_receipt_came_before_is_not_counted() -> None:
    made = draft()
    for status in (RINVDSTADR, RINVDSTADR):
        made.answered([((sending(), 0), status, b"")])
    made.end_of_validity([Item(message(3, valid_until_ms=NOW_MS), None, 0)])
    assert (made.tally.failed, made.tally.expired) == (2, 1)
    assert made.untold([1, 2]) == [message(1).id, message(3).id]
    assert (made.tally.failed, made.tally.expired) == (1, 0)
