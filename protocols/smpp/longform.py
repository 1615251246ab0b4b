"""Long messages between peers that write them differently: UDH with 8-bit or 16-bit reference, sar_*, message_payload.

A segment is read into a `Piece`, which belongs to no form, and written in the upstream's. All of it is pure; nothing
is joined behind the caller's back, because the other segments may come much later or never.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, NamedTuple

from protocols.gsm import udh
from protocols.gsm.segmentation import (
    CONCATENATION_8_OCTETS,
    CONCATENATION_16_OCTETS,
    OCTETS_MAX,
    SEGMENTS_MAX,
    TooManySegmentsError,
    fits,
    part_bounds,
)
from protocols.gsm.transcode import SHIFTS, Content, Dialect, common, counting_of, render, transcode, unify
from protocols.smpp import tlv
from protocols.smpp.constants import ESM_MODE_MASK, EsmClass, TlvTag

SHORT_MESSAGE_MAX: Final = 254


class LongForm(StrEnum):
    """How a peer wants messages that are longer than one."""

    UDH_8 = "udh8"
    UDH_16 = "udh16"
    SAR = "sar"
    PAYLOAD = "payload"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What an upstream wants. esm_mode: bits 1 and 0 of esm_class, for carriers that refuse some; None: as it came."""

    dialect: Dialect = Dialect()  # noqa: RUF009  # frozen
    long_form: LongForm = LongForm.UDH_8
    esm_mode: int | None = None


class Carried(NamedTuple):
    """What one submit_sm or deliver_sm carries, as its fields have it."""

    short_message: bytes
    data_coding: int = 0
    esm_class: int = 0
    tlvs: bytes = b""


@dataclass(frozen=True, slots=True)
class Piece:
    """A message, or one part of one, in no form: see Content for the body.

    concatenation: None for a message of which there are no other parts.
    esm_class: without UDHI. tlvs: without those that carry text or say which part this is.
    """

    body: bytes
    data_coding: int = 0
    esm_class: int = 0
    elements: tuple[tuple[int, bytes], ...] = ()
    concatenation: udh.Concatenation | None = None
    tlvs: bytes = b""


class LongFormError(ValueError):
    """A message contradicts itself, or does not fit the form that it has to take."""


def read(carried: Carried, dialect: Dialect) -> Piece:
    """The piece that this is. Where a header and sar_* both say which part, the header counts.

    Raises UdhError for a bad header, LongFormError when there is text in both fields, or sar_* that count wrong.
    """
    octets, tlvs = carried.short_message, carried.tlvs
    concatenation = None
    if tlvs:
        items = tlv.parse(tlvs)
        payload = next((value for tag, value in items if tag == _PAYLOAD), None)
        if payload:
            if octets:
                raise LongFormError("there is a message_payload beside the short_message")
            octets = payload
        concatenation = _sar(tlvs)
        taken = {_PAYLOAD, *_SARS} if concatenation is not None else {_PAYLOAD}
        if any(tag in taken for tag, _ in items):
            tlvs = tlv.encode(item for item in items if item[0] not in taken)
    elements: tuple[tuple[int, bytes], ...] = ()
    length = 0
    if carried.esm_class & _UDHI:
        header = udh.parse(octets)
        elements, length = header.others, header.length
        concatenation = header.concatenation or concatenation
    body = unify(octets[length:], carried.data_coding, dialect, length)
    return Piece(body, carried.data_coding, carried.esm_class & ~_UDHI, elements, concatenation, tlvs)


