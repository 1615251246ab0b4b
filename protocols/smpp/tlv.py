"""Optional parameters: the raw tail of a PDU read lazily, and written; the formats of the known tags are a table.

A tail may be broken: a peer's careless TLV must not cost the message. What can be read is read, the rest is left out.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

from protocols.smpp.constants import TlvTag
from protocols.smpp.errors import EncodeError

_TLV = struct.Struct(">HH")


class TlvKind(IntEnum):
    """How a TLV's value lies on the wire: an unsigned integer, octets that end with a NUL, or octets."""

    INTEGER = 1
    C_OCTETS = 2
    OCTETS = 3


class TlvFormat(NamedTuple):
    """One row of the table: sizes are octets of the value, a C-octet string's NUL included."""

    kind: TlvKind
    size_min: int
    size_max: int


def _integer(size_min: int, size_max: int | None = None) -> TlvFormat:
    return TlvFormat(TlvKind.INTEGER, size_min, size_max or size_min)


def _c_octets(size_max: int, size_min: int = 0) -> TlvFormat:
    return TlvFormat(TlvKind.C_OCTETS, size_min, size_max)


def _octets(size_min: int, size_max: int | None = None) -> TlvFormat:
    return TlvFormat(TlvKind.OCTETS, size_min, size_max or size_min)


TLV_FORMATS: dict[TlvTag, TlvFormat] = {
    TlvTag.DEST_ADDR_SUBUNIT: _integer(1),
    TlvTag.DEST_NETWORK_TYPE: _integer(1),
    TlvTag.DEST_BEARER_TYPE: _integer(1),
    TlvTag.DEST_TELEMATICS_ID: _integer(2),
    TlvTag.SOURCE_ADDR_SUBUNIT: _integer(1),
    TlvTag.SOURCE_NETWORK_TYPE: _integer(1),
    TlvTag.SOURCE_BEARER_TYPE: _integer(1),
    TlvTag.SOURCE_TELEMATICS_ID: _integer(1, 2),
    TlvTag.QOS_TIME_TO_LIVE: _integer(4),
    TlvTag.PAYLOAD_TYPE: _integer(1),
    TlvTag.ADDITIONAL_STATUS_INFO_TEXT: _c_octets(256),
    TlvTag.RECEIPTED_MESSAGE_ID: _c_octets(65),
    TlvTag.MS_MSG_WAIT_FACILITIES: _integer(1),
    TlvTag.PRIVACY_INDICATOR: _integer(1),
    TlvTag.SOURCE_SUBADDRESS: _octets(2, 23),
    TlvTag.DEST_SUBADDRESS: _octets(2, 23),
    TlvTag.USER_MESSAGE_REFERENCE: _integer(2),
    TlvTag.USER_RESPONSE_CODE: _integer(1),
    TlvTag.SOURCE_PORT: _integer(2),
    TlvTag.DESTINATION_PORT: _integer(2),
    TlvTag.SAR_MSG_REF_NUM: _integer(2),
    TlvTag.LANGUAGE_INDICATOR: _integer(1),
    TlvTag.SAR_TOTAL_SEGMENTS: _integer(1),
    TlvTag.SAR_SEGMENT_SEQNUM: _integer(1),
    TlvTag.SC_INTERFACE_VERSION: _integer(1),
    TlvTag.CALLBACK_NUM_PRES_IND: _integer(1),
    TlvTag.CALLBACK_NUM_ATAG: _octets(0, 65),
    TlvTag.NUMBER_OF_MESSAGES: _integer(1),
    TlvTag.CALLBACK_NUM: _octets(4, 19),
    TlvTag.DPF_RESULT: _integer(1),
    TlvTag.SET_DPF: _integer(1),
    TlvTag.MS_AVAILABILITY_STATUS: _integer(1),
    TlvTag.NETWORK_ERROR_CODE: _octets(3),
    TlvTag.MESSAGE_PAYLOAD: _octets(0, 65535),
    TlvTag.DELIVERY_FAILURE_REASON: _integer(1),
    TlvTag.MORE_MESSAGES_TO_SEND: _integer(1),
    TlvTag.MESSAGE_STATE: _integer(1),
    TlvTag.CONGESTION_STATE: _integer(1),
    TlvTag.USSD_SERVICE_OP: _integer(1),
    TlvTag.BROADCAST_CHANNEL_INDICATOR: _integer(1),
    TlvTag.BROADCAST_CONTENT_TYPE: _octets(3),
    TlvTag.BROADCAST_CONTENT_TYPE_INFO: _octets(0, 255),
    TlvTag.BROADCAST_MESSAGE_CLASS: _integer(1),
    TlvTag.BROADCAST_REP_NUM: _integer(2),
    TlvTag.BROADCAST_FREQUENCY_INTERVAL: _octets(3),
    TlvTag.BROADCAST_AREA_IDENTIFIER: _octets(1, 101),
    TlvTag.BROADCAST_ERROR_STATUS: _integer(4),
    TlvTag.BROADCAST_AREA_SUCCESS: _integer(1),
    TlvTag.BROADCAST_END_TIME: _c_octets(17),
    TlvTag.BROADCAST_SERVICE_GROUP: _octets(0, 255),
    TlvTag.BILLING_IDENTIFICATION: _octets(0, 1024),
    TlvTag.SOURCE_NETWORK_ID: _c_octets(65, 7),
    TlvTag.DEST_NETWORK_ID: _c_octets(65, 7),
    TlvTag.SOURCE_NODE_ID: _octets(6),
    TlvTag.DEST_NODE_ID: _octets(6),
    TlvTag.DEST_ADDR_NP_RESOLUTION: _integer(1),
    TlvTag.DEST_ADDR_NP_INFORMATION: _octets(10),
    TlvTag.DEST_ADDR_NP_COUNTRY: _octets(1, 5),
    TlvTag.DISPLAY_TIME: _integer(1),
    TlvTag.SMS_SIGNAL: _integer(2),
    TlvTag.MS_VALIDITY: _octets(1, 4),
    TlvTag.ALERT_ON_MESSAGE_DELIVERY: _octets(0, 1),
    TlvTag.ITS_REPLY_TYPE: _integer(1),
    TlvTag.ITS_SESSION_INFO: _octets(2),
}

