"""Callbacks in the forms of Kannel and Jasmin, pure: what is told of a message, and the request that tells it.

The form stands with the address, in `callback_url`: "kannel:31:http://..." has the dlr-mask, "jasmin:3:POST:http://..."
the dlr-level and the dlr-method. So it goes with the message wherever its address goes, to the record and back, and no
other door can write it: theirs take http and https URLs only. decisions/0029.
"""

from __future__ import annotations

import re
import time
from enum import StrEnum
from typing import Final
from urllib.parse import quote_plus, urlencode
from uuid import UUID

import msgspec

from protocols.smpp.constants import CommandStatus
from protocols.smpp.receipt import EXCERPT_SIZE, format_receipt
from smscd.core.callback_records import CallbackRecord
from smscd.core.records import State

DELIVERED, UNDELIVERED, BUFFERED, ACCEPTED, REFUSED = 1, 2, 4, 8, 16
"""The bits of Kannel's dlr-mask, and its `%d`."""
MASK_ALL: Final = 31
JASMIN_ACK: Final = b"ACK/Jasmin"
EVERYTHING: Final = 0x11
"""registered_delivery of a message whose form says what is told: final and intermediate."""

_FORM: Final = re.compile(r"(?:kannel:(\d{1,2})|jasmin:([123]):(GET|POST)):([Hh][Tt][Tt][Pp].*)", re.DOTALL)
_ESCAPE: Final = re.compile(r"%(.)", re.DOTALL)
_OF_SMSC, _OF_PHONE, _BOTH = 1, 2, 3


class FormKind(StrEnum):
    """Whose form it is."""

    KANNEL = "kannel"
    JASMIN = "jasmin"


class CallbackForm(msgspec.Struct, frozen=True):
    """asked: Kannel's dlr-mask, or Jasmin's dlr-level: 1 the SMSC's answer, 2 the receipt, 3 both. method: Jasmin's."""

    kind: FormKind
    asked: int
    url: str
    method: str = "GET"


