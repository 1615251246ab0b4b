"""GSM 03.38, Latin-1 and UCS-2, against an implementation that is not ours."""

from __future__ import annotations

import random

import gsmcodecs  # type: ignore[import-untyped]  # noqa: F401  # has no types; registers its codecs
import pytest

from protocols.gsm.alphabets import (
    GSM,
    Alphabet,
    GsmAlphabet,
    alphabet_for,
    alphabet_of,
    decode,
    decode_ucs2,
    encode,
    encode_ucs2,
    national,
    smart,
)

ORACLE = "gsm23.038"
BASIC = GSM.decode(bytes(range(0x1B)) + bytes(range(0x1C, 0x80)))
EXTENSION = "\f^{}\\[~]|€"


def random_texts(count: int, characters: str) -> list[str]:
    chance = random.Random(20260101)
    return ["".join(chance.choices(characters, k=chance.randrange(0, 320))) for _ in range(count)]


def test_random_texts_encode_as_the_oracle_encodes_them() -> None:
    for text in random_texts(3_000, BASIC + EXTENSION * 3):
        assert GSM.encode(text) == text.encode(ORACLE)


def test_random_texts_decode_as_the_oracle_decodes_them_and_come_back() -> None:
    for text in random_texts(3_000, BASIC + EXTENSION * 3):
        encoded = text.encode(ORACLE)
        assert GSM.decode(encoded) == encoded.decode(ORACLE) == text


def test_the_alphabet_has_exactly_the_characters_that_the_oracle_has() -> None:
    def oracle_has(char: str) -> bool:
        try:
            char.encode(ORACLE)
        except UnicodeEncodeError:
            return False
        return True

    def ours_has(char: str) -> bool:
        try:
            GSM.encode(char)
        except UnicodeEncodeError:
            return False
        return True

    candidates = [chr(code) for code in range(0x3000) if code != 0x1B]
    assert [c for c in candidates if ours_has(c)] == [c for c in candidates if oracle_has(c)]


def test_a_character_outside_the_alphabet_is_refused_with_its_place() -> None:
    with pytest.raises(UnicodeEncodeError) as caught:
        GSM.encode("price 5 ł")
    assert caught.value.start == 8


def test_the_escape_itself_cannot_be_encoded() -> None:
    with pytest.raises(UnicodeEncodeError):
        GSM.encode("\x1b")


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"\x1bA", "A"),
        (b"A\x1b", "A "),
        (b"\x1b\x1bA", " A"),
        (b"\x1be5", "€5"),
        (b"\x80A", "\ufffdA"),
        (b"\x1b\xff", "\ufffd"),
        (b"", ""),
        (b"\x1b\n", "\f"),
    ],
)
def test_odd_octets_decode_to_something_that_a_person_can_read(octets: bytes, text: str) -> None:
    assert GSM.decode(octets) == text


def test_a_table_of_a_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="128"):
        GsmAlphabet("abc", {})


def test_ucs2_carries_surrogate_pairs_and_shows_halves_as_replacement() -> None:
    assert encode_ucs2("😀") == b"\xd8\x3d\xde\x00"
    assert decode_ucs2(b"\xd8\x3d\xde\x00") == "😀"
    assert decode_ucs2(b"\x3d\xd8\x00\xde", is_little_endian=True) == "😀"
    assert decode_ucs2(b"\xd8\x3d") == "\ufffd"
    assert decode_ucs2(b"\x00A\x00") == "A\ufffd"
    assert encode_ucs2("😀", is_little_endian=True) == b"\x3d\xd8\x00\xde"
    with pytest.raises(UnicodeEncodeError):
        encode_ucs2("\ud83d")


def test_each_data_coding_is_decoded_by_its_alphabet() -> None:
    assert decode(b"\x00", 0x00) == "@"
    assert decode(b"\xe9", 0x03) == "é"
    assert decode(b"\x00\xe9", 0x08) == "é"
    assert decode(b"\xb6\xd8\xd2", 0x06) == "Жив"
    assert decode(b"\xf9\xec\xa1", 0x07) == "של\ufffd"
    assert decode(b"\xe9", 0x01) == "é"
    assert decode(b"\xe9", 0x04) == "é"


