"""Callbacks, pure: who is told what of a message, the record that is queued for it, and the body of a webhook."""

from __future__ import annotations

import time
from typing import Final

import msgspec

from protocols.gsm import udh
from protocols.gsm.alphabets import Alphabet, alphabet_of, decode
from protocols.gsm.coding import Charset, classify
from protocols.smpp.constants import ESM_FEATURES_MASK, DataCoding, EsmClass
from protocols.smpp.receipt import is_receipt_wanted
from smscd.core.callback_forms import tells, tells_acceptance
from smscd.core.callback_records import CallbackKind, CallbackRecord
from smscd.core.ids import message_ms
from smscd.core.lifecycle import stat_of
from smscd.core.money import money
from smscd.core.records import InboundRecord, MessageRecord, SentContext, State, Via
from smscd.core.webhook_events import TEST, event_type

EXCERPT_OCTETS: Final = 20
VIAS: Final = {"smpp": Via.SMPP, "webhook": Via.WEBHOOK}

_DELIVERED: Final = int(State.DELIVERED)
_VIA_NONE: Final = int(Via.NONE)
_RECEIPT: Final = int(CallbackKind.RECEIPT)
_INBOUND: Final = int(CallbackKind.INBOUND)
_LOW_BALANCE: Final = int(CallbackKind.LOW_BALANCE)
_IA5: Final = int(DataCoding.IA5)
_FINAL_CLASS: Final = int(EsmClass.DELIVERY_RECEIPT)
_INTERMEDIATE_CLASS: Final = int(EsmClass.INTERMEDIATE_NOTIFICATION)


def wants_receipt(registered_delivery: int, state: int, *, is_intermediate: bool = False) -> bool:
    """True when the customer asked to be told of this state (registered_delivery, SMPP 3.4 section 5.2.17)."""
    return is_receipt_wanted(registered_delivery, is_delivered=state == _DELIVERED, is_intermediate=is_intermediate)


def receipt_callback(
    context: SentContext,
    stat: bytes,
    err: bytes,
    state: int,
    done_ms: int,
    *,
    is_intermediate: bool = False,
    named_tlvs: dict[str, int | str] | None = None,
    upstream: str = "",
    upstream_message_id: bytes = b"",
) -> CallbackRecord | None:
    """What the customer is told of an upstream's receipt; None when he did not ask for it.

    stat, err: as the upstream wrote them, passed on. done_ms: the receipt's done date, or when it came.
    named_tlvs: those that the upstream's profile names. upstream, upstream_message_id: whose receipt it is.
    """
    if context.via == _VIA_NONE or not wants_receipt(
        context.registered_delivery, state, is_intermediate=is_intermediate
    ):
        return None
    url = context.callback_url
    if url is None or url[:1] not in "kj":
        upstream, upstream_message_id = "", b""
    elif not tells(url, state, is_from_network=True):
        return None
    return CallbackRecord(
        _RECEIPT,
        context.id,
        context.account,
        state,
        stat,
        err,
        message_ms(context.id),
        done_ms,
        context.source_ton,
        context.source_npi,
        context.source,
        context.dest_ton,
        context.dest_npi,
        context.dest,
        _INTERMEDIATE_CLASS if is_intermediate else _FINAL_CLASS,
        context.data_coding,
        context.parts or context.segments,
        context.excerpt,
        context.registered_delivery,
        context.client_ref,
        url,
        group_id=context.group_id,
        is_from_network=True,
        named_tlvs=named_tlvs,
        upstream=upstream,
        upstream_message_id=upstream_message_id,
    )


def result_callback(record: MessageRecord, state: State, command_status: int, now_ms: int) -> CallbackRecord | None:
    """What the customer is told of a message that ended without an upstream's receipt; None when he did not ask.

    command_status: the upstream's last refusal, 0 for none; it becomes `err` in decimal.
    """
    if record.via == _VIA_NONE or not wants_receipt(record.registered_delivery, state):
        return None
    if not tells(record.callback_url, state, is_from_network=False, status=command_status):
        return None
    return _of_result(record, state, stat_of(state), command_status, now_ms)


