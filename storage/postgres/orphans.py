"""Receipts whose message nobody found: written by the writer, listed and matched by operators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from smscd.core.records import OrphanRecord, ParkedReceipt
from storage.postgres.pool import Connection, Database, acquired
from storage.postgres.rows import stored_text, wire_bytes
from storage.postgres.statements import load

_SQL = load("orphans")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ParkedReceipt).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """One row. message_id, segment, matched_at: what it was matched with; None while it is open."""

    id: int
    came_at: datetime
    upstream: str
    upstream_message_id: bytes
    reason: str
    stat: str
    err: str
    source: bytes
    dest: bytes
    receipt: ParkedReceipt
    message_id: int | None
    segment: int | None
    matched_at: datetime | None


async def insert_orphans(connection: Connection, records: Sequence[OrphanRecord]) -> None:
    """Write these; one that is there already stays as it is."""
    columns: list[list[Any]] = [[] for _ in range(10)]
    for record in records:
        receipt = record.receipt
        texts = (receipt.upstream_message_id, receipt.stat, receipt.err, receipt.source, receipt.dest)
        theirs, stat, err, source, dest = (stored_text(text).decode() for text in texts)
        row = (
            record.mark, receipt.at_ms, record.upstream, theirs, record.reason, stat, err, source, dest,
            _encode(receipt),
        )  # fmt: skip
        for column, value in zip(columns, row, strict=True):
            column.append(value)
    await connection.execute(_SQL["insert"], *columns)


async def insert_parked(connection: Connection, records: Sequence[OrphanRecord]) -> None:
    """Keep these, which may match yet, in case that Redis is lost; one that is there already stays as it is."""
    rows = [(one.mark, one.receipt.at_ms, one.upstream, _encode(one.receipt)) for one in records]
    await connection.execute(_SQL["keep"], *([*column] for column in zip(*rows, strict=True)))


async def parked_since(connection: Connection, since_ms: int) -> list[tuple[str, ParkedReceipt]]:
    """The upstream and the receipt of each that was kept, came since then, and is no orphan; oldest first.

    Some of them have matched since.
    """
    return [(upstream, _decode(receipt)) for upstream, receipt in await connection.fetch(_SQL["parked"], since_ms)]


async def open_orphans(
    database: Database, *, upstream: str | None, since: datetime | None = None, after: int = 0, limit: int
) -> list[Orphan]:
    """Those that are open, oldest first: of an upstream, that came since, with numbers above `after`."""
    async with acquired(database) as connection:
        return [_orphan(row) for row in await connection.fetch(_SQL["open"], upstream, since, after, limit)]


async def forget_parked(database: Database, before_ms: int) -> None:
    """Delete what was kept of receipts that came before a time."""
    async with acquired(database) as connection:
        await connection.execute(_SQL["forget_parked"], before_ms)


async def get_orphan(database: Database, number: int) -> Orphan | None:
    """One, open or not; None when there is none of this number."""
    async with acquired(database) as connection:
        row = await connection.fetchrow(_SQL["get"], number)
    return None if row is None else _orphan(row)


async def close_orphans(database: Database, matched: Sequence[tuple[int, int, int]]) -> None:
    """These (number, message id, segment) were matched and applied."""
    columns = [list(column) for column in zip(*matched, strict=True)]
    async with acquired(database) as connection:
        await connection.execute(_SQL["matched"], *columns)


async def forget_orphans(database: Database, before_ms: int) -> int:
    """Delete those that came before a time, matched or not; how many."""
    async with acquired(database) as connection:
        return int((await connection.execute(_SQL["forget"], before_ms)).rpartition(" ")[2])


def _orphan(row: Any) -> Orphan:
    values = dict(row)
    for name in ("upstream_message_id", "source", "dest"):
        values[name] = wire_bytes(values[name])
    values["receipt"] = _decode(values["receipt"])
    return Orphan(**values)
