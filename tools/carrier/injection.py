"""Any PDU, well made or not, for tests of whoever is bound to the carrier: from its description in JSON to octets."""

from __future__ import annotations

import dataclasses
from itertools import count
from typing import Final

import msgspec

from protocols.smpp import tlv
from protocols.smpp.codec import encode
from protocols.smpp.constants import CommandId
from protocols.smpp.pdu import PDU_CLASSES, Pdu
from smscd.transport.connection import SmppConnection

FIRST_NUMBER: Final = 0x7000_0000
"""Far from the numbers that sessions give: an answer to one of these is an answer to nothing that they know."""

_CLASSES: Final[dict[str, type[Pdu]]] = {CommandId(cls.command_id).name.lower(): cls for cls in PDU_CLASSES}
_numbers = count(FIRST_NUMBER)


class Octets(msgspec.Struct, forbid_unknown_fields=True):
    """Octets that are no text."""

    hex: str


class TlvRequest(msgspec.Struct, forbid_unknown_fields=True):
    """One TLV: its tag as a number, its value in hexadecimal digits."""

    tag: int
    hex: str = ""


class PduRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /pdu: a command with fields and TLVs, or whole octets in hexadecimal digits.

    fields: by the names of the specification; numbers, text, or {"hex": "..."}. sequence_number: one of our own without
    it. everybody: on every bound session, else on one of them.
    """

    command: str = ""
    fields: dict[str, int | str | Octets] = {}
    tlvs: list[TlvRequest] = []
    hex: str = ""
    sequence_number: int | None = None
    command_status: int = 0
    system_id: str | None = None
    everybody: bool = True


def octets_of(request: PduRequest) -> bytes:
    """The PDU. Raises ValueError for one that cannot be made."""
    if bool(request.hex) == bool(request.command):
        raise ValueError("give a command, or hex")
    if request.hex:
        return bytes.fromhex(request.hex)
    cls = _CLASSES.get(request.command)
    if cls is None:
        raise ValueError(f"{request.command} is no command")
    names = {field.name for field in dataclasses.fields(cls)}
    values: dict[str, object] = {}
    for name, value in request.fields.items():
        if name not in names:
            raise ValueError(f"{request.command} has no field {name}")
        octets = bytes.fromhex(value.hex) if isinstance(value, Octets) else value
        values[name] = octets.encode("latin-1") if isinstance(octets, str) else octets
    number = next(_numbers) if request.sequence_number is None else request.sequence_number
    tlvs = tlv.encode((item.tag, bytes.fromhex(item.hex)) for item in request.tlvs)
    try:
        return encode(cls(sequence_number=number, command_status=request.command_status, tlvs=tlvs, **values))
    except (TypeError, AttributeError) as error:
        raise ValueError(f"a field of {request.command} has a value of another kind: {error}") from error


def write_octets(connection: SmppConnection, octets: bytes) -> None:
    """Write past the session, which would refuse what is wrong in its state or cannot be a PDU at all."""
    connection.session._out.append(octets)
    connection.flush()
