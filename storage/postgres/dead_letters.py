"""Reads and closes journal_dead_letters: what PostgreSQL refused to store. Rows stay: the ledger counts them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from storage.postgres.pool import Connection, Database, acquired
from storage.postgres.statements import load

ID_MAX = (1 << 63) - 1
_SQL = load("dead_letters")


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalLetter:
    """One record. journal_from, journal_to: between these entries of the journal it stood. closed_at: seen to."""

    id: int
    at: datetime
    shard: int
    journal_from: str
    journal_to: str
    kind: str
    message_id: int | None
    account: str | None
    price_micros: int
    refunded_micros: int
    charge_entry: int | None
    error: str
    closed_at: datetime | None
    closed_by: str | None


async def read_page(
    database: Database, *, limit: int, before: int | None = None, account: str | None = None, with_closed: bool = False
) -> list[JournalLetter]:
    """The newest first."""
    async with acquired(database) as connection:
        rows = await connection.fetch(_SQL["page"], before or ID_MAX, with_closed, account, limit)
    return [JournalLetter(**dict(row)) for row in rows]


async def find(connection: Connection, number: int) -> JournalLetter | None:
    """One of them, for nobody else to close until the transaction ends."""
    row = await connection.fetchrow(_SQL["find"], number)
    return None if row is None else JournalLetter(**dict(row))


async def close(connection: Connection, number: int, operator: str) -> None:
    """Say that an operator has seen to it."""
    await connection.execute(_SQL["close"], number, operator)
