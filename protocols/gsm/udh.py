"""The user data header (3GPP TS 23.040 section 9.2.3.24): parsed, built, checked.

Octet 0 is its length without itself; then information elements: identifier, length, data.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

CONCATENATION_8: Final = 0x00
PORTS_8: Final = 0x04
PORTS_16: Final = 0x05
CONCATENATION_16: Final = 0x08
NATIONAL_SINGLE_SHIFT: Final = 0x24
NATIONAL_LOCKING_SHIFT: Final = 0x25


class UdhError(ValueError):
    """The octets are no valid header; says why."""


@dataclass(frozen=True, slots=True)
class Concatenation:
    """Which part of which long message; sequence counts from 1. is_wide: the header has 16 bits for the reference."""

    reference: int
    total: int
    sequence: int
    is_wide: bool = False


@dataclass(frozen=True, slots=True)
class Udh:
    """A parsed header. length: octets of the content that it takes, its length octet included."""

    elements: tuple[tuple[int, bytes], ...]
    length: int

    @property
    def concatenation(self) -> Concatenation | None:
        """The last concatenation element, 8-bit or 16-bit; None when there is none.

        The last, because that one counts of elements that are repeated or exclude each other (section 9.2.3.24).
        """
        for identifier, data in reversed(self.elements):
            if identifier == CONCATENATION_8:
                return Concatenation(data[0], data[1], data[2])
            if identifier == CONCATENATION_16:
                return Concatenation(data[0] << 8 | data[1], data[2], data[3], is_wide=True)
        return None

    @property
    def ports(self) -> tuple[int, int] | None:
        """(destination, source) of the last port addressing element, 8-bit or 16-bit; None when there is none."""
        for identifier, data in reversed(self.elements):
            if identifier in (PORTS_8, PORTS_16) and len(data) == (2 if identifier == PORTS_8 else 4):
                half = len(data) // 2
                return int.from_bytes(data[:half], "big"), int.from_bytes(data[half:], "big")
        return None

    @property
    def others(self) -> tuple[tuple[int, bytes], ...]:
        """The elements that do not say which part of a long message this is."""
        return tuple(element for element in self.elements if element[0] not in _CONCATENATION_LENGTHS)


def parse(content: bytes) -> Udh:
    """Read the header at the start of `content`. Raises UdhError when it does not fit or contradicts itself."""
    if not content:
        raise UdhError("there is no header")
    length = content[0] + 1
    if length > len(content):
        raise UdhError(f"the header says {length} octets, the message has {len(content)}")
    elements: list[tuple[int, bytes]] = []
    at = 1
    while at < length:
        if at + 2 > length or at + 2 + content[at + 1] > length:
            raise UdhError(f"the information element at octet {at} does not fit the header")
        identifier = content[at]
        end = at + 2 + content[at + 1]
        data = content[at + 2 : end]
        if identifier in _CONCATENATION_LENGTHS:
            _check_concatenation(identifier, data)
        elements.append((identifier, data))
        at = end
    return Udh(tuple(elements), length)


def build(elements: Iterable[tuple[int, bytes]]) -> bytes:
    """The octets of a header with these elements. Raises UdhError when they are too long for one."""
    body = b"".join(_element(identifier, data) for identifier, data in elements)
    if len(body) > 139:
        raise UdhError(f"{len(body)} octets of elements do not fit a message")
    return bytes((len(body),)) + body


def concatenation_8(reference: int, total: int, sequence: int) -> tuple[int, bytes]:
    """The information element of one part of a long message, with an 8-bit reference."""
    return CONCATENATION_8, bytes((reference & 0xFF, total, sequence))


def concatenation_16(reference: int, total: int, sequence: int) -> tuple[int, bytes]:
    """The same with a 16-bit reference."""
    return CONCATENATION_16, bytes((reference >> 8 & 0xFF, reference & 0xFF, total, sequence))


def national_shifts(locking: int = 0, single_shift: int = 0) -> tuple[tuple[int, bytes], ...]:
    """The information elements that choose national tables (section 9.2.3.24.15 and .16); 0: none."""
    elements: list[tuple[int, bytes]] = []
    if single_shift:
        elements.append((NATIONAL_SINGLE_SHIFT, bytes((single_shift,))))
    if locking:
        elements.append((NATIONAL_LOCKING_SHIFT, bytes((locking,))))
    return tuple(elements)


_CONCATENATION_LENGTHS: Final = {CONCATENATION_8: 3, CONCATENATION_16: 4}


def _element(identifier: int, data: bytes) -> bytes:
    if len(data) > 137:
        raise UdhError(f"{len(data)} octets do not fit an information element")
    return bytes((identifier, len(data))) + data


def _check_concatenation(identifier: int, data: bytes) -> None:
    if len(data) != _CONCATENATION_LENGTHS[identifier]:
        raise UdhError(f"concatenation element 0x{identifier:02x} has {len(data)} octets")
    total, sequence = data[-2], data[-1]
    if not 1 <= sequence <= total:
        raise UdhError(f"part {sequence} of {total}")
