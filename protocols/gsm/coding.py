"""What a data_coding octet says: charset, message class, message waiting, compression (SMPP 3.4 section 5.2.19).

SMPP prints values 0x00 to 0x0F and reserves the rest but for 0xC0 and up; in the field the groups of 3GPP TS 23.038
section 4 are used in full, so that 0x10 to 0xFF are read by that section.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final


class Charset(Enum):
    """How characters lie in the octets. OCTETS: data that is no text. RESERVED: nobody can say."""

    GSM7 = "gsm7"
    IA5 = "ia5"
    LATIN_1 = "latin1"
    CYRILLIC = "cyrillic"
    HEBREW = "hebrew"
    UCS2 = "ucs2"
    OCTETS = "octets"
    JIS = "jis"
    PICTOGRAM = "pictogram"
    ISO_2022_JP = "iso_2022_jp"
    KANJI = "kanji"
    KS_C_5601 = "ks_c_5601"
    RESERVED = "reserved"


class MessageClass(IntEnum):
    """Where a phone puts a message (3GPP TS 23.038 section 4). FLASH is shown at once and not stored."""

    FLASH = 0
    EQUIPMENT = 1
    SIM = 2
    TERMINAL = 3


class WaitingKind(IntEnum):
    """What waits, of a message waiting indication."""

    VOICEMAIL = 0
    FAX = 1
    EMAIL = 2
    OTHER = 3


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message waiting indication. is_active: switched on or off. is_stored: the text is worth keeping."""

    kind: WaitingKind
    is_active: bool
    is_stored: bool


@dataclass(frozen=True, slots=True)
class Coding:
    """A data_coding octet, read. message_class: None, the octet does not say one (which is not class 0, flash).

    is_deleted_after_reading: automatic deletion, groups 0x40 to 0x7F.
    """

    charset: Charset
    message_class: MessageClass | None = None
    waiting: Waiting | None = None
    is_compressed: bool = False
    is_deleted_after_reading: bool = False

    @property
    def is_flash(self) -> bool:
        """True for a message that appears on the screen at once."""
        return self.message_class is MessageClass.FLASH


class CodingError(ValueError):
    """No data_coding says this."""


def classify(data_coding: int) -> Coding:
    """What the octet says; any of the 256 is answered, reserved ones with Charset.RESERVED."""
    return _CODINGS[data_coding & 0xFF]


def recode(data_coding: int, charset: Charset) -> int:
    """The data_coding for the same message in another charset: class, waiting and deletion are kept.

    A waiting indication that need not be stored is one to be stored in UCS-2, which has no other.
    Raises CodingError where the octet cannot say both: Latin-1 has no class, for one; compressed text no other form.
    """
    coding = classify(data_coding)
    if coding.charset is charset:
        return data_coding
    if coding.is_compressed or coding.charset is Charset.RESERVED:
        raise CodingError(f"data_coding 0x{data_coding:02x} has no other form")
    if coding.waiting is not None:
        if charset is Charset.UCS2:
            return 0xE0 | data_coding & 0x0F
        if charset is Charset.GSM7:
            return 0xD0 | data_coding & 0x0F
    elif coding.message_class is not None or coding.is_deleted_after_reading:
        if charset in _GENERAL:
            bits = _GENERAL.index(charset) << 2
            if data_coding < 0xF0:
                return data_coding & 0x53 | bits
            return (0x10 if charset is Charset.UCS2 else 0xF0) | bits | data_coding & 0x03
    elif charset is Charset.OCTETS:
        return _BINARY
    elif charset is not Charset.RESERVED:
        return _PLAIN.index(charset)
    raise CodingError(f"no data_coding is {charset.value} with what 0x{data_coding:02x} says besides")


_BINARY: Final = 0x04
"""Of the two values for octets the one that is no less in GSM."""

_GENERAL: Final = (Charset.GSM7, Charset.OCTETS, Charset.UCS2)
"""Bits 3 and 2 of the general groups."""

_PLAIN: Final = (
    Charset.GSM7,
    Charset.IA5,
    Charset.OCTETS,
    Charset.LATIN_1,
    Charset.OCTETS,
    Charset.JIS,
    Charset.CYRILLIC,
    Charset.HEBREW,
    Charset.UCS2,
    Charset.PICTOGRAM,
    Charset.ISO_2022_JP,
    Charset.RESERVED,
    Charset.RESERVED,
    Charset.KANJI,
    Charset.KS_C_5601,
    Charset.RESERVED,
)
"""data_coding 0x00 to 0x0F, as SMPP prints them."""


def _classify(data_coding: int) -> Coding:
    if data_coding < 0x10:
        return Coding(_PLAIN[data_coding])
    if data_coding < 0x80:
        alphabet = data_coding >> 2 & 3
        return Coding(
            _GENERAL[alphabet] if alphabet < len(_GENERAL) else Charset.RESERVED,
            MessageClass(data_coding & 3) if data_coding & 0x10 else None,
            is_compressed=bool(data_coding & 0x20),
            is_deleted_after_reading=bool(data_coding & 0x40),
        )
    if data_coding < 0xC0:
        return Coding(Charset.RESERVED)
    if data_coding < 0xF0:
        waiting = Waiting(WaitingKind(data_coding & 3), bool(data_coding & 8), data_coding >= 0xD0)
        return Coding(Charset.UCS2 if data_coding >= 0xE0 else Charset.GSM7, waiting=waiting)
    return Coding(Charset.OCTETS if data_coding & 4 else Charset.GSM7, MessageClass(data_coding & 3))


_CODINGS: Final = tuple(_classify(data_coding) for data_coding in range(256))
