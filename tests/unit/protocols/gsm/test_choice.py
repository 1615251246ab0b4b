"""The encoding of a text: by default two alphabets, with leave the national ones."""

from __future__ import annotations

import pytest

from protocols.gsm import udh
from protocols.gsm.alphabets import Alphabet, alphabet_for
from protocols.gsm.choice import choose
from protocols.gsm.national import Language
from protocols.gsm.segmentation import count

TURKISH = "Şişli'de yağmur var, çok ıslandık. "
HINDI = "आपका कोड है "


def test_without_leave_a_turkish_text_is_ucs_2() -> None:
    encoded = choose(TURKISH * 4)
    assert (encoded.alphabet, encoded.elements) == (Alphabet.UCS2, ())
    assert count(encoded.content, encoded.alphabet) == 3


def test_with_leave_a_turkish_text_takes_the_smallest_header_that_saves_a_segment() -> None:
    single = choose(TURKISH * 3, [Language.TURKISH])
    assert single.elements == udh.national_shifts(single_shift=Language.TURKISH)
    assert alphabet_for(single.elements).decode(single.content) == TURKISH * 3
    locking = choose(TURKISH * 4, [Language.TURKISH])
    assert locking.elements == udh.national_shifts(locking=Language.TURKISH)
    assert count(locking.content, Alphabet.GSM7, locking.elements) == 1


def test_both_tables_are_used_where_both_are_needed() -> None:
    text = HINDI * 9 + "०१"
    encoded = choose(text, [Language.TURKISH, Language.HINDI])
    assert encoded.elements == udh.national_shifts(Language.HINDI, Language.HINDI)
    assert alphabet_for(encoded.elements).decode(encoded.content) == text


def test_a_text_that_saves_nothing_is_left_in_ucs_2() -> None:
    assert choose("ş", [Language.TURKISH]).alphabet is Alphabet.UCS2
    assert choose("日本" * 50, [Language.TURKISH, 77]).alphabet is Alphabet.UCS2


def test_a_text_of_the_default_alphabet_needs_no_table() -> None:
    assert choose("abc€" * 60, [Language.TURKISH]) == (b"abc\x1be" * 60, Alphabet.GSM7, ())


def test_half_of_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        choose("\ud83d")
