"""What PDU tables are made of: the base of their classes, and the kinds of field with what refuses a bad one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, TypeVar

from protocols.smpp.constants import CommandId, CommandStatus


class Kind(Enum):
    """How a field lies on the wire (SMPP 3.4 section 3.1)."""

    INTEGER = "unsigned, big-endian"
    C_OCTETS = "octets that end with a NUL"
    COUNTED_OCTETS = "octets after one octet that counts them"
    COUNTED_ROWS = "structures after one octet that counts them"


@dataclass(slots=True, kw_only=True)
class Structure:
    """What a row of a counted field has. flag: tells its class from the others that the row might be."""

    flag: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class FieldFormat:
    """One row of a PDU's table.

    size:     octets: of an integer; at most of a string that we emit (a C-octet string's NUL included). Of rows: how
        many at most.
    accepted: the same for what a peer sends; larger where the field is full of peers that do not keep the limit.
    status:   the command_status that refuses a value that is too long.
    rows:     the classes that a row may be, each a table like a PDU's. More than one: an octet before each row, the
        class's `flag`, says which.
    rows_min: how many rows there are at least.
    is_rare:  a C-octet string that is nearly always empty; `codegen` makes that the fast case.
    """

    name: str
    kind: Kind
    size: int
    accepted: int
    status: CommandStatus
    rows: tuple[type[Structure], ...] = ()
    rows_min: int = 0
    is_rare: bool = False


@dataclass(slots=True, kw_only=True)
class Pdu:
    """What every PDU has. tlvs is the optional part as it came, undecoded: read it with `tlv`."""

    command_id: ClassVar[CommandId]

    sequence_number: int = 0
    command_status: int = 0
    tlvs: bytes = b""


_KEY = "smpp"
_Value = TypeVar("_Value", int, bytes)
_Row = TypeVar("_Row", bound=Structure)


def integer(size: int = 1) -> int:
    """Declare an integer of `size` octets in a PDU class."""
    return _declare(0, FieldFormat("", Kind.INTEGER, size, size, CommandStatus.ESME_RINVCMDLEN))


def c_octets(
    size: int,
    status: CommandStatus = CommandStatus.ESME_RINVCMDLEN,
    *,
    accepted: int | None = None,
    is_secret: bool = False,
    is_rare: bool = False,
) -> bytes:
    """Declare a C-octet string of at most `size` octets, NUL included. A secret one stays out of repr()."""
    form = FieldFormat("", Kind.C_OCTETS, size, accepted or size, status, is_rare=is_rare)
    return _declare(b"", form, is_secret)


def counted_octets(size: int, status: CommandStatus) -> bytes:
    """Declare an octet string that follows its one-octet length. Texts stay out of repr()."""
    return _declare(b"", FieldFormat("", Kind.COUNTED_OCTETS, size, 255, status), is_secret=True)


def counted_rows(
    rows: tuple[type[_Row], ...], status: CommandStatus, *, size_min: int = 0, size_max: int = 255
) -> Sequence[_Row]:
    """Declare structures that follow their one-octet number; another number is refused with `status`."""
    form = FieldFormat("", Kind.COUNTED_ROWS, size_max, size_max, status, rows, size_min)
    return dataclasses.field(default=(), metadata={_KEY: form})


def _declare(default: _Value, form: FieldFormat, is_secret: bool = False) -> _Value:
    return dataclasses.field(default=default, repr=not is_secret, metadata={_KEY: form})


def format_of(pdu_class: type) -> tuple[FieldFormat, ...]:
    """The table of a PDU class: its fields in wire order."""
    return tuple(
        dataclasses.replace(field.metadata[_KEY], name=field.name)
        for field in dataclasses.fields(pdu_class)
        if _KEY in field.metadata
    )
