"""Builds rows in PostgreSQL's binary COPY format, the way that costs the least per row.

A row is int16 number of columns, then for each int32 length (-1 for null) and the value, big-endian. Times are
microseconds since 2000-01-01. The column lists say in which order; columns that are the same in many rows stand
together, so that their bytes are made once and joined in. A value that does not fit its column raises one of
ROW_ERRORS: the row is at fault, not the batch.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from struct import Struct
from typing import TypeVar

from msgspec.structs import astuple

from smscd.core.callback_records import CallbackResult
from smscd.core.records import InboundRecord, MessageRecord, ReceiptRecord, ResultRecord, State, Tariff
from storage.postgres.learned import NOTHING, Learned, Moved
from storage.postgres.rows import CallbackState, Direction, EventKind, encode_conversion, stored_text

COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_TRAILER = b"\xff\xff"
ROW_ERRORS: tuple[type[Exception], ...] = (struct.error, OverflowError, UnicodeError, IndexError)

MESSAGE_COLUMNS = (
    # each its own
    "id", "price_micros", "valid_until",
    # by account
    "charge_entry",
    # as learned
    "done_at", "callback_at", "state", "attempts", "callbacks_open", "callback_state", "callback_attempts",
    "refunded_micros", "refund_entry", "maybe_duplicate", "error_code", "upstream",
    # as submitted, the same for many
    "direction", "door", "priority", "via", "tariff", "source_ton", "source_npi", "dest_ton", "dest_npi", "esm_class",
    "protocol_id", "data_coding", "registered_delivery", "account", "source", "service_type", "priority_flag",
    "in_doubt",
    # each its own
    "segments", "segment_sizes", "dest", "body", "tlvs", "client_ref", "callback_url", "metadata", "request_key",
    "group_id", "conversion", "stored_answer", "send_at", "cost_micros",
)  # fmt: skip
SEGMENT_COLUMNS = ("message_id", "sent_at", "segment", "attempt", "upstream", "upstream_message_id")
EVENT_COLUMNS = (
    # each its own
    "message_id", "at", "segment",
    # the same for many
    "kind", "attempt", "state", "command_status", "upstream", "stat", "err", "detail",
    # each its own
    "raw",
)  # fmt: skip

NULL = b"\xff\xff\xff\xff"
_EPOCH_MS = 946_684_800_000
_DETAIL_MAX = 1000
_MESSAGE_HEAD = Struct(">hiqiqiq")
_INBOUND_HEAD = Struct(">hiqiqii")
_LEARNED_CODES = Struct(">ihihihihih")
_SUBMITTED_CODES = Struct(">" + "ih" * 13)
_SEGMENT_HEAD = Struct(">hiqiqihih")
_EVENT_HEAD = Struct(">hiqiqih")
_EVENT_CODES = Struct(">ihihih")
_SMALLINT = Struct(">ih")
_BIGINT = Struct(">iq")
_ARRAY_HEAD = Struct(">iiiiii")
_INTEGER = Struct(">ii")
_INT4_OID = 23
_ONE_SEGMENT = _SMALLINT.pack(2, 1) + NULL
_CANCELED = int(State.CANCELED)
_FALSE, _TRUE = b"\0\0\0\1\0", b"\0\0\0\1\1"
_LENGTHS = [size.to_bytes(4, "big") for size in range(1024)]
_Key = TypeVar("_Key")


def field(value: bytes) -> bytes:
    """One value with its length."""
    size = len(value)
    return (_LENGTHS[size] if size < 1024 else size.to_bytes(4, "big")) + value


def bigint(value: int) -> bytes:
    """One bigint with its length; 0 is null."""
    return _BIGINT.pack(8, value) if value else NULL


def _time(at_ms: int) -> bytes:
    return _BIGINT.pack(8, (at_ms - _EPOCH_MS) * 1000) if at_ms else NULL


def _text(value: str | None) -> bytes:
    return field(value.encode()) if value else NULL


def _bytes(value: bytes | None) -> bytes:
    return field(value) if value else NULL


def _wire(value: bytes) -> bytes:
    return field(stored_text(value)) if value else NULL


class RowBuilder:
    """Builds rows; keeps the bytes of columns that many rows share. Bounded: a cache is emptied when it is full."""

    def __init__(self, cached_max: int = 4096) -> None:
        self._cached_max = cached_max
        self._names: dict[str, bytes] = {}
        self._learned: dict[tuple[object, ...], bytes] = {}
        self._submitted: dict[tuple[object, ...], bytes] = {}
        self._receipts: dict[tuple[object, ...], bytes] = {}

    def messages(
        self, records: Iterable[MessageRecord], learned: Mapping[int, Learned], charges: Mapping[str, bytes]
    ) -> bytes:
        """Rows of admitted messages. charges: by account the charge_entry field, as bigint() makes it."""
        learned_columns, submitted_columns = self._learned, self._submitted
        pack, lengths, join = _MESSAGE_HEAD.pack, _LENGTHS, b"".join
        pack_cost = _BIGINT.pack
        rows: list[bytes] = []
        for record in records:
            key = (
                record.account, record.source, record.door, record.priority, record.via, record.tariff,
                record.source_ton, record.source_npi, record.dest_ton, record.dest_npi, record.esm_class,
                record.protocol_id, record.data_coding, record.registered_delivery, record.service_type,
                record.priority_flag, record.in_doubt,
            )  # fmt: skip
            submitted = submitted_columns.get(key)
            if submitted is None:
                submitted = self._keep(submitted_columns, key, self._submitted_columns(record))
            message_id, price = record.id, record.price_micros
            found = learned.get(message_id, NOTHING)
            shape = (*astuple(found), record.upstream, record.attempt, record.resends, record.send_at_ms > 0)
            known = learned_columns.get(shape)
            if known is None:
                known = self._keep(learned_columns, shape, self._learned_columns(record, found))
            segments, dest = record.segments, record.dest
            body, sizes = segments[0], _ONE_SEGMENT
            if len(segments) > 1:
                body, sizes = join(segments), _sizes(segments)
            if not dest.isalnum():
                dest = stored_text(dest)
            size = len(body)
            own = _NOTHING_OWN
            if (
                record.tlvs or record.client_ref or record.callback_url or record.metadata or record.request_key
                or record.group_id or record.conversion or record.send_at_ms
            ):  # fmt: skip
                own = _own_columns(record)
            cost = record.cost_micros
            rows += (
                pack(48, 8, message_id, 8, price, 8, (record.valid_until_ms - _EPOCH_MS) * 1000),
                charges.get(record.account, NULL) if price else NULL,
                known,
                submitted,
                sizes,
                lengths[len(dest)],
                dest,
                lengths[size] if size < 1024 else size.to_bytes(4, "big"),
                body,
                own,
                pack_cost(8, cost) if cost else NULL,
            )
        return join(rows)

    def inbound(self, records: Iterable[InboundRecord], learned: Mapping[int, Learned]) -> bytes:
        """Rows of mobile-originated messages. account is empty when no number of ours matched."""
        rows: list[bytes] = []
        for record in records:
            found = learned.get(record.id, NOTHING)
            due = 1 if record.account and record.via else 0
            rows += (
                _INBOUND_HEAD.pack(48, 8, record.id, 8, 0, -1, -1),
                _time(record.at_ms),
                _time(found.callback_ms),
                _learned_codes(
                    State.DELIVERED, 0, due + found.callbacks_open, found.callback_state, found.callback_attempts
                ),
                _BIGINT.pack(8, 0), NULL, _FALSE, NULL,
                self._name(record.upstream),
                _SUBMITTED_CODES.pack(
                    2, Direction.INBOUND, 2, 0, 2, 0, 2, record.via, 2, Tariff.ON_ACCEPT, 2, record.source_ton,
                    2, record.source_npi, 2, record.dest_ton, 2, record.dest_npi, 2, record.esm_class,
                    2, record.protocol_id, 2, record.data_coding, 2, 0,
                ),
                self._name(record.account),
                field(stored_text(record.source)),
                NULL * 3,
                _ONE_SEGMENT,
                field(stored_text(record.dest)),
                field(record.body),
                _bytes(record.tlvs),
                NULL * 4,
                bigint(record.group_id),
                NULL * 4,
            )  # fmt: skip
        return b"".join(rows)

    def segments(self, records: Iterable[ResultRecord]) -> bytes:
        """Rows of accepted submit_sm."""
        pack, lengths, names = _SEGMENT_HEAD.pack, _LENGTHS, self._names
        rows: list[bytes] = []
        for record in records:
            theirs, upstream = record.upstream_message_id, record.upstream
            if not theirs.isalnum():
                theirs = stored_text(theirs)
            size = len(theirs)
            rows += (
                pack(6, 8, record.id, 8, (record.at_ms - _EPOCH_MS) * 1000, 2, record.segment, 2, record.attempt),
                names[upstream] if upstream in names else self._name(upstream),
                lengths[size] if size < 1024 else size.to_bytes(4, "big"),
                theirs,
            )
        return b"".join(rows)

    def receipts(self, records: Iterable[ReceiptRecord], kind: int) -> bytes:
        """Events of receipts. kind: RECEIPT or RECEIPT_REPEATED."""
        pack, lengths, known_receipts = _EVENT_HEAD.pack, _LENGTHS, self._receipts
        rows: list[bytes] = []
        for record in records:
            key = (kind, record.state, record.stat, record.err)
            known = known_receipts.get(key)
            if known is None:
                columns = (
                    _EVENT_CODES.pack(2, kind, 2, 0, 2, record.state),
                    NULL * 2,
                    _wire(record.stat),
                    _wire(record.err),
                    NULL,
                )
                known = self._keep(known_receipts, key, b"".join(columns))
            text = record.text
            size = len(text)
            rows += (
                pack(12, 8, record.id, 8, (record.at_ms - _EPOCH_MS) * 1000, 2, record.segment),
                known,
                lengths[size] if size < 1024 else size.to_bytes(4, "big"),
                text,
            )
        return b"".join(rows)

    def attempts(self, records: Iterable[ResultRecord]) -> bytes:
        """Events of attempts that were not accepted; the kind is the Outcome."""
        rows: list[bytes] = []
        for record in records:
            rows += (
                _EVENT_HEAD.pack(12, 8, record.id, 8, (record.at_ms - _EPOCH_MS) * 1000, 2, record.segment),
                _EVENT_CODES.pack(2, record.outcome, 2, record.attempt, 2, record.state),
                bigint(record.command_status),
                self._name(record.upstream),
                NULL * 4,
            )
        return b"".join(rows)

    def moves(self, records: Iterable[Moved]) -> bytes:
        """Events of messages that went to another upstream."""
        rows: list[bytes] = []
        for record in records:
            rows += (
                _EVENT_HEAD.pack(12, 8, record.id, 8, (record.at_ms - _EPOCH_MS) * 1000, 2, 0),
                _EVENT_CODES.pack(2, EventKind.MOVED, 2, 0, 2, 0),
                NULL,
                self._name(record.upstream),
                NULL * 2,
                self._name(f"from {record.left} to {record.upstream}"),
                NULL,
            )
        return b"".join(rows)

    def dead_callbacks(self, records: Iterable[CallbackResult]) -> bytes:
        """Events of callbacks that were given up."""
        rows: list[bytes] = []
        for record in records:
            rows += (
                _EVENT_HEAD.pack(12, 8, record.id, 8, (record.at_ms - _EPOCH_MS) * 1000, 2, 0),
                _EVENT_CODES.pack(2, EventKind.CALLBACK_DEAD, 2, record.attempts, 2, 0),
                NULL * 4,
                _text(record.detail.replace("\0", "\\x00")[:_DETAIL_MAX]),
                NULL,
            )
        return b"".join(rows)

    def _name(self, name: str) -> bytes:
        """A name that few differ in (an account, an upstream) as a field."""
        known = self._names.get(name)
        return known if known is not None else self._keep(self._names, name, field(name.encode()))

    def _keep(self, cache: dict[_Key, bytes], key: _Key, value: bytes) -> bytes:
        if len(cache) >= self._cached_max:
            cache.clear()
        cache[key] = value
        return value

    def _submitted_columns(self, record: MessageRecord) -> bytes:
        return b"".join(
            (
                _SUBMITTED_CODES.pack(
                    2, Direction.OUTBOUND, 2, record.door, 2, record.priority, 2, record.via, 2, record.tariff,
                    2, record.source_ton, 2, record.source_npi, 2, record.dest_ton, 2, record.dest_npi,
                    2, record.esm_class, 2, record.protocol_id, 2, record.data_coding, 2, record.registered_delivery,
                ),
                self._name(record.account),
                field(stored_text(record.source)),
                _wire(record.service_type),
                _SMALLINT.pack(2, record.priority_flag) if record.priority_flag else NULL,
                _SMALLINT.pack(2, record.in_doubt) if record.in_doubt else NULL,
            )
        )  # fmt: skip

    def _learned_columns(self, record: MessageRecord, found: Learned) -> bytes:
        return b"".join(
            (
                _time(found.done_ms),
                _time(found.callback_ms),
                _learned_codes(
                    found.state or (State.SCHEDULED if record.send_at_ms else State.QUEUED),
                    max(found.attempts, record.attempt),
                    found.callbacks_open,
                    found.callback_state,
                    found.callback_attempts,
                ),
                _BIGINT.pack(8, found.refunded_micros),
                bigint(found.refund_entry),
                _TRUE if (found.maybe_duplicate and found.state != _CANCELED) or record.resends else _FALSE,
                _text(found.error_code),
                self._name(found.upstream or record.upstream),
            )
        )


def _learned_codes(
    state: int, attempts: int, callbacks_open: int, callback_state: int, callback_attempts: int
) -> bytes:
    shown = CallbackState.DUE if callbacks_open > 0 else callback_state
    return _LEARNED_CODES.pack(2, state, 2, attempts, 2, callbacks_open, 2, shown, 2, callback_attempts)


def _sizes(segments: list[bytes]) -> bytes:
    """segments and segment_sizes, an integer[] of one dimension."""
    count = len(segments)
    parts = [_SMALLINT.pack(2, count), _ARRAY_HEAD.pack(20 + 8 * count, 1, 0, _INT4_OID, count, 1)]
    parts += [_INTEGER.pack(4, len(segment)) for segment in segments]
    return b"".join(parts)


_NOTHING_OWN = NULL * 9


def _own_columns(record: MessageRecord) -> bytes:
    """What few messages have, in the order of MESSAGE_COLUMNS."""
    return b"".join(
        (
            _bytes(record.tlvs),
            _text(record.client_ref),
            _text(record.callback_url),
            _bytes(record.metadata),
            _text(record.request_key),
            bigint(record.group_id),
            field(encode_conversion(record.conversion)) if record.conversion is not None else NULL,
            _bytes(record.stored_answer),
            _time(record.send_at_ms),
        )
    )