def acceptance_callback(
    record: MessageRecord, upstream: str, upstream_message_id: bytes, now_ms: int
) -> CallbackRecord | None:
    """What the customer is told of a message that an upstream has taken: nothing, but in another gateway's form."""
    url = record.callback_url
    if record.via == _VIA_NONE or url is None or url[:1] not in "kj" or not tells_acceptance(url):
        return None
    callback = _of_result(record, State.SENT, b"ACCEPTD", 0, now_ms)
    callback.upstream, callback.upstream_message_id = upstream, upstream_message_id
    return callback


def _of_result(record: MessageRecord, state: State, stat: bytes, command_status: int, now_ms: int) -> CallbackRecord:
    return CallbackRecord(
        _RECEIPT,
        record.id,
        record.account,
        int(state),
        stat,
        b"%03d" % command_status,
        message_ms(record.id),
        now_ms,
        record.source_ton,
        record.source_npi,
        record.source,
        record.dest_ton,
        record.dest_npi,
        record.dest,
        _FINAL_CLASS,
        excerpt_coding_of(record),
        record.parts,
        excerpt_of(record),
        record.registered_delivery,
        record.client_ref,
        record.callback_url,
        group_id=record.group_id,
        upstream=record.upstream if record.callback_url is not None and record.callback_url[:1] in "kj" else "",
    )


def inbound_callback(
    record: InboundRecord, named_tlvs: dict[str, int | str] | None = None, *, parts: int = 0, parts_total: int = 0
) -> CallbackRecord:
    """What the owner of a number is told of a mobile-originated message to it.

    named_tlvs: those that the upstream's profile names. parts, parts_total: of one that was joined.
    """
    return CallbackRecord(
        _INBOUND,
        record.id,
        record.account,
        int(State.DELIVERED),
        b"",
        b"",
        record.at_ms,
        record.at_ms,
        record.source_ton,
        record.source_npi,
        record.source,
        record.dest_ton,
        record.dest_npi,
        record.dest,
        record.esm_class & ESM_FEATURES_MASK,
        record.data_coding,
        1,
        record.body,
        tlvs=record.tlvs,
        named_tlvs=named_tlvs,
        parts=parts,
        parts_total=parts_total,
    )


def excerpt_of(record: MessageRecord) -> bytes:
    """The first octets of a message's text, without header, in the data_coding of excerpt_coding_of."""
    if record.conversion is not None:
        return record.conversion.excerpt
    text = record.segments[0]
    if record.esm_class & EsmClass.UDHI and text:
        text = text[text[0] + 1 :]
    return text[:EXCERPT_OCTETS]


def excerpt_coding_of(record: MessageRecord) -> int:
    """What excerpt_of is in: the message's own data_coding, or ASCII where others were its octets at the upstream."""
    return record.data_coding if record.conversion is None else _IA5


def low_balance_callback(
    entry_id: int, account: str, currency: str, *, balance_micros: int, low_balance_micros: int, at_ms: int
) -> CallbackRecord:
    """What a customer is told when a ledger entry took the balance below what it wants to be warned at."""
    data = {
        "account": account,
        "balance": {"amount": money(balance_micros), "currency": currency},
        "low_balance": {"amount": money(low_balance_micros), "currency": currency},
    }
    return CallbackRecord(
        _LOW_BALANCE, entry_id, account, 0, b"", b"", at_ms, at_ms, 0, 0, b"", 0, 0, b"", 0, 0, 0, _json.encode(data)
    )


class WebhookEvent(msgspec.Struct, frozen=True, gc=False):
    """A webhook that is ready to be signed: the same id and the same body on every attempt."""

    id: str
    body: bytes


_json = msgspec.json.Encoder()


def webhook_event(record: CallbackRecord) -> WebhookEvent:
    """The event for a callback; its id and body depend on the record alone, not on the attempt."""
    event_id, kind = event_id_of(record), event_type(record)
    if record.kind == CallbackKind.INBOUND:
        return _event(event_id, kind, record.done_ms, _inbound_data(record))
    if record.kind == CallbackKind.LOW_BALANCE:
        return _event(event_id, kind, record.done_ms, msgspec.Raw(record.body))
    return _event(event_id, kind, record.done_ms, _receipt_data(record, State(record.state).name.lower()))


