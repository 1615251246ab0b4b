"""Delivery receipts: read from whatever an SMSC puts into its deliver_sm, written in the form of SMPP 3.4 appendix B.

Reading finds the fields by their names, in any order, case and spacing; what cannot be read stays in `raw`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

from protocols.gsm.alphabets import Alphabet, alphabet_of
from protocols.smpp import tlv
from protocols.smpp.constants import (
    ESM_TYPE_MASK,
    REGISTERED_RECEIPT_MASK,
    EsmClass,
    MessageState,
    RegisteredDelivery,
    TlvTag,
)
from protocols.smpp.errors import EncodeError
from protocols.smpp.times import to_ms

EXCERPT_SIZE = 20
# Receipts come in bursts of the same few minutes, and a date costs as much as all the rest of a receipt.
_DATES_REMEMBERED = 2_048

STAT_OF_STATE: dict[MessageState, bytes] = {
    MessageState.SCHEDULED: b"ENROUTE",
    MessageState.ENROUTE: b"ENROUTE",
    MessageState.DELIVERED: b"DELIVRD",
    MessageState.EXPIRED: b"EXPIRED",
    MessageState.DELETED: b"DELETED",
    MessageState.UNDELIVERABLE: b"UNDELIV",
    MessageState.ACCEPTED: b"ACCEPTD",
    MessageState.UNKNOWN: b"UNKNOWN",
    MessageState.REJECTED: b"REJECTD",
    MessageState.SKIPPED: b"REJECTD",
}

# Plain numbers: looking up members of enums would be a third of the time that a receipt takes.
_INTERMEDIATE = int(EsmClass.INTERMEDIATE_NOTIFICATION)
_RECEIPTS = frozenset((int(EsmClass.DELIVERY_RECEIPT), _INTERMEDIATE))
_ACKNOWLEDGEMENTS = frozenset((int(EsmClass.DELIVERY_ACK), int(EsmClass.USER_ACK)))
_UDHI = int(EsmClass.UDHI)
_UCS2 = frozenset(data_coding for data_coding in range(256) if alphabet_of(data_coding) is Alphabet.UCS2)
_RECEIPTED_MESSAGE_ID = int(TlvTag.RECEIPTED_MESSAGE_ID)
_MESSAGE_ID_SIZE = tlv.TLV_FORMATS[TlvTag.RECEIPTED_MESSAGE_ID].size_max
_MESSAGE_STATE = int(TlvTag.MESSAGE_STATE)
_NETWORK_ERROR_CODE = int(TlvTag.NETWORK_ERROR_CODE)
_USER_MESSAGE_REFERENCE = int(TlvTag.USER_MESSAGE_REFERENCE)


_SUCCESS_OR_FAILURE = int(RegisteredDelivery.SUCCESS_OR_FAILURE)
_FAILURE = int(RegisteredDelivery.FAILURE)
_SUCCESS = int(RegisteredDelivery.SUCCESS)
_INTERMEDIATE_WANTED = int(RegisteredDelivery.INTERMEDIATE)


class ReceiptCarrier(Protocol):
    """What deliver_sm and data_sm have in common, as far as receipts go."""

    @property
    def esm_class(self) -> int: ...
    @property
    def data_coding(self) -> int: ...
    @property
    def short_message(self) -> bytes: ...
    @property
    def tlvs(self) -> bytes: ...


@dataclass(slots=True)
class Receipt:
    """What an SMSC says of one segment. Empty or None: it did not say.

    message_id: from the TLV receipted_message_id when there is one, else from the text; as it came, without NULs.
    submit_date, done_date: milliseconds since the epoch; the text has no zone, it is taken as UTC.
    text: the excerpt after "text:". raw: the whole text as it came (UCS-2 as UTF-8).
    network_error: the TLV's value, verbatim. user_message_reference: ours, when the SMSC echoes it.
    """

    message_id: bytes = b""
    stat: bytes = b""
    err: bytes = b""
    submit_date: int | None = None
    done_date: int | None = None
    sub: int | None = None
    dlvrd: int | None = None
    text: bytes = b""
    raw: bytes = b""
    message_state: int | None = None
    is_intermediate: bool = False
    network_error: bytes = b""
    user_message_reference: int | None = None


def is_receipt_wanted(registered_delivery: int, *, is_delivered: bool, is_intermediate: bool = False) -> bool:
    """True when registered_delivery asks to be told of this result, or of an intermediate state that is none.

    SMPP 3.4 section 5.2.17; 3, success only, is of SMPP 5.0 section 4.7.21 and reserved before.
    """
    if is_intermediate:
        return bool(registered_delivery & _INTERMEDIATE_WANTED)
    asked = registered_delivery & REGISTERED_RECEIPT_MASK
    if asked == _SUCCESS_OR_FAILURE:
        return True
    return asked == (_SUCCESS if is_delivered else _FAILURE)


# --- reading --------------------------------------------------------------------------------------------------------

# The usual form in one match; `_FIELD` finds the fields of every other one.
_USUAL = re.compile(
    rb"id:(\S+) sub:(\d{1,9}) dlvrd:(\d{1,9}) submit date:(\d{10,14}) done date:(\d{10,14})"
    rb" stat:(\w+) err:(\w+)(?: [Tt]ext:(.*))?",
    re.DOTALL,
)
_FIELD = re.compile(
    rb"(?<![a-z0-9])((?:message|msg)?[ _-]?id|sub|dlvrd|submit[ _-]?date|done[ _-]?date"
    rb"|stat|status|state|err|error|text|msg)\s*[:=]",
    re.IGNORECASE,
)
_NAMES = {
    b"messageid": b"id",
    b"msgid": b"id",
    b"status": b"stat",
    b"state": b"stat",
    b"error": b"err",
    b"msg": b"text",
}
_BLANKS = b" \t\r\n\0,;"
_SPACING = re.compile(rb"[ _-]")


def parse_receipt(
    pdu: ReceiptCarrier, *, by_text_alone: bool = False, is_little_endian: bool = False
) -> Receipt | None:
    """The receipt that this PDU is, or None when it is a message.

    It is one when esm_class says so, or when the TLVs receipted_message_id and message_state are both there. An
    esm_class of an SME's acknowledgement makes it one when an id and a state can be read. by_text_alone: the same
    for esm_class 0; only for an SMSC that is known to need it, because a sender could write such a text.
    is_little_endian: of UCS-2, where the text itself does not show it.
    """
    kind = pdu.esm_class & ESM_TYPE_MASK
    tlvs = _tlvs_of(pdu.tlvs) if pdu.tlvs else {}
    is_receipt = kind in _RECEIPTS or (bool(tlvs.get(_RECEIPTED_MESSAGE_ID)) and _MESSAGE_STATE in tlvs)
    if not is_receipt and not by_text_alone and kind not in _ACKNOWLEDGEMENTS:
        return None
    receipt = _read_text(_text_of(pdu, tlvs, is_little_endian))
    if not is_receipt and not (receipt.message_id and receipt.stat):
        return None
    receipt.is_intermediate = kind == _INTERMEDIATE
    if tlvs:
        _read_tlvs(receipt, tlvs)
    return receipt


# receipted_message_id and message_state, perhaps network_error_code after them: what nearly every SMSC sends.
_USUAL_TLVS = re.compile(rb"\x00\x1e\x00(.)([^\0]*)\0\x04\x27\x00\x01(.)(?:\x04\x23\x00\x03(...))?", re.DOTALL)


def _tlvs_of(raw: bytes) -> dict[int, int | bytes]:
    """tlv.read, in one match where the tail is the usual one."""
    found = _USUAL_TLVS.fullmatch(raw)
    if found is None:
        return tlv.read(raw)
    size, message_id, state, network_error = found.groups()
    if size[0] != len(message_id) + 1:
        return tlv.read(raw)
    values: dict[int, int | bytes] = {_RECEIPTED_MESSAGE_ID: message_id, _MESSAGE_STATE: state[0]}
    if network_error is not None:
        values[_NETWORK_ERROR_CODE] = network_error
    return values


def _read_tlvs(receipt: Receipt, tlvs: dict[int, int | bytes]) -> None:
    """What the TLVs say goes before the text, except the words of stat and err that only the text has."""
    receipt_id, state = tlvs.get(_RECEIPTED_MESSAGE_ID), tlvs.get(_MESSAGE_STATE)
    if isinstance(receipt_id, bytes) and receipt_id:
        receipt.message_id = receipt_id
    if isinstance(state, int):
        receipt.message_state = state
        if not receipt.stat and state in STAT_OF_STATE:
            receipt.stat = STAT_OF_STATE[MessageState(state)]
    network_error = tlvs.get(_NETWORK_ERROR_CODE)
    if isinstance(network_error, bytes):
        receipt.network_error = network_error
        receipt.err = receipt.err or _error_text(network_error)
    reference = tlvs.get(_USER_MESSAGE_REFERENCE)
    if isinstance(reference, int):
        receipt.user_message_reference = reference


def _text_of(pdu: ReceiptCarrier, tlvs: dict[int, int | bytes], is_little_endian: bool) -> bytes:
    octets = pdu.short_message
    if not octets and tlvs:
        payload = tlvs.get(TlvTag.MESSAGE_PAYLOAD)
        octets = payload if isinstance(payload, bytes) else b""
    if pdu.esm_class & _UDHI and octets:
        octets = octets[1 + octets[0] :]
    if pdu.data_coding not in _UCS2 or (octets.isascii() and b"\0" not in octets):
        # Some SMSCs say UCS-2, as the message had it, of a text that is ASCII; as UTF-16 it would have NULs.
        return octets
    # UTF-16, by some SMSCs little-endian; where the first character is ASCII, its NUL shows the order.
    first, second = octets[:1] == b"\0", octets[1:2] == b"\0"
    is_swapped = second if first != second else is_little_endian
    return octets.decode("utf-16-le" if is_swapped else "utf-16-be", "replace").encode("utf-8", "replace")


def _read_text(raw: bytes) -> Receipt:
    match = _USUAL.fullmatch(raw)
    if match is not None:
        message_id, sub, dlvrd, submit_date, done_date, stat, err, text = match.groups(b"")
        dates = _parse_date(submit_date), _parse_date(done_date)
        return Receipt(message_id, stat.upper(), err, *dates, int(sub), int(dlvrd), text, raw)
    fields = _read_fields(raw)
    return Receipt(
        message_id=fields.get(b"id", b""),
        stat=fields.get(b"stat", b"").upper(),
        err=fields.get(b"err", b""),
        submit_date=_parse_date(fields.get(b"submitdate", b"")),
        done_date=_parse_date(fields.get(b"donedate", b"")),
        sub=_parse_count(fields.get(b"sub", b"")),
        dlvrd=_parse_count(fields.get(b"dlvrd", b"")),
        text=fields.get(b"text", b""),
        raw=raw,
    )


def _read_fields(raw: bytes) -> dict[bytes, bytes]:
    """The fields by name. The first of a name counts.

    The excerpt may contain anything, so what follows "text:" is read as fields only when the id or the state has not
    been found before it.
    """
    fields: dict[bytes, bytes] = {}
    matches = list(_FIELD.finditer(raw))
    for index, match in enumerate(matches):
        name = _SPACING.sub(b"", match[1]).lower()
        name = _NAMES.get(name, name)
        is_rest = name == b"text" and b"id" in fields and b"stat" in fields
        stop = matches[index + 1].start() if index + 1 < len(matches) and not is_rest else len(raw)
        value = raw[match.end() : stop]
        fields.setdefault(name, value if name == b"text" else value.strip(_BLANKS))
        if is_rest:
            break
    return fields


def _parse_count(value: bytes) -> int | None:
    return int(value) if value.isdigit() and len(value) <= 9 else None


@lru_cache(maxsize=_DATES_REMEMBERED)
def _parse_date(value: bytes) -> int | None:
    """YYMMDDhhmm, with seconds or with a four-digit year; None when it is no date (all zeros, for one)."""
    if not value.isdigit():
        return None
    size = len(value)
    if size == 14 or (size == 12 and value.startswith(b"20")):
        # Twelve digits from "20" on are read as a year of this century first: 2020 with seconds is long past.
        moment = _moment(int(value[:4]), value[4:])
        if moment is not None or size == 14:
            return moment
    return _moment(2000 + int(value[:2]), value[2:]) if size in (10, 12) else None


def _moment(year: int, rest: bytes) -> int | None:
    second = int(rest[8:10]) if len(rest) > 8 else 0
    try:
        moment = datetime(year, int(rest[:2]), int(rest[2:4]), int(rest[4:6]), int(rest[6:8]), second, tzinfo=UTC)
    except ValueError:
        return None
    return to_ms(moment)


def _error_text(network_error: bytes) -> bytes:
    """network_error_code as `err`: the standard's type and number, or the three characters that some SMSCs send."""
    if all(0x20 < octet < 0x7F for octet in network_error):
        return network_error
    return b"%03d" % int.from_bytes(network_error[1:], "big")


