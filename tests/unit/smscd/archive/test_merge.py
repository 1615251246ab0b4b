"""What one batch makes of the journal's entries, without a database."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from smscd.archive.merge import Batch, dead_letter, is_storable
from smscd.core.callback_records import CallbackKind, CallbackOutcome, CallbackResult
from smscd.core.records import InboundRecord, LedgerRecord, MessageRecord, Outcome, ReceiptRecord, ResultRecord, State
from storage.postgres.learned import Learned
from storage.postgres.rows import CallbackState
from tests.integration.journal_fake import FakeJournal

AT = 1_795_000_000_000


def message(id: int = 1, **changed: object) -> MessageRecord:
    record = MessageRecord(
        id, "demo", "carrier", 1, 1, 5, 0, b"ACME", 1, 1, b"447900000001", 0, 0, 0, 1, [b"hello"], 100, AT
    )
    for name, value in changed.items():
        setattr(record, name, value)
    return record


def result(
    id: int = 1, outcome: Outcome = Outcome.ACCEPTED, state: State = State.SENT, **changed: object
) -> ResultRecord:
    record = ResultRecord(id, 0, outcome, AT + 1, "carrier", b"a", 0, 0, state)
    for name, value in changed.items():
        setattr(record, name, value)
    return record


def receipt(id: int = 1, state: State = State.DELIVERED, **changed: object) -> ReceiptRecord:
    record = ReceiptRecord(id, 0, 1, "demo", AT + 2, "carrier", b"a", state, b"DELIVRD", b"000", AT, b"id:a", 0, True)
    for name, value in changed.items():
        setattr(record, name, value)
    return record


def callback(id: int = 1, outcome: CallbackOutcome = CallbackOutcome.DELIVERED, attempts: int = 1) -> CallbackResult:
    return CallbackResult(id, 1, "demo", outcome, AT + 3, attempts)


def batch_of(*entries: tuple[Any, ...]) -> Batch:
    """A batch of journal entries: kind, records, and if need be effects and refunds."""
    journal, batch = FakeJournal(now_ms=AT), Batch()
    for kind, records, *effects in entries:
        journal.append(kind, records, *effects)
    for entry in journal.entries:
        batch.add(entry)
    return batch


def test_a_message_of_this_batch_is_no_change_of_an_earlier_one() -> None:
    batch = batch_of((b"A", [message(1)]), (b"T", [result(1), result(2)]))
    assert list(batch.admitted) == [1]
    assert [message_id for message_id, _ in batch.changes()] == [2]
    assert batch.learned[1] == batch.learned[2] == Learned(state=State.SENT, upstream="carrier")
    assert (batch.entries, batch.records, batch.first_id, batch.last_id) == (2, 3, f"{AT}-1", f"{AT}-2")


def test_charges_and_refunds_are_summed_by_account() -> None:
    batch = batch_of(
        (b"A", [message(1), message(2, account="acme", price_micros=7), message(3)]),
        (b"T", [
            result(1, Outcome.FAILED, State.FAILED, refund_micros=100, account="demo"),
            result(2, Outcome.FAILED, State.FAILED, refund_micros=7, account="acme"),
            result(3, Outcome.FAILED, State.FAILED, refund_micros=100, account="demo"),
        ], b"101"),
        (b"R", [receipt(9, State.UNDELIVERED, refund_micros=5), receipt(8)], b"22", b"1"),
    )  # fmt: skip
    assert batch.charges == {"demo": [200, 2], "acme": [7, 1]}
    assert batch.refunds == {"demo": [205, 3]}
    assert [batch.learned[number].refunded_micros for number in (1, 2, 3, 9, 8)] == [100, 0, 100, 5, 0]


def test_only_records_that_proposed_a_refund_count_in_the_effects() -> None:
    batch = batch_of(
        (b"T", [
            result(1), result(2, Outcome.FAILED, State.FAILED, refund_micros=4, account="demo"), result(3),
            result(4, Outcome.EXPIRED, State.EXPIRED, refund_micros=6, account="demo"),
        ], b"01"),
    )  # fmt: skip
    assert batch.refunds == {"demo": [6, 1]}


def test_a_refund_finds_its_account_in_the_batch_when_the_record_has_none() -> None:
    batch = batch_of(
        (b"A", [message(1)]), (b"T", [result(1, Outcome.FAILED, State.FAILED, refund_micros=100, account="")], b"1")
    )
    assert batch.refunds == {"demo": [100, 1]}


@pytest.mark.parametrize(
    ("states", "ends"),
    [
        ([State.SENT, State.QUEUED], State.SENT),
        ([State.SENDING, State.SENT], State.SENT),
        ([State.DELIVERED, State.SENT], State.DELIVERED),
        ([State.FAILED, State.DELIVERED], State.FAILED),
        ([State.EXPIRED, State.UNKNOWN], State.EXPIRED),
    ],
)
def test_states_rise_and_the_first_final_one_stays(states: list[State], ends: State) -> None:
    batch = batch_of((b"T", [result(1, Outcome.RETRIED, state) for state in states]))
    assert batch.learned[1].state == ends


def test_a_delivered_message_has_no_error_and_an_undelivered_one_the_receipts() -> None:
    retried = [result(number, Outcome.RETRIED, State.QUEUED, command_status=0x58) for number in (1, 2, 3)]
    ends = [receipt(1), receipt(2, State.UNDELIVERED, err=b"0\x001")]
    batch = batch_of((b"T", retried), (b"R", ends, b"22"))
    assert [batch.learned[number].error_code for number in (1, 2, 3)] == [None, "0\\x001", "0x00000058"]
    assert [batch.learned[number].done_ms for number in (1, 2, 3)] == [AT + 2, AT + 2, 0]


def test_a_doubt_marks_the_message() -> None:
    batch = batch_of((b"T", [result(1, Outcome.DOUBTED, State.SENDING), result(1, attempt=2)]))
    assert batch.learned[1].maybe_duplicate
    assert batch.learned[1].attempts == 2
    assert (len(batch.attempts), len(batch.sent)) == (1, 1)


@pytest.mark.parametrize(
    ("state", "effect", "learned", "is_repeated"),
    [
        (State.DELIVERED, b"2", Learned(state=State.DELIVERED, done_ms=AT + 2, callbacks_open=1), False),
        (State.DELIVERED, b"1", None, False),
        (State.DELIVERED, b"0", None, True),
        (State.SENT, b"1", Learned(state=State.SENT, callbacks_open=1), False),
        (State.SENT, b"0", None, True),
    ],
    ids=["final", "one segment of several", "repeated", "intermediate", "intermediate after the end"],
)
def test_the_effect_says_what_a_receipt_changes(
    state: State, effect: bytes, learned: Learned | None, is_repeated: bool
) -> None:
    batch = batch_of((b"R", [receipt(1, state)], effect))
    assert batch.learned.get(1) == learned
    assert (len(batch.receipts), len(batch.repeated)) == (int(not is_repeated), int(is_repeated))


def test_an_end_after_that_of_a_receipt_is_an_event_and_nothing_more() -> None:
    doubt = result(1, Outcome.DOUBTED, State.SENDING, segment=1)
    late = result(1, Outcome.EXPIRED, State.EXPIRED, due=True, refund_micros=5, account="demo", command_status=8)
    first = result(2, Outcome.FAILED, State.FAILED, due=True, refund_micros=5, account="demo", command_status=11)
    batch = batch_of((b"R", [receipt(1)], b"2"), (b"T", [doubt, late, first], b"01", b"01"))
    assert [record.id for record in batch.attempts] == [1, 1, 2]
    assert batch.refunds == {"demo": [5, 1]}
    one, other = batch.learned[1], batch.learned[2]
    assert (one.state, one.done_ms, one.error_code, one.callbacks_open) == (State.DELIVERED, AT + 2, None, 1)
    assert (other.state, other.callbacks_open, other.refunded_micros) == (State.FAILED, 1, 5)


def test_an_end_after_that_of_a_receipt_changes_no_row_of_an_earlier_batch() -> None:
    late = result(1, Outcome.UNKNOWN, State.UNKNOWN, due=True)
    batch = batch_of((b"T", [late], b"", b"0"))
    assert batch.changes() == [(1, Learned(upstream="carrier"))]


def test_callbacks_are_counted_and_the_last_end_is_kept() -> None:
    batch = batch_of(
        (b"R", [receipt(1), receipt(2)], b"22"), (b"C", [callback(1), callback(2, CallbackOutcome.DEAD, 10)])
    )
    assert [batch.learned[number].callbacks_open for number in (1, 2)] == [0, 0]
    assert batch.learned[1].callback_state == CallbackState.DELIVERED
    assert (batch.learned[2].callback_state, batch.learned[2].callback_attempts) == (CallbackState.DEAD, 10)
    assert [record.id for record in batch.dead_callbacks] == [2]


def test_the_end_of_a_warning_is_no_end_of_a_message_of_the_same_number() -> None:
    told = msgspec.structs.replace(callback(1, CallbackOutcome.DEAD), kind=CallbackKind.LOW_BALANCE)
    batch = batch_of((b"A", [message(1)]), (b"C", [told]))
    assert (batch.told, batch.dead_callbacks, batch.learned, batch.records) == ([told], [], {}, 2)


def test_inbound_messages_and_orders_are_kept_apart() -> None:
    mo = InboundRecord(5, "demo", "carrier", 1, 1, b"44", 3, 0, b"12345", 0, 0, 0, b"STOP", AT)
    order = LedgerRecord("demo", "topup", 50, "invoice", AT)
    batch = batch_of((b"M", [mo]), (b"C", [callback(5)]), (b"L", [order]))
    assert batch.inbound == {5: mo}
    assert batch.changes() == []
    assert batch.orders == [(f"{AT}-3", order)]


def test_an_id_that_is_admitted_twice_is_a_dead_letter_and_both_charges_count() -> None:
    batch = batch_of((b"A", [message(1), message(1)]))
    assert batch.charges == {"demo": [200, 2]}
    assert [letter.message_id for letter in batch.dead] == [1]


@pytest.mark.parametrize(
    ("kind", "blob", "effects"),
    [
        (b"A", b"\xc1", b""),
        (b"A", msgspec.msgpack.encode([["x"]]), b""),
        (b"T", b"", b""),
        (b"R", msgspec.msgpack.encode([receipt()]), b""),
        (b"X", msgspec.msgpack.encode([]), b""),
    ],
)
def test_an_entry_that_cannot_be_read_is_set_aside_whole(kind: bytes, blob: bytes, effects: bytes) -> None:
    journal, batch = FakeJournal(now_ms=AT), Batch()
    journal.append_blob(kind, blob, effects)
    journal.append(b"A", [message(1)])
    for entry in journal.entries:
        batch.add(entry)
    assert [(letter.kind, letter.record) for letter in batch.dead] == [(kind.decode(), blob)]
    assert list(batch.admitted) == [1]
    assert batch.last_id == journal.top


def test_a_dead_letter_holds_the_record_and_what_it_cost() -> None:
    record = message(1, client_ref="\0")
    letter = dead_letter("A", record, "has a \0", charge_entry=9)
    assert msgspec.msgpack.decode(letter.record, type=MessageRecord) == record
    assert (letter.message_id, letter.account, letter.price_micros, letter.charge_entry) == (1, "demo", 100, 9)
    assert "\0" not in letter.error


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"client_ref": "a\0"}, False),
        ({"callback_url": "\0"}, False),
        ({"request_key": "\0"}, False),
        ({"metadata": b"\0"}, False),
        ({"segments": [b"\0"], "tlvs": b"\0", "source": b"\0"}, True),
    ],
)
def test_only_a_nul_in_a_text_is_not_storable(changed: dict[str, object], expected: bool) -> None:
    assert is_storable(message(1, **changed)) is expected


def test_what_waits_in_postgres_alone_is_kept_as_it_was_admitted() -> None:
    """Also when it was replaced within the batch: whoever brings the old one back drops it."""
    other = message(2, segments=[b"other"])
    batch = batch_of((b"A", [message(1), message(2), message(3)], b"011"), (b"A", [message(4)]), (b"P", [other]))
    assert [record.id for record in batch.overflow] == [2, 3]
    assert batch.overflow[0].segments == [b"hello"] and batch.admitted[2].segments == [b"other"]


def test_an_admission_with_effects_of_others_is_set_aside_whole() -> None:
    batch = batch_of((b"A", [message(1), message(2)], b"1"))
    assert not batch.admitted and not batch.overflow and not batch.charges
    assert [letter.kind for letter in batch.dead] == ["A"]


def test_a_callback_that_became_several_is_over_when_all_of_them_are() -> None:
    def at(endpoint: int, outcome: CallbackOutcome, **changed: Any) -> CallbackResult:
        return msgspec.structs.replace(callback(1, outcome), endpoint=endpoint, event="e", **changed)

    fanned = callback(1, CallbackOutcome.FANNED, 3)
    steps = [at(number, CallbackOutcome.PENDING) for number in (1, 2, 3)]
    due = (b"R", [receipt(1)], b"2")
    batch = batch_of(due, (b"C", [fanned, *steps]))
    assert (batch.learned[1].callbacks_open, batch.learned[1].callback_state) == (3, 0)
    assert batch.deliveries == steps
    ends = [at(1, CallbackOutcome.DELIVERED), at(2, CallbackOutcome.DEAD), at(3, CallbackOutcome.DELIVERED)]
    batch = batch_of(due, (b"C", [fanned, *steps]), (b"C", ends))
    assert (batch.learned[1].callbacks_open, batch.learned[1].callback_state) == (0, CallbackState.DELIVERED)
    assert (batch.dead_callbacks, batch.deliveries) == ([ends[1]], [*steps, *ends])
    nobody = batch_of(due, (b"C", [callback(1, CallbackOutcome.FANNED, 0)]))
    assert (nobody.learned[1].callbacks_open, nobody.learned[1].callback_state) == (0, 0)


def test_a_replay_has_an_end_but_none_that_a_message_waits_for() -> None:
    again = msgspec.structs.replace(callback(1), is_replay=True)
    fanned = msgspec.structs.replace(callback(1, CallbackOutcome.FANNED, 5), is_replay=True)
    batch = batch_of((b"R", [receipt(1)], b"2"), (b"C", [callback(1, CallbackOutcome.DEAD), fanned, again]))
    assert (batch.learned[1].callbacks_open, batch.learned[1].callback_state) == (0, CallbackState.DELIVERED)


def test_a_warning_that_no_endpoint_wants_is_over_and_one_for_several_is_not() -> None:
    for count, told in ((0, 1), (2, 0)):
        fanned = msgspec.structs.replace(callback(1, CallbackOutcome.FANNED, count), kind=CallbackKind.LOW_BALANCE)
        assert len(batch_of((b"C", [fanned])).told) == told
