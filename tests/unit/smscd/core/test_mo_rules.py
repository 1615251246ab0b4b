"""Whose messages from phones are: number before prefix, keyword before none."""

from __future__ import annotations

import pytest

from smscd.core.directory import MoNumber
from smscd.core.mo_rules import MoRules, first_word, keyword_of

RULES = MoRules(
    (
        MoNumber(number="100", account="plain"),
        MoNumber(number="100", account="stop", keyword="stop"),
        MoNumber(number="+200", account="win", keyword="win"),
        MoNumber(number="2", account="twos", is_prefix=True),
        MoNumber(number="20", account="vote", keyword="vote", is_prefix=True),
        MoNumber(number="", account="rest", is_prefix=True),
        MoNumber(number="", account="help", keyword="help", is_prefix=True),
    )
)


@pytest.mark.parametrize(
    ("address", "text", "account"),
    [
        (b"100", "STOP please", "stop"),
        (b"+100", "  Stop!\nnow", "stop"),
        (b"100", "stopp", "plain"),
        (b"100", "please stop", "plain"),
        (b"100", "", "plain"),
        (b"100", "help", "plain"),
        (b"200", "win", "win"),
        (b"200", "vote", "vote"),
        (b"200", "lose", "twos"),
        (b"2", "vote", "twos"),
        (b"300", "Help", "help"),
        (b"300", "hello", "rest"),
        (b"", "hello", "rest"),
    ],
)  # fmt: skip
def test_the_longest_rule_wins(address: bytes, text: str, account: str) -> None:
    found = RULES.find(address, text)
    assert found is not None and found.account == account


def test_the_text_is_asked_for_only_where_it_may_decide() -> None:
    assert RULES.has_keywords(b"100") and RULES.has_keywords(b"200") and RULES.has_keywords(b"300")
    rules = MoRules((MoNumber(number="1", account="a"), MoNumber(number="", account="b", keyword="b", is_prefix=True)))
    assert not rules.has_keywords(b"1") and rules.has_keywords(b"2")
    assert rules.find(b"2", "c") is None
    assert not MoRules().has_keywords(b"1") and MoRules().find(b"1", "a") is None


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("ПРИВЕТ всем", "привет"), ("\ufeffStart", "start"), ("“x” y", "x"), ("'Ja', ich", "ja"),
        ("", ""), (" \t\n", ""), ("... x", ""), ("Straße 1", "strasse"),
    ],
)  # fmt: skip
def test_the_first_word_is_in_small_letters_without_punctuation(text: str, word: str) -> None:
    assert first_word(text) == word


def test_a_keyword_is_one_word_as_it_is_found_in_texts() -> None:
    assert keyword_of("STOP!") == "stop"
    for given in ("two words", "", " ", "!", "x" * 41):
        assert keyword_of(given) is None