# --- writing --------------------------------------------------------------------------------------------------------


def format_receipt(
    message_id: bytes,
    *,
    submit_ms: int,
    done_ms: int,
    stat: bytes,
    err: bytes = b"000",
    text: bytes = b"",
    sub: int = 1,
    dlvrd: int | None = None,
) -> bytes:
    """The text of a receipt, appendix B to the letter: dates in UTC to the minute, 20 octets of the message.

    dlvrd: how many were delivered; left out, 1 for DELIVRD and 0 for everything else.
    """
    if dlvrd is None:
        dlvrd = 1 if stat == b"DELIVRD" else 0
    return b"id:%b sub:%03d dlvrd:%03d submit date:%b done date:%b stat:%b err:%b text:%b" % (
        message_id,
        min(sub, 999),
        min(dlvrd, 999),
        _format_date(submit_ms // 60_000),
        _format_date(done_ms // 60_000),
        stat[:7],
        err[:3].rjust(3, b"0"),
        text[:EXCERPT_SIZE],
    )


@lru_cache(maxsize=_DATES_REMEMBERED)
def _format_date(minutes: int) -> bytes:
    moment = datetime.fromtimestamp(60 * minutes, UTC)
    return b"%02d%02d%02d%02d%02d" % (moment.year % 100, moment.month, moment.day, moment.hour, moment.minute)


def receipt_tlvs(
    message_id: bytes,
    message_state: int,
    *,
    network_error: bytes | None = None,
    user_message_reference: int | None = None,
) -> bytes:
    """The TLVs of a receipt, for an ESME of interface_version 3.4 or later."""
    if len(message_id) >= _MESSAGE_ID_SIZE or 0 in message_id:
        raise EncodeError(f"a message_id of {len(message_id)} octets does not fit")
    tlvs = tlv.encode(((_RECEIPTED_MESSAGE_ID, message_id + b"\0"), (_MESSAGE_STATE, bytes((message_state,)))))
    if network_error is not None:
        tlvs += tlv.encode_value(TlvTag.NETWORK_ERROR_CODE, network_error)
    if user_message_reference is not None:
        tlvs += tlv.encode_value(TlvTag.USER_MESSAGE_REFERENCE, user_message_reference)
    return tlvs
