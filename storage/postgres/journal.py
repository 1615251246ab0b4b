"""The writer's statements: rows by binary COPY, updates by arrays, the ledger, the offset that fences.

All of them run on the writer's own connection, opened with WRITER_SETTINGS, inside the batch's transaction.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

import asyncpg
from msgspec.structs import astuple

from smscd.core.records import MessageRecord
from storage.postgres.copyrows import COPY_HEADER, COPY_TRAILER, EVENT_COLUMNS, MESSAGE_COLUMNS, SEGMENT_COLUMNS
from storage.postgres.learned import Learned
from storage.postgres.ledger import Head, LedgerEntry
from storage.postgres.pool import Connection
from storage.postgres.rows import encode_conversion
from storage.postgres.statements import load

_SQL = load("journal")
COPIES: dict[str, tuple[str, ...]] = {
    "messages": MESSAGE_COLUMNS,
    "segments": SEGMENT_COLUMNS,
    "message_events": EVENT_COLUMNS,
}

# What PostgreSQL says of a row that it will never take: data exception, integrity violation, too large for an index.
REFUSALS: tuple[type[Exception], ...] = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)


@dataclass(frozen=True, slots=True)
class Offset:
    """How far a shard's journal is recorded, and the id of the last ledger entry that its writer made."""

    last_id: str
    ledger_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """What PostgreSQL refused. record: the journal's record (or whole blob) as msgpack."""

    kind: str
    record: bytes
    error: str
    message_id: int | None = None
    account: str | None = None
    price_micros: int = 0
    refunded_micros: int = 0
    charge_entry: int | None = None


async def read_offset(connection: Connection, shard: int) -> Offset:
    """The shard's offset; its row is made when there is none."""
    await connection.execute(_SQL["make_offset"], shard)
    row = await connection.fetchrow(_SQL["read_offset"], shard)
    assert row is not None  # made above, and nobody may delete
    return Offset(row["last_id"], row["ledger_id"])


async def advance_offset(connection: Connection, shard: int, old: Offset, new: Offset) -> bool:
    """Move the offset; False when it is not at `old` any more: another writer works here, stop."""
    status = await connection.execute(_SQL["advance_offset"], shard, old.last_id, new.last_id, new.ledger_id)
    return status == "UPDATE 1"


async def copy_rows(connection: Connection, table: str, chunks: AsyncIterator[bytes]) -> None:
    """COPY rows that copyrows.RowBuilder built; each chunk is any number of whole rows."""
    await connection.copy_to_table(table, source=_framed(chunks), columns=COPIES[table], format="binary")


async def _framed(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield COPY_HEADER
    async for chunk in chunks:
        yield chunk
    yield COPY_TRAILER


async def update_messages(connection: Connection, learned: Sequence[tuple[int, Learned]]) -> None:
    """Change rows of earlier batches. An id without a row is passed over."""
    shapes: dict[tuple[object, ...], int] = {}
    ids, numbers = [], []
    for message_id, found in learned:
        ids.append(message_id)
        numbers.append(shapes.setdefault(astuple(found), len(shapes) + 1))
    columns = [list(column) for column in zip(*shapes, strict=True)]
    await connection.execute(_SQL["update_messages"], ids, numbers, *columns, min(ids), max(ids) + 1)


async def replace_messages(connection: Connection, records: Sequence[MessageRecord]) -> None:
    """Exchange what is sent in messages of earlier batches. An id without a row is passed over."""
    rows = [
        (
            record.id,
            b"".join(record.segments),
            len(record.segments),
            _sizes(record.segments),
            record.data_coding,
            record.esm_class,
            record.registered_delivery,
            record.valid_until_ms,
            encode_conversion(record.conversion) if record.conversion is not None else None,
            record.send_at_ms,
            record.tlvs or None,
            record.upstream,
            record.cost_micros or None,
        )
        for record in records
    ]
    columns = [list(column) for column in zip(*rows, strict=True)]
    ids = [record.id for record in records]
    await connection.execute(_SQL["replace_messages"], *columns, min(ids), max(ids) + 1)


def _sizes(segments: Sequence[bytes]) -> str | None:
    """segment_sizes as PostgreSQL writes an array: arrays of different lengths do not make one array."""
    return "{" + ",".join(str(len(segment)) for segment in segments) + "}" if len(segments) > 1 else None


async def ledger_heads(connection: Connection, accounts: Iterable[str]) -> dict[str, Head]:
    """The ends of the chains of these accounts; Head() for one without entries."""
    wanted = list(accounts)
    rows = await connection.fetch(_SQL["ledger_heads"], wanted)
    found = {row["account"]: Head(row["seq"], row["balance_micros"], row["hash"]) for row in rows}
    return {account: found.get(account, Head()) for account in wanted}


async def known_references(connection: Connection, references: Sequence[str]) -> set[str]:
    """Which of these the ledger has already, of whatever account."""
    return {row["reference"] for row in await connection.fetch(_SQL["known_references"], references)}


async def insert_ledger(connection: Connection, entries: Sequence[LedgerEntry]) -> None:
    """Append entries, and take the references that they carry."""
    await connection.execute(
        _SQL["insert_ledger_entries"],
        *(
            [getattr(entry, name) for entry in entries]
            for name in (
                "id", "account", "seq", "kind", "amount_micros", "balance_micros", "messages", "journal_from",
                "journal_to", "reference", "operator", "note", "at_ms", "prev_hash", "hash", "corrects",
            )
        ),
    )  # fmt: skip
    named = [entry for entry in entries if entry.reference is not None]
    if named:
        await connection.execute(
            _SQL["insert_references"],
            [entry.account for entry in named],
            [entry.reference for entry in named],
            [entry.id for entry in named],
        )


async def insert_dead_letters(
    connection: Connection, shard: int, journal_from: str, journal_to: str, letters: Iterable[DeadLetter]
) -> None:
    """Keep what was refused. journal_from, journal_to: the batch that it was in."""
    await connection.executemany(
        _SQL["insert_dead_letter"],
        [
            (
                shard, journal_from, journal_to, letter.kind, letter.message_id, letter.account, letter.price_micros,
                letter.refunded_micros, letter.charge_entry, letter.record, letter.error,
            )
            for letter in letters
        ],
    )  # fmt: skip
