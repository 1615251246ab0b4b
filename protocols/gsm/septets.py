"""Packed septets: eight characters in seven octets (3GPP TS 23.038 section 6.1.2), behind a header's fill bits.

SMPP counts octets, not septets. With 8n-1 septets the last seven bits could as well be an `@`; as section 6.1.2.3.1
has it for USSD they are a CR, and a message that ends with a CR of its own on an octet boundary gets a second one.
"""

from __future__ import annotations

from typing import Final

_CR: Final = 0x0D


def pack(septets: bytes, header_octets: int = 0) -> bytes:
    """Septets, one to an octet, packed; what follows a user data header of that length, its fill bits included.

    Raises ValueError for an octet of 0x80 or more.
    """
    if not septets.isascii():
        raise ValueError("a septet is less than 0x80")
    if not septets:
        return b""
    fill = fill_bits(header_octets)
    spare = -(fill + 7 * len(septets)) % 8
    if spare == 7 or (spare == 0 and septets[-1] == _CR):
        septets += b"\r"
    value = 0
    for septet in reversed(septets):
        value = value << 7 | septet
    return (value << fill).to_bytes((fill + 7 * len(septets) + 7) // 8, "little")


def unpack(octets: bytes, header_octets: int = 0, *, is_zero_padding: bool = False) -> bytes:
    """The septets, one to an octet, of what follows a header of that length.

    A CR that ends on an octet boundary is padding and left out. is_zero_padding: so is an `@` there, for peers that
    fill with zeros; a message that ends with a real `@` in that place loses it, so it is not the default.
    """
    fill = fill_bits(header_octets)
    bits = 8 * len(octets) - fill
    count = max(bits, 0) // 7
    value = int.from_bytes(octets, "little") >> fill
    septets = bytes(value >> 7 * place & 0x7F for place in range(count))
    ends_on_boundary = count > 0 and bits % 7 == 0
    if ends_on_boundary and (septets[-1] == _CR or (is_zero_padding and septets[-1] == 0)):
        return septets[:-1]
    return septets


def fill_bits(header_octets: int) -> int:
    """How many zero bits bring the text behind a header to a septet boundary (3GPP TS 23.040 section 9.2.3.24)."""
    return -8 * header_octets % 7