HOP_TAGS: frozenset[int] = frozenset(
    map(
        int,
        (
            TlvTag.SC_INTERFACE_VERSION,
            TlvTag.MORE_MESSAGES_TO_SEND,
            TlvTag.CONGESTION_STATE,
            TlvTag.ADDITIONAL_STATUS_INFO_TEXT,
            TlvTag.DPF_RESULT,
            TlvTag.MS_AVAILABILITY_STATUS,
            TlvTag.DELIVERY_FAILURE_REASON,
        ),
    )
)
"""What one end says to the other of their session or of its answers: whoever passes a message on leaves them out.

more_messages_to_send speaks of the next PDU on that session, which on the next one is another.
"""

# The same for reading, where looking up members of enums would be most of the time: tag to (kind, size_min, size_max).
_INTEGER, _C_OCTETS = int(TlvKind.INTEGER), int(TlvKind.C_OCTETS)
_FORMATS: dict[int, tuple[int, int, int]] = {
    int(tag): (int(form.kind), form.size_min, form.size_max) for tag, form in TLV_FORMATS.items()
}


def parse(raw: bytes) -> list[tuple[int, bytes]]:
    """The TLVs of a raw tail in their order, values verbatim. What comes after a broken one cannot be read."""
    items, is_whole = _walk(raw, 0)
    if not is_whole and raw[0] == 0:
        # Some peers put one NUL too many after short_message, so the tail starts one octet late.
        shifted, is_whole = _walk(raw, 1)
        if is_whole:
            return shifted
    return items


def _walk(raw: bytes, position: int) -> tuple[list[tuple[int, bytes]], bool]:
    items: list[tuple[int, bytes]] = []
    end = len(raw)
    while end - position >= 4:
        tag, length = _TLV.unpack_from(raw, position)
        stop = position + 4 + length
        if stop > end:
            break
        items.append((tag, raw[position + 4 : stop]))
        position = stop
    return items, position == end


def find(raw: bytes, tag: int) -> bytes | None:
    """The value of the first TLV with this tag, verbatim, or None."""
    for found, value in parse(raw) if raw else ():
        if found == tag:
            return value
    return None


def read(raw: bytes) -> dict[int, int | bytes]:
    """The known TLVs by tag and by the table: integers as int, C-octet strings without NUL, the first of each tag.

    One whose value does not fit its format is skipped, as are unknown tags.
    """
    values: dict[int, int | bytes] = {}
    for tag, octets in parse(raw) if raw else ():
        form = _FORMATS.get(tag)
        if form is None or tag in values:
            continue
        kind, size_min, size_max = form
        if kind == _C_OCTETS:
            # Liberal: the NUL may be missing or doubled, and an id may be longer than the standard's.
            values[tag] = octets.split(b"\0", 1)[0]
        elif size_min <= len(octets) <= size_max:
            values[tag] = int.from_bytes(octets, "big") if kind == _INTEGER else octets
    return values


def read_integer(raw: bytes, tag: TlvTag) -> int | None:
    """One integer TLV by the table, or None when it is missing or broken."""
    octets = find(raw, tag)
    form = TLV_FORMATS[tag]
    if octets is None or not form.size_min <= len(octets) <= form.size_max:
        return None
    return int.from_bytes(octets, "big")


def encode(items: Iterable[tuple[int, bytes]]) -> bytes:
    """TLVs from tags and raw values, in the order given."""
    parts: list[bytes] = []
    for tag, value in items:
        if not 0 <= tag <= 0xFFFF or len(value) > 0xFFFF:
            raise EncodeError(f"TLV 0x{tag:04x} with {len(value)} octets does not fit")
        parts += (_TLV.pack(tag, len(value)), value)
    return b"".join(parts)


def encode_value(tag: TlvTag, value: int | bytes) -> bytes:
    """One known TLV, by the table: an int for INTEGER, octets without NUL for C_OCTETS. Strict."""
    form = TLV_FORMATS[tag]
    if isinstance(value, int):
        if form.kind is not TlvKind.INTEGER or not 0 <= value < 1 << 8 * form.size_max:
            raise EncodeError(f"{tag.name}: {value} does not fit")
        octets = value.to_bytes(form.size_max, "big")
    else:
        octets = value + b"\0" if form.kind is TlvKind.C_OCTETS else value
        if form.kind is TlvKind.INTEGER or not form.size_min <= len(octets) <= form.size_max:
            raise EncodeError(f"{tag.name}: {len(octets)} octets do not fit")
        if form.kind is TlvKind.C_OCTETS and 0 in value:
            raise EncodeError(f"{tag.name}: a NUL inside a C-octet string")
    return _TLV.pack(tag, len(octets)) + octets


def clean(raw: bytes) -> bytes:
    """The readable TLVs of a tail, verbatim and in order: what may be passed on to another peer."""
    return encode(parse(raw)) if raw else b""
