"""Rewrites a message for the upstream that it goes to, pure: alphabet, long form, esm_class, TLVs; once, at planning.

What cannot be rewritten is refused. Each way that a message can take (an account's door and an upstream) has its own
`Converter`, and none where the profiles ask for nothing: then planning does what it always did.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from protocols.gsm.alphabets import CODECS, alphabet_for, decode_ucs2
from protocols.gsm.coding import Charset
from protocols.gsm.segmentation import TooManySegmentsError, fits
from protocols.gsm.transcode import Dialect, TranscodeError, charset_of, common, counting_of
from protocols.gsm.udh import CONCATENATION_16, UdhError, build, parse
from protocols.smpp import tlv
from protocols.smpp.constants import CommandStatus, EsmClass, TlvTag
from protocols.smpp.longform import Carried, LongForm, LongFormError, Piece, Target, count, read, translate, write
from protocols.smpp.vendor_tlvs import NamedTlvError
from smscd.core.ids import TIME_SHIFT
from smscd.core.profiles import PLAIN, dialect_of, is_plain, tlv_profile
from smscd.core.reasons import Reason, Rejected
from smscd.core.records import Conversion, Form
from smscd.core.upstream import AS_IT_CAME, Upstream

EXCERPT_CHARACTERS: Final = 20
_UDHI: Final = int(EsmClass.UDHI)
_LONG_FORMS: Final = {
    "udh8": LongForm.UDH_8,
    "udh16": LongForm.UDH_16,
    "sar": LongForm.SAR,
    "payload": LongForm.PAYLOAD,
}


class Converted(NamedTuple):
    """What the upstream gets. conversion: None when that is what the customer sent."""

    segments: list[bytes]
    data_coding: int
    esm_class: int
    tlvs: bytes
    conversion: Conversion | None


class Converter:
    """From one dialect of customers to one upstream."""

    __slots__ = ("_as_is", "_is_plain", "_source", "_target", "tlvs")

    def __init__(self, source: Dialect, upstream: Upstream) -> None:
        self._source, dialect = common(source, dialect_of(upstream))
        self._is_plain = is_plain(self._source)
        self._as_is = upstream.long_message not in _LONG_FORMS
        self._target = Target(
            dialect=dialect,
            long_form=_LONG_FORMS.get(upstream.long_message, LongForm.UDH_8),
            esm_mode=upstream.esm_mode if upstream.esm_mode != AS_IT_CAME else None,
        )
        self.tlvs = tlv_profile(upstream)

    @property
    def is_needed(self) -> bool:
        """False when nothing of what passes here is ever to be changed or checked."""
        target = self._target
        is_rewritten = not self._is_plain or not is_plain(target.dialect) or not self._as_is
        return is_rewritten or target.esm_mode is not None or self.tlvs is not None

    def convert(
        self, content: bytes, data_coding: int, esm_class: int, tlvs: bytes, message_id: int, segments_max: int
    ) -> Converted | Rejected:
        """What becomes of a message. content: as the customer sent it, with its header when esm_class has UDHI."""
        carried = Carried(content, data_coding, esm_class, tlvs)
        try:
            if self.tlvs is not None:
                self.tlvs.check(tlvs)
            piece = translate(read(carried, self._source), self._source, self._target.dialect)
            return self._write(carried, piece, message_id, segments_max)
        except NamedTlvError as error:
            return Rejected(_TLV_REASONS[error.command_status], f"For this route {error}.", f"/tlvs/{error.name}")
        except TooManySegmentsError as error:
            detail = f"The text needs {error.count} segments; the account may use {segments_max}."
            return Rejected(Reason.TOO_MANY_SEGMENTS, detail, "/text")
        except UdhError as error:
            return Rejected(Reason.INVALID_UDH, f"The user data header is invalid: {error}.")
        except LongFormError as error:
            return Rejected(Reason.INVALID_LENGTH, f"The message cannot be sent as it is: {error}.")
        except TranscodeError as error:
            return Rejected(Reason.NOT_CONVERTIBLE, f"The text cannot be written in the route's alphabet: {error}.")

    def _write(self, carried: Carried, piece: Piece, message_id: int, segments_max: int) -> Converted:
        target = self._target if not self._as_is else _kept_form(self._target, carried, piece)
        if piece.concatenation is not None and not _is_short(piece, target.dialect):
            raise LongFormError("a part of a concatenated message is longer than a short message")
        parts = count(piece, target)
        form = _FORMS.get(target.long_form, Form.AS_THEY_ARE) if parts > 1 else Form.AS_THEY_ARE
        is_wide = target.long_form in (LongForm.UDH_16, LongForm.SAR)
        reference = wide_reference_of(message_id) if is_wide else reference_of(message_id)
        written = write(piece, target, reference=reference, segments_max=segments_max)
        first, tlvs = written[0], written[0].tlvs if parts == 1 else piece.tlvs
        segments = [one.short_message for one in written]
        if form is Form.PAYLOAD:
            segments = [tlv.find(first.tlvs, TlvTag.MESSAGE_PAYLOAD) or b""]
        if parts == 1 and self._is_plain and first == carried:
            return Converted(segments, first.data_coding, first.esm_class, tlvs, None)
        conversion = Conversion(
            int(form),
            parts,
            carried.short_message,
            carried.data_coding,
            carried.esm_class,
            carried.tlvs,
            _excerpt(piece, target.dialect),
        )
        return Converted(segments, first.data_coding, first.esm_class, tlvs, conversion)


def converter_for(source: Dialect, upstream: Upstream) -> Converter | None:
    """The converter of a way; None where there is nothing to do."""
    converter = Converter(source, upstream)
    return converter if converter.is_needed else None


def canonical(content: bytes, data_coding: int, esm_class: int, source: Dialect) -> tuple[bytes, int, int]:
    """Content, data_coding and esm_class of a message as they are at every door: what the request key's hash is of.

    An account's dialect must be no part of it. What cannot be read stays as it came.
    """
    try:
        piece = translate(read(Carried(content, data_coding, esm_class), source), source, common(source, PLAIN)[1])
    except (UdhError, LongFormError, TranscodeError):
        return content, data_coding, esm_class
    header = content[: content[0] + 1] if esm_class & _UDHI else b""
    return header + piece.body, piece.data_coding, esm_class


def reference_of(message_id: int) -> int:
    """The 8-bit reference of a long message.

    Taken from time and sequence, so that two messages of one sender to one number get different ones unless they lie
    a multiple of 256 ms apart.
    """
    return ((message_id >> TIME_SHIFT) + message_id) & 0xFF


def wide_reference_of(message_id: int) -> int:
    """The 16-bit one: different within 65 seconds."""
    return ((message_id >> TIME_SHIFT) + message_id) & 0xFFFF


_FORMS: Final = {LongForm.SAR: Form.SAR, LongForm.PAYLOAD: Form.PAYLOAD}
_TLV_REASONS: Final[dict[int, Reason]] = {
    int(CommandStatus.ESME_RMISSINGTLV): Reason.MISSING_TLV,
    int(CommandStatus.ESME_RINVTLVLEN): Reason.INVALID_TLV_LENGTH,
}


def _kept_form(target: Target, carried: Carried, piece: Piece) -> Target:
    """The target for an upstream that takes parts in the form in which the customer made them."""
    if piece.concatenation is None:
        return target
    form = LongForm.SAR
    if carried.esm_class & _UDHI:
        header = parse(carried.short_message)
        if header.concatenation is not None:
            is_wide = any(identifier == CONCATENATION_16 for identifier, _ in header.elements)
            form = LongForm.UDH_16 if is_wide else LongForm.UDH_8
    return Target(dialect=target.dialect, long_form=form, esm_mode=target.esm_mode)


def _is_short(piece: Piece, dialect: Dialect) -> bool:
    """True when a piece fits one short message, beside what its header says besides which part it is."""
    alphabet, latin = counting_of(piece.data_coding, dialect)
    return fits(piece.body, alphabet, len(build(piece.elements)) if piece.elements else 0, latin)


def _excerpt(piece: Piece, dialect: Dialect) -> bytes:
    return text_of(piece, dialect)[:EXCERPT_CHARACTERS].encode("ascii", "replace")


def text_of(piece: Piece, dialect: Dialect) -> str:
    """The text of a piece for a person to read; never fails. Octets that are no text are shown as Latin-1."""
    charset = charset_of(piece.data_coding, dialect)
    if charset is Charset.GSM7:
        return alphabet_for(piece.elements).decode(piece.body)
    if charset is Charset.UCS2:
        return decode_ucs2(piece.body)
    return piece.body.decode(CODECS.get(charset, "latin-1"), "replace")
