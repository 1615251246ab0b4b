"""Messages as PostgreSQL gives them back: made from the bytes that the writer copies into it."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from typing import Any

from smscd.core.records import InboundRecord, MessageRecord, State
from storage.postgres.copyrows import MESSAGE_COLUMNS, RowBuilder
from storage.postgres.learned import Learned
from storage.postgres.messages import StoredMessage
from storage.postgres.rows import decode_conversion, wire_bytes
from tests.unit.storage.postgres.test_copyrows import read

_TEXTS = ("account", "upstream", "error_code", "client_ref", "request_key", "callback_url", "metadata")
_WIRE = ("source", "dest", "service_type")
_OCTETS = ("body", "tlvs", "stored_answer")
_TIMES = ("valid_until", "done_at", "callback_at", "send_at")
_LEFT_OUT = ("charge_entry", "refund_entry", "body", "segment_sizes")


def stored(record: MessageRecord, learned: Learned | None = None) -> StoredMessage:
    """The row of a message of which this was learned since its admission."""
    return _stored(RowBuilder().messages([record], {record.id: learned or Learned()}, {}))


def inbound_stored(record: InboundRecord) -> StoredMessage:
    """The row of a message from a phone whose callback is due."""
    return _stored(RowBuilder().inbound([record], {}))


def _stored(data: bytes) -> StoredMessage:
    (row,) = read(data, MESSAGE_COLUMNS)
    values = {name: _value(name, octets) for name, octets in row.items()}
    sizes = values["segment_sizes"] or [len(values["body"])]
    ends = [sum(sizes[: at + 1]) for at in range(len(sizes))]
    values["segments"] = tuple(values["body"][end - size : end] for end, size in zip(ends, sizes, strict=True))
    values["state"] = State(values["state"])
    values["service_type"] = values["service_type"] or b""
    values["priority_flag"] = values["priority_flag"] or 0
    values["in_doubt"] = values["in_doubt"] or 0
    values["cost_micros"] = values["cost_micros"] or 0
    return StoredMessage(**{name: value for name, value in values.items() if name not in _LEFT_OUT})


def _value(name: str, octets: bytes | None) -> Any:
    if octets is None or name in _OCTETS:
        return octets
    if name in _TEXTS:
        return octets.decode()
    if name in _WIRE:
        return wire_bytes(octets.decode())
    if name == "conversion":
        return decode_conversion(octets)
    if name == "segment_sizes":
        return list(struct.unpack(f">{(len(octets) - 20) // 4}i", octets[20:])[1::2])
    number = int.from_bytes(octets, "big", signed=True)
    if name in _TIMES:
        return datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=number)
    return bool(number) if name == "maybe_duplicate" else number
