"""Alphabets of short messages: GSM 03.38 (3GPP TS 23.038) unpacked, UCS-2, ISO 8859; decoding by data_coding.

Unpacked means one septet in one octet, as SMPP carries it. Both directions of the GSM alphabet are translate tables
of the standard library's C code. National language tables are further `GsmAlphabet`s: a locking table in place of
the default one, a single shift table in place of the extension, chosen by information elements 0x25 and 0x24.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from enum import IntEnum
from functools import cache
from typing import Final

from protocols.gsm.coding import Charset, classify
from protocols.gsm.national import EMPTY, LOCKING, SINGLE_SHIFT
from protocols.gsm.udh import NATIONAL_LOCKING_SHIFT, NATIONAL_SINGLE_SHIFT

ESCAPE: Final = 0x1B

_DEFAULT_TABLE: Final = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ"
    " !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION_TABLE: Final = {
    0x0A: "\f",
    0x14: "^",
    0x28: "{",
    0x29: "}",
    0x2F: "\\",
    0x3C: "[",
    0x3D: "~",
    0x3E: "]",
    0x40: "|",
    0x65: "€",
}


class Alphabet(IntEnum):
    """What the octets of a message are, as far as counting and splitting go."""

    GSM7 = 0
    OCTETS = 1
    UCS2 = 2


class GsmAlphabet:
    """One pair of tables: 128 characters, and those that an escape introduces (septet to character).

    A character that stands in a table twice is encoded by its first place.
    """

    def __init__(self, default: str, extension: dict[int, str]) -> None:
        if len(default) != 128:
            raise ValueError("a GSM table has 128 characters")
        self._decoding = default
        self._encoding: dict[int, bytes] = {}
        for septet, char in enumerate(default):
            if septet != ESCAPE and char != EMPTY:
                self._encoding.setdefault(ord(char), bytes((septet,)))
        self._escaped: dict[int, str] = dict(extension)
        for septet, char in extension.items():
            self._encoding.setdefault(ord(char), bytes((ESCAPE, septet)))

    def encode(self, text: str) -> bytes:
        """Encode to one octet a septet; characters of the extension take two. Raises UnicodeEncodeError."""
        return codecs.charmap_encode(text, "strict", self._encoding)[0]

    def decode(self, data: bytes) -> str:
        """Decode octets of one septet each. Never fails: what the tables do not have becomes U+FFFD.

        An escape before a septet that the extension does not have is shown as the septet's ordinary character, and
        one at the end as a space (3GPP TS 23.038 section 6.2.1).
        """
        if ESCAPE not in data:
            return codecs.charmap_decode(data, "replace", self._decoding)[0]
        return "".join(
            self._decode_escape(part)
            if part[0] == ESCAPE
            else codecs.charmap_decode(part, "replace", self._decoding)[0]
            for part in _PARTS.findall(data)
        )

    def _decode_escape(self, pair: bytes) -> str:
        if len(pair) == 1 or pair[1] == ESCAPE:
            return " "
        char = self._escaped.get(pair[1])
        return char if char is not None else codecs.charmap_decode(pair[1:], "replace", self._decoding)[0]


_PARTS: Final = re.compile(rb"\x1b.?|[^\x1b]+", re.DOTALL)

GSM: Final = GsmAlphabet(_DEFAULT_TABLE, _EXTENSION_TABLE)
"""The default alphabet with the default extension."""

_SMART: Final = str.maketrans(
    {
        "\u2018": "'",
        "\u2019": "'",
        "\u201a": "'",
        "\u201b": "'",
        "\u2032": "'",
        "`": "'",
        "\u00b4": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u201e": '"',
        "\u201f": '"',
        "\u2033": '"',
        "\u00ab": '"',
        "\u00bb": '"',
        "\u2010": "-",
        "\u2011": "-",
        "\u2012": "-",
        "\u2013": "-",
        "\u2014": "-",
        "\u2015": "-",
        "\u2212": "-",
        "\u2026": "...",
        "\u2022": "*",
        "\u00b7": ".",
        "\u00a0": " ",
        "\u2002": " ",
        "\u2003": " ",
        "\u2007": " ",
        "\u2009": " ",
        "\u202f": " ",
        "\t": " ",
        "\u200b": "",
        "\u200c": "",
        "\u200d": "",
        "\u2060": "",
        "\ufeff": "",
        "\u00ad": "",
        "\u2044": "/",
        "\u2039": "<",
        "\u203a": ">",
    }
)


def smart(text: str) -> str:
    """Replace typographic characters (quotes, dashes, ellipsis, special spaces) by their plain GSM counterparts."""
    return text.translate(_SMART)


def encode_ucs2(text: str, *, is_little_endian: bool = False) -> bytes:
    """UTF-16; a character outside the BMP is a surrogate pair. Raises UnicodeEncodeError on half of one."""
    return text.encode("utf-16-le" if is_little_endian else "utf-16-be")


def decode_ucs2(data: bytes, *, is_little_endian: bool = False) -> str:
    """Decode UCS-2 or UTF-16; half pairs and a missing last octet become U+FFFD."""
    return data.decode("utf-16-le" if is_little_endian else "utf-16-be", "replace")


@cache
def national(locking: int, single_shift: int) -> GsmAlphabet:
    """The alphabet of two national language identifiers; one that is 0 or not known leaves the default table.

    3GPP TS 23.038 section 6.2.1.2. Both are octets, so that no more alphabets can come into being than pairs of
    languages.
    """
    if locking not in LOCKING and single_shift not in SINGLE_SHIFT:
        return GSM
    return GsmAlphabet(LOCKING.get(locking, _DEFAULT_TABLE), SINGLE_SHIFT.get(single_shift, _EXTENSION_TABLE))


def alphabet_for(elements: Iterable[tuple[int, bytes]]) -> GsmAlphabet:
    """The alphabet that a header's information elements choose; the last of a kind counts."""
    locking = single_shift = 0
    for identifier, data in elements:
        if len(data) != 1:
            continue
        if identifier == NATIONAL_SINGLE_SHIFT:
            single_shift = data[0] if data[0] in SINGLE_SHIFT else 0
        elif identifier == NATIONAL_LOCKING_SHIFT:
            locking = data[0] if data[0] in LOCKING else 0
    return national(locking, single_shift) if locking or single_shift else GSM


