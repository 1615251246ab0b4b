"""Chooses a text's encoding: the default alphabet where it can be, a national one where it may, UCS-2 otherwise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from protocols.gsm import udh
from protocols.gsm.alphabets import GSM, Alphabet, encode_ucs2, national
from protocols.gsm.national import LOCKING, SINGLE_SHIFT
from protocols.gsm.segmentation import count


class Encoded(NamedTuple):
    """A text as octets. elements: what its header says of national tables; empty: it needs none."""

    content: bytes
    alphabet: Alphabet
    elements: tuple[tuple[int, bytes], ...] = ()


def choose(text: str, languages: Iterable[int] = ()) -> Encoded:
    """The encoding with the fewest segments, and of those the one that the most phones can read.

    languages: national language identifiers that may be used. None by default: phones and carriers that do not know
    the tables show other characters, and nobody is told. Raises UnicodeEncodeError on half of a surrogate pair.
    """
    try:
        return Encoded(GSM.encode(text), Alphabet.GSM7)
    except UnicodeEncodeError:
        best = Encoded(encode_ucs2(text), Alphabet.UCS2)
    fewest = count(best.content, best.alphabet)
    for locking, single_shift in _pairs(languages):
        try:
            content = national(locking, single_shift).encode(text)
        except UnicodeEncodeError:
            continue
        elements = udh.national_shifts(locking, single_shift)
        needed = count(content, Alphabet.GSM7, elements)
        if needed < fewest:
            fewest, best = needed, Encoded(content, Alphabet.GSM7, elements)
    return best


def _pairs(languages: Iterable[int]) -> Iterable[tuple[int, int]]:
    """(locking, single shift) to be tried, the smallest header first."""
    known = tuple(languages)
    yield from ((0, language) for language in known if language in SINGLE_SHIFT)
    yield from ((language, 0) for language in known if language in LOCKING)
    yield from ((language, language) for language in known if language in LOCKING)
