"""Cuts the content of a message into what single short messages carry: 160/153 septets, 140/134 octets, 70/67 UCS-2.

An escape is never parted from its septet, nor a surrogate pair. Parts get a concatenation header with the 8-bit
reference that the caller gives.
"""

from __future__ import annotations

from typing import Final

from protocols.gsm import udh
from protocols.gsm.alphabets import ESCAPE, Alphabet

OCTETS_MAX: Final = 140
SEPTETS_MAX: Final = 160
SEGMENTS_MAX: Final = 255
PAIR_OCTETS: Final = 4


class TooManySegmentsError(ValueError):
    """The content needs more segments than allowed. count: how many."""

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} segments")
        self.count = count


def capacity(alphabet: Alphabet, header_octets: int = 0) -> int:
    """How many octets of content one short message carries beside a header of that length.

    For GSM7 an octet of content is a septet on the air, and the header is filled up to a septet.
    """
    octets = OCTETS_MAX - header_octets
    match alphabet:
        case Alphabet.GSM7:
            return octets * 8 // 7
        case Alphabet.UCS2:
            return octets & ~1
        case Alphabet.OCTETS:
            return octets


def fits_one(content: bytes, alphabet: Alphabet) -> bool:
    """True when content without a header fits one short message."""
    return len(content) <= _SINGLE[alphabet]


def split(
    content: bytes,
    alphabet: Alphabet,
    reference: int,
    segments_max: int,
    elements: tuple[tuple[int, bytes], ...] = (),
) -> list[bytes]:
    """The short_message of each segment; with more than one, each starts with a header.

    content: without a header. reference: 0..255, the same for all parts.
    elements: information elements that each part carries beside the concatenation.
    Raises TooManySegmentsError above segments_max (or 255), UdhError when the elements leave no room.
    """
    header = udh.build(elements) if elements else b""
    if len(content) <= (capacity(alphabet, len(header)) if header else _SINGLE[alphabet]):
        return [header + content]
    header_length = (len(header) or 1) + 5
    room = capacity(alphabet, header_length)
    if room < PAIR_OCTETS:
        raise udh.UdhError("the header leaves no room for text")
    bounds = cuts(content, alphabet, room)
    total = len(bounds)
    if total > min(segments_max, SEGMENTS_MAX):
        raise TooManySegmentsError(total)
    parts: list[bytes] = []
    start = 0
    for sequence, end in enumerate(bounds, 1):
        parts.append(udh.build((*elements, udh.concatenation_8(reference, total, sequence))) + content[start:end])
        start = end
    return parts


def cuts(content: bytes, alphabet: Alphabet, room: int) -> list[int]:
    """Where each part ends, when a part holds at most `room` octets (at least 4, and even for UCS-2)."""
    bounds: list[int] = []
    start, size = 0, len(content)
    while size - start > room:
        end = start + room
        if alphabet is Alphabet.GSM7:
            if _ends_in_escape(content, start, end):
                end -= 1
        elif alphabet is Alphabet.UCS2 and 0xD8 <= content[end - 2] <= 0xDB and 0xDC <= content[end] <= 0xDF:
            end -= 2
        bounds.append(end)
        start = end
    bounds.append(size)
    return bounds


_SINGLE: Final = tuple(capacity(alphabet) for alphabet in Alphabet)


def _ends_in_escape(content: bytes, start: int, end: int) -> bool:
    """True when the last octet before `end` is an escape whose septet would be cut off."""
    at = end
    while at > start and content[at - 1] == ESCAPE:
        at -= 1
    return (end - at) % 2 == 1
