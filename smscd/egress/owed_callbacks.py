"""Callbacks that are owed, made again from the record, pure: with the ids that they had, so that they are known again.

What the record does not have is lost: the vendor TLVs that an upstream's profile names for webhooks.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from protocols.gsm.transcode import Dialect
from protocols.smpp.constants import EsmClass
from protocols.smpp.longform import SHORT_MESSAGE_MAX, Carried
from protocols.smpp.receipt import STAT_OF_STATE, parse_receipt
from smscd.core.callback_records import CallbackRecord
from smscd.core.callbacks import VIAS, acceptance_callback, inbound_callback, receipt_callback, result_callback
from smscd.core.directory_index import DirectoryIndex
from smscd.core.ids import message_ms
from smscd.core.joining import part_of
from smscd.core.lifecycle import stat_of
from smscd.core.profiles import PLAIN, dialect_of, is_plain
from smscd.core.reading import rewritten
from smscd.core.records import HeldPart, InboundRecord, MessageRecord, State, Via
from smscd.core.upstream import Upstream
from smscd.egress.dispatch.turn import sent_context
from storage.postgres.messages import StoredMessage
from storage.postgres.recovery import EventRow, SentRow
from storage.postgres.rows import EventKind

_STATS = frozenset(STAT_OF_STATE.values())


def receipts_due(
    message: StoredMessage, record: MessageRecord, sent: Sequence[SentRow], events: Sequence[EventRow]
) -> list[CallbackRecord]:
    """The newest of what the customer was to be told of his message, as many as are open, oldest first."""
    told = [
        callback
        for event in events
        if event.kind == EventKind.RECEIPT and event.state < State.DELIVERED
        if (callback := _of_receipt(record, event, sent, is_intermediate=True)) is not None
    ]
    if (taken := _taken(record, sent)) is not None:
        told.insert(0, taken)
    if message.state.is_final and (last := _end(message, record, sent, events)) is not None:
        told.append(last)
    return told[-message.callbacks_open :]


def _taken(record: MessageRecord, sent: Sequence[SentRow]) -> CallbackRecord | None:
    """What is told of the upstream's answer that took the last segment, in the forms that have it told."""
    if len({row.segment for row in sent}) < len(record.segments):
        return None
    last = max(sent, key=lambda row: row.sent_ms)
    return acceptance_callback(record, last.upstream, last.upstream_message_id, last.sent_ms)


def _end(
    message: StoredMessage, record: MessageRecord, sent: Sequence[SentRow], events: Sequence[EventRow]
) -> CallbackRecord | None:
    """What is told of the end: by the receipt that brought it, or by us."""
    done_ms = _ms(message.done_at)
    for event in events:
        if event.kind == EventKind.RECEIPT and event.state == message.state and event.at_ms == done_ms:
            return _of_receipt(record, event, sent, is_intermediate=False)
    failed = [event.command_status for event in events if event.kind == EventKind.FAILED and event.at_ms == done_ms]
    return result_callback(record, message.state, failed[-1] if failed else 0, done_ms)


def _of_receipt(
    record: MessageRecord, event: EventRow, sent: Sequence[SentRow], *, is_intermediate: bool
) -> CallbackRecord | None:
    of_segment = [row for row in sent if row.segment == event.segment]
    parsed = parse_receipt(Carried(event.raw, esm_class=int(EsmClass.DELIVERY_RECEIPT)))
    return receipt_callback(
        sent_context(record, event.segment),
        event.stat if event.stat in _STATS else stat_of(State(event.state)),
        event.err or b"000",
        event.state,
        (parsed.done_date if parsed is not None else None) or event.at_ms,
        is_intermediate=is_intermediate,
        upstream=of_segment[-1].upstream if of_segment else record.upstream,
        upstream_message_id=of_segment[-1].upstream_message_id if of_segment else b"",
    )


def inbound_due(message: StoredMessage, directory: DirectoryIndex) -> CallbackRecord:
    """A mobile-originated message for its owner; an ESME gets it as its account writes."""
    came = Carried(message.segments[0], message.data_coding, message.esm_class, message.tlvs or b"")
    entry, profile = directory.entry(message.account), directory.upstream(message.upstream)
    if message.via == Via.SMPP and entry is not None and profile is not None:
        told = rewritten(came, _written(profile), entry.dialect)
        is_new_payload = len(came.short_message) <= SHORT_MESSAGE_MAX < len(told.short_message)
        came = came if is_new_payload and told.data_coding != came.data_coding else told
    record = InboundRecord(
        message.id,
        message.account,
        message.upstream,
        message.source_ton,
        message.source_npi,
        message.source,
        message.dest_ton,
        message.dest_npi,
        message.dest,
        came.esm_class,
        message.protocol_id,
        came.data_coding,
        came.short_message,
        _ms(message.done_at) or message_ms(message.id),
        came.tlvs,
        message.via,
    )
    return inbound_callback(record)


def waiting_part(message: StoredMessage, directory: DirectoryIndex) -> HeldPart | None:
    """A part of a message from a phone as it waits for the others; None when its number is nobody's any more."""
    rules, profile = directory.mo_rules, directory.upstream(message.upstream)
    has_keywords = rules.has_keywords(message.dest)
    number = None if has_keywords else rules.find(message.dest)
    if (number is None and not has_keywords) or profile is None or message.group_id is None:
        return None
    came = Carried(message.segments[0], message.data_coding, message.esm_class, message.tlvs or b"")
    found = part_of(came, _written(profile))
    if found is None:
        return None
    piece, part, numbering = found
    return HeldPart(
        message.group_id,
        message_ms(message.id),
        number.account if number is not None else "",
        int(VIAS[number.via] if number is not None else Via.NONE),
        int(numbering),
        part.reference,
        part.total,
        part.sequence,
        message.source_ton,
        message.source_npi,
        message.source,
        message.dest_ton,
        message.dest_npi,
        message.dest,
        piece.esm_class,
        message.protocol_id,
        piece.body,
        piece.data_coding,
        piece.elements,
        piece.tlvs,
    )


def _written(profile: Upstream) -> Dialect:
    """How the record has what came from an upstream: as it wrote it where that is plain, else as we write."""
    theirs = dialect_of(profile)
    return theirs if is_plain(theirs) else PLAIN


def _ms(at: datetime | None) -> int:
    return round(at.timestamp() * 1000) if at is not None else 0