def convert(
    carried: Carried, source: Dialect, target: Target, *, reference: int, segments_max: int = SEGMENTS_MAX
) -> list[Carried]:
    """What the upstream gets for this: one for a part or a short message, several for a long one in one piece.

    reference: for a message that is cut here; parts keep their own, folded where 16 bits become 8.
    Raises UdhError, LongFormError, TranscodeError, and TooManySegmentsError: nothing is left out in silence. The steps
    by themselves are `read`, `translate` and `write`, for who wants the piece in between.
    """
    source, dialect = common(source, target.dialect)
    if (
        source == dialect
        and target.esm_mode is None
        and not carried.tlvs
        and not carried.esm_class & _UDHI
        and len(carried.short_message) <= OCTETS_MAX
    ):
        return [carried]
    piece = translate(read(carried, source), source, dialect)
    return write(piece, replace(target, dialect=dialect), reference=reference, segments_max=segments_max)


def translate(piece: Piece, source: Dialect, target: Dialect) -> Piece:
    """A piece of one dialect as a piece of the other: the same text. Raises TranscodeError."""
    is_part = piece.concatenation is not None
    content = transcode(Content(piece.body, piece.data_coding, piece.elements), source, target, is_part=is_part)
    return replace(piece, body=content.body, data_coding=content.data_coding, elements=content.elements)


def count(piece: Piece, target: Target) -> int:
    """How many short messages `write` makes of a piece, or the upstream of the message_payload. Raises UdhError."""
    if piece.concatenation is not None:
        return 1
    alphabet, latin = counting_of(piece.data_coding, target.dialect)
    is_wide = target.long_form is LongForm.UDH_16
    return len(part_bounds(piece.body, alphabet, piece.elements, is_wide=is_wide, latin=latin))


def write(piece: Piece, target: Target, *, reference: int, segments_max: int = SEGMENTS_MAX) -> list[Carried]:
    """A piece in the target's form; its text has to be in the target's alphabet already (convert sees to that)."""
    if piece.concatenation is not None:
        return [_write_part(piece, piece.concatenation, target)]
    alphabet, latin = counting_of(piece.data_coding, target.dialect)
    is_wide = target.long_form is LongForm.UDH_16
    bounds = part_bounds(piece.body, alphabet, piece.elements, is_wide=is_wide, latin=latin)
    total = len(bounds)
    if total > min(segments_max, SEGMENTS_MAX):
        raise TooManySegmentsError(total)
    if total == 1 or target.long_form is LongForm.PAYLOAD:
        return [_carry(piece, target, piece.elements, (), is_payload=total > 1)]
    starts = (0, *bounds[:-1])
    return [
        _write_part(
            replace(piece, body=piece.body[start:end]),
            udh.Concatenation(reference & 0xFFFF, total, sequence, is_wide),
            target,
        )
        for sequence, (start, end) in enumerate(zip(starts, bounds, strict=True), 1)
    ]


def join(pieces: Sequence[Piece], *, is_partial: bool = False) -> Piece:
    """The whole message of all its parts, in any order, repeated ones once, and so each element of their headers.

    is_partial: what there is of it, where some are missing. Raises LongFormError when one is missing otherwise, belongs
    to another message, or is in another alphabet.
    """
    parts: dict[int, Piece] = {}
    for piece in pieces:
        first = pieces[0]
        if piece.concatenation is None or first.concatenation is None:
            raise LongFormError("this is no part of a message")
        ours, theirs = first.concatenation, piece.concatenation
        if (theirs.reference, theirs.total) != (ours.reference, ours.total):
            raise LongFormError("the parts are of different messages")
        if written_in(piece) != written_in(first):
            raise LongFormError("the parts are in different alphabets")
        parts.setdefault(theirs.sequence, piece)
    in_order = [parts[sequence] for sequence in sorted(parts)]
    whole = in_order[0].concatenation if in_order else None
    if whole is None or (len(in_order) != whole.total and not is_partial):
        raise LongFormError(f"{len(in_order)} parts of {whole.total if whole else 'nothing'}")
    elements = tuple(dict.fromkeys(element for piece in in_order for element in piece.elements))
    return replace(in_order[0], body=b"".join(piece.body for piece in in_order), elements=elements, concatenation=None)


