"""Reads an account's ledger entries as a customer sees them: by page, newest first, and as a period's whole statement.

A period is one of ids, which carry the time of booking: within an account ids and seq rise together, so every period is
a part of the chain without a gap.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple

from storage.postgres.pool import Connection, Database, acquired
from storage.postgres.statements import load

SCANNED_MAX: Final = 10_000
PART_ENTRIES: Final = 1_000
READ_SECONDS: Final = 5.0
ENTRY_KINDS: Final = ("charge", "refund", "topup", "adjust", "correction")
FREQUENT_KINDS: Final = frozenset(("charge", "refund"))
ID_MAX: Final = (1 << 63) - 1

_SQL = load("account_entries")


class BookedEntry(NamedTuple):
    """One entry, without what only proves it. messages: how many it sums up, 0 for an order of money."""

    id: int
    seq: int
    kind: str
    amount_micros: int
    balance_micros: int
    messages: int
    reference: str | None
    note: str | None


class EntryPage(NamedTuple):
    """Entries, newest first. next_seq: where the next page begins; None when there is nothing after these."""

    entries: list[BookedEntry]
    next_seq: int | None


async def read_page(
    database: Database,
    account: str,
    *,
    limit: int,
    kinds: Sequence[str] = ENTRY_KINDS,
    first_id: int = 0,
    end_id: int | None = None,
    from_seq: int | None = None,
) -> EntryPage:
    """Up to `limit` entries of these kinds with ids from first_id up to, not including, end_id; from_seq is the newest.

    It looks at SCANNED_MAX entries at most: a page may hold fewer than limit, or nothing, and still have a next_seq.
    """
    async with acquired(database) as connection:
        low = await _seq_before(connection, account, first_id) if first_id else 0
        if end_id is not None:
            high = await _seq_before(connection, account, end_id)
        else:
            high = await connection.fetchval(_SQL["last_seq"], account, timeout=READ_SECONDS)
        if from_seq is not None:
            high = min(high, from_seq)
        is_rare = FREQUENT_KINDS.isdisjoint(kinds)
        scanned_to = low if is_rare else max(low, high - SCANNED_MAX)
        query = _SQL["page_of_orders" if is_rare else "page"]
        rows = await connection.fetch(query, account, scanned_to, high, list(kinds), limit, timeout=READ_SECONDS)
    entries = [BookedEntry(*row.values()) for row in rows]
    looked_to = entries[-1].seq - 1 if len(entries) == limit else scanned_to
    return EntryPage(entries, looked_to if looked_to > low else None)


class Period(NamedTuple):
    """A part of a chain: the entries after `after_seq` up to `last_seq`. opening_micros: the balance before them."""

    account: str
    after_seq: int
    last_seq: int
    opening_micros: int

    @property
    def entries(self) -> int:
        """How many there should be."""
        return self.last_seq - self.after_seq


async def find_period(connection: Connection, account: str, first_id: int, end_id: int) -> Period:
    """The entries with ids from first_id up to, not including, end_id."""
    after = await _seq_before(connection, account, first_id)
    last = await _seq_before(connection, account, end_id)
    opening = await connection.fetchval(_SQL["balance_at"], account, after)
    if opening is None and after:  # what was before has been dropped
        row = await connection.fetchrow(_SQL["between"], account, after, last, 1)
        opening = row["balance_micros"] - row["amount_micros"] if row is not None else None
    return Period(account, after, last, opening or 0)


async def stream_period(connection: Connection, period: Period) -> AsyncIterator[BookedEntry]:
    """Its entries, oldest first, read PART_ENTRIES at a time: nothing is kept open while the caller takes his time."""
    after = period.after_seq
    while True:
        rows = await connection.fetch(_SQL["between"], period.account, after, period.last_seq, PART_ENTRIES)
        for row in rows:
            yield BookedEntry(*row.values())
        if len(rows) < PART_ENTRIES:
            return
        after = rows[-1]["seq"]


async def _seq_before(connection: Connection, account: str, end_id: int) -> int:
    found: int = await connection.fetchval(_SQL["seq_before"], account, min(end_id, ID_MAX), timeout=READ_SECONDS)
    return found
