"""Reads the record for an audit: one snapshot, so that what the writer commits meanwhile does not disturb it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple

import asyncpg

from storage.postgres import ledger
from storage.postgres.ledger import Head
from storage.postgres.messages import recorded_id
from storage.postgres.pool import Connection
from storage.postgres.statements import load

_SQL = load("audit")


class Sum(NamedTuple):
    """What messages of one account say that an entry should be. micros is not negative. kind: charge or refund."""

    entry: int
    kind: str
    account: str
    micros: int


class Booked(NamedTuple):
    """A charge or a refund as the ledger has it. amount_micros is signed. journal_from: the first that it covers."""

    id: int
    kind: str
    account: str
    seq: int
    amount_micros: int
    journal_from: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much there is. Ids are 0 where there is nothing. record_begins: partitions before this id are gone."""

    first_message: int
    last_message: int
    first_entry: int
    last_entry: int
    entries: int
    rows_estimate: int
    record_begins: int


class Snapshot:
    """The record as it was at one moment. Made by snapshot()."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def offset(self, shard: int) -> str:
        """How far the journal is recorded."""
        return await recorded_id(self._connection, shard) or "0-0"

    async def accounts(self) -> list[str]:
        """All accounts that there are, or whose entries there are."""
        configured = [row["id"] for row in await self._connection.fetch(_SQL["accounts"])]
        return list(dict.fromkeys([*configured, *await ledger.balances(self._connection)]))

    async def balances(self) -> dict[str, int]:
        """The balance after the last entry of each account that has one."""
        return await ledger.balances(self._connection)

    async def chain(self, account: str) -> tuple[Head, str | None]:
        """The end of an account's chain, or the last good place and what is wrong after it."""
        return await ledger.verify(self._connection, account)

    async def chain_end(self, account: str, count: int) -> tuple[int, str | None]:
        """How many of the account's newest entries were looked at, and what is wrong among them."""
        newest = await ledger.entries(self._connection, account, limit=count)
        return len(newest), ledger.end_fault(newest[::-1])

    async def extent(self) -> Extent:
        """How much there is to look at."""
        messages = await self._connection.fetchrow(_SQL["message_bounds"])
        entries = await self._connection.fetchrow(_SQL["entry_bounds"])
        assert messages is not None and entries is not None
        return Extent(
            first_message=messages["least"] or 0,
            last_message=messages["greatest"] or 0,
            first_entry=entries["least"] or 0,
            last_entry=entries["greatest"] or 0,
            entries=entries["entries"],
            rows_estimate=await self._connection.fetchval(_SQL["rows_estimate"]),
            record_begins=await self._connection.fetchval(_SQL["record_begins"]) or 0,
        )

    async def message_sums(self, first: int, end: int) -> list[Sum]:
        """What the messages from id `first` up to, not including, `end` say of their entries."""
        return _sums(await self._connection.fetch(_SQL["message_sums"], first, end))

    async def dead_letter_sums(self) -> list[Sum]:
        """What messages that could not be stored say of theirs."""
        return _sums(await self._connection.fetch(_SQL["dead_letter_sums"]))

    async def booked(self, first: int, end: int) -> list[Booked]:
        """The charges and refunds of the ledger from id `first` up to, not including, `end`."""
        return [Booked(*row.values()) for row in await self._connection.fetch(_SQL["entries_between"], first, end)]


@asynccontextmanager
async def snapshot(connection: Connection) -> AsyncIterator[Snapshot]:
    """The record at this moment, for as long as the block lasts. The connection should have no limit of time."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        yield Snapshot(connection)


def _sums(rows: list[asyncpg.Record]) -> list[Sum]:
    return [Sum(*row.values()) for row in rows]
