"""What the lists of the interface have in common: parameters of a URL, cursors, and how many are read at once."""

from __future__ import annotations

import asyncio
import re
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final, NamedTuple

from smscd.core.ids import first_id
from smscd.ingress.http.field_errors import pointer
from smscd.ingress.http.problems import FieldError
from storage.postgres.account_entries import ID_MAX

LIMIT_DEFAULT: Final = 50
LIMIT_MAX: Final = 500
PARAMETERS_MAX: Final = 50
REPEATS_MAX: Final = 20
WAIT_SECONDS: Final = 2.0

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d([Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d))?")
_ID: Final = re.compile(r"[1-9][0-9]{0,18}")
_CURSOR: Final = struct.Struct(">BQ")
_CURSOR_VERSION: Final = 1
CURSOR_PATTERN: Final = "^A[Q-X][A-Za-z0-9_-]{10}$"
"""What every text that write_cursor() makes matches, and no other text does."""


class Parameter(NamedTuple):
    """One that a list takes. read: its value, None when it is not valid; rule: what is said then.

    is_list: it may stand up to REPEATS_MAX times, and its value is a list without repeats.
    """

    read: Callable[[str], Any]
    rule: str
    is_list: bool = False


def read_query(
    query: Sequence[tuple[str, str]], parameters: Mapping[str, Parameter]
) -> tuple[dict[str, Any], list[FieldError]]:
    """The values of the parameters that stand in a URL, decoded, and everything that is wrong with them."""
    errors: list[FieldError] = []
    texts: dict[str, list[str]] = {}
    for name, text in query[:PARAMETERS_MAX]:
        known = parameters.get(name)
        if known is None:
            errors.append(FieldError(pointer(name), "unknown parameter"))
        elif name in texts and not known.is_list:
            errors.append(FieldError(pointer(name), "must stand once"))
        else:
            texts.setdefault(name, []).append(text)
    if len(query) > PARAMETERS_MAX:
        errors.append(FieldError("", f"there must be at most {PARAMETERS_MAX} parameters"))
    values: dict[str, Any] = {}
    for name, given in texts.items():
        read, rule, is_list = parameters[name]
        found = [read(text) for text in given]
        if len(given) > REPEATS_MAX:
            errors.append(FieldError(pointer(name), f"must stand at most {REPEATS_MAX} times"))
        elif None in found:
            errors.append(FieldError(pointer(name), rule))
        values[name] = list(dict.fromkeys(found)) if is_list else found[0]
    after, before = values.get("created_after"), values.get("created_before")
    if after is not None and before is not None and after >= before:
        errors.append(FieldError("/created_before", "must be later than created_after"))
    return values, errors


def write_cursor(place: int) -> str:
    """A place in a list as text that says nothing to its reader."""
    return urlsafe_b64encode(_CURSOR.pack(_CURSOR_VERSION, place)).decode()


def read_cursor(text: str) -> int | None:
    """The place that write_cursor() was given; None for other text."""
    try:
        version, place = _CURSOR.unpack(urlsafe_b64decode(text.encode()))
    except (Base64Error, ValueError, struct.error):
        return None
    return place if version == _CURSOR_VERSION and place <= ID_MAX and write_cursor(place) == text else None


def read_id(text: str) -> int | None:
    """The id of a message as we give it; None for what cannot be one."""
    if not _ID.fullmatch(text):
        return None
    found = int(text)
    return found if found <= ID_MAX else None


def read_limit(text: str) -> int | None:
    """How many at most."""
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(LIMIT_MAX))
    return int(text) if is_number and 1 <= int(text) <= LIMIT_MAX else None


def read_moment(text: str) -> int | None:
    """The least id of a moment; a date is its beginning in UTC, a fraction of a millisecond is the next millisecond."""
    if not _TIME.fullmatch(text):
        return None
    try:
        at = datetime.fromisoformat(text.upper() if "T" in text.upper() else f"{text}T00:00:00Z")
        micros = round(at.timestamp() * 1_000_000)
    except (ValueError, OverflowError):
        return None
    return min(first_id(-(-micros // 1_000)), ID_MAX)


def one_of(values: Sequence[str]) -> Callable[[str], str | None]:
    """Reads one of these words."""
    return lambda text: text if text in values else None


LIMIT: Final = Parameter(read_limit, f"must be a whole number from 1 to {LIMIT_MAX}")
CURSOR: Final = Parameter(read_cursor, "must be the next_cursor of an earlier answer")
MOMENT: Final = Parameter(read_moment, "must be a time such as 2026-11-22T14:48:34Z, or a date")


class Turns:
    """At most so many readers at once: the pool has a connection more, and a list shall not keep others from it."""

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)

    @asynccontextmanager
    async def take(self) -> AsyncIterator[bool]:
        """One turn; False when none came in time."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._free.acquire()
        except TimeoutError:
            yield False
            return
        try:
            yield True
        finally:
            self._free.release()