def written_in(piece: Piece) -> tuple[int, tuple[tuple[int, bytes], ...]]:
    """What has to be the same for octets to be one text: data_coding, and the national tables in the header."""
    return piece.data_coding, tuple(element for element in piece.elements if element[0] in SHIFTS)


def fold(reference: int) -> int:
    """A 16-bit reference in 8 bits, one of 8 bits unchanged: both halves count, whichever of them a peer counts in."""
    return (reference >> 8 ^ reference) & 0xFF


_UDHI: Final = int(EsmClass.UDHI)
_PAYLOAD: Final = int(TlvTag.MESSAGE_PAYLOAD)
_SARS: Final = tuple(map(int, (TlvTag.SAR_MSG_REF_NUM, TlvTag.SAR_TOTAL_SEGMENTS, TlvTag.SAR_SEGMENT_SEQNUM)))


def _sar(tlvs: bytes) -> udh.Concatenation | None:
    """What the three TLVs say; None when one is missing: SMPP 3.4 section 5.3.2.22 has the others ignored then."""
    values = tlv.read(tlvs)
    reference, total, sequence = (values.get(tag) for tag in _SARS)
    if not (isinstance(reference, int) and isinstance(total, int) and isinstance(sequence, int)):
        return None
    if not 1 <= sequence <= total:
        raise LongFormError(f"part {sequence} of {total}")
    return udh.Concatenation(reference, total, sequence)


def _write_part(piece: Piece, part: udh.Concatenation, target: Target) -> Carried:
    """One part. Only one that came with a 16-bit reference gets one: a full part of 8 bits has no room for the octet
    more, and a phone does not join parts of both kinds, of which this may be one.

    Alone a part cannot be a message_payload of the whole; for such an upstream it stays a part, with a header.
    """
    elements = piece.elements
    if target.long_form is LongForm.SAR:
        return _carry(piece, target, elements, (part.reference, part.total, part.sequence))
    wide, narrow = CONCATENATION_16_OCTETS, CONCATENATION_8_OCTETS
    if target.long_form is LongForm.UDH_16 and part.is_wide and _fits(piece, target, wide):
        elements = (*elements, udh.concatenation_16(part.reference, part.total, part.sequence))
    elif _fits(piece, target, narrow):
        elements = (*elements, udh.concatenation_8(fold(part.reference), part.total, part.sequence))
    else:
        raise LongFormError("a part of a concatenated message is longer than a short message")
    return _carry(piece, target, elements, ())


def _fits(piece: Piece, target: Target, concatenation_octets: int) -> bool:
    header_octets = (len(udh.build(piece.elements)) if piece.elements else 1) + concatenation_octets
    alphabet, latin = counting_of(piece.data_coding, target.dialect)
    return fits(piece.body, alphabet, header_octets, latin)


def _carry(
    piece: Piece,
    target: Target,
    elements: tuple[tuple[int, bytes], ...],
    sar: tuple[int, ...],
    *,
    is_payload: bool = False,
) -> Carried:
    header = udh.build(elements) if elements else b""
    octets = header + render(piece.body, piece.data_coding, target.dialect, len(header))
    esm_class = piece.esm_class | (_UDHI if header else 0)
    if target.esm_mode is not None:
        esm_class = esm_class & ~ESM_MODE_MASK | target.esm_mode
    tlvs = piece.tlvs
    if sar:
        reference, total, sequence = sar
        tlvs += (
            tlv.encode_value(TlvTag.SAR_MSG_REF_NUM, reference)
            + tlv.encode_value(TlvTag.SAR_TOTAL_SEGMENTS, total)
            + tlv.encode_value(TlvTag.SAR_SEGMENT_SEQNUM, sequence)
        )
    if is_payload or len(octets) > SHORT_MESSAGE_MAX:
        return Carried(b"", piece.data_coding, esm_class, tlv.encode([(_PAYLOAD, octets)]) + tlvs)
    return Carried(octets, piece.data_coding, esm_class, tlvs)
