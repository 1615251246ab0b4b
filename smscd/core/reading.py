"""Reads what an upstream delivers by that upstream's profile, pure: receipts, and messages from phones.

A message is read into a `Carried` as it came, and rewritten from there for whoever gets it. What cannot be rewritten
passes as it came: what a phone sent is never refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from protocols.gsm import udh
from protocols.gsm.alphabets import GSM, Alphabet, alphabet_of
from protocols.gsm.coding import Charset, classify, recode
from protocols.gsm.transcode import (
    Content,
    DefaultAlphabet,
    Dialect,
    TranscodeError,
    charset_of,
    render,
    transcode,
    unify,
)
from protocols.smpp import tlv
from protocols.smpp.constants import ESM_TYPE_MASK, EsmClass, TlvTag
from protocols.smpp.longform import SHORT_MESSAGE_MAX, Carried
from protocols.smpp.receipt import Receipt, ReceiptCarrier, parse_receipt
from smscd.core.profiles import PLAIN, decode_named, dialect_of, is_plain, tlv_profile
from smscd.core.upstream import Upstream

_UDHI: Final = int(EsmClass.UDHI)
_RECEIPT: Final = int(EsmClass.DELIVERY_RECEIPT)
_GSM: Final = frozenset((DefaultAlphabet.GSM, DefaultAlphabet.GSM_PACKED))
_NO_TEXT: Final = frozenset((Charset.OCTETS, Charset.PICTOGRAM, Charset.RESERVED))


class Reader:
    """For one upstream, as long as its profile is this one.

    receipt: the receipt that a PDU is, or None when it is a message; protocols' own parse_receipt where the profile has
    nothing to say. dialect: how the upstream writes text. names_tlvs: the profile names TLVs.
    """

    __slots__ = ("_by_text_alone", "_is_plain", "_strips", "_tlvs", "dialect", "names_tlvs", "receipt", "upstream")

    def __init__(self, profile: Upstream) -> None:
        self.upstream = profile.id
        self.dialect = dialect_of(profile)
        self._is_plain = is_plain(self.dialect)
        self._by_text_alone = profile.receipt_by_text_alone
        self._strips = profile.strips_trailing_nul
        self._tlvs = tlv_profile(profile)
        self.names_tlvs = self._tlvs is not None
        is_asked = self._by_text_alone or self._strips or self.dialect.is_little_endian or self.dialect.default in _GSM
        self.receipt: Callable[[ReceiptCarrier], Receipt | None] = self._receipt if is_asked else parse_receipt

    def message(self, pdu: ReceiptCarrier) -> Carried:
        """A message as it came, its text in one place, without the NUL that the profile has stripped."""
        body, tlvs = pdu.short_message, pdu.tlvs
        if tlvs:
            items = [item for item in tlv.parse(tlvs) if item[0] not in tlv.HOP_TAGS]
            if not body:
                body = next((value for tag, value in items if tag == TlvTag.MESSAGE_PAYLOAD), b"")
                items = [item for item in items if item[0] != TlvTag.MESSAGE_PAYLOAD]
            tlvs = tlv.encode(items)
        if self._strips:
            body = _without_nul(body, pdu.data_coding, pdu.esm_class)
        return Carried(body, pdu.data_coding, pdu.esm_class, tlvs)

    def plain(self, came: Carried) -> Carried:
        """A message as we write it ourselves, for the record and for a webhook."""
        return came if self._is_plain else rewritten(came, self.dialect, PLAIN)

    def told(self, came: Carried, account: Dialect) -> Carried:
        """A message as the ESMEs of an account write.

        A short_message that would become a message_payload, because only UCS-2 has its text, goes as it came: many
        ESMEs do not read that TLV, and those of SMPP 3.3 do not get it.
        """
        if account is self.dialect:
            return came
        told = rewritten(came, self.dialect, account)
        is_new_payload = len(came.short_message) <= SHORT_MESSAGE_MAX < len(told.short_message)
        return came if is_new_payload and told.data_coding != came.data_coding else told

    def named_tlvs(self, raw: bytes) -> dict[str, int | str] | None:
        """What the profile names of the TLVs that came; None: nothing."""
        if self._tlvs is None or not raw:
            return None
        return decode_named(self._tlvs, raw) or None

    def _receipt(self, pdu: ReceiptCarrier) -> Receipt | None:
        if not (pdu.esm_class & ESM_TYPE_MASK or pdu.tlvs or self._by_text_alone):
            return None
        return parse_receipt(
            self._in_ascii(pdu), by_text_alone=self._by_text_alone, is_little_endian=self.dialect.is_little_endian
        )

    def _in_ascii(self, pdu: ReceiptCarrier) -> ReceiptCarrier:
        """A receipt as parse_receipt reads it, if it is one: names of fields in ASCII, or in UCS-2."""
        came = pdu.short_message or (tlv.find(pdu.tlvs, TlvTag.MESSAGE_PAYLOAD) if pdu.tlvs else None) or b""
        octets = _without_nul(came, pdu.data_coding, pdu.esm_class) if self._strips else came
        esm_class, data_coding = pdu.esm_class, pdu.data_coding
        if alphabet_of(data_coding) is Alphabet.GSM7:
            if self.dialect.default is DefaultAlphabet.GSM:
                length = _header_length(octets, esm_class)
                octets = octets[:length] + octets[length:].translate(_GSM_IN_ASCII)
            elif self.dialect.default is DefaultAlphabet.GSM_PACKED:
                octets, esm_class = self._unpacked(octets, data_coding, esm_class)
        if octets is came or octets == came:
            return pdu
        return Carried(octets, data_coding, esm_class, pdu.tlvs)

    def _unpacked(self, octets: bytes, data_coding: int, esm_class: int) -> tuple[bytes, int]:
        """The text of a receipt whose septets are packed, and its esm_class: no header is left.

        An SMSC that packs texts may write its receipts in ASCII all the same: what is no receipt when it is unpacked
        stays as it came.
        """
        length = _header_length(octets, esm_class)
        text = GSM.decode(unify(octets[length:], data_coding, self.dialect, length)).encode()
        return (text, esm_class & ~_UDHI) if _says_something(text) else (octets, esm_class)


def rewritten(came: Carried, source: Dialect, target: Dialect) -> Carried:
    """The same message for a reader of another dialect; its header stays, but for tables that the text no longer needs.

    It stays as it came where nobody knows what data_coding 0 is to one of them, and where it cannot be rewritten: a
    bad header, octets that are no text, a part of a long message that the target has no characters for. But octets
    whose charset the source knows get the data_coding that says so to everybody.
    """
    match alphabet_of(came.data_coding):
        case Alphabet.OCTETS:
            return came
        case Alphabet.UCS2:
            if source.is_little_endian == target.is_little_endian:
                return came
        case Alphabet.GSM7:
            if source.default is None or target.default is None or _reads_alike(source, target):
                return came
    try:
        return _rewritten(came, source, target)
    except (udh.UdhError, TranscodeError):
        charset = charset_of(came.data_coding, source)
        if charset is classify(came.data_coding).charset:
            return came
        return came._replace(data_coding=recode(came.data_coding, charset))


def _rewritten(came: Carried, source: Dialect, target: Dialect) -> Carried:
    elements: tuple[tuple[int, bytes], ...] = ()
    length, is_part = 0, bool(came.tlvs) and tlv.find(came.tlvs, TlvTag.SAR_TOTAL_SEGMENTS) is not None
    if came.esm_class & _UDHI:
        parsed = udh.parse(came.short_message)
        elements, length = parsed.elements, parsed.length
        is_part = is_part or parsed.concatenation is not None
    body = unify(came.short_message[length:], came.data_coding, source, length)
    text = transcode(Content(body, came.data_coding, elements), source, target, is_part=is_part)
    header, esm_class = came.short_message[:length], came.esm_class
    if text.elements != elements:
        header = udh.build(text.elements) if text.elements else b""
        esm_class = esm_class if header else esm_class & ~_UDHI
    octets = header + render(text.body, text.data_coding, target, len(header))
    return Carried(octets, text.data_coding, esm_class, came.tlvs)


def _reads_alike(source: Dialect, target: Dialect) -> bool:
    return (source.default, source.is_zero_padding) == (target.default, target.is_zero_padding)


def _header_length(octets: bytes, esm_class: int) -> int:
    return octets[0] + 1 if octets and esm_class & _UDHI else 0


def _without_nul(octets: bytes, data_coding: int, esm_class: int) -> bytes:
    """A text without the NUL at its end, which in UCS-2 is one octet or a character; binary as it is (quirk 42)."""
    length = len(octets) - _header_length(octets, esm_class)
    if length <= 0 or not octets.endswith(b"\0"):
        return octets
    coding = classify(data_coding)
    if coding.charset in _NO_TEXT or coding.is_compressed:
        return octets
    if coding.charset is not Charset.UCS2 or length % 2:
        return octets[:-1]
    return octets.removesuffix(b"\0\0")


def _says_something(text: bytes) -> bool:
    """True when there is an id or a state in the text of a receipt."""
    receipt = parse_receipt(Carried(text, esm_class=_RECEIPT))
    return receipt is not None and bool(receipt.message_id or receipt.stat)


def _gsm_in_ascii() -> bytes:
    """Octets that ASCII has no character for, as the ASCII character that they are in GSM: `$` and `_`.

    An SMSC whose alphabet is GSM writes receipts in it or in ASCII; all other characters of an id are the same in
    both. NUL is no `@` here: it is what receipts are padded with.
    """
    table = bytearray(range(256))
    for octet in range(1, 0x20):
        char = GSM.decode(bytes((octet,)))
        if " " < char <= "~":
            table[octet] = ord(char)
    return bytes(table)


_GSM_IN_ASCII: Final = _gsm_in_ascii()
