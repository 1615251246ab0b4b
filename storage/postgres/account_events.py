"""Events of accounts that ask for them: kept from the first question on, read in the order of the commits.

A position is taken while the writer holds its shard's offset, so of one account no lower one is ever committed after a
higher one: a reader that goes on from the last position it saw misses nothing. Positions have gaps.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from storage.postgres.pool import Connection, Database, acquired
from storage.postgres.rows import stored_text, wire_bytes
from storage.postgres.statements import load
from storage.postgres.warnings import Warned

FORGOTTEN_AT_ONCE: Final = 10_000
READ_SECONDS: Final = 5.0

_SQL = load("account_events")


class Ended(NamedTuple):
    """How a message ended. done_ms: when we learned of it; told_ms: when it happened, as a callback says."""

    id: int
    state: int
    done_ms: int
    told_ms: int
    stat: bytes
    err: bytes


class StoredEvent(NamedTuple):
    """One event. kind: CallbackKind. id: of a message, or of a ledger entry."""

    position: int
    kind: int
    id: int
    state: int
    told_ms: int
    stat: bytes
    err: bytes


class EventPage(NamedTuple):
    """events: oldest first. floor: where a reader begins. is_kept: False when there may be some between `after` and
    the first of them that are not kept, or when `after` is of another record."""

    events: list[StoredEvent]
    floor: int
    is_kept: bool


async def event_readers(connection: Connection) -> frozenset[str]:
    """The accounts that ask for events."""
    return frozenset(row["account"] for row in await connection.fetch(_SQL["readers"]))


async def insert_events(
    connection: Connection,
    accounts: Collection[str],
    ended: Sequence[Ended],
    received: Sequence[tuple[int, int]],
    entries: Sequence[int],
) -> None:
    """Write the events of a batch, after its rows. received: id and told_ms of messages from phones to these accounts.

    entries: ledger entries of these accounts, of which some may have a warning.
    """
    if ended:
        ids = [event.id for event in ended]
        texts = [(stored_text(event.stat).decode(), stored_text(event.err).decode()) for event in ended]
        await connection.execute(
            _SQL["insert_ended"],
            ids,
            [event.state for event in ended],
            [event.done_ms for event in ended],
            [event.told_ms for event in ended],
            [stat for stat, _ in texts],
            [err for _, err in texts],
            list(accounts),
            min(ids),
            max(ids),
        )
    if received:
        ids = [message_id for message_id, _ in received]
        await connection.execute(_SQL["insert_received"], ids, [told_ms for _, told_ms in received], min(ids), max(ids))
    if entries:
        await connection.execute(_SQL["insert_warned"], entries)


async def read_events(database: Database, account: str, after: int | None, limit: int) -> EventPage:
    """Up to `limit` events after a position, None: all that are kept. An account that never asked is a reader now."""
    async with acquired(database) as connection:
        reader = await connection.fetchrow(_SQL["reader"], account, timeout=READ_SECONDS)
        is_new = reader is None
        if reader is None:
            await connection.execute(_SQL["add_reader"], account)
            reader = await connection.fetchrow(_SQL["reader"], account)
            assert reader is not None
        elif reader["is_old"]:
            await connection.execute(_SQL["touch_reader"], account)
        floor: int = reader["floor"]
        start = floor if after is None else after
        if start < floor or start > reader["last"] or (is_new and after is not None):
            return EventPage([], floor, is_kept=False)
        rows = await connection.fetch(_SQL["page"], account, start, limit, timeout=READ_SECONDS)
    events = [
        StoredEvent(
            row["position"], row["kind"], row["id"], row["state"], row["told_ms"], wire_bytes(row["stat"]),
            wire_bytes(row["err"]),
        )
        for row in rows
    ]  # fmt: skip
    return EventPage(events, floor, is_kept=True)


async def find_warnings(database: Database, entries: Sequence[int]) -> dict[int, Warned]:
    """The warnings that these ledger entries have, by entry."""
    async with acquired(database) as connection:
        rows = await connection.fetch(_SQL["warnings"], entries)
    return {row["id"]: Warned(**dict(row)) for row in rows}


async def forget_events(database: Database, before: datetime) -> int:
    """Delete the events from before a moment, some at a time, and the readers that have not asked since."""
    total = 0
    async with acquired(database) as connection:
        await connection.execute(_SQL["forget_readers"], before)
        while count := int(await connection.fetchval(_SQL["forget"], before, FORGOTTEN_AT_ONCE)):
            total += count
    return total
