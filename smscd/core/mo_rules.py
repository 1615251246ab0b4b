"""Whose messages from phones are, pure: by our number, or its beginning, and by the first word of the text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from smscd.core.directory import MoNumber

KEYWORD_CHARACTERS_MAX: Final = 40
_AROUND: Final = "\ufeff.,;:!?\"'()\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb\u00a1\u00bf"


def first_word(text: str) -> str:
    """The first word of a text as keywords are written: in small letters, without punctuation around it."""
    words = text.lstrip("\ufeff").split(None, 1)
    return words[0].strip(_AROUND).casefold() if words else ""


def keyword_of(given: str) -> str | None:
    """A keyword as it is kept; None for what is not one word, or longer than KEYWORD_CHARACTERS_MAX."""
    word = first_word(given)
    if len(given.split()) != 1 or not word or len(word) > KEYWORD_CHARACTERS_MAX:
        return None
    return word


class _Rules:
    """Those of one number or prefix: by keyword, and for every other text."""

    __slots__ = ("by_keyword", "plain")

    def __init__(self) -> None:
        self.by_keyword: dict[str, MoNumber] = {}
        self.plain: MoNumber | None = None


class MoRules:
    """A number's own rules come before those of prefixes, longer prefixes first; in each, keywords come first."""

    __slots__ = ("_exact", "_lengths", "_prefixes")

    def __init__(self, numbers: Iterable[MoNumber] = ()) -> None:
        self._exact: dict[bytes, _Rules] = {}
        self._prefixes: dict[bytes, _Rules] = {}
        for number in numbers:
            table = self._prefixes if number.is_prefix else self._exact
            rules = table.setdefault(number.number.removeprefix("+").encode(), _Rules())
            if number.keyword:
                rules.by_keyword[number.keyword] = number
            else:
                rules.plain = number
        self._lengths = sorted({len(prefix) for prefix in self._prefixes}, reverse=True)

    def has_keywords(self, address: bytes) -> bool:
        """Whether the text may decide about messages to this address."""
        for rules in self._of(address):
            if rules.by_keyword:
                return True
            if rules.plain is not None:
                return False
        return False

    def find(self, address: bytes, text: str = "") -> MoNumber | None:
        """Whose a message with this text is; None: nobody's. address: with or without a plus sign."""
        word = None
        for rules in self._of(address):
            if rules.by_keyword:
                word = first_word(text) if word is None else word
                if (number := rules.by_keyword.get(word)) is not None:
                    return number
            if rules.plain is not None:
                return rules.plain
        return None

    def _of(self, address: bytes) -> Iterator[_Rules]:
        digits = address.removeprefix(b"+")
        if (rules := self._exact.get(digits)) is not None:
            yield rules
        for length in self._lengths:
            if length <= len(digits) and (rules := self._prefixes.get(digits[:length])) is not None:
                yield rules
