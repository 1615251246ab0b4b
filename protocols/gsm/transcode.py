"""Text from one peer's alphabet into another's: what data_coding 0 means to each, packing, and byte order.

Nothing is guessed: where the meaning of data_coding 0 is not known on both sides, its octets pass as they are. A
data_coding that names its charset (0x01, 0x03, 0x06 to 0x08) and binary are never changed but for the byte order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, NamedTuple

from protocols.gsm import septets
from protocols.gsm.alphabets import CODECS, GSM, Alphabet, alphabet_for, alphabet_of, encode_ucs2
from protocols.gsm.coding import Charset, CodingError, classify, recode
from protocols.gsm.udh import NATIONAL_LOCKING_SHIFT, NATIONAL_SINGLE_SHIFT

SHIFTS: Final = frozenset((NATIONAL_SINGLE_SHIFT, NATIONAL_LOCKING_SHIFT))
"""The elements of a header that choose national tables for its text."""


class DefaultAlphabet(StrEnum):
    """What data_coding 0 is. GSM_PACKED: and every other data_coding of the GSM alphabet is packed, too."""

    GSM = "gsm"
    GSM_PACKED = "gsm_packed"
    LATIN_1 = "latin1"
    ASCII = "ascii"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How one peer, an account or an upstream, writes text.

    default: None while nobody has said what its data_coding 0 is. is_little_endian: of UCS-2.
    is_zero_padding: of packed septets, when reading (septets.unpack).
    """

    default: DefaultAlphabet | None = None
    is_little_endian: bool = False
    is_zero_padding: bool = False


class Content(NamedTuple):
    """Text without its header: septets one to an octet, UCS-2 big-endian. elements: what the header says besides."""

    body: bytes
    data_coding: int
    elements: tuple[tuple[int, bytes], ...] = ()


class TranscodeError(ValueError):
    """The octets are no text in the alphabet that they are said to be in, or the other side has no place for it."""


def common(source: Dialect, target: Dialect) -> tuple[Dialect, Dialect]:
    """Both as they are when both default alphabets are known.

    Without the target's it gets what the source means; without the source's nobody knows what is there, and both have
    none.
    """
    if source.default is None:
        return source, target if target.default is None else replace(target, default=None)
    return source, target if target.default is not None else replace(target, default=source.default)


def charset_of(data_coding: int, dialect: Dialect) -> Charset:
    """The charset of a data_coding as this peer means it; GSM7 also when nobody knows what its 0 is."""
    if data_coding == 0:
        if dialect.default is DefaultAlphabet.LATIN_1:
            return Charset.LATIN_1
        if dialect.default is DefaultAlphabet.ASCII:
            return Charset.IA5
    return classify(data_coding).charset


def counting_of(data_coding: int, dialect: Dialect) -> tuple[Alphabet, str | None]:
    """What segmentation.split wants to know: the alphabet, and the codec of a Latin text."""
    charset = charset_of(data_coding, dialect)
    if charset in _LATIN:
        return Alphabet.OCTETS, CODECS[charset]
    return alphabet_of(data_coding), None


def unify(octets: bytes, data_coding: int, dialect: Dialect, header_octets: int = 0) -> bytes:
    """What a peer sent behind a header of that length, as Content has it."""
    alphabet = alphabet_of(data_coding)
    if alphabet is Alphabet.GSM7 and dialect.default is DefaultAlphabet.GSM_PACKED:
        return septets.unpack(octets, header_octets, is_zero_padding=dialect.is_zero_padding)
    if alphabet is Alphabet.UCS2 and dialect.is_little_endian:
        return _swap(octets)
    return octets


def render(body: bytes, data_coding: int, dialect: Dialect, header_octets: int = 0) -> bytes:
    """The opposite of unify: what a peer gets behind a header of that length. Raises TranscodeError."""
    alphabet = alphabet_of(data_coding)
    if alphabet is Alphabet.GSM7 and dialect.default is DefaultAlphabet.GSM_PACKED:
        try:
            return septets.pack(body, header_octets)
        except ValueError as error:
            raise TranscodeError(str(error)) from None
    if alphabet is Alphabet.UCS2 and dialect.is_little_endian:
        return _swap(body)
    return body


def transcode(content: Content, source: Dialect, target: Dialect, *, is_part: bool = False) -> Content:
    """The same text for the target. Class and message waiting are kept.

    What the target's default alphabet does not have goes as UCS-2; with is_part it is an error instead, because the
    other parts of the message are not here and a phone joins only parts of one alphabet.
    """
    source, target = common(source, target)
    before, after = charset_of(content.data_coding, source), charset_of(content.data_coding, target)
    if before is after:
        return content
    text = _text(content, before)
    elements = tuple(element for element in content.elements if element[0] not in SHIFTS)
    try:
        if after is Charset.GSM7:
            return Content(GSM.encode(text), content.data_coding, elements)
        return Content(text.encode(CODECS[after]), content.data_coding, elements)
    except UnicodeEncodeError as error:
        if is_part:
            raise TranscodeError(f"{after.value} does not have U+{ord(text[error.start]):04X}") from None
    try:
        return Content(encode_ucs2(text), recode(content.data_coding, Charset.UCS2), elements)
    except CodingError as error:
        raise TranscodeError(str(error)) from None


_LATIN: Final = frozenset((Charset.IA5, Charset.LATIN_1))
_UNREADABLE: Final = "\ufffd"


def _text(content: Content, charset: Charset) -> str:
    if charset is Charset.GSM7:
        text = alphabet_for(content.elements).decode(content.body)
        if _UNREADABLE in text:
            raise TranscodeError("there are octets that are no septets")
        return text
    try:
        return content.body.decode(CODECS[charset])
    except UnicodeDecodeError as error:
        raise TranscodeError(f"octet {error.start} is not {charset.value}") from None


def _swap(octets: bytes) -> bytes:
    """Each pair of octets turned; an odd one at the end stays."""
    swapped = bytearray(octets)
    end = len(octets) & ~1
    swapped[0:end:2], swapped[1:end:2] = octets[1:end:2], octets[0:end:2]
    return bytes(swapped)