def test_quirk_36_national_tables_are_chosen_by_the_header() -> None:
    turkish = [(0x24, b"\x01")]
    assert decode(b"\x1bs \x1b\x14", 0x00, turkish) == "ş ^"
    assert decode(b"\x1bs", 0x00) == "s"
    assert decode(b"\x0b\x1b\x0b", 0x00, [(0x25, b"\x01")]) == "ĞĞ"
    assert decode(b"\x00\x2c\x1b\x1c", 0x00, [(0x25, b"\x06"), (0x24, b"\x06")]) == "ँ,०"
    assert decode(b"\x0c", 0x00, [(0x25, b"\x04")]) == "\ufffd"
    assert decode(b"\x00s", 0x08, turkish) == "s"


def test_an_unknown_language_is_the_default_alphabet() -> None:
    assert alphabet_for([(0x24, b"\x0e"), (0x25, b"\x02"), (0x24, b"")]) is GSM
    assert alphabet_for([]) is national(0, 0) is national(99, 99) is GSM
    assert alphabet_for([(0x24, b"\x01"), (0x24, b"\x02")]) is national(0, 2)
    assert alphabet_for([(0x24, b"\x01"), (0x25, b"\x01"), (0x24, b"\x63"), (0x25, b"\x63")]) is GSM


@pytest.mark.parametrize(
    ("data_coding", "alphabet"),
    [
        (0x00, Alphabet.GSM7),
        (0x01, Alphabet.OCTETS),
        (0x03, Alphabet.OCTETS),
        (0x04, Alphabet.OCTETS),
        (0x08, Alphabet.UCS2),
        (0x10, Alphabet.GSM7),
        (0x15, Alphabet.OCTETS),
        (0x18, Alphabet.UCS2),
        (0xC8, Alphabet.GSM7),
        (0xE0, Alphabet.UCS2),
        (0xF0, Alphabet.GSM7),
        (0xF1, Alphabet.GSM7),
        (0xF5, Alphabet.OCTETS),
        (0x80, Alphabet.OCTETS),
        (0x20, Alphabet.OCTETS),
        (0x48, Alphabet.UCS2),
    ],
)
def test_data_coding_names_its_alphabet(data_coding: int, alphabet: Alphabet) -> None:
    assert alphabet_of(data_coding) is alphabet


def test_smart_replacement_leads_into_the_gsm_alphabet() -> None:
    text = smart("“It’s 5 – 7 €…”\u00a0\u200bok")
    assert text == '"It\'s 5 - 7 €..." ok'
    assert GSM.decode(GSM.encode(text)) == text


@pytest.mark.parametrize(
    ("data_coding", "text"),
    [
        (0x00, "@{é\n"),
        (0x01, "plain ~"),
        (0x03, "ê¦"),
        (0x06, "Живёт"),
        (0x07, "שלום"),
        (0x08, "日本😀"),
        (0x10, "flash €"),
        (0x18, "я"),
        (0xD8, "mail"),
        (0xE8, "я"),
        (0xF1, "x"),
    ],
)
def test_a_text_comes_back_from_every_alphabet(data_coding: int, text: str) -> None:
    assert decode(encode(text, data_coding), data_coding) == text


def test_quirk_36_national_texts_come_back_by_their_elements() -> None:
    elements = [(0x25, b"\x01"), (0x24, b"\x01")]
    assert encode("Şşç", 0x00, elements) == b"\x1c\x1d\x60"
    assert decode(encode("İstanbul'da €", 0x10, elements), 0x10, elements) == "İstanbul'da €"


@pytest.mark.parametrize("data_coding", [0x02, 0x04, 0x05, 0x0A, 0x0F, 0x20, 0x80, 0xF5])
def test_what_is_no_alphabet_is_not_written(data_coding: int) -> None:
    with pytest.raises(ValueError, match=f"0x{data_coding:02x}"):
        encode("a", data_coding)


@pytest.mark.parametrize(
    ("data_coding", "text"), [(0x00, "ê"), (0x01, "é"), (0x03, "я"), (0x07, "я"), (0x08, "\ud800")]
)
def test_a_character_that_an_alphabet_does_not_have_is_an_error(data_coding: int, text: str) -> None:
    with pytest.raises(UnicodeEncodeError):
        encode(text, data_coding)
