"""The binary COPY format, read back field by field."""

from __future__ import annotations

import struct
from typing import Any

import msgspec
import pytest

from smscd.core.callback_records import CallbackOutcome, CallbackResult
from smscd.core.records import InboundRecord, MessageRecord, Outcome, ReceiptRecord, ResultRecord, State
from storage.postgres.copyrows import (
    EVENT_COLUMNS,
    MESSAGE_COLUMNS,
    ROW_ERRORS,
    SEGMENT_COLUMNS,
    RowBuilder,
    bigint,
    field,
)
from storage.postgres.learned import Learned
from storage.postgres.rows import CallbackState, EventKind

MESSAGE = MessageRecord(
    7, "demo", "carrier", 1, 2, 5, 0, b"ACME", 1, 1, b"447900000001", 0, 0, 0, 1, [b"hello"], 10_000, 1_795_000_000_000
)
RESULT = ResultRecord(7, 0, Outcome.ACCEPTED, 1_795_000_000_123, "carrier", b"a1", 0, 0, State.SENT)
RECEIPT = ReceiptRecord(
    7, 0, 1, "demo", 1_795_000_000_500, "carrier", b"a1", State.DELIVERED, b"DELIVRD", b"000", 0, b"id:a1"
)


def read(data: bytes, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    """Rows of COPY data; every value is bytes, or None."""
    rows, at = [], 0
    while at < len(data):
        count = struct.unpack_from(">h", data, at)[0]
        assert count == len(columns)
        at += 2
        row: dict[str, Any] = {}
        for column in columns:
            size = struct.unpack_from(">i", data, at)[0]
            at += 4
            row[column] = None if size < 0 else data[at : at + size]
            at += max(size, 0)
        rows.append(row)
    assert at == len(data)
    return rows


def number(value: bytes) -> int:
    return int.from_bytes(value, "big", signed=True)


def ms(value: bytes) -> int:
    return number(value) // 1000 + 946_684_800_000


def message(record: MessageRecord = MESSAGE, learned: Learned | None = None) -> dict[str, Any]:
    (row,) = read(
        RowBuilder().messages([record], {record.id: learned or Learned()}, {"demo": bigint(99)}), MESSAGE_COLUMNS
    )
    return row


def test_a_scheduled_message_has_its_time_and_says_so() -> None:
    record = msgspec.structs.replace(MESSAGE, send_at_ms=1_795_000_100_000)
    row = message(record)
    assert (number(row["state"]), ms(row["send_at"])) == (State.SCHEDULED, 1_795_000_100_000)
    assert message()["send_at"] is None and number(message()["state"]) == State.QUEUED
    sent = message(record, Learned(state=State.SENT))
    assert number(sent["state"]) == State.SENT


def test_a_message_of_which_nothing_was_learned_is_queued() -> None:
    row = message()
    assert (number(row["id"]), number(row["state"]), number(row["price_micros"])) == (7, State.QUEUED, 10_000)
    assert (row["account"], row["upstream"], row["source"], row["dest"]) == (
        b"demo", b"carrier", b"ACME", b"447900000001",
    )  # fmt: skip
    assert (row["body"], row["segment_sizes"], number(row["segments"])) == (b"hello", None, 1)
    assert ms(row["valid_until"]) == MESSAGE.valid_until_ms
    assert number(row["charge_entry"]) == 99
    for column in (
        "done_at",
        "callback_at",
        "refund_entry",
        "error_code",
        "tlvs",
        "client_ref",
        "priority_flag",
        "cost_micros",
    ):
        assert row[column] is None


def test_what_was_learned_stands_in_the_row() -> None:
    learned = Learned(
        state=State.FAILED, done_ms=1_795_000_000_700, upstream="other", attempts=3, callbacks_open=0,
        callback_state=CallbackState.DEAD, callback_ms=1_795_000_000_900, callback_attempts=10, refunded_micros=10_000,
        refund_entry=5, error_code="0x0000000b", maybe_duplicate=True,
    )  # fmt: skip
    row = message(learned=learned)
    assert (number(row["state"]), row["upstream"], number(row["attempts"])) == (State.FAILED, b"other", 3)
    assert (ms(row["done_at"]), ms(row["callback_at"])) == (learned.done_ms, learned.callback_ms)
    assert (number(row["callback_state"]), number(row["callback_attempts"])) == (CallbackState.DEAD, 10)
    assert (number(row["refunded_micros"]), number(row["refund_entry"])) == (10_000, 5)
    assert (row["error_code"], row["maybe_duplicate"]) == (b"0x0000000b", b"\1")


def test_an_open_callback_is_due_whatever_the_last_one_did() -> None:
    row = message(learned=Learned(callbacks_open=1, callback_state=CallbackState.DEAD))
    assert number(row["callback_state"]) == CallbackState.DUE


def test_segments_are_joined_and_their_sizes_kept() -> None:
    record = MessageRecord(*[getattr(MESSAGE, name) for name in MESSAGE.__struct_fields__])
    record.segments = [b"one", b"", b"three"]
    row = message(record)
    assert (row["body"], number(row["segments"])) == (b"onethree", 3)
    dimensions, nulls, oid, count, lower = struct.unpack_from(">iiiii", row["segment_sizes"])
    assert (dimensions, nulls, oid, count, lower) == (1, 0, 23, 3, 1)
    assert [struct.unpack_from(">ii", row["segment_sizes"], 20 + 8 * n) for n in range(3)] == [(4, 3), (4, 0), (4, 5)]


def test_cached_columns_do_not_leak_into_other_messages() -> None:
    builder = RowBuilder(cached_max=2)
    records = []
    for index in range(20):
        record = MessageRecord(*[getattr(MESSAGE, name) for name in MESSAGE.__struct_fields__])
        record.id = index
        record.source = b"S%d" % (index % 5)
        record.account = f"account{index % 3}"
        record.data_coding = index % 4
        record.priority_flag = index % 3
        record.cost_micros = index % 2 * 4_000
        record.client_ref = f"ref{index}" if index % 2 else None
        records.append(record)
    learned = {index: Learned(state=index % 4 + 1, upstream=f"u{index % 3}") for index in range(20)}
    rows = read(builder.messages(records, learned, {}), MESSAGE_COLUMNS)
    for record, row in zip(records, rows, strict=True):
        assert number(row["id"]) == record.id
        assert row["source"] == record.source
        assert row["account"] == record.account.encode()
        assert number(row["data_coding"]) == record.data_coding
        assert (number(row["priority_flag"]) if row["priority_flag"] else 0) == record.priority_flag
        assert (number(row["cost_micros"]) if row["cost_micros"] else 0) == record.cost_micros
        assert row["client_ref"] == (record.client_ref.encode() if record.client_ref else None)
        assert number(row["state"]) == learned[record.id].state
        assert row["upstream"] == learned[record.id].upstream.encode()
        assert row["charge_entry"] is None


def test_segments_and_events_have_their_columns() -> None:
    builder = RowBuilder()
    (segment,) = read(builder.segments([RESULT]), SEGMENT_COLUMNS)
    assert (number(segment["message_id"]), ms(segment["sent_at"])) == (7, RESULT.at_ms)
    assert (segment["upstream"], segment["upstream_message_id"]) == (b"carrier", b"a1")
    (event,) = read(builder.receipts([RECEIPT], EventKind.RECEIPT), EVENT_COLUMNS)
    assert (number(event["kind"]), number(event["state"]), event["stat"], event["err"], event["raw"]) == (
        EventKind.RECEIPT, State.DELIVERED, b"DELIVRD", b"000", b"id:a1",
    )  # fmt: skip
    retried = ResultRecord(7, 1, Outcome.RETRIED, 1_795_000_000_123, "carrier", b"", 0x58, 2, State.QUEUED)
    (event,) = read(builder.attempts([retried]), EVENT_COLUMNS)
    assert (number(event["kind"]), number(event["command_status"]), number(event["segment"])) == (3, 0x58, 1)
    dead = CallbackResult(7, 1, "demo", CallbackOutcome.DEAD, 1_795_000_000_123, 10, "no \0 answer" * 1000)
    (event,) = read(builder.dead_callbacks([dead]), EVENT_COLUMNS)
    assert (number(event["kind"]), len(event["detail"])) == (EventKind.CALLBACK_DEAD, 1000)
    assert b"\0" not in event["detail"]


def test_an_inbound_message_has_the_columns_of_a_message() -> None:
    record = InboundRecord(
        9, "demo", "carrier", 1, 1, b"447900000001", 3, 0, b"12345", 0, 0, 8, b"\0h", 1_795_000_000_000, b"", 1
    )
    (row,) = read(RowBuilder().inbound([record], {}), MESSAGE_COLUMNS)
    assert (number(row["direction"]), row["body"], row["dest"]) == (2, b"\0h", b"12345")
    assert (row["valid_until"], row["charge_entry"], number(row["callbacks_open"])) == (None, None, 1)
    assert ms(row["done_at"]) == record.at_ms and row["group_id"] is None


def test_quirk_33_the_row_of_a_part_names_the_whole() -> None:
    part = InboundRecord(
        9, "demo", "carrier", 1, 1, b"447900000001", 3, 0, b"12345", 0, 0, 8, b"\0h", 1_795_000_000_000, b"", 0, 2**60
    )
    (row,) = read(RowBuilder().inbound([part], {}), MESSAGE_COLUMNS)
    assert (number(row["group_id"]), number(row["callbacks_open"]), row["conversion"]) == (2**60, 0, None)


@pytest.mark.parametrize(("name", "value"), [("data_coding", 70_000), ("price_micros", 2**63), ("id", -(2**63) - 1)])
def test_a_value_that_does_not_fit_its_column_raises_what_row_errors_says(name: str, value: int) -> None:
    record = MessageRecord(*[getattr(MESSAGE, field) for field in MESSAGE.__struct_fields__])
    setattr(record, name, value)
    with pytest.raises(ROW_ERRORS):
        message(record)


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 70_000])
def test_a_field_is_its_length_and_its_value(size: int) -> None:
    assert field(b"x" * size) == size.to_bytes(4, "big") + b"x" * size
