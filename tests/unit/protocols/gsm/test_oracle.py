"""Encoding and decoding against PyPI's gsmcodecs, which took its tables from 3GPP TS 23.038 version 18.0.0.

Three places differ, and only these are left out:

- Locking tables 4 to 13, septet 0x2C: it has an apostrophe. The tables of annex A.3.4 to A.3.13 print a comma there,
  as every other table has at 0x2C; the apostrophe is 0x09 of their single shift tables, which have no comma.
- Telugu single shift table (annex A.2.12), septet 0x65: it has nothing. The annex prints the euro sign there, as in
  all thirteen single shift tables.
- Kannada locking table (annex A.3.7), septet 0x24: it has U+0CAA, and so has the annex, though U+0CAA is 0x3D already
  and the letters are in the order of Unicode: 0x23 is U+0CA0, 0x25 U+0CA2. It is a misprint; phones (Android's tables
  say so in a note) have U+0CA1, and so do we.

Where a table has a character twice (`*` and `¡` of the Indic single shift tables) both places are right for encoding.
"""

from __future__ import annotations

import random

import gsmcodecs  # type: ignore[import-untyped]  # noqa: F401  # has no types; registers its codecs
import pytest

from protocols.gsm.alphabets import ESCAPE, GSM, national
from protocols.gsm.national import EMPTY, LOCKING, SINGLE_SHIFT, Language
from tests.unit.protocols.gsm.texts import COUNT, gsm_texts

FIRST_INDIC = Language.BENGALI
COMMA, TWICE = 0x2C, "*¡"
PAIRS = [(locking, single) for locking in (0, *LOCKING) for single in (0, *SINGLE_SHIFT)]


def oracle(locking: int, single_shift: int) -> str:
    return f"gsm23.038-{locking}-{single_shift}"


def differs(kind: str, language: int, septet: int) -> bool:
    """The three places where we do not follow it."""
    if kind == "locking":
        return (septet == COMMA and language >= FIRST_INDIC) or (language, septet) == (Language.KANNADA, 0x24)
    return (language, septet) == (Language.TELUGU, 0x65)


def test_100_000_texts_encode_and_decode_as_the_oracle_has_it() -> None:
    for text in gsm_texts(seed=20260102):
        octets = GSM.encode(text)
        assert octets == text.encode("gsm23.038")
        assert GSM.decode(octets) == octets.decode("gsm23.038") == text


@pytest.mark.parametrize("language", LOCKING, ids=lambda language: Language(language).name)
def test_each_locking_table_is_the_oracles(language: int) -> None:
    assert len(LOCKING[language]) == 128
    for septet, char in enumerate(LOCKING[language]):
        if septet != ESCAPE and not differs("locking", language, septet):
            expected = bytes((septet,)).decode(oracle(language, 0), "ignore")
            assert (char if char != EMPTY else "") == expected, hex(septet)


@pytest.mark.parametrize("language", SINGLE_SHIFT, ids=lambda language: Language(language).name)
def test_each_single_shift_table_is_the_oracles(language: int) -> None:
    for septet in range(128):
        if septet != ESCAPE and not differs("single", language, septet):
            expected = bytes((ESCAPE, septet)).decode(oracle(0, language), "ignore")
            assert SINGLE_SHIFT[language].get(septet, "") == expected, hex(septet)


def characters(locking: int, single_shift: int) -> list[str]:
    """Those of a pair of tables that the oracle has in their places, and in one place."""
    default = [GSM.decode(bytes((septet,))) for septet in range(128)]
    chars = [*LOCKING.get(locking, default), *SINGLE_SHIFT.get(single_shift, {}).values()]
    left_out = {EMPTY, chr(ESCAPE)}
    if locking >= FIRST_INDIC:
        left_out |= {",", "'"}
    if locking == Language.KANNADA:
        left_out |= {"\u0ca1", "\u0caa"}
    if single_shift == Language.TELUGU:
        left_out |= {"€"}
    if single_shift >= FIRST_INDIC:
        left_out |= set(TWICE)
    return [char for char in chars if char not in left_out]


def test_100_000_texts_in_national_alphabets_encode_and_decode_as_the_oracle_has_it() -> None:
    chance = random.Random(20260103)
    for locking, single_shift in PAIRS:
        codec, alphabet = oracle(locking, single_shift), national(locking, single_shift)
        chars = characters(locking, single_shift)
        assert len(chars) > 90
        for _ in range(COUNT // len(PAIRS) + 1):
            text = "".join(chance.choices(chars, k=chance.randrange(0, 60)))
            octets = alphabet.encode(text)
            assert octets == text.encode(codec), (locking, single_shift)
            assert alphabet.decode(octets) == octets.decode(codec) == text


def test_the_places_where_the_oracle_differs_are_ours() -> None:
    for language in LOCKING:
        assert LOCKING[language][COMMA] == ","
    assert LOCKING[Language.KANNADA][0x23:0x26] == "\u0ca0\u0ca1\u0ca2"
    assert all(table[0x65] == "€" for language, table in SINGLE_SHIFT.items())
    assert all(
        LOCKING[language].count(char) == 1 for language in LOCKING for char in LOCKING[language] if char != EMPTY
    )
