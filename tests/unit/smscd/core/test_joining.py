"""Quirk 33: parts of messages from phones, in any order, again, or never."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocols.gsm import udh
from protocols.gsm.alphabets import GSM, alphabet_for
from protocols.gsm.septets import pack
from protocols.gsm.transcode import Dialect
from protocols.smpp import tlv
from protocols.smpp.constants import TlvTag
from protocols.smpp.longform import Carried
from smscd.core.joining import Ended, Numbering, Waits, part_of, reader_of_wholes, whole_of
from smscd.core.profiles import dialect_of
from smscd.core.records import HeldPart
from smscd.core.upstream import Upstream
from tests.unit.smscd.egress.doubles import NOW_MS, profile

PORTS = (udh.PORTS_16, b"\x0b\x84\x23\xf0")
TURKISH = udh.national_shifts(single_shift=1)
WINDOW_MS = 600_000


def part(sequence: int, total: int = 3, body: bytes | None = None, **changes: Any) -> HeldPart:
    """A part of the message with reference 7 of one phone. whole: an id of its own, should it be the first."""
    fields: dict[str, Any] = {
        "whole": 1_000 + sequence, "at_ms": NOW_MS, "account": "acme", "via": 1, "numbering": int(Numbering.UDH_8),
        "reference": 7, "total": total, "sequence": sequence, "source_ton": 1, "source_npi": 1,
        "source": b"447700900123", "dest_ton": 3, "dest_npi": 0, "dest": b"12345", "esm_class": 0, "protocol_id": 0,
        "body": body if body is not None else b"part %d " % sequence, "data_coding": 0, **changes,
    }  # fmt: skip
    return HeldPart(**fields)


def text_of(parts: Iterable[HeldPart], **changes: object) -> Carried:
    upstream = profile(**changes)
    return whole_of(list(parts), reader_of_wholes(upstream).dialect)


def ended_by(waits: Waits, *parts: HeldPart) -> list[Ended]:
    found: list[Ended] = []
    for item in parts:
        found += waits.take(item) or []
    return found


# --- which part of which message --------------------------------------------------------------------------------------

PLAIN = Dialect()


def of_header(*elements: tuple[int, bytes], body: bytes = b"hi", esm_class: int = 0x40, tlvs: bytes = b"") -> Carried:
    return Carried(udh.build(elements) + body, 0, esm_class, tlvs)


def sar(reference: int = 7, total: int = 2, sequence: int = 1) -> bytes:
    return (
        tlv.encode_value(TlvTag.SAR_MSG_REF_NUM, reference)
        + tlv.encode_value(TlvTag.SAR_TOTAL_SEGMENTS, total)
        + tlv.encode_value(TlvTag.SAR_SEGMENT_SEQNUM, sequence)
    )


@pytest.mark.parametrize(
    ("came", "reference", "numbering"),
    [
        (of_header(udh.concatenation_8(7, 2, 1)), 7, Numbering.UDH_8),
        (of_header(udh.concatenation_16(0x0107, 2, 1)), 0x0107, Numbering.UDH_16),
        (Carried(b"hi", tlvs=sar(0x0107)), 0x0107, Numbering.SAR),
        (of_header(PORTS, tlvs=sar()), 7, Numbering.SAR),
        (of_header(udh.concatenation_8(9, 2, 1), tlvs=sar()), 9, Numbering.UDH_8),
    ],
)
def test_quirk_33_a_part_says_its_reference_in_one_of_three_ways(
    came: Carried, reference: int, numbering: Numbering
) -> None:
    found = part_of(came, PLAIN)
    assert found is not None
    piece, concatenation, where = found
    assert (piece.body, concatenation.reference, where) == (b"hi", reference, numbering)
    assert not piece.tlvs and udh.CONCATENATION_8 not in dict(piece.elements)


@pytest.mark.parametrize(
    "came",
    [
        Carried(b"hi"),
        of_header(PORTS),
        of_header(udh.concatenation_8(7, 1, 1)),
        Carried(b"\x30hi", 0, 0x40),
        Carried(b"\x05\0\x03\7\2\3hi", 0, 0x40),
        Carried(b"", 0, 0x40),
        Carried(b"hi", tlvs=sar(sequence=3)),
        Carried(b"hi", tlvs=sar(total=0, sequence=0)),
        Carried(b"hi", tlvs=tlv.encode_value(TlvTag.SAR_TOTAL_SEGMENTS, 2)),
        Carried(b"x" * 256, tlvs=sar()),
    ],
)
def test_what_is_whole_or_says_nonsense_is_no_part(came: Carried) -> None:
    assert part_of(came, PLAIN) is None


@given(st.binary(max_size=60), st.binary(max_size=60), st.integers(0, 255), st.sampled_from(["gsm", "gsm_packed"]))
def test_no_octets_of_a_phone_are_too_strange(body: bytes, tlvs: bytes, data_coding: int, alphabet: Any) -> None:
    upstream = profile(default_alphabet=alphabet, is_little_endian=True)
    found = part_of(Carried(body, data_coding, 0x40, tlvs), dialect_of(upstream))
    if found is not None:
        piece, concatenation, numbering = found
        held = part(
            concatenation.sequence, concatenation.total, piece.body, data_coding=data_coding,
            elements=piece.elements, tlvs=piece.tlvs, numbering=int(numbering),
        )  # fmt: skip
        other = part(concatenation.sequence % concatenation.total + 1, concatenation.total, b"\x1b")
        whole_of([held, other], reader_of_wholes(upstream).dialect)


# --- waiting ----------------------------------------------------------------------------------------------------------


@given(st.data())
def test_quirk_33_each_message_of_interleaved_phones_is_whole_once_or_partial_once(data: st.DataObject) -> None:
    """Parts in any order, repeated, some never."""
    sizes = data.draw(st.lists(st.integers(2, 5), min_size=1, max_size=4))
    sent = [(phone, sequence) for phone, total in enumerate(sizes) for sequence in range(1, total + 1)]
    lost = data.draw(st.sets(st.sampled_from(sent), max_size=3))
    there = [item for item in sent if item not in lost]
    came = data.draw(st.permutations(there)) if there else []
    waits, redis, ended = Waits(now_ms=NOW_MS), dict[tuple[int, int], HeldPart](), list[Ended]()

    def settle() -> None:
        held, dropped = waits.changes()
        redis.update({(item.whole, item.sequence): item for item in held})
        for name in dropped:
            del redis[name]
        assert waits.parts == len(redis) and waits.octets == sum(len(item.body) for item in redis.values())

    for at, (phone, sequence) in enumerate(came):
        made = part(sequence, sizes[phone], b"%d/%d" % (phone, sequence), reference=phone, whole=at)
        ended_now = waits.take(made)
        assert ended_now is not None
        ended += ended_now
        match data.draw(st.sampled_from(["go on", "settle", "restart", "repeat"])):
            case "settle":
                settle()
            case "restart":
                settle()
                waits = Waits(redis.values(), NOW_MS)
            case "repeat" if not ended_now:
                assert waits.take(part(sequence, sizes[phone], made.body, reference=phone, whole=10_000)) is None
    ended += waits.overdue(NOW_MS + WINDOW_MS, WINDOW_MS, 10_000)
    settle()
    assert not redis and not waits.parts
    wanted = {
        phone: [b"%d/%d" % (phone, sequence) for sequence in range(1, total + 1) if (phone, sequence) in there]
        for phone, total in enumerate(sizes)
    }
    assert {end.parts[0].reference: [item.body for item in end.parts] for end in ended} == {
        phone: bodies for phone, bodies in wanted.items() if bodies
    }
    assert len({end.parts[0].whole for end in ended}) == len(ended)
    for end in ended:
        assert end.is_partial == (len(end.parts) < sizes[end.parts[0].reference])
        assert len({item.whole for item in end.parts}) == 1


def test_quirk_33_the_id_of_the_whole_is_the_one_that_came_with_its_first_part() -> None:
    waits = Waits()
    parts = [part(2), part(3), part(1)]
    [ended] = ended_by(waits, *parts)
    assert [item.sequence for item in ended.parts] == [1, 2, 3] and not ended.is_partial
    assert {item.whole for item in parts} == {1_002}
    assert waits.changes() == ([], []), "nothing of it was ever in Redis"


def test_quirk_33_the_same_part_again_is_a_repeat() -> None:
    waits = Waits()
    assert waits.take(part(1)) == [] and waits.take(part(1)) is None
    assert waits.parts == 1 and len(waits.changes()[0]) == 1


@pytest.mark.parametrize("other", [{"body": b"new"}, {"data_coding": 8}, {"elements": (PORTS,)}])
def test_quirk_33_other_octets_under_the_same_number_are_another_message(other: dict[str, Any]) -> None:
    waits = Waits()
    waits.take(part(1))
    waits.take(part(2))
    waits.changes()
    [ended] = waits.take(part(1, **{"whole": 2_000, **other})) or []
    assert [item.sequence for item in ended.parts] == [1, 2] and ended.is_partial
    held, dropped = waits.changes()
    assert [item.whole for item in held] == [2_000] and sorted(dropped) == [(1_001, 1), (1_001, 2)]
    [ended] = ended_by(waits, part(2), part(3))
    assert not ended.is_partial and {item.whole for item in ended.parts} == {2_000}


@pytest.mark.parametrize(
    "other",
    [
        {"account": "beta"}, {"source": b"447700900124"}, {"dest": b"777"}, {"numbering": int(Numbering.UDH_16)},
        {"numbering": int(Numbering.SAR)}, {"reference": 8}, {"total": 4},
    ],
)  # fmt: skip
def test_quirk_33_parts_belong_together_by_account_addresses_reference_and_total(other: dict[str, Any]) -> None:
    waits = Waits()
    assert not ended_by(waits, part(1), part(2), part(3, **other))
    assert len(ended_by(waits, part(3))) == 1 and waits.parts == 1


def test_quirk_33_what_waits_too_long_is_partial_oldest_first_and_what_comes_then_begins_anew() -> None:
    waits = Waits()
    for at, reference in enumerate((5, 6, 7)):
        waits.take(part(1, reference=reference, at_ms=NOW_MS + at * 1_000))
    assert waits.next_due_ms(WINDOW_MS, 0) == NOW_MS + WINDOW_MS
    assert waits.overdue(NOW_MS + WINDOW_MS - 1, WINDOW_MS, 100) == []
    first = waits.overdue(NOW_MS + WINDOW_MS + 1_000, WINDOW_MS, 1)
    second = waits.overdue(NOW_MS + WINDOW_MS + 1_000, WINDOW_MS, 100)
    assert [[end.parts[0].reference for end in ended] for ended in (first, second)] == [[5], [6]]
    assert not ended_by(waits, part(2, reference=5), part(3, reference=5)) and waits.parts == 3


def test_without_a_window_what_waits_is_due_at_once() -> None:
    waits = Waits([part(1)], NOW_MS)
    assert waits.next_due_ms(0, NOW_MS + 5_000) == NOW_MS
    assert len(waits.overdue(NOW_MS, 0, 100)) == 1
    assert waits.next_due_ms(0, NOW_MS + 5_000) == NOW_MS + 5_000


def test_quirk_33_a_wait_goes_on_after_a_restart_from_when_its_first_part_came() -> None:
    held = [part(2, whole=9, at_ms=NOW_MS + 50), part(1, whole=9), part(1, 2, reference=8, at_ms=NOW_MS + 20)]
    waits = Waits(held, NOW_MS + 100)
    assert (waits.parts, waits.next_due_ms(WINDOW_MS, 0)) == (3, NOW_MS + WINDOW_MS)
    [ended] = ended_by(waits, part(3))
    assert {item.whole for item in ended.parts} == {9}
    assert waits.changes() == ([], [(9, 1), (9, 2)])


def test_a_clock_that_was_set_back_makes_nobody_wait_longer_than_the_window() -> None:
    waits = Waits([part(1, at_ms=NOW_MS + 10**9)], NOW_MS)
    assert len(waits.overdue(NOW_MS + WINDOW_MS, WINDOW_MS, 100)) == 1


@pytest.mark.parametrize("limits", [{"parts_max": 4}, {"octets_max": 4 * len(b"part 1 ")}])
def test_beyond_its_limits_the_oldest_wait_is_partial_at_once(limits: dict[str, int]) -> None:
    waits = Waits(**limits)
    for reference in (1, 2):
        assert not ended_by(waits, part(1, reference=reference), part(2, reference=reference))
    [ended] = waits.take(part(1, reference=3)) or []
    assert (ended.parts[0].reference, len(ended.parts), ended.is_partial) == (1, 2, True)
    assert waits.parts == 3


# --- what they are together -------------------------------------------------------------------------------------------


def test_quirk_33_the_header_keeps_what_is_no_part_number_once() -> None:
    binary = {"data_coding": 4, "elements": (PORTS,), "esm_class": 0x80, "tlvs": b"\x14\x01\0\0"}
    whole = text_of([part(1, 2, b"\x01\x02", **binary), part(2, 2, b"\x03", **binary)])
    assert whole == Carried(udh.build([PORTS]) + b"\1\2\3", 4, 0xC0, b"\x14\x01\0\0")


def test_quirk_33_half_a_character_at_the_end_of_a_part_is_whole_again() -> None:
    octets = "a😀b".encode("utf-16-be")
    whole = text_of([part(1, 2, octets[:4], data_coding=8), part(2, 2, octets[4:], data_coding=8)])
    assert whole == Carried(octets, 8)
    escaped = text_of([part(1, 2, b"5\x1b"), part(2, 2, b"e")])
    assert GSM.decode(escaped.short_message) == "5€"


def test_quirk_33_national_tables_stay_where_all_parts_have_them() -> None:
    text = "şiş"
    octets = alphabet_for(TURKISH).encode(text)
    whole = text_of([part(1, 2, octets[:2], elements=TURKISH), part(2, 2, octets[2:], elements=TURKISH)])
    header = udh.parse(whole.short_message)
    assert header.elements == TURKISH and whole.short_message[header.length :] == octets


@pytest.mark.parametrize(
    "parts",
    [
        [part(1, 2, b"\x1bs", elements=(PORTS, *TURKISH)), part(2, 2, b"\x1be")],
        [part(1, 2, "ş".encode("utf-16-be"), data_coding=8, elements=(PORTS,)), part(2, 2, b"\x1be")],
    ],
)
def test_quirk_33_parts_in_different_alphabets_are_one_text_in_ucs2(parts: list[HeldPart]) -> None:
    whole = text_of(parts)
    assert whole == Carried(udh.build([PORTS]) + "ş€".encode("utf-16-be"), 8, 0x40)


def test_quirk_33_a_class_is_kept_and_latin_1_is_read_as_the_upstream_means_it() -> None:
    cyrillic = part(2, 2, "ж".encode("utf-16-be"), data_coding=0x18)
    assert text_of([part(1, 2, b"\x00", data_coding=0x10), cyrillic]) == Carried("@ж".encode("utf-16-be"), 0x18)
    latin = part(1, 2, b"\xe9@", data_coding=0)
    other = part(2, 2, "ж".encode("utf-16-be"), data_coding=8)
    assert text_of([latin, other], default_alphabet="latin1").short_message == "é@ж".encode("utf-16-be")


def test_quirk_33_text_and_octets_together_are_octets() -> None:
    whole = text_of([part(1, 2, b"a", esm_class=0x80), part(2, 2, b"\xff", data_coding=4)])
    assert whole == Carried(b"a\xff", 4, 0x80)


def test_elements_that_do_not_fit_one_header_are_those_of_the_first_part() -> None:
    parts = [part(number, 2, b"x", elements=((0x70, bytes((number,)) * 100),)) for number in (1, 2)]
    assert udh.parse(text_of(parts).short_message).elements == parts[0].elements


@given(
    st.one_of(st.text("abc{é@", min_size=2, max_size=99), st.text("abc€{é@ж😀", max_size=300)),
    st.integers(1, 60),
    st.sampled_from(["gsm", "gsm_packed", "latin1"]),
)
@example("hello {world}", 5, "gsm_packed")
@example("héllo world", 5, "latin1")
@example("a😀", 1, "gsm")
def test_quirk_33_no_character_is_lost_whatever_the_upstream_writes(text: str, size: int, alphabet: Any) -> None:
    upstream: Upstream = profile(default_alphabet=alphabet, is_little_endian=True)
    dialect = dialect_of(upstream)
    chunks, data_coding = _written(text, size, alphabet)
    total = len(chunks)
    if not 2 <= total <= 255:
        return
    parts: list[HeldPart] = []
    for sequence, chunk in enumerate(chunks, 1):
        header = udh.build([udh.concatenation_8(7, total, sequence)])
        octets = pack(chunk, len(header)) if alphabet == "gsm_packed" and data_coding == 0 else chunk
        found = part_of(Carried(header + octets, data_coding, 0x40), dialect)
        assert found is not None
        parts.append(part(sequence, total, found[0].body, data_coding=data_coding))
    reader = reader_of_wholes(upstream)
    ours = reader.plain(whole_of(parts, reader.dialect))
    assert _shown(ours) == text


def _written(text: str, size: int, alphabet: str) -> tuple[Sequence[bytes], int]:
    """A text in parts of about so many octets, as a phone behind such an SMSC sends it."""
    try:
        octets, data_coding = (text.encode("latin-1") if alphabet == "latin1" else GSM.encode(text)), 0
    except UnicodeEncodeError:
        octets, data_coding, size = text.encode("utf-16-le"), 8, size * 2
    return [octets[at : at + size] for at in range(0, len(octets), size)], data_coding


def _shown(ours: Carried) -> str:
    if ours.data_coding == 8:
        return ours.short_message.decode("utf-16-be")
    return GSM.decode(ours.short_message)