CODECS: Final[dict[Charset, str]] = {
    Charset.IA5: "ascii",
    Charset.LATIN_1: "latin-1",
    Charset.CYRILLIC: "iso8859-5",
    Charset.HEBREW: "iso8859-8",
}
"""Charsets of one octet a character, by the standard library's name."""


def alphabet_of(data_coding: int) -> Alphabet:
    """What the octets of a message with this data_coding are, as far as counting and splitting go.

    0x00 is read as GSM 7-bit. Compressed text is octets.
    """
    return _ALPHABETS[data_coding & 0xFF]


def decode(data: bytes, data_coding: int, elements: Iterable[tuple[int, bytes]] = ()) -> str:
    """The text of a message for a person to read; never fails. Octets are shown as Latin-1.

    elements: the information elements of the header that stood before `data`; they choose national tables.
    """
    match alphabet_of(data_coding):
        case Alphabet.GSM7:
            return alphabet_for(elements).decode(data)
        case Alphabet.UCS2:
            return decode_ucs2(data)
        case Alphabet.OCTETS:
            charset = classify(data_coding).charset
            return data.decode("latin-1" if charset is Charset.IA5 else CODECS.get(charset, "latin-1"), "replace")


def encode(text: str, data_coding: int, elements: Iterable[tuple[int, bytes]] = ()) -> bytes:
    """The octets of a text under a data_coding, without a header: the opposite of decode.

    Raises UnicodeEncodeError when the alphabet does not have all of it, ValueError when data_coding is no alphabet
    that we write (binary, compressed, the Japanese and Korean ones).
    """
    coding = classify(data_coding)
    if not coding.is_compressed:
        if coding.charset is Charset.GSM7:
            return alphabet_for(elements).encode(text)
        if coding.charset is Charset.UCS2:
            return encode_ucs2(text)
        if coding.charset in CODECS:
            return text.encode(CODECS[coding.charset])
    raise ValueError(f"data_coding 0x{data_coding:02x} is no alphabet")


def _alphabet_of(data_coding: int) -> Alphabet:
    coding = classify(data_coding)
    if coding.is_compressed:
        return Alphabet.OCTETS
    return {Charset.GSM7: Alphabet.GSM7, Charset.UCS2: Alphabet.UCS2}.get(coding.charset, Alphabet.OCTETS)


_ALPHABETS: Final = tuple(_alphabet_of(data_coding) for data_coding in range(256))
