"""The kinds of field that PDU tables are made of: what a field is called, how it lies on the wire, what refuses it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from protocols.smpp.constants import CommandStatus


class Kind(Enum):
    """How a field lies on the wire (SMPP 3.4 section 3.1)."""

    INTEGER = "unsigned, big-endian"
    C_OCTETS = "octets that end with a NUL"
    COUNTED_OCTETS = "octets after one octet that counts them"


@dataclass(frozen=True, slots=True)
class FieldFormat:
    """One row of a PDU's table.

    size:     octets: of an integer; at most of a string that we emit (a C-octet string's NUL included).
    accepted: the same for what a peer sends; larger where the field is full of peers that do not keep the limit.
    status:   the command_status that refuses a value that is too long.
    """

    name: str
    kind: Kind
    size: int
    accepted: int
    status: CommandStatus


_KEY = "smpp"
_Value = TypeVar("_Value", int, bytes)


def integer(size: int = 1) -> int:
    """Declare an integer of `size` octets in a PDU class."""
    return _declare(0, Kind.INTEGER, size, size, CommandStatus.ESME_RINVCMDLEN)


def c_octets(
    size: int,
    status: CommandStatus = CommandStatus.ESME_RINVCMDLEN,
    *,
    accepted: int | None = None,
    is_secret: bool = False,
) -> bytes:
    """Declare a C-octet string of at most `size` octets, NUL included. A secret one stays out of repr()."""
    return _declare(b"", Kind.C_OCTETS, size, accepted or size, status, is_secret)


def counted_octets(size: int, status: CommandStatus) -> bytes:
    """Declare an octet string that follows its one-octet length. Texts stay out of repr()."""
    return _declare(b"", Kind.COUNTED_OCTETS, size, 255, status, True)


def _declare(
    default: _Value, kind: Kind, size: int, accepted: int, status: CommandStatus, is_secret: bool = False
) -> _Value:
    return dataclasses.field(
        default=default, repr=not is_secret, metadata={_KEY: FieldFormat("", kind, size, accepted, status)}
    )


def format_of(pdu_class: type) -> tuple[FieldFormat, ...]:
    """The table of a PDU class: its fields in wire order."""
    return tuple(
        dataclasses.replace(field.metadata[_KEY], name=field.name)
        for field in dataclasses.fields(pdu_class)
        if _KEY in field.metadata
    )
