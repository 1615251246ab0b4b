"""Long messages: how many parts, and where they are cut."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.gsm import udh
from protocols.gsm.alphabets import GSM, Alphabet, encode_ucs2
from protocols.gsm.segmentation import TooManySegmentsError, capacity, cuts, fits, split

GSM_CHARACTERS = "abc xyz@£Δ€{}[]~^|\\"


def texts_of(parts: list[bytes]) -> list[bytes]:
    if len(parts) == 1:
        return parts
    return [part[udh.parse(part).length :] for part in parts]


@pytest.mark.parametrize(
    ("alphabet", "unit", "single", "part"),
    [(Alphabet.GSM7, b"a", 160, 153), (Alphabet.OCTETS, b"\xff", 140, 134), (Alphabet.UCS2, b"\x04\x10", 70, 67)],
)
def test_limits_are_those_of_the_specification(alphabet: Alphabet, unit: bytes, single: int, part: int) -> None:
    assert fits(unit * single, alphabet) and not fits(unit * (single + 1), alphabet)
    assert fits(unit * part, alphabet, 6) and not fits(unit * (part + 1), alphabet, 6)
    assert split(unit * single, alphabet, 7, 10) == [unit * single]
    two = split(unit * (single + 1), alphabet, 7, 10)
    assert [len(text) // len(unit) for text in texts_of(two)] == [part, single + 1 - part]
    assert len(split(unit * part * 2, alphabet, 7, 10)) == 2
    assert len(split(unit * (part * 2 + 1), alphabet, 7, 10)) == 3


def test_limits_with_a_sixteen_bit_reference_follow_from_the_header() -> None:
    assert [capacity(alphabet, 7) for alphabet in Alphabet] == [152, 133, 132]


@pytest.mark.parametrize(
    ("alphabet", "unit", "part"),
    [(Alphabet.GSM7, b"a", 152), (Alphabet.OCTETS, b"\xff", 133), (Alphabet.UCS2, b"\4\x10", 66)],
)
def test_parts_with_a_sixteen_bit_reference_hold_less(alphabet: Alphabet, unit: bytes, part: int) -> None:
    parts = split(unit * part * 2, alphabet, 0x1234, 10, is_wide=True)
    assert [udh.parse(part).concatenation for part in parts] == [
        udh.Concatenation(0x1234, 2, n, is_wide=True) for n in (1, 2)
    ]
    assert [len(text) for text in texts_of(parts)] == [part * len(unit)] * 2


@pytest.mark.parametrize(("locking", "single", "one", "part"), [(0, 1, 155, 149), (1, 0, 155, 149), (1, 1, 152, 146)])
def test_national_headers_leave_less_room(locking: int, single: int, one: int, part: int) -> None:
    elements = udh.national_shifts(locking, single)
    assert len(split(b"a" * one, Alphabet.GSM7, 1, 10, elements)) == 1
    parts = split(b"a" * (one + 1), Alphabet.GSM7, 1, 10, elements)
    assert [len(text) for text in texts_of(parts)] == [part, one + 1 - part]
    assert all(udh.parse(part).others == elements for part in parts)


def test_a_latin_1_text_is_cut_by_the_septets_that_it_will_be() -> None:
    assert len(split(b"a" * 160, Alphabet.OCTETS, 1, 10, latin="latin-1")) == 1
    assert [len(text) for text in texts_of(split(b"a" * 161, Alphabet.OCTETS, 1, 10, latin="latin-1"))] == [153, 8]
    braces = texts_of(split(b"\xe9" + b"{" * 150, Alphabet.OCTETS, 1, 10, latin="latin-1"))
    assert [len(text) for text in braces] == [77, 74]


def test_a_latin_1_text_fits_as_septets_or_as_octets() -> None:
    assert fits(b"a" * 160, Alphabet.OCTETS, latin="latin-1") and not fits(b"a" * 161, Alphabet.OCTETS, latin="latin-1")
    assert fits(b"a" * 153, Alphabet.OCTETS, 6, "ascii") and not fits(b"a" * 154, Alphabet.OCTETS, 6, "ascii")
    assert fits(b"{" * 140, Alphabet.OCTETS, latin="ascii") and not fits(b"{" * 141, Alphabet.OCTETS, latin="ascii")
    assert not fits(b"\xea" * 141, Alphabet.OCTETS, latin="latin-1")


def test_a_latin_1_text_that_gsm_does_not_have_is_cut_as_octets() -> None:
    assert [len(text) for text in texts_of(split(b"\xea" * 141, Alphabet.OCTETS, 1, 10, latin="latin-1"))] == [134, 7]
    assert len(split(b"\xea" * 140, Alphabet.OCTETS, 1, 10, latin="latin-1")) == 1
    assert [len(text) for text in texts_of(split(b"\xe9" * 161, Alphabet.OCTETS, 1, 10, latin="ascii"))] == [134, 27]


def test_each_part_carries_reference_total_and_sequence() -> None:
    parts = split(b"x" * 400, Alphabet.GSM7, 0x1FF, 10)
    seen = [udh.parse(part).concatenation for part in parts]
    assert seen == [udh.Concatenation(0xFF, 3, number) for number in (1, 2, 3)]
    assert all(part.startswith(b"\x05\x00\x03\xff\x03") for part in parts)


def test_an_escape_is_not_parted_from_its_septet() -> None:
    content = GSM.encode("a" * 152 + "€" + "b" * 100)
    parts = texts_of(split(content, Alphabet.GSM7, 1, 10))
    assert [len(part) for part in parts] == [152, 102]
    assert parts[1].startswith(b"\x1be")


def test_an_escaped_escape_is_not_taken_for_the_start_of_a_pair() -> None:
    content = b"a" * 151 + b"\x1b\x1b" + b"b" * 60
    assert [len(part) for part in texts_of(split(content, Alphabet.GSM7, 1, 10))] == [153, 60]


def test_a_surrogate_pair_is_not_parted() -> None:
    content = encode_ucs2("я" * 66 + "😀" + "я" * 20)
    parts = texts_of(split(content, Alphabet.UCS2, 1, 10))
    assert [len(part) for part in parts] == [132, 44]
    assert parts[1].decode("utf-16-be").startswith("😀")


def test_too_many_segments_are_an_error_that_says_how_many() -> None:
    assert len(split(b"x" * 1530, Alphabet.GSM7, 1, 10)) == 10
    with pytest.raises(TooManySegmentsError) as caught:
        split(b"x" * 1531, Alphabet.GSM7, 1, 10)
    assert caught.value.count == 11
    with pytest.raises(TooManySegmentsError):
        split(bytes(134 * 256), Alphabet.OCTETS, 1, 1000)


def test_other_elements_are_on_each_part() -> None:
    ports = (udh.PORTS_16, b"\x0b\x84\x23\xf0")
    parts = split(bytes(300), Alphabet.OCTETS, 1, 10, (ports,))
    assert all(len(part) <= 140 and ports in udh.parse(part).elements for part in parts)
    assert b"".join(texts_of(parts)) == bytes(300)
    assert split(b"abc", Alphabet.OCTETS, 1, 10, (ports,)) == [udh.build([ports]) + b"abc"]


def test_a_header_without_room_for_text_is_an_error() -> None:
    with pytest.raises(udh.UdhError):
        split(bytes(200), Alphabet.UCS2, 1, 10, ((0x70, bytes(130)),))


def test_a_header_without_room_for_latin_text_is_an_error() -> None:
    with pytest.raises(udh.UdhError):
        split(b"a" * 200, Alphabet.OCTETS, 1, 10, ((0x70, bytes(131)),), latin="latin-1")


@given(st.text("ab{é", min_size=100, max_size=500))
def test_latin_1_parts_fit_as_septets_and_lose_nothing(text: str) -> None:
    content = text.encode("latin-1")
    parts = split(content, Alphabet.OCTETS, 1, 255, latin="latin-1")
    assert b"".join(texts_of(parts)) == content
    if len(parts) > 1:
        assert all(len(GSM.encode(part.decode("latin-1"))) <= 153 for part in texts_of(parts))


def test_random_texts_come_back_whole_from_their_parts() -> None:
    chance = random.Random(7)
    for _ in range(2_000):
        text = "".join(chance.choices(GSM_CHARACTERS, k=chance.randrange(150, 700)))
        parts = split(GSM.encode(text), Alphabet.GSM7, 1, 10)
        assert all(len(part) <= 160 for part in parts)
        assert "".join(GSM.decode(part) for part in texts_of(parts)) == text
        text = "".join(chance.choices("я😀a", k=chance.randrange(60, 300)))
        parts = split(encode_ucs2(text), Alphabet.UCS2, 1, 10)
        assert all(len(part) <= 140 for part in parts)
        assert "".join(part.decode("utf-16-be") for part in texts_of(parts)) == text


@given(st.binary(max_size=600), st.sampled_from(Alphabet), st.integers(2, 70))
def test_any_octets_are_cut_into_parts_that_fit_and_lose_nothing(
    content: bytes, alphabet: Alphabet, half_room: int
) -> None:
    room = half_room * 2
    bounds = cuts(content, alphabet, room)
    starts = [0, *bounds[:-1]]
    assert bounds[-1] == len(content)
    assert all(0 < end - start <= room for start, end in zip(starts, bounds, strict=True)) or not content
