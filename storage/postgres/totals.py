"""Adds up messages in PostgreSQL, and keeps the totals of days that are over."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import NamedTuple

import asyncpg
import msgspec

from smscd.core.countries import PREFIXES, UNKNOWN, country_of
from smscd.core.records import MessageRecord
from smscd.core.totals import Counts, Group, Key, Totals
from storage.postgres.pool import Connection
from storage.postgres.statements import load

_SQL = load("totals")
_COUNTRIES = msgspec.json.encode(PREFIXES).decode()
_SHORT_CODE_TONS = (3, 6)
_decode_message = msgspec.msgpack.Decoder(MessageRecord).decode


class DayRow(NamedTuple):
    """One row of a day."""

    day: date
    key: Key
    currency: str
    counts: Counts


async def read_slice(connection: Connection, first_id: int, end_id: int, account: str | None = None) -> list[Group]:
    """What the outbound messages with ids from first_id up to, not including, end_id came to."""
    rows = await connection.fetch(_SQL["slice"], first_id, end_id, account, _COUNTRIES)
    return [(Key(*values[:3]), Counts(*values[3:])) for values in map(tuple, rows)]


async def read_dead_letters(
    connection: Connection, first_id: int, end_id: int, account: str | None = None
) -> list[Group]:
    """The same of those that could not be stored, which are few."""
    return [_lost(row) for row in await connection.fetch(_SQL["dead_letters"], first_id, end_id, account)]


async def read_currencies(connection: Connection) -> dict[str, str]:
    """The currency of each account."""
    return {row["id"]: row["currency"] for row in await connection.fetch(_SQL["currencies"])}


async def first_message(connection: Connection) -> int | None:
    """The id of the oldest message that is still there."""
    found: int | None = await connection.fetchval(_SQL["first_message"])
    return found


async def computed_days(connection: Connection, first: date, end: date) -> dict[date, int]:
    """The days from `first` up to, not including, `end` that are stored, and when each was added up, in ms."""
    rows = await connection.fetch(_SQL["computed_days"], first, end)
    return {row["day"]: round(row["computed_at"].timestamp() * 1000) for row in rows}


async def stored_totals(connection: Connection, first: date, end: date, account: str | None = None) -> list[DayRow]:
    """The rows of these days."""
    rows = await connection.fetch(_SQL["stored"], first, end, account)
    return [DayRow(values[0], Key(*values[1:4]), values[4], Counts(*values[5:])) for values in map(tuple, rows)]


async def store_day(
    connection: Connection, day: date, computed_ms: int, totals: Totals, currencies: Mapping[str, str]
) -> None:
    """Put these in the place of what the day had. computed_ms: when adding up began."""
    async with connection.transaction():
        await connection.execute(_SQL["mark_day"], day, datetime.fromtimestamp(computed_ms / 1000, UTC))
        await connection.execute(_SQL["forget_day"], day)
        await connection.executemany(
            _SQL["store"],
            [(day, *key, currencies.get(key.account, ""), *counts) for key, counts in sorted(totals.items())],
        )


def _lost(row: asyncpg.Record) -> Group:
    """A dead letter: a message that was charged, or a refund of one that is there."""
    if row["kind"] == "A":
        record = _decode_message(row["record"])
        country = _country(record.dest_ton, record.dest.decode("latin-1"))
        counts = Counts(1, record.parts, row["price_micros"], row["refunded_micros"], 0, 1)
        return Key(row["account"], country, record.upstream), counts
    key = Key(row["account"], _country(row["dest_ton"], row["dest"]), row["upstream"])
    return key, Counts(refunded_micros=row["refunded_micros"])


def _country(dest_ton: int, dest: str) -> str:
    return UNKNOWN if dest_ton in _SHORT_CODE_TONS else country_of(dest)
