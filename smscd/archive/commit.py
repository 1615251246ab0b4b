"""Commits one batch: rows, ledger and offset in one transaction, around what PostgreSQL refuses if it must be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar

import asyncpg

from smscd.archive.accounting import Accounting, accounts_of, assign_ids, book, references_of
from smscd.archive.bisect import write_around
from smscd.archive.events import ended_of, received_of
from smscd.archive.merge import Batch, dead_letter, is_storable
from smscd.core.callback_records import CallbackResult
from smscd.core.records import InboundRecord, MessageRecord, OrphanRecord, ReceiptRecord, ResultRecord
from storage.postgres.account_events import event_readers, insert_events
from storage.postgres.copyrows import ROW_ERRORS, RowBuilder, bigint
from storage.postgres.journal import (
    REFUSALS,
    DeadLetter,
    Offset,
    advance_offset,
    copy_rows,
    insert_dead_letters,
    insert_ledger,
    known_references,
    ledger_heads,
    replace_messages,
    update_messages,
)
from storage.postgres.learned import NOTHING, Learned, Moved
from storage.postgres.ledger import Head
from storage.postgres.orphans import insert_orphans, insert_parked
from storage.postgres.overflow import insert_overflow
from storage.postgres.partitions import ID_TIME_SHIFT
from storage.postgres.pool import Connection
from storage.postgres.rows import EventKind
from storage.postgres.warnings import end_warnings, insert_warnings
from storage.postgres.webhooks import write_deliveries

ROWS_A_CHUNK = 400
UPDATES_A_STATEMENT = 4_000
HEADS_MAX = 100_000
DAY_MS = 86_400_000
REFUSED: tuple[type[Exception], ...] = (*REFUSALS, *ROW_ERRORS)
"""What is raised when a row is at fault: said by PostgreSQL, or found while the row was built."""

Item = TypeVar("Item", bound=MessageRecord | InboundRecord | ResultRecord | ReceiptRecord | CallbackResult | Moved)
Change = TypeVar("Change", bound=MessageRecord | Learned)


class WriterFenced(Exception):
    """The offset is not where this writer left it: another one works on this shard."""


class Committer:
    """Writes batches on one connection. It holds the ends of the ledger's chains: make one for each connection."""

    def __init__(self, connection: Connection, shard: int, rows: RowBuilder) -> None:
        self._connection = connection
        self._shard = shard
        self._rows = rows
        self._heads: dict[str, Head] = {}

    async def commit(self, batch: Batch, offset: Offset) -> tuple[Offset, dict[str, int]]:
        """Commit a batch that starts after `offset`; the new offset, and the rows written by table.

        Raises WriterFenced, or what PostgreSQL raises when it is away; then nothing of the batch is written, unless
        the connection was lost during COMMIT: the offset, read again, tells.
        """
        ids = assign_ids(batch, offset.ledger_id, self._shard)
        new = Offset(batch.last_id, ids.last_id)
        try:
            heads, rows = await self._transaction(batch, ids, offset, new, careful=False)
        except REFUSED:
            heads, rows = await self._transaction(batch, ids, offset, new, careful=True)
        if len(self._heads) + len(heads) > HEADS_MAX:
            self._heads.clear()
        self._heads.update(heads)
        return new, rows

    async def _transaction(
        self, batch: Batch, ids: Accounting, old: Offset, new: Offset, *, careful: bool
    ) -> tuple[Mapping[str, Head], dict[str, int]]:
        connection = self._connection
        async with connection.transaction():
            # First of all, so that a second writer waits here and then finds that it is one.
            if not await advance_offset(connection, self._shard, old, new):
                raise WriterFenced(f"shard {self._shard} is not at {old.last_id} any more: another writer moved it")
            readers = await event_readers(connection)
            accounts = accounts_of(batch)
            heads = {account: self._heads[account] for account in accounts if account in self._heads}
            if missing := accounts - heads.keys():
                heads |= await ledger_heads(connection, missing)
            named = references_of(batch)
            taken: set[str] = await known_references(connection, named) if named else set()
            booked = book(batch, ids, heads, taken)
            if booked.entries:
                await insert_ledger(connection, booked.entries)
            warnings = await insert_warnings(connection, booked.entries)
            if batch.told:
                await end_warnings(connection, batch.told)
            if batch.overflow:
                await insert_overflow(connection, batch.overflow)
            attempt = _Attempt(connection, batch, ids, self._rows)
            await (attempt.write_around() if careful else attempt.write())
            if readers:
                entries = [entry.id for entry in booked.entries if entry.account in readers] if warnings else []
                ended, received = ended_of(batch, readers), received_of(batch, readers)
                await insert_events(connection, readers, ended, received, entries)
            dead = [*batch.dead, *booked.dead, *attempt.dead]
            if dead:
                await insert_dead_letters(connection, self._shard, batch.first_id, batch.last_id, dead)
        rows = {**attempt.rows, "ledger_entries": len(booked.entries), "journal_dead_letters": len(dead)}
        if warnings:
            rows["account_warnings"] = warnings
        return booked.heads, rows


