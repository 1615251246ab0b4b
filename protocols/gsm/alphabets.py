"""Alphabets of short messages: GSM 03.38 (3GPP TS 23.038) unpacked, Latin-1, UCS-2; and which data_coding means which.

Unpacked means one septet in one octet, as SMPP carries it. Both directions of the GSM alphabet are translate tables
of the standard library's C code. National language tables are further `GsmAlphabet`s: a locking table in place of
the default one, a single shift table in place of the extension, chosen by information elements 0x25 and 0x24.
"""

from __future__ import annotations

import codecs
import re
from enum import IntEnum
from typing import Final

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
    """One pair of tables: 128 characters, and those that an escape introduces (septet to character)."""

    def __init__(self, default: str, extension: dict[int, str]) -> None:
        if len(default) != 128:
            raise ValueError("a GSM table has 128 characters")
        self._decoding = default
        self._encoding: dict[int, bytes] = {ord(char): bytes((i,)) for i, char in enumerate(default) if i != ESCAPE}
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


def encode_ucs2(text: str) -> bytes:
    """UTF-16, big-endian; a character outside the BMP is a surrogate pair. Raises UnicodeEncodeError on a lone one."""
    return text.encode("utf-16-be")


def decode_ucs2(data: bytes, *, is_little_endian: bool = False) -> str:
    """Decode UCS-2 or UTF-16; half pairs and a missing last octet become U+FFFD."""
    return data.decode("utf-16-le" if is_little_endian else "utf-16-be", "replace")


def alphabet_of(data_coding: int) -> Alphabet:
    """What the octets of a message with this data_coding are.

    0x00 is read as GSM 7-bit. Groups of 3GPP TS 23.038 section 4 that SMPP reserves are used in the field and are
    understood: 0x10 to 0x1F (general, with class), 0xC0 to 0xEF (message waiting), 0xF0 to 0xFF (class).
    """
    return _ALPHABETS[data_coding & 0xFF]


def decode(data: bytes, data_coding: int) -> str:
    """The text of a message for a person to read; never fails. Octets are shown as Latin-1."""
    match alphabet_of(data_coding):
        case Alphabet.GSM7:
            return GSM.decode(data)
        case Alphabet.UCS2:
            return decode_ucs2(data)
        case Alphabet.OCTETS:
            return data.decode("latin-1")


def _alphabet_of(data_coding: int) -> Alphabet:
    if data_coding < 0x10:
        return {0x00: Alphabet.GSM7, 0x08: Alphabet.UCS2}.get(data_coding, Alphabet.OCTETS)
    if data_coding < 0x40:
        return (Alphabet.GSM7, Alphabet.OCTETS, Alphabet.UCS2, Alphabet.GSM7)[data_coding >> 2 & 3]
    if 0xC0 <= data_coding < 0xE0:
        return Alphabet.GSM7
    if 0xE0 <= data_coding < 0xF0:
        return Alphabet.UCS2
    if data_coding >= 0xF0:
        return Alphabet.OCTETS if data_coding & 0x04 else Alphabet.GSM7
    return Alphabet.OCTETS


_ALPHABETS: Final = tuple(_alphabet_of(data_coding) for data_coding in range(256))
