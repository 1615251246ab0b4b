"""Messages that wait in PostgreSQL alone: the writer puts them there, the role `overflow` takes them back."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import msgspec

from smscd.core.records import MessageRecord
from storage.postgres.pool import Connection, Database, acquired
from storage.postgres.statements import load

_SQL = load("overflow")
_encode = msgspec.msgpack.Encoder().encode


class OverflowRow(NamedTuple):
    """A message that waits. due_ms: since the Unix epoch, 0 where it waits for nothing but room."""

    message_id: int
    due_ms: int
    record: bytes


class OverflowHead(NamedTuple):
    """Of one queue: the first message that waits for room, and when the first scheduled one is due; or None."""

    tail_id: int | None
    due_ms: int | None


class OverflowCount(NamedTuple):
    """What waits of one queue."""

    upstream: str
    priority: int
    account: str
    tail: int
    scheduled: int


async def insert_overflow(connection: Connection, records: Sequence[MessageRecord]) -> None:
    """Keep messages in the order of the journal; inside of the writer's transaction."""
    await connection.execute(
        _SQL["insert"],
        [record.id for record in records],
        [record.send_at_ms for record in records],
        [record.priority for record in records],
        [record.upstream for record in records],
        [record.account for record in records],
        [_encode(record) for record in records],
    )


class OverflowTable:
    """The table as the role `overflow` uses it. A place: upstream, priority, account."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, place: tuple[str, int, str], *, after_ms: int, until_ms: int, limit: int) -> list[OverflowRow]:
        """The next messages of a place that are due after after_ms and by until_ms; what has no time is due at 0.

        From now on they may be in Redis; they are here until they are dropped.
        """
        async with acquired(self._database) as connection:
            rows = await connection.fetch(_SQL["take"], *place, after_ms, until_ms, limit)
        rows.sort(key=lambda row: (row["due_ms"], row["position"]))
        return [OverflowRow(row["message_id"], row["due_ms"], row["record"]) for row in rows]

    async def take_these(self, message_ids: Collection[int]) -> list[tuple[tuple[str, int, str], OverflowRow]]:
        """Those of these messages that are here, each with its place; as take() does."""
        async with acquired(self._database) as connection:
            rows = await connection.fetch(_SQL["take_these"], list(message_ids))
        return [((row["upstream"], row["priority"], row["account"]), OverflowRow(*row[3:])) for row in rows]

    async def first_due(self, places: Sequence[tuple[str, int, str]]) -> dict[int, int]:
        """When the first scheduled message of each place is due, by the place's number in the list."""
        upstreams, priorities, accounts = zip(*places, strict=True)
        async with acquired(self._database) as connection:
            rows = await connection.fetch(_SQL["first_due"], upstreams, priorities, accounts)
        return {row["number"]: row["due_ms"] for row in rows}

    async def drop(self, message_ids: Collection[int]) -> None:
        """Forget messages that are in Redis."""
        async with acquired(self._database) as connection:
            await connection.execute(_SQL["drop"], list(message_ids))


async def overflow_heads(
    database: Database, places: Sequence[tuple[str, int, str]]
) -> dict[tuple[str, int, str], OverflowHead]:
    """What comes first at each of these places: upstream, priority, account."""
    upstreams, priorities, accounts = zip(*places, strict=True)
    async with acquired(database) as connection:
        rows = await connection.fetch(_SQL["heads"], upstreams, priorities, accounts)
    return {tuple(places[row["number"]]): OverflowHead(row["message_id"], row["due_ms"]) for row in rows}


async def clear_overflow(connection: Connection) -> None:
    """For a recovery: forget all that may have been in Redis, has ended, or was replaced."""
    await connection.execute(_SQL["clear"])


async def still_waiting(connection: Connection, message_ids: Sequence[int]) -> set[int]:
    """Which of these messages, that have not ended, have certainly not been in Redis since they were put here."""
    return {row["message_id"] for row in await connection.fetch(_SQL["still_waiting"], message_ids)}


async def count_overflow(connection: Connection) -> list[OverflowCount]:
    """How many messages of each queue wait here."""
    return [OverflowCount(*row) for row in await connection.fetch(_SQL["count"])]