class _Attempt:
    """One attempt to write a batch's rows inside of a transaction. rows: how many, by table."""

    def __init__(self, connection: Connection, batch: Batch, ids: Accounting, builder: RowBuilder) -> None:
        self._connection = connection
        self._batch = batch
        self._ids = ids
        charges = {account: bigint(entry_id) for account, entry_id in ids.charges.items()}
        self._build_messages = partial(builder.messages, learned=batch.learned, charges=charges)
        self._build_inbound = partial(builder.inbound, learned=batch.learned)
        self._build_segments = builder.segments
        self._build_receipts = partial(builder.receipts, kind=EventKind.RECEIPT)
        self._build_repeated = partial(builder.receipts, kind=EventKind.RECEIPT_REPEATED)
        self._build_attempts = builder.attempts
        self._build_moves = builder.moves
        self._build_dead_callbacks = builder.dead_callbacks
        self.dead: list[DeadLetter] = []
        self.rows = dict.fromkeys(("messages", "segments", "message_events", "messages_updated"), 0)

    async def write(self) -> None:
        """Write everything; the first refusal ends it."""
        batch, copy = self._batch, self._copy
        await copy("messages", list(batch.admitted.values()), self._build_messages)
        await copy("messages", list(batch.inbound.values()), self._build_inbound)
        await copy("segments", batch.sent, self._build_segments)
        await copy("message_events", batch.receipts, self._build_receipts)
        await copy("message_events", batch.repeated, self._build_repeated)
        await copy("message_events", batch.attempts, self._build_attempts)
        await copy("message_events", batch.moved, self._build_moves)
        await copy("message_events", batch.dead_callbacks, self._build_dead_callbacks)
        for replaced in _parts(list(batch.replaced.items())):
            await replace_messages(self._connection, [record for _, record in replaced])
        if batch.orphans:
            await insert_orphans(self._connection, batch.orphans)
        if batch.deliveries:
            await write_deliveries(self._connection, batch.deliveries)
        if batch.parked:
            await insert_parked(self._connection, batch.parked)
        changes = batch.changes()
        for part in _parts(changes):
            await update_messages(self._connection, part)
        self.rows["messages_updated"] += len(changes)

    async def write_around(self) -> None:
        """Write everything that can be written; the rest becomes dead letters."""
        batch, around = self._batch, self._copy_around
        storable = [record for record in batch.admitted.values() if is_storable(record)]
        if len(storable) < len(batch.admitted):
            for record in batch.admitted.values():
                if not is_storable(record):
                    self._refuse("A", record, "a text of it holds a NUL")
        await around("A", "messages", storable, self._build_messages)
        await around("M", "messages", list(batch.inbound.values()), self._build_inbound)
        await around("T", "segments", batch.sent, self._build_segments)
        await around("R", "message_events", batch.receipts, self._build_receipts)
        await around("R", "message_events", batch.repeated, self._build_repeated)
        await around("T", "message_events", batch.attempts, self._build_attempts)
        await around("P", "message_events", batch.moved, self._build_moves)
        await around("C", "message_events", batch.dead_callbacks, self._build_dead_callbacks)
        for record, error in await write_around(list(batch.replaced.values()), self._replace, REFUSED):
            self._refuse("P", record, said(error))
        for orphan, error in await write_around(batch.orphans, self._orphan, REFUSED):
            self._refuse("O", orphan, said(error))
        for result, error in await write_around(batch.deliveries, self._deliveries, REFUSED):
            self._refuse("C", result, said(error))
        for parked, error in await write_around(batch.parked, self._park, REFUSED):
            self._refuse("H", parked, said(error))
        changes = batch.changes()
        refused = await write_around(changes, self._update, REFUSED)
        self.rows["messages_updated"] += len(changes) - len(refused)
        for (message_id, found), error in refused:
            self.dead.append(
                DeadLetter(
                    kind="U",
                    record=repr(found).encode(),
                    error=said(error),
                    message_id=message_id,
                    refunded_micros=found.refunded_micros,
                )
            )

    async def _copy(self, table: str, records: Sequence[Item], build: Callable[[Sequence[Item]], bytes]) -> None:
        if records:
            await copy_rows(self._connection, table, _chunks(records, build))
            self.rows[table] += len(records)

    async def _copy_around(
        self, kind: str, table: str, records: Sequence[Item], build: Callable[[Sequence[Item]], bytes]
    ) -> None:
        async def write(part: Sequence[Item]) -> None:
            async with self._connection.transaction():
                await copy_rows(self._connection, table, _chunks(part, build))

        refused = await write_around(records, write, REFUSED)
        self.rows[table] += len(records) - len(refused)
        for record, error in refused:
            self._refuse(kind, record, said(error))

    async def _replace(self, part: Sequence[MessageRecord]) -> None:
        async with self._connection.transaction():
            await replace_messages(self._connection, part)

    async def _orphan(self, part: Sequence[OrphanRecord]) -> None:
        async with self._connection.transaction():
            await insert_orphans(self._connection, part)

    async def _deliveries(self, part: Sequence[CallbackResult]) -> None:
        async with self._connection.transaction():
            await write_deliveries(self._connection, part)

    async def _park(self, part: Sequence[OrphanRecord]) -> None:
        async with self._connection.transaction():
            await insert_parked(self._connection, part)

    async def _update(self, part: Sequence[tuple[int, Learned]]) -> None:
        async with self._connection.transaction():
            await update_messages(self._connection, part)

    def _refuse(
        self,
        kind: str,
        record: MessageRecord | InboundRecord | ResultRecord | ReceiptRecord | CallbackResult | OrphanRecord | Moved,
        error: str,
    ) -> None:
        refunded, charge = 0, None
        if isinstance(record, MessageRecord):
            refunded = self._batch.learned.get(record.id, NOTHING).refunded_micros
            charge = self._ids.charges.get(record.account) if record.price_micros else None
        self.dead.append(dead_letter(kind, record, error, refunded_micros=refunded, charge_entry=charge))


async def _chunks(records: Sequence[Item], build: Callable[[Sequence[Item]], bytes]) -> AsyncIterator[bytes]:
    for start in range(0, len(records), ROWS_A_CHUNK):
        yield build(records[start : start + ROWS_A_CHUNK])
        await asyncio.sleep(0)  # other parts of this worker have their turn


def _parts(changes: Sequence[tuple[int, Change]]) -> Iterator[list[tuple[int, Change]]]:
    """Changes by the day of the message, so that a late receipt does not have a week's partitions looked through."""
    days: dict[int, list[tuple[int, Change]]] = {}
    for change in changes:
        day = (change[0] >> ID_TIME_SHIFT) // DAY_MS
        if day in days:
            days[day].append(change)
        else:
            days[day] = [change]
    for part in days.values():
        for start in range(0, len(part), UPDATES_A_STATEMENT):
            yield part[start : start + UPDATES_A_STATEMENT]


def said(error: Exception) -> str:
    """What was said of a row, short."""
    state = error.sqlstate if isinstance(error, asyncpg.PostgresError) else type(error).__name__
    return f"{state} {error}".strip()[:500]