def event_id_of(record: CallbackRecord) -> str:
    """The id of the event that a callback tells: the same however often and to whomever it is told."""
    if record.kind == CallbackKind.INBOUND:
        return f"mo_{record.id}"
    if record.kind == CallbackKind.LOW_BALANCE:
        return f"acct_{record.id}"
    return f"msg_{record.id}_{State(record.state).name.lower()}"


def trial_event(event_id: str, endpoint: int, at_ms: int) -> WebhookEvent:
    """An event that tells nothing, for who wants to see whether his endpoint works."""
    return _event(event_id, TEST, at_ms, {"endpoint": str(endpoint)})


def address_text(ton: int, address: bytes) -> str:
    """An address as HTTP shows it: international numbers with a plus sign."""
    text = address.decode("latin-1")
    return f"+{text}" if ton == 1 and text.isdigit() else text


def encoding_name(data_coding: int) -> str:
    """The `encoding` that HTTP shows for a data_coding, one of ENCODINGS."""
    return _ENCODING_NAMES[data_coding & 0xFF]


ENCODINGS: Final = ("gsm7", "ucs2", "latin1", "cyrillic", "hebrew", "binary")
"""binary: octets of which nobody can say what text they are; ASCII is shown as latin1, of which it is a part."""
_TEXT_OCTETS: Final = {
    Charset.IA5: "latin1",
    Charset.LATIN_1: "latin1",
    Charset.CYRILLIC: "cyrillic",
    Charset.HEBREW: "hebrew",
}


def _encoding_name(data_coding: int) -> str:
    match alphabet_of(data_coding):
        case Alphabet.GSM7:
            return "gsm7"
        case Alphabet.UCS2:
            return "ucs2"
        case Alphabet.OCTETS:
            return _TEXT_OCTETS.get(classify(data_coding).charset, "binary")


_ENCODING_NAMES: Final = tuple(_encoding_name(data_coding) for data_coding in range(256))


def _event(event_id: str, kind: str, at_ms: int, data: dict[str, object] | msgspec.Raw) -> WebhookEvent:
    timestamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_ms // 1000))
    return WebhookEvent(event_id, _json.encode({"type": kind, "timestamp": timestamp, "data": data}))


def _receipt_data(record: CallbackRecord, status: str) -> dict[str, object]:
    stat, err = record.stat.decode("latin-1"), record.err.decode("latin-1")
    failed = record.state > State.DELIVERED
    return {
        "id": str(record.id),
        "client_ref": record.client_ref,
        "status": status,
        "to": address_text(record.dest_ton, record.dest),
        "smpp": {"stat": stat, "err": err},
        "error": {"code": status, "detail": f"The message ended as {stat}, error {err}."} if failed else None,
        "segments": record.segments,
        **_named_tlvs(record),
    }


def text_of(body: bytes, data_coding: int, esm_class: int) -> str | None:
    """The text of a short message as we write it, without its header; None where it is binary."""
    if encoding_name(data_coding) == "binary":
        return None
    elements: tuple[tuple[int, bytes], ...] = ()
    if esm_class & EsmClass.UDHI:
        try:
            header = udh.parse(body)
        except udh.UdhError:
            pass
        else:
            body, elements = body[header.length :], header.elements
    return decode(body, data_coding, elements)


def _inbound_data(record: CallbackRecord) -> dict[str, object]:
    return {
        "id": str(record.id),
        "from": address_text(record.source_ton, record.source),
        "to": address_text(record.dest_ton, record.dest),
        "text": text_of(record.body, record.data_coding, record.esm_class),
        "encoding": encoding_name(record.data_coding),
        "content_hex": record.body.hex(),
        **_parts(record),
        **_named_tlvs(record),
    }


def _parts(record: CallbackRecord) -> dict[str, object]:
    if not record.parts_total:
        return {}
    parts = {"received": record.parts, "total": record.parts_total}
    return {"parts": parts, "partial": record.parts < record.parts_total}


def _named_tlvs(record: CallbackRecord) -> dict[str, object]:
    return {"tlvs": record.named_tlvs} if record.named_tlvs else {}
