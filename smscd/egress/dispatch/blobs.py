"""What a dispatcher knows of the messages it has claimed: the blob each came in, and the state of each segment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from smscd.core.records import MessageRecord, State
from storage.redis.dispatch import QueueEntry

WAITING: Final = 0
SENDING: Final = 1
LATE: Final = 2
DOUBTED: Final = 3
ACCEPTED: Final = 4
"""States of a segment, one byte each in Item.states and RestRecord.states.

WAITING has no intent. SENDING has one, and its answer is awaited. LATE was not answered in time; its bind still
lives, so that the answer may come. DOUBTED has lost its bind and no policy sends it again. ACCEPTED is with the
upstream.
"""

SETTLED_MARK: Final = b"d"
FIELDS: Final = tuple(b"%d.0" % index for index in range(1024))

_decode_records = msgspec.msgpack.Decoder(list[MessageRecord]).decode
_encode = msgspec.msgpack.Encoder().encode


class RestRecord(msgspec.Struct, array_like=True, gc=False):
    """An unsettled message without its blob: an item of `rest:<upstream>`.

    states: a byte for each segment. due_ms: its waiting segments are not sent before; 0 means at once.
    doubted_ms: since when a segment is DOUBTED.
    """

    message: MessageRecord
    states: bytes
    resends: int = 0
    due_ms: int = 0
    doubted_ms: int = 0


decode_rest = msgspec.msgpack.Decoder(RestRecord).decode


class Blob:
    """One claimed entry of a queue.

    unsettled: messages of it that have not ended, gone back, or moved to the rest.
    settling: fields that ended since the last turn. claimed_ms: when it was read.
    """

    __slots__ = ("claimed_ms", "entry_id", "items", "queue", "settling", "unsettled", "valid_until_ms")

    def __init__(self, queue: str, entry_id: str, claimed_ms: int) -> None:
        self.queue = queue
        self.entry_id = entry_id
        self.claimed_ms = claimed_ms
        self.items: list[Item] = []
        self.unsettled = 0
        self.settling: list[bytes] = []
        self.valid_until_ms = 0


class Item:
    """One claimed message. blob is None when it is one of the rest.

    resends: how often a doubt was sent again; it is the number in the segment's intent.
    refusal: the first error status of this attempt that is not yet acted upon, while other segments are under way.
    is_over: it has ended or left this dispatcher; an answer that still comes changes nothing but the record.
    is_queued: it waits among the begun ones, of the backlog or of a bind. sent_at: when its last segment was written.
    doubted_ms: since when a segment is DOUBTED.
    """

    __slots__ = (
        "blob", "doubted_ms", "due_ms", "index", "is_over", "is_queued", "record", "refusal", "refused_segment",
        "resends", "sent_at", "state", "states",
    )  # fmt: skip

    def __init__(self, record: MessageRecord, blob: Blob | None, index: int) -> None:
        self.record = record
        self.blob = blob
        self.index = index
        self.states = bytearray(len(record.segments))
        self.resends = record.resends
        self.refusal = 0
        self.refused_segment = 0
        self.due_ms = 0
        self.doubted_ms = 0
        self.is_over = False
        self.is_queued = False
        self.sent_at = 0.0
        self.state = 0

    def __repr__(self) -> str:
        return f"Item({self.record.id}, states={bytes(self.states)!r}, is_over={self.is_over})"

    def field(self, segment: int) -> bytes:
        """The name of a segment in the blob's `open` hash."""
        index = self.index
        return FIELDS[index] if segment == 0 and index < 1024 else b"%d.%d" % (index, segment)

    @property
    def is_untouched(self) -> bool:
        """True when no segment was accepted or can have been."""
        return not any(self.states)

    @property
    def is_elsewhere(self) -> bool:
        """True when it left this blob alive: for its next attempt, or to another upstream."""
        return self.is_over and self.state == State.QUEUED

    @property
    def is_stuck(self) -> bool:
        """True when nothing is left to send and no answer is expected in time."""
        states = self.states
        return WAITING not in states and SENDING not in states


def open_blob(entry: QueueEntry, now_ms: int, marks: Mapping[bytes, bytes] | None = None) -> Blob:
    """Decode a claimed entry.

    marks: the blob's `open` hash after a takeover. A segment with an intent comes out as SENDING: nobody awaits its
    answer any more, so the caller must judge it as lost. Raises msgspec.DecodeError for a blob that is none of ours.
    """
    blob = Blob(entry.queue, entry.entry_id, now_ms)
    records = _decode_records(entry.blob)
    blob.items = items = [Item(record, blob, index) for index, record in enumerate(records)]
    blob.unsettled = len(items)
    blob.valid_until_ms = min((record.valid_until_ms for record in records), default=0)
    if marks:
        for item in items:
            _apply_marks(item, marks)
            if item.is_over:
                blob.unsettled -= 1
    return blob


def _apply_marks(item: Item, marks: Mapping[bytes, bytes]) -> None:
    settled = 0
    for segment in range(len(item.states)):
        mark = marks.get(item.field(segment))
        if mark is None:
            continue
        if mark == SETTLED_MARK:
            item.states[segment] = ACCEPTED
            settled += 1
        else:
            item.states[segment] = SENDING
            item.resends = max(item.resends, int(mark[1:]))
    item.is_over = settled == len(item.states)


def rest_blob(item: Item) -> bytes:
    """Encode what `rest` keeps of a message. A segment that is LATE is kept as SENDING: its bind may not outlive us."""
    states = bytes(item.states).replace(b"\x02", b"\x01")
    return _encode(RestRecord(item.record, states, item.resends, item.due_ms, item.doubted_ms))


def open_rest(blob: bytes) -> Item:
    """Decode a message of the rest; segments with an intent come out as SENDING, as in open_blob()."""
    rest = decode_rest(blob)
    item = Item(rest.message, None, 0)
    item.states = bytearray(rest.states)
    item.resends = rest.resends
    item.due_ms = rest.due_ms
    item.doubted_ms = rest.doubted_ms
    return item