class CallbackRequest(msgspec.Struct, frozen=True):
    """The request that tells. acknowledgement: what the answer's body has to be; empty: anything."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes = b""
    acknowledgement: bytes = b""


def write_form(form: CallbackForm) -> str:
    """As `callback_url` has it."""
    method = f":{form.method}" if form.kind is FormKind.JASMIN else ""
    return f"{form.kind}:{form.asked}{method}:{form.url}"


def read_form(callback_url: str | None) -> CallbackForm | None:
    """The form of a callback_url; None for an address of our own webhooks."""
    if callback_url is None or callback_url[:1] not in "kj":
        return None
    found = _FORM.fullmatch(callback_url)
    if found is None:
        return None
    mask, level, method, url = found.groups()
    if mask is not None:
        return CallbackForm(FormKind.KANNEL, int(mask), url)
    return CallbackForm(FormKind.JASMIN, int(level), url, method)


def tells(callback_url: str | None, state: int, *, is_from_network: bool, status: int = 0) -> bool:
    """True when this form asked to be told of this; what has no form is told all.

    is_from_network: a receipt says it, not the SMSC's answer and not we. status: the SMSC's refusal.
    """
    form = read_form(callback_url)
    if form is None:
        return True
    if form.kind is FormKind.KANNEL:
        return bool(form.asked & _dlr_type(state, is_from_network=is_from_network, status=status))
    if is_from_network:
        return form.asked in (_OF_PHONE, _BOTH)
    # That a message ended without a receipt is told at level 2 as well: nothing else would tell it.
    return form.asked in (_OF_SMSC, _BOTH) or state >= State.DELIVERED


def tells_acceptance(callback_url: str) -> bool:
    """True when this form asked to be told that the SMSC has taken the message."""
    return read_form(callback_url) is not None and tells(callback_url, State.SENT, is_from_network=False)


def request_of(form: CallbackForm, record: CallbackRecord) -> CallbackRequest:
    """The request for a callback, the same on every attempt."""
    if form.kind is FormKind.KANNEL:
        return CallbackRequest("GET", kannel_url(form.url, record), {})
    body = urlencode(_jasmin_fields(form, record))
    if form.method == "POST":
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return CallbackRequest("POST", form.url, headers, body.encode(), JASMIN_ACK)
    url = form.url + ("&" if "?" in form.url else "?") + body
    return CallbackRequest("GET", url, {}, acknowledgement=JASMIN_ACK)


# --- Kannel ---------------------------------------------------------------------------------------------------------


def fill_escapes(url: str, values: dict[str, str]) -> str:
    """Put values, URL-encoded, in the place of their escapes: all in ASCII, so that what they become is never read as
    an escape again. Those that are not known are left, as Kannel leaves them, and so is `%%`."""

    def value(found: re.Match[str]) -> str:
        known = values.get(found[1])
        return found[0] if known is None else quote_plus(known.encode("ascii", "ignore"))

    return _ESCAPE.sub(value, url)


def kannel_url(url: str, record: CallbackRecord) -> str:
    """A dlr-url with what is known of the report; what the submission knew is in it already."""
    reply = _reply(record)
    values: dict[str, bytes] = {
        "d": b"%d" % _type_of(record),
        "A": reply,
        "a": b" ".join(reply.split()),
        "b": reply,
        "F": record.upstream_message_id,
        "i": record.upstream.encode(),
        "I": b"%d" % (record.group_id or record.id),
        "T": b"%d" % (record.done_ms // 1000),
        "c": b"-1",
        "m": b"-1",
        "M": b"-1",
        "u": b"",
        "C": b"UTF-8",
    }

    def value(found: re.Match[str]) -> str:
        letter = found[1]
        if letter == "%":
            return "%"
        if letter == "t":
            return time.strftime("%Y-%m-%d+%H:%M:%S", time.gmtime(record.done_ms // 1000))
        known = values.get(letter)
        return found[0] if known is None else quote_plus(known)

    return _ESCAPE.sub(value, url)


def _dlr_type(state: int, *, is_from_network: bool, status: int) -> int:
    if state == State.DELIVERED:
        return DELIVERED
    if state < State.DELIVERED:
        return BUFFERED if is_from_network else ACCEPTED
    return REFUSED if status and not is_from_network else UNDELIVERED


def _status(record: CallbackRecord) -> int:
    """The SMSC's refusal, which `err` has in decimal when it is not the network's."""
    return int(record.err) if not record.is_from_network and record.err.isdigit() else 0


def _type_of(record: CallbackRecord) -> int:
    return _dlr_type(record.state, is_from_network=record.is_from_network, status=_status(record))


def _reply(record: CallbackRecord) -> bytes:
    """What Kannel calls the SMSC's reply: the receipt's text, ACK or NACK."""
    kind = _type_of(record)
    if kind == ACCEPTED:
        return b"ACK/"
    if kind == REFUSED:
        status = _status(record)
        return b"NACK/0x%08x/%b" % (status, _status_name(status).encode())
    return format_receipt(
        record.upstream_message_id,
        submit_ms=record.submit_ms,
        done_ms=record.done_ms,
        stat=record.stat,
        err=record.err,
        text=record.body,
    )


def _status_name(status: int) -> str:
    try:
        return CommandStatus(status).name
    except ValueError:
        return f"0x{status:08x}"


# --- Jasmin ---------------------------------------------------------------------------------------------------------


def jasmin_id(message_id: int) -> str:
    """A message's id as a UUID of version 8 (RFC 9562 section 5.8), which has all its bits."""
    return str(
        UUID(int=message_id >> 16 << 80 | 8 << 76 | (message_id >> 4 & 0xFFF) << 64 | 2 << 62 | message_id & 0xF)
    )


def message_id_of(text: str) -> int | None:
    """The id that jasmin_id() was given; None for other text."""
    try:
        bits = UUID(text).int
    except ValueError:
        return None
    found = bits >> 80 << 16 | (bits >> 64 & 0xFFF) << 4 | bits & 0xF
    return found if jasmin_id(found) == text.lower() else None


def _jasmin_fields(form: CallbackForm, record: CallbackRecord) -> list[tuple[str, str | bytes]]:
    """Jasmin names the level of the report, not the one that was asked for."""
    is_of_phone = record.is_from_network or form.asked == _OF_PHONE
    told: list[tuple[str, str | bytes]] = [
        ("id", jasmin_id(record.group_id or record.id)),
        ("level", str(_OF_PHONE if is_of_phone else _OF_SMSC)),
        ("connector", record.upstream),
    ]
    if not is_of_phone:
        status = _status(record)
        is_answer = status or record.state == State.SENT
        return [*told, ("message_status", _status_name(status) if is_answer else record.stat)]
    delivered = record.segments if record.state == State.DELIVERED else 0
    return [
        *told,
        ("message_status", record.stat),
        ("id_smsc", record.upstream_message_id),
        ("sub", f"{record.segments:03d}"),
        ("dlvrd", f"{delivered:03d}"),
        ("subdate", _minute(record.submit_ms)),
        ("donedate", _minute(record.done_ms)),
        ("err", record.err),
        ("text", record.body[:EXCERPT_SIZE]),
    ]


def _minute(ms: int) -> str:
    return time.strftime("%y%m%d%H%M", time.gmtime(ms // 1000))
