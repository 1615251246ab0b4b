"""Text from one peer's alphabet into another's. Quirks 27, 28 and 29."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.gsm import udh
from protocols.gsm.alphabets import GSM, Alphabet
from protocols.gsm.transcode import (
    Content,
    DefaultAlphabet,
    Dialect,
    TranscodeError,
    common,
    counting_of,
    render,
    transcode,
    unify,
)

UNKNOWN = Dialect()
SEPTETS = Dialect(default=DefaultAlphabet.GSM)
PACKED = Dialect(default=DefaultAlphabet.GSM_PACKED)
LATIN = Dialect(default=DefaultAlphabet.LATIN_1)
ASCII = Dialect(default=DefaultAlphabet.ASCII)
TURKISH = udh.national_shifts(single_shift=1)
PORTS = ((udh.PORTS_16, b"\x0b\x84\x23\xf0"),)


@pytest.mark.parametrize(
    ("source", "body", "target", "expected"),
    [
        (SEPTETS, b"\x00 \x05\x1be", LATIN, None),
        (SEPTETS, b"\x00\x05\x1b\x28", LATIN, b"@\xe9{"),
        (LATIN, b"@\xe9{", SEPTETS, b"\x00\x05\x1b\x28"),
        (LATIN, b"@\xe9{", PACKED, b"\x00\x05\x1b\x28"),
        (ASCII, b"a@{", SEPTETS, b"a\x00\x1b\x28"),
        (SEPTETS, b"a\x00\x1b\x28", ASCII, b"a@{"),
        (ASCII, b"a@", LATIN, b"a@"),
        (LATIN, b"a@", ASCII, b"a@"),
        (SEPTETS, b"\x00", PACKED, b"\x00"),
        (UNKNOWN, b"\x00\xff", LATIN, b"\x00\xff"),
        (LATIN, b"@\xff", UNKNOWN, b"@\xff"),
    ],
)
def test_quirk_27_data_coding_0_is_transcoded_when_both_sides_are_known(
    source: Dialect, body: bytes, target: Dialect, expected: bytes | None
) -> None:
    given_content = Content(body, 0)
    if expected is None:
        assert transcode(given_content, source, target) == Content("@ é€".encode("utf-16-be"), 8)
    else:
        assert transcode(given_content, source, target) == Content(expected, 0)


@pytest.mark.parametrize("data_coding", [0x01, 0x02, 0x03, 0x04, 0x06, 0x08, 0x15, 0xF5, 0x20, 0x0F])
def test_quirk_28_what_names_itself_and_binary_are_untouched(data_coding: int) -> None:
    content = Content(b"\x00\xe9\xff\x1b", data_coding, PORTS)
    assert transcode(content, LATIN, SEPTETS) == content
    assert transcode(content, SEPTETS, ASCII) == content
    assert unify(content.body, data_coding, PACKED) == render(content.body, data_coding, PACKED) == content.body


@pytest.mark.parametrize("data_coding", [0x10, 0xF1, 0xC8])
def test_quirk_28_a_class_says_gsm_aloud_so_that_the_default_alphabet_does_not_matter(data_coding: int) -> None:
    content = Content(b"\x00\x1be", data_coding)
    assert transcode(content, LATIN, SEPTETS) == transcode(content, SEPTETS, LATIN) == content
    assert render(content.body, data_coding, PACKED) != content.body


def test_what_the_other_alphabet_does_not_have_goes_as_ucs_2_but_not_in_a_part() -> None:
    assert transcode(Content(b"\xea", 0), LATIN, SEPTETS) == Content(b"\x00\xea", 8)
    assert transcode(Content(b"\x10", 0, PORTS), SEPTETS, ASCII) == Content(b"\x03\x94", 8, PORTS)
    with pytest.raises(TranscodeError, match="00EA"):
        transcode(Content(b"\xea", 0), LATIN, SEPTETS, is_part=True)


def test_national_characters_become_what_they_are_and_their_elements_go() -> None:
    content = Content(b"\x1bc\x1bs", 0, (*PORTS, *TURKISH))
    assert transcode(content, SEPTETS, LATIN) == Content("çş".encode("utf-16-be"), 8, PORTS)
    assert transcode(Content(b"\x1bc", 0, TURKISH), SEPTETS, LATIN) == Content(b"\xe7", 0)
    assert transcode(content, SEPTETS, PACKED) == content


@pytest.mark.parametrize(("source", "target"), [(SEPTETS, LATIN), (ASCII, SEPTETS)])
def test_octets_that_are_no_text_are_an_error(source: Dialect, target: Dialect) -> None:
    with pytest.raises(TranscodeError):
        transcode(Content(b"a\x80", 0), source, target)
    with pytest.raises(TranscodeError):
        render(b"\x80", 0, PACKED)


def test_quirk_29_the_byte_order_of_ucs_2_is_turned_where_a_profile_says_so() -> None:
    little = Dialect(is_little_endian=True)
    assert unify(b"\x3d\xd8\x00\xde", 0x08, little) == "😀".encode("utf-16-be")
    assert render("😀".encode("utf-16-be"), 0x18, little) == b"\x3d\xd8\x00\xde"
    assert unify(b"a\x00b", 0x08, little) == b"\x00ab"
    assert unify(b"a\x00", 0x08, UNKNOWN) == render(b"a\x00", 0x08, UNKNOWN) == b"a\x00"


def test_where_only_the_source_is_known_the_target_gets_what_it_means() -> None:
    assert common(PACKED, UNKNOWN) == (PACKED, PACKED)
    assert common(UNKNOWN, LATIN) == (UNKNOWN, UNKNOWN)
    assert common(LATIN, SEPTETS) == (LATIN, SEPTETS)


@pytest.mark.parametrize(
    ("data_coding", "dialect", "counting"),
    [
        (0x00, UNKNOWN, (Alphabet.GSM7, None)),
        (0x00, LATIN, (Alphabet.OCTETS, "latin-1")),
        (0x00, ASCII, (Alphabet.OCTETS, "ascii")),
        (0x01, SEPTETS, (Alphabet.OCTETS, "ascii")),
        (0x03, SEPTETS, (Alphabet.OCTETS, "latin-1")),
        (0x04, LATIN, (Alphabet.OCTETS, None)),
        (0x06, LATIN, (Alphabet.OCTETS, None)),
        (0x18, LATIN, (Alphabet.UCS2, None)),
        (0xF0, LATIN, (Alphabet.GSM7, None)),
    ],
)
def test_counting_follows_what_the_peer_means(
    data_coding: int, dialect: Dialect, counting: tuple[Alphabet, str | None]
) -> None:
    assert counting_of(data_coding, dialect) == counting


@given(st.text("@é{}€Δab\r", max_size=200), st.sampled_from([SEPTETS, LATIN, PACKED]))
def test_a_text_reads_the_same_on_the_other_side(text: str, target: Dialect) -> None:
    after = transcode(Content(GSM.encode(text), 0), SEPTETS, target)
    if after.data_coding == 8:
        assert after.body.decode("utf-16-be") == text
    else:
        assert (after.body.decode("latin-1") if target is LATIN else GSM.decode(after.body)) == text
