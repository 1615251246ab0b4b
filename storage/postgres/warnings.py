"""Warnings of a low balance: found among ledger entries, queued as webhooks, and how those ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from smscd.core.callback_records import CallbackOutcome, CallbackResult
from storage.postgres.ledger import LedgerEntry
from storage.postgres.pool import Connection, Database, acquired
from storage.postgres.rows import CallbackState
from storage.postgres.statements import load

_SQL = load("warnings")
ATTEMPTS_MAX = 32_767
_ENDS = {
    int(CallbackOutcome.DELIVERED): CallbackState.DELIVERED,
    int(CallbackOutcome.DEAD): CallbackState.DEAD,
    int(CallbackOutcome.FANNED): CallbackState.NONE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """A balance that fell below low_balance_micros. id: of the ledger entry that took it there."""

    id: int
    account: str
    currency: str
    balance_micros: int
    low_balance_micros: int
    at_ms: int


async def insert_warnings(connection: Connection, entries: Sequence[LedgerEntry]) -> int:
    """Write a warning for each entry that took its account's balance below the limit; how many there were.

    An entry that begins below it, or that does not lower the balance, is none: one warning for each crossing.
    """
    falls = [entry for entry in entries if entry.amount_micros < 0]
    if not falls:
        return 0
    status = await connection.execute(
        _SQL["insert_warnings"],
        [entry.id for entry in falls],
        [entry.account for entry in falls],
        [entry.balance_micros - entry.amount_micros for entry in falls],
        [entry.balance_micros for entry in falls],
        [entry.at_ms for entry in falls],
    )
    return int(status.split()[-1])


async def unqueued(connection: Connection, limit: int) -> list[Warned]:
    """Warnings that no webhook was queued for yet, oldest first."""
    return [Warned(**dict(row)) for row in await connection.fetch(_SQL["unqueued"], limit)]


async def mark_queued(connection: Connection, ids: Sequence[int]) -> None:
    """Their webhooks are in Redis."""
    await connection.execute(_SQL["mark_queued"], ids)


async def end_warnings(connection: Connection, results: Sequence[CallbackResult]) -> None:
    """Their webhooks were delivered, are dead, or were wanted by no endpoint."""
    await connection.execute(
        _SQL["end_warnings"],
        [result.id for result in results],
        [_ENDS[result.outcome] for result in results],
        [result.at_ms for result in results],
        [min(result.attempts, ATTEMPTS_MAX) for result in results],
    )


async def unended(connection: Connection) -> int:
    """How many warnings there are whose webhook has not ended."""
    return int(await connection.fetchval(_SQL["unended"]))


async def queue_anew(connection: Connection) -> None:
    """Have the webhooks of those queued once more: Redis has lost them."""
    await connection.execute(_SQL["queue_anew"])


async def thresholds(database: Database, limit: int) -> dict[str, int]:
    """low_balance_micros of the accounts that have one."""
    async with acquired(database) as connection:
        rows = await connection.fetch(_SQL["thresholds"], limit)
    return {row["id"]: row["low_balance_micros"] for row in rows}
