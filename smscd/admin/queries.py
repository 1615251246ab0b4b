"""Parameters that several resources of the admin API take."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from smscd.admin.resources import Query
from smscd.ingress.http.queries import CURSOR, LIMIT, LIMIT_DEFAULT, LIMIT_MAX, Parameter, one_of

NAME_CHARACTERS_MAX: Final = 128


def _text(text: str) -> str | None:
    return text if 0 < len(text) <= NAME_CHARACTERS_MAX and text.isprintable() else None


def _empty_or_text(text: str) -> str | None:
    return text if len(text) <= NAME_CHARACTERS_MAX and text.isprintable() else None


def _whole(least: int, most: int) -> Parameter:
    def read(text: str) -> int | None:
        is_number = text.isascii() and text.isdigit() and len(text) <= len(str(most))
        return int(text) if is_number and least <= int(text) <= most else None

    return Parameter(read, f"must be a number from {least} to {most}")


def _moment(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo is not None else None


MOMENT: Final = Parameter(_moment, "must be a time with its zone, such as 2026-01-31T00:00:00Z")
FLAG: Final = Parameter(one_of(("true", "false")), "must be true or false")
_DATE: Final = {"type": "string", "format": "date-time"}


def text(sentence: str, *, is_required: bool = False, may_be_empty: bool = False) -> Query:
    """A name or another short text."""
    schema = {"type": "string", "maxLength": NAME_CHARACTERS_MAX} | ({} if may_be_empty else {"minLength": 1})
    rule = f"must be at most {NAME_CHARACTERS_MAX} printable characters"
    read = _empty_or_text if may_be_empty else _text
    return Query(parameter=Parameter(read, rule), schema=schema, sentence=sentence, is_required=is_required)


def flag(sentence: str) -> Query:
    """true or false, as text; false when it is not given."""
    return Query(parameter=FLAG, schema={"type": "string", "enum": ["true", "false"]}, sentence=sentence)


def whole(sentence: str, least: int, most: int, default: int | None = None) -> Query:
    """A whole number."""
    schema: dict[str, Any] = {"type": "integer", "minimum": least, "maximum": most}
    schema |= {} if default is None else {"default": default}
    return Query(parameter=_whole(least, most), schema=schema, sentence=sentence)


def choice(sentence: str, words: tuple[str, ...]) -> Query:
    """One of these words."""
    parameter = Parameter(one_of(words), f"must be {', '.join(words[:-1])} or {words[-1]}")
    return Query(parameter=parameter, schema={"type": "string", "enum": list(words)}, sentence=sentence)


def moment(sentence: str) -> Query:
    """A time with its zone."""
    return Query(parameter=MOMENT, schema=_DATE, sentence=sentence)


LIMITED: Final = Query(
    parameter=LIMIT,
    schema={"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT},
    sentence="How many at most.",
)
PLACE: Final = Query(
    parameter=CURSOR, schema={"type": "string"}, sentence="The next_cursor of an earlier answer, with the same filters."
)
