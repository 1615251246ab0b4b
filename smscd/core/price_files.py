"""A price list as CSV, pure: its rows, or a sentence for each line that is wrong.

The first line names the columns: prefix and price, and where they are wanted valid_from, valid_until (UTC where nothing
else is said) and description. Comma, semicolon or tab; with a semicolon a price may have a decimal comma.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from io import StringIO
from itertools import pairwise
from typing import Final, NamedTuple

from smscd.core.directory import PriceRow

ROWS_MAX: Final = 1_000_000
PRICE_MICROS_MAX: Final = 10**13
ALL_DESTINATIONS: Final = "*"
COLUMNS: Final = ("prefix", "price", "valid_from", "valid_until", "description")
_REQUIRED: Final = ("prefix", "price")
_DELIMITERS: Final = ",;\t"
_PREFIX: Final = re.compile(r"\+?([0-9]{1,15})")
_PRICE: Final = re.compile(r"([0-9]{1,12})(?:([.,])([0-9]{1,12}))?")
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)?)?")


class LineError(NamedTuple):
    """What is wrong with a line; lines count from 1, and 0 is the whole file."""

    line: int
    sentence: str


class PriceFile(NamedTuple):
    """The rows of a file by line, or what is wrong with it."""

    rows: dict[int, PriceRow]
    errors: list[LineError]


def read_prices(data: bytes) -> PriceFile:
    """All rows of a file, none of which are to be used when there are errors."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return PriceFile({}, [LineError(line, "is not UTF-8: save the file as UTF-8")])
    head = text.split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=head.count)
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: dict[int, PriceRow] = {}
    errors: list[LineError] = []
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        if wrong := _header_error(names):
            return PriceFile({}, [LineError(1, wrong)])
        has_comma = delimiter == ";"
        for fields in reader:
            if not fields or (len(fields) == 1 and not fields[0].strip()):
                continue
            line = reader.line_num
            if len(rows) + len(errors) >= ROWS_MAX:
                errors.append(LineError(line, f"is one too many: a file has at most {ROWS_MAX:,} prices"))
                break
            if len(fields) != len(names):
                errors.append(LineError(line, f"has {len(fields)} fields, and the first line has {len(names)}"))
                continue
            try:
                rows[line] = _row(dict(zip(names, fields, strict=True)), has_comma=has_comma)
            except ValueError as error:
                errors.append(LineError(line, str(error)))
    except csv.Error as error:
        errors.append(LineError(reader.line_num, f"is not CSV: {error}"))
    errors += _overlaps(rows)
    if not rows and not errors:
        errors.append(LineError(0, "has no prices"))
    return PriceFile(rows, sorted(errors))


def _header_error(names: list[str]) -> str:
    """What is wrong with the names of the columns: one that is not understood might have been a date."""
    if missing := [name for name in _REQUIRED if name not in names]:
        return f"has no column {missing[0]}: the first line names the columns, {', '.join(COLUMNS)}"
    if unknown := [name for name in names if name not in COLUMNS]:
        return f"has a column {unknown[0] or 'without a name'}: there may be {', '.join(COLUMNS)}"
    return "names a column twice" if len(set(names)) < len(names) else ""


def _row(fields: dict[str, str], *, has_comma: bool) -> PriceRow:
    """Raises ValueError with a sentence."""
    prefix, price = fields["prefix"].strip(), fields["price"].strip()
    digits = _PREFIX.fullmatch(prefix)
    if prefix == ALL_DESTINATIONS:
        prefix = ""
    elif digits is None:
        raise ValueError(f"prefix {prefix!r} is not 1 to 15 digits; {ALL_DESTINATIONS} is all destinations")
    elif digits[1].startswith("00"):
        raise ValueError(f"prefix {prefix!r} begins with 00: prefixes begin with the country code")
    else:
        prefix = digits[1]
    from_ms, until_ms = _moment(fields, "valid_from"), _moment(fields, "valid_until")
    if from_ms is not None and until_ms is not None and from_ms >= until_ms:
        raise ValueError("ends before it begins: valid_until is not after valid_from")
    return PriceRow(prefix, _micros(price, has_comma=has_comma), from_ms, until_ms)


def _micros(price: str, *, has_comma: bool) -> int:
    parts = _PRICE.fullmatch(price)
    if parts is None or (parts[2] == "," and not has_comma):
        raise ValueError(f"price {price!r} is not a number such as 0.0125")
    fraction = (parts[3] or "").rstrip("0")
    if len(fraction) > 6:
        raise ValueError(f"price {price!r} has more than six decimals")
    micros = int(parts[1]) * 1_000_000 + int(fraction.ljust(6, "0"))
    if micros > PRICE_MICROS_MAX:
        raise ValueError(f"price {price!r} is more than {PRICE_MICROS_MAX // 1_000_000:,}")
    return micros


def _moment(fields: dict[str, str], name: str) -> int | None:
    text = fields.get(name, "").strip()
    if not text:
        return None
    at_ms = moment_ms(text)
    if at_ms is None:
        raise ValueError(f"{name} {text!r} is not a date such as 2026-12-01 or 2026-12-01T00:00:00Z")
    return at_ms


@lru_cache(maxsize=1024)
def moment_ms(text: str) -> int | None:
    """A date, or a date and time, in UTC where it says nothing else, as milliseconds; None when it is none."""
    try:
        at = datetime.fromisoformat(text) if _DATE.fullmatch(text) else None
        if at is None:
            return None
        return int((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()) * 1000
    except (ValueError, OverflowError):
        return None


def _overlaps(rows: dict[int, PriceRow]) -> Iterator[LineError]:
    """Rows of one prefix that are valid at the same time."""
    by_prefix: dict[str, list[tuple[PriceRow, int]]] = {}
    for line, row in rows.items():
        by_prefix.setdefault(row.prefix, []).append((row, line))
    for found in by_prefix.values():
        found.sort(key=lambda each: begins_ms(each[0]))
        for (row, line), (later, at) in pairwise(found):
            if is_overlap(row, later):
                first, second = sorted((line, at))
                yield LineError(second, f"is valid at the same time as line {first}, with the same prefix")


def begins_ms(row: PriceRow) -> int:
    """When it begins, before everything else when it always was."""
    return row.from_ms if row.from_ms is not None else -(1 << 62)


def is_overlap(row: PriceRow, later: PriceRow) -> bool:
    """True when a row that does not begin before the other begins before that one ends."""
    return row.until_ms is None or row.until_ms > begins_ms(later)
