"""Cuts the content of a message into what single short messages carry: 160/153 septets, 140/134 octets, 70/67 UCS-2.

An escape is never parted from its septet, nor a surrogate pair. Parts get a concatenation header with the reference
that the caller gives, of 8 bits or of 16: then there are 152, 133 and 66.
"""

from __future__ import annotations

from typing import Final

from protocols.gsm import udh
from protocols.gsm.alphabets import ESCAPE, GSM, Alphabet

OCTETS_MAX: Final = 140
SEPTETS_MAX: Final = 160
SEGMENTS_MAX: Final = 255
PAIR_OCTETS: Final = 4
CONCATENATION_8_OCTETS: Final = 5
CONCATENATION_16_OCTETS: Final = 6


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


def fits(content: bytes, alphabet: Alphabet, header_octets: int = 0, latin: str | None = None) -> bool:
    """True when one short message carries the content beside a header of that length. latin: see `split`."""
    if len(content) <= (capacity(alphabet, header_octets) if header_octets else _SINGLE[alphabet]):
        return True
    septets = latin_septets(content, latin) if latin is not None else None
    return septets is not None and len(septets) <= capacity(Alphabet.GSM7, header_octets)


def split(
    content: bytes,
    alphabet: Alphabet,
    reference: int,
    segments_max: int,
    elements: tuple[tuple[int, bytes], ...] = (),
    *,
    is_wide: bool = False,
    latin: str | None = None,
) -> list[bytes]:
    """The short_message of each segment; with more than one, each starts with a header.

    content: without a header. reference: the same for all parts, cut to 8 bits, or to 16 when it is_wide.
    elements: information elements that each part carries beside the concatenation.
    latin: the codec of a text of one octet a character. On the air there is no Latin-1: where the GSM alphabet has
        all of it, it is counted and cut as the septets that a carrier makes of it; otherwise as octets.
    Raises TooManySegmentsError above segments_max (or 255), UdhError when the elements leave no room.
    """
    bounds = part_bounds(content, alphabet, elements, is_wide=is_wide, latin=latin)
    total = len(bounds)
    if total == 1:
        return [udh.build(elements) + content if elements else content]
    if total > min(segments_max, SEGMENTS_MAX):
        raise TooManySegmentsError(total)
    concatenation = udh.concatenation_16 if is_wide else udh.concatenation_8
    parts: list[bytes] = []
    start = 0
    for sequence, end in enumerate(bounds, 1):
        parts.append(udh.build((*elements, concatenation(reference, total, sequence))) + content[start:end])
        start = end
    return parts


def count(content: bytes, alphabet: Alphabet, elements: tuple[tuple[int, bytes], ...] = ()) -> int:
    """How many short messages the content takes; `split` without a limit. Raises UdhError as it does."""
    return len(part_bounds(content, alphabet, elements))


def part_bounds(
    content: bytes,
    alphabet: Alphabet,
    elements: tuple[tuple[int, bytes], ...] = (),
    *,
    is_wide: bool = False,
    latin: str | None = None,
) -> list[int]:
    """Where each segment ends in the content; one bound when it is not to be cut. Raises UdhError as `split` does."""
    header_octets = len(udh.build(elements)) if elements else 0
    if fits(content, alphabet, header_octets, latin):
        return [len(content)]
    in_parts = (header_octets or 1) + (CONCATENATION_16_OCTETS if is_wide else CONCATENATION_8_OCTETS)
    septets = latin_septets(content, latin) if latin is not None else None
    room = capacity(alphabet if septets is None else Alphabet.GSM7, in_parts)
    if room < PAIR_OCTETS:
        raise udh.UdhError("the header leaves no room for text")
    if septets is None:
        return cuts(content, alphabet, room)
    # An escape and its septet are one character, so that one octet is what is left of each pair.
    return [end - septets.count(ESCAPE, 0, end) for end in cuts(septets, Alphabet.GSM7, room)]


def latin_septets(content: bytes, codec: str) -> bytes | None:
    """A text of one octet a character in the GSM alphabet; None when that does not have all of it."""
    try:
        return GSM.encode(content.decode(codec))
    except UnicodeError:
        return None


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
