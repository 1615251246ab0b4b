"""PDUs as they may be shown to an operator: the same fields, with secrets, texts and numbers hidden.

Lengths stay, so that what is shown is still the PDU that was sent: a text is as many asterisks as it had octets.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Final

from protocols.smpp import tlv
from protocols.smpp.codec import decode, encode
from protocols.smpp.constants import HEADER_SIZE, TlvTag
from protocols.smpp.errors import SmppError
from protocols.smpp.pdu import DeliverSm, Pdu
from protocols.smpp.receipt import parse_receipt

SHOWN_DIGITS: Final = 5
HIDDEN: Final = b"*"

_TEXT_TAGS: Final = frozenset((int(TlvTag.MESSAGE_PAYLOAD), int(TlvTag.CALLBACK_NUM), int(TlvTag.CALLBACK_NUM_ATAG)))
_EXCERPT: Final = re.compile(rb"\b(?:text|msg)\s*[:=]", re.IGNORECASE)
_PLAIN: Final = re.compile(rb"[\t\n\r -~]*\0?")


def redacted(frame: bytes) -> bytes:
    """One whole PDU without its secrets; one that cannot be read is its header and asterisks."""
    try:
        pdu = decode(frame)
        _hide(pdu)
        return encode(pdu)
    except SmppError:
        return frame[:HEADER_SIZE] + HIDDEN * (len(frame) - HEADER_SIZE)


def _hide(pdu: Pdu) -> None:
    is_receipt = isinstance(pdu, DeliverSm) and parse_receipt(pdu) is not None
    for field in dataclasses.fields(pdu):
        value = getattr(pdu, field.name)
        if field.name == "password":
            setattr(pdu, field.name, HIDDEN * min(len(value), 8))
        elif field.name == "short_message":
            if value:
                setattr(pdu, field.name, _without_excerpt(value) if is_receipt else HIDDEN * len(value))
        elif field.name.endswith("_addr"):
            setattr(pdu, field.name, masked(value))
        elif isinstance(value, tuple | list):
            for row in value:
                if hasattr(row, "destination_addr"):
                    row.destination_addr = masked(row.destination_addr)
    if pdu.tlvs:
        pdu.tlvs = tlv.encode(
            (tag, HIDDEN * len(value) if tag in _TEXT_TAGS else value) for tag, value in tlv.parse(pdu.tlvs)
        )


def masked(address: bytes) -> bytes:
    """A number with its first digits only; what is no number is nobody's secret."""
    digits = address.removeprefix(b"+")
    if not digits.isdigit() or len(digits) <= SHOWN_DIGITS:
        return address
    return address[: len(address) - len(digits) + SHOWN_DIGITS] + HIDDEN * (len(digits) - SHOWN_DIGITS)


def _without_excerpt(text: bytes) -> bytes:
    """A receipt's text up to the excerpt of the message; nothing of one in which that cannot be found, as in UCS-2."""
    mark = _EXCERPT.search(text)
    if mark is not None:
        return text[: mark.end()] + HIDDEN * (len(text) - mark.end())
    return text if _PLAIN.fullmatch(text) else HIDDEN * len(text)
