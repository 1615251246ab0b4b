"""Parts of long messages from phones, pure: to which message each belongs, which wait, and what they are together.

Parts come in any order, again, or never (quirk 33).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import groupby
from typing import Final, NamedTuple

import msgspec

from protocols.gsm import udh
from protocols.gsm.alphabets import CODECS, alphabet_for, encode_ucs2
from protocols.gsm.coding import Charset, CodingError, recode
from protocols.gsm.transcode import SHIFTS, Dialect, charset_of
from protocols.smpp import longform, tlv
from protocols.smpp.constants import DataCoding, EsmClass, TlvTag
from protocols.smpp.longform import Carried, LongFormError, Piece
from smscd.core.reading import Reader
from smscd.core.records import HeldPart
from smscd.core.upstream import Upstream

PARTS_MAX: Final = 50_000
OCTETS_MAX: Final = 16 * 2**20
SHORT_MESSAGE_MAX: Final = 255
"""What sm_length can say: what is longer came in one piece, whatever its header says."""

_UDHI: Final = int(EsmClass.UDHI)
_SAR_TOTAL: Final = int(TlvTag.SAR_TOTAL_SEGMENTS)
_UCS2: Final = int(DataCoding.UCS2)
_BINARY: Final = int(DataCoding.BINARY)


class Numbering(IntEnum):
    """Where a reference stands: the same number in another place is another message."""

    UDH_8 = 1
    UDH_16 = 2
    SAR = 3


class Key(NamedTuple):
    """What the parts of one message have in common."""

    account: str
    source: bytes
    dest: bytes
    numbering: int
    reference: int
    total: int


class Ended(NamedTuple):
    """A message that waits no more: those of its parts that are there, in their order."""

    parts: tuple[HeldPart, ...]

    @property
    def is_partial(self) -> bool:
        """True when some are missing."""
        return len(self.parts) < self.parts[0].total


@dataclass(slots=True)
class Wait:
    """A message of which parts are missing. whole: its id. since_ms: when the first of them came."""

    whole: int
    since_ms: int
    parts: dict[int, HeldPart] = field(default_factory=dict)


def may_be_part(esm_class: int, tlvs: bytes) -> bool:
    """False for nearly every message, which says of itself that it is whole."""
    return bool(esm_class & _UDHI) or (bool(tlvs) and tlv.find(tlvs, _SAR_TOTAL) is not None)


def part_of(came: Carried, dialect: Dialect) -> tuple[Piece, udh.Concatenation, Numbering] | None:
    """A message as Reader.message gives it, as the part that it is; None for any other, and for one that says nonsense.

    dialect: how its upstream writes.
    """
    if not may_be_part(came.esm_class, came.tlvs) or len(came.short_message) > SHORT_MESSAGE_MAX:
        return None
    try:
        piece = longform.read(came, dialect)
    except (udh.UdhError, LongFormError):
        return None
    part = piece.concatenation
    if part is None or part.total == 1:
        return None
    if part.is_wide:
        return piece, part, Numbering.UDH_16
    has_header = came.esm_class & _UDHI and udh.parse(came.short_message).concatenation is not None
    return piece, part, Numbering.UDH_8 if has_header else Numbering.SAR


class Waits:
    """What waits of one upstream: a mirror of what Redis holds of it.

    It changes before Redis does, by what `changes` tells. Whoever does not know that Redis did it, too, reads it anew.
    parts_max, octets_max: beyond these the oldest message waits no more.
    """

    def __init__(
        self,
        held: Iterable[HeldPart] = (),
        now_ms: int = 0,
        *,
        parts_max: int = PARTS_MAX,
        octets_max: int = OCTETS_MAX,
    ) -> None:
        """held: as Redis has it. now_ms: nothing came later than now, whatever the clock of before said."""
        self.parts = 0
        self.octets = 0
        self._parts_max = parts_max
        self._octets_max = octets_max
        self._waits: dict[Key, Wait] = {}
        self._held: dict[tuple[int, int], HeldPart] = {}
        self._dropped: list[tuple[int, int]] = []
        for part in sorted(held, key=lambda part: part.at_ms):
            self._add(part, min(part.at_ms, now_ms))

    def take(self, part: HeldPart) -> list[Ended] | None:
        """Add a part; `whole` is an id for the message if this is its first, and afterwards the one that it has.

        What ended by it, in order: what waited under its reference before that was used again, its own message, and
        what there was no room for. None: the part is one that waits already.
        """
        key, ended = _key(part), list[Ended]()
        wait = self._waits.get(key)
        if wait is not None and (before := wait.parts.get(part.sequence)) is not None:
            if _text_of(before) == _text_of(part):
                return None
            ended.append(self._end(key))
        part.whole = self._add(part, part.at_ms).whole
        self._held[part.whole, part.sequence] = part
        if len(self._waits[key].parts) == part.total:
            ended.append(self._end(key))
        while self.parts > self._parts_max or self.octets > self._octets_max:
            ended.append(self._end(next(iter(self._waits))))
        return ended

    def overdue(self, now_ms: int, window_ms: int, parts_max: int) -> list[Ended]:
        """End what has waited as long as it may, oldest first, about so many parts at once."""
        ended: list[Ended] = []
        room = parts_max
        while room > 0 and self.next_due_ms(window_ms, now_ms + 1) <= now_ms:
            ended.append(self._end(next(iter(self._waits))))
            room -= len(ended[-1].parts)
        return ended

    def next_due_ms(self, window_ms: int, otherwise_ms: int) -> int:
        """When the oldest has waited as long as it may; `otherwise_ms` when nothing waits."""
        for wait in self._waits.values():
            return wait.since_ms + window_ms
        return otherwise_ms

    def changes(self) -> tuple[list[HeldPart], list[tuple[int, int]]]:
        """What Redis has to hold and to drop, (whole, sequence), to be as this is since it was asked last."""
        changes = list(self._held.values()), self._dropped
        self._held, self._dropped = {}, []
        return changes

    def _add(self, part: HeldPart, since_ms: int) -> Wait:
        key = _key(part)
        wait = self._waits.get(key)
        if wait is None:
            wait = self._waits[key] = Wait(part.whole, since_ms)
        wait.parts[part.sequence] = part
        self.parts += 1
        self.octets += _size(part)
        return wait

    def _end(self, key: Key) -> Ended:
        wait = self._waits.pop(key)
        for part in wait.parts.values():
            self.parts -= 1
            self.octets -= _size(part)
            if self._held.pop((wait.whole, part.sequence), None) is None:
                self._dropped.append((wait.whole, part.sequence))
        return Ended(tuple(part for _, part in sorted(wait.parts.items())))


def reader_of_wholes(profile: Upstream) -> Reader:
    """Reads what `whole_of` gives: no packed septets, UCS-2 big-endian, data_coding 0 as the upstream means it."""
    is_packed = profile.default_alphabet == "gsm_packed"
    return Reader(
        msgspec.structs.replace(
            profile,
            default_alphabet="gsm" if is_packed else profile.default_alphabet,
            is_little_endian=False,
            is_zero_padded=False,
        )
    )


def whole_of(parts: Sequence[HeldPart], dialect: Dialect) -> Carried:
    """What parts of one message are together, in their order. dialect: of reader_of_wholes.

    Parts in different alphabets are in UCS-2 together; where one of them is no text, all of it is octets.
    """
    pieces = [_piece(part) for part in parts]
    try:
        whole = longform.join(pieces, is_partial=True)
    except LongFormError:
        whole = _in_one_alphabet(pieces, dialect)
    try:
        header = udh.build(whole.elements) if whole.elements else b""
    except udh.UdhError:
        header = udh.build(pieces[0].elements)
    return Carried(header + whole.body, whole.data_coding, whole.esm_class | (_UDHI if header else 0), whole.tlvs)


def _in_one_alphabet(pieces: Sequence[Piece], dialect: Dialect) -> Piece:
    first = pieces[0]
    texts: list[str] = []
    for (data_coding, shifts), run in groupby(pieces, longform.written_in):
        body, charset = b"".join(piece.body for piece in run), charset_of(data_coding, dialect)
        if charset is Charset.GSM7:
            texts.append(alphabet_for(shifts).decode(body))
        elif charset is Charset.UCS2:
            texts.append(body.decode("utf-16-be", "replace"))
        elif charset in CODECS:
            texts.append(body.decode(CODECS[charset], "replace"))
        else:
            octets = b"".join(piece.body for piece in pieces)
            return Piece(octets, _BINARY, first.esm_class, _elements(pieces), tlvs=first.tlvs)
    try:
        data_coding = recode(first.data_coding, Charset.UCS2)
    except CodingError:
        data_coding = _UCS2
    return Piece(encode_ucs2("".join(texts)), data_coding, first.esm_class, _elements(pieces), tlvs=first.tlvs)


def _elements(pieces: Sequence[Piece]) -> tuple[tuple[int, bytes], ...]:
    """Each element of their headers once, without the tables that the text no longer needs."""
    found = dict.fromkeys(element for piece in pieces for element in piece.elements)
    return tuple(element for element in found if element[0] not in SHIFTS)


def _piece(part: HeldPart) -> Piece:
    concatenation = udh.Concatenation(part.reference, part.total, part.sequence)
    return Piece(part.body, part.data_coding, part.esm_class, part.elements, concatenation, part.tlvs)


def _key(part: HeldPart) -> Key:
    return Key(part.account, part.source, part.dest, part.numbering, part.reference, part.total)


def _text_of(part: HeldPart) -> tuple[bytes, int, tuple[tuple[int, bytes], ...]]:
    return part.body, part.data_coding, part.elements


def _size(part: HeldPart) -> int:
    return len(part.body) + len(part.tlvs) + sum(len(data) for _, data in part.elements)
