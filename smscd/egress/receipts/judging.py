"""What a receipt does to its message, without I/O: the key it is matched by, state, refund, and what is told of it."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

import msgspec

from protocols.smpp.message_ids import canonical_id
from protocols.smpp.receipt import Receipt
from smscd.core.callbacks import receipt_callback
from smscd.core.lifecycle import ends_message, stat_of
from smscd.core.records import ParkedReceipt, ReceiptRecord, SentContext, State, Tariff
from smscd.egress.binds.ports import Delivered
from storage.redis.receipts import ReceiptItem

UNREADABLE_PREFIX: Final = b"unreadable:"

_STATS: Final = frozenset(
    (b"ENROUTE", b"DELIVRD", b"EXPIRED", b"DELETED", b"UNDELIV", b"ACCEPTD", b"UNKNOWN", b"REJECTD")
)
_FAILURES: Final = frozenset(map(int, (State.UNDELIVERED, State.EXPIRED, State.REJECTED, State.FAILED, State.CANCELED)))
_FIRST_FINAL: Final = int(State.DELIVERED)
_SENT: Final = int(State.SENT)
_ON_DELIVERY: Final = int(Tariff.ON_DELIVERY)

_encode = msgspec.msgpack.Encoder().encode


def key_of(receipt: ParkedReceipt, form: str) -> bytes:
    """The key under which it is matched; one of its own for a receipt whose id cannot be read."""
    if receipt.upstream_message_id:
        return canonical_id(receipt.upstream_message_id, form, is_receipt=True)
    return UNREADABLE_PREFIX + blake2b(receipt.text, digest_size=16).hexdigest().encode()


def parked_receipt(pdu: Delivered, receipt: Receipt, state: State, now_ms: int) -> ParkedReceipt:
    """A receipt as it is kept until somebody knows what it speaks of."""
    return ParkedReceipt(
        receipt.message_id,
        receipt.stat,
        receipt.err,
        int(state),
        receipt.done_date or now_ms,
        receipt.raw,
        now_ms,
        receipt.is_intermediate,
        None,
        pdu.source_addr,
        pdu.destination_addr,
    )


def receipt_item(context: SentContext, receipt: ParkedReceipt, upstream: str, now_ms: int) -> ReceiptItem:
    """What a matched receipt changes: the state, a refund by the tariff, and what the customer is told."""
    state = receipt.state
    is_final = state >= _FIRST_FINAL and not receipt.is_intermediate
    refund = context.price_micros if is_final and context.tariff == _ON_DELIVERY and state in _FAILURES else 0
    stat = receipt.stat if receipt.stat in _STATS else stat_of(State(state))
    callback = receipt_callback(
        context,
        stat,
        receipt.err or b"000",
        state,
        receipt.done_ms,
        is_intermediate=not is_final,
        named_tlvs=receipt.named_tlvs,
        upstream=upstream,
        upstream_message_id=receipt.upstream_message_id,
    )
    record = ReceiptRecord(
        context.id,
        context.segment,
        context.segments,
        context.account,
        now_ms,
        upstream,
        receipt.upstream_message_id,
        state if is_final else _SENT,
        receipt.stat,
        receipt.err,
        receipt.done_ms,
        receipt.text,
        refund,
        callback is not None,
    )
    blob = _encode(callback) if callback is not None else None
    if is_final:
        return ReceiptItem(record, True, context.via, blob, until_ms=context.states_until_ms)
    mark = _mark(record, receipt.at_ms)
    return ReceiptItem(record, False, context.via, blob, True, mark=mark, until_ms=context.states_until_ms)


def _mark(record: ReceiptRecord, came_ms: int) -> bytes:
    """What tells a receipt that ends nothing from the next one. A date that we gave it, for want of one, is no mark."""
    date = 0 if record.done_ms == came_ms else record.done_ms
    return b"%b/%b/%d" % (record.upstream_message_id, record.stat, date)


def judge_long_messages(items: Iterable[ReceiptItem], policy: str) -> None:
    """Change items of long messages for an upstream whose `receipt_segments` is not "all"."""
    for item in items:
        record = item.record
        if not item.is_final or record.segments == 1:
            continue
        awaited = ends_message(policy, record.segment, record.segments, State(record.state))
        if awaited is not None:
            item.awaited = awaited
            continue
        item.is_final, item.callback, item.mark = False, None, _mark(record, record.at_ms)
        record.state, record.refund_micros, record.due = _SENT, 0, False
