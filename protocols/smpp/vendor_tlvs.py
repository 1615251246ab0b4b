"""TLVs that a carrier or a country defines: a profile names them, with their types and sizes, in both directions.

A profile reads and checks; it changes nothing: unknown and vendor TLVs stay in `Pdu.tlvs` as they came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from protocols.smpp import tlv
from protocols.smpp.constants import CommandStatus
from protocols.smpp.errors import EncodeError, PduError
from protocols.smpp.tlv import TlvKind

TAG_MAX = 0xFFFF
SIZE_MAX = 0xFFFF


@dataclass(frozen=True, slots=True)
class NamedTlv:
    """One row of a profile. size_min, size_max: octets of the value, a C-octet string's NUL included.

    is_required: check() refuses a PDU without it.
    """

    tag: int
    name: str
    kind: TlvKind
    size_min: int
    size_max: int
    is_required: bool = False


class NamedTlvError(PduError):
    """A named TLV is missing or has a wrong size. name: which one."""

    def __init__(self, command_status: int, name: str, detail: str) -> None:
        super().__init__(command_status, f"the TLV {name} {detail}")
        self.name = name


class TlvProfile:
    """Named TLVs. Raises ValueError for rows that contradict themselves or each other."""

    __slots__ = ("_by_name", "_by_tag", "_required", "rows")

    def __init__(self, rows: Iterable[NamedTlv]) -> None:
        self.rows = tuple(rows)
        self._by_tag = {row.tag: row for row in self.rows}
        self._by_name = {row.name: row for row in self.rows}
        self._required = tuple(row for row in self.rows if row.is_required)
        if len(self._by_tag) != len(self.rows) or len(self._by_name) != len(self.rows):
            raise ValueError("two TLVs of a profile have the same tag or name")
        for row in self.rows:
            least = {TlvKind.INTEGER: 1, TlvKind.C_OCTETS: 1, TlvKind.OCTETS: 0}[row.kind]
            if not 0 < row.tag <= TAG_MAX or not least <= row.size_min <= row.size_max <= SIZE_MAX:
                raise ValueError(f"TLV {row.name}: tag 0x{row.tag:04x} of {row.size_min} to {row.size_max} octets")

    def decode(self, raw: bytes) -> dict[str, int | bytes]:
        """The named TLVs of a raw tail: integers as int, C-octet strings without NUL, the first of each tag.

        One whose size does not fit its row is left out, as are all others.
        """
        values: dict[str, int | bytes] = {}
        for tag, octets in tlv.parse(raw) if raw else ():
            row = self._by_tag.get(tag)
            if row is not None and row.name not in values and _fits(row, octets):
                values[row.name] = _value(row, octets)
        return values

    def encode(self, values: Mapping[str, int | bytes]) -> bytes:
        """Named values as TLVs, in the order of the rows. Raises EncodeError for a bad value or an unknown name."""
        unknown = values.keys() - self._by_name.keys()
        if unknown:
            raise EncodeError(f"the profile has no TLV {min(unknown)}")
        return tlv.encode((row.tag, _octets(row, values[row.name])) for row in self.rows if row.name in values)

    def check(self, raw: bytes) -> None:
        """Raise NamedTlvError for a required TLV that is missing (ESME_RMISSINGTLV), a wrong size (ESME_RINVTLVLEN)."""
        seen: set[int] = set()
        for tag, octets in tlv.parse(raw) if raw else ():
            row = self._by_tag.get(tag)
            if row is not None:
                seen.add(tag)
                if not _fits(row, octets):
                    detail = f"has {len(octets)} octets, not {row.size_min} to {row.size_max}"
                    raise NamedTlvError(CommandStatus.ESME_RINVTLVLEN, row.name, detail)
        for row in self._required:
            if row.tag not in seen:
                raise NamedTlvError(CommandStatus.ESME_RMISSINGTLV, row.name, "is required and missing")


def _fits(row: NamedTlv, octets: bytes) -> bool:
    # The NUL of a C-octet string is forgiven when it is missing, and counts once when it is doubled.
    size = len(octets.split(b"\0", 1)[0]) + 1 if row.kind is TlvKind.C_OCTETS else len(octets)
    return row.size_min <= size <= row.size_max


def _value(row: NamedTlv, octets: bytes) -> int | bytes:
    if row.kind is TlvKind.INTEGER:
        return int.from_bytes(octets, "big")
    return octets.split(b"\0", 1)[0] if row.kind is TlvKind.C_OCTETS else octets


def _octets(row: NamedTlv, value: int | bytes) -> bytes:
    if isinstance(value, int):
        if row.kind is not TlvKind.INTEGER or not 0 <= value < 1 << 8 * row.size_max:
            raise EncodeError(f"{row.name}: {value} does not fit")
        return value.to_bytes(row.size_max, "big")
    octets = value + b"\0" if row.kind is TlvKind.C_OCTETS else value
    if row.kind is TlvKind.INTEGER or not row.size_min <= len(octets) <= row.size_max:
        raise EncodeError(f"{row.name}: {len(octets)} octets do not fit")
    if row.kind is TlvKind.C_OCTETS and 0 in value:
        raise EncodeError(f"{row.name}: a NUL inside a C-octet string")
    return octets
