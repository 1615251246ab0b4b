"""Endpoints of customers, as they change them, and what becomes of their events there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec

from smscd.core.callback_records import CallbackOutcome, CallbackResult
from smscd.core.directory import WebhookEndpoint
from storage.postgres.pool import Connection, Database, acquired
from storage.postgres.statements import load

PIECE_ROWS: Final = 1_000
FORGOTTEN_AT_ONCE: Final = 5_000
GONE: Final = 410
_FIELDS: Final = WebhookEndpoint.__struct_fields__
_SQL = load("webhooks")


class DeliveryStatus(IntEnum):
    """webhook_deliveries.status"""

    PENDING = 1
    DELIVERED = 2
    DEAD = 3


_STATUSES: Final = {
    int(CallbackOutcome.PENDING): DeliveryStatus.PENDING,
    int(CallbackOutcome.DELIVERED): DeliveryStatus.DELIVERED,
    int(CallbackOutcome.DEAD): DeliveryStatus.DEAD,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEndpoint:
    """One row of webhook_endpoints. disabled_reason: gone (it answered 410), or requested; None while it is enabled."""

    endpoint: WebhookEndpoint
    description: str | None
    disabled_reason: str | None
    created_at: datetime
    changed_at: datetime


class Delivery(NamedTuple):
    """An event at an endpoint. code: of the last answer, 0 for none. next_at: None unless it is pending."""

    id: int
    event: str
    event_type: str
    status: int
    attempts: int
    code: int
    detail: str
    created_at: datetime
    at: datetime
    next_at: datetime | None


class DeadDelivery(NamedTuple):
    """A dead letter of an endpoint. record: its CallbackRecord."""

    endpoint: int
    account: str
    event: str
    message_id: int
    attempts: int
    detail: str
    at: datetime
    record: bytes


class WaitingDelivery(NamedTuple):
    """What Redis has to have of an endpoint. is_owed: the message counts it among its callbacks_open."""

    id: int
    message_id: int
    next_ms: int
    is_owed: bool
    record: bytes


async def add(
    database: Database, endpoint: WebhookEndpoint, description: str | None, count_max: int
) -> StoredEndpoint | None:
    """Make one; None when the account has count_max of them."""
    async with acquired(database) as connection, connection.transaction():
        await connection.execute(_SQL["lock_account"], endpoint.account)
        if await connection.fetchval(_SQL["count"], endpoint.account) >= count_max:
            return None
        row = await connection.fetchrow(
            _SQL["add"],
            endpoint.id,
            endpoint.account,
            endpoint.url,
            sorted(endpoint.events),
            description,
            endpoint.secret,
        )
        return _stored(row)


async def endpoints(database: Database, account: str) -> list[StoredEndpoint]:
    """Those of an account, oldest first."""
    async with acquired(database) as connection:
        return [_stored(row) for row in await connection.fetch(_SQL["all"], account)]


async def get(database: Database, account: str, endpoint: int) -> StoredEndpoint | None:
    """One of an account."""
    async with acquired(database) as connection:
        row = await connection.fetchrow(_SQL["get"], endpoint, account)
    return None if row is None else _stored(row)


async def change(
    database: Database,
    account: str,
    endpoint: int,
    changed: Callable[[StoredEndpoint], StoredEndpoint | None],
) -> StoredEndpoint | None:
    """Change one of an account; None when there is none, or `changed` makes nothing of it.

    What waits for one that is disabled by it becomes dead letters.
    """
    async with acquired(database) as connection, connection.transaction():
        row = await connection.fetchrow(_SQL["get_for_change"], endpoint, account)
        after = changed(_stored(row)) if row is not None else None
        if after is None:
            return None
        values = after.endpoint
        row = await connection.fetchrow(
            _SQL["change"],
            endpoint,
            values.url,
            sorted(values.events),
            after.description,
            values.is_enabled,
            after.disabled_reason,
            values.secret,
            list(values.old_secrets),
            list(values.old_until_ms),
        )
        if not values.is_enabled:
            await connection.execute(_SQL["bury"], [endpoint])
        return _stored(row)


async def remove(database: Database, account: str, endpoint: int) -> bool:
    """Remove one of an account; False when there is none. What is known of its events is forgotten in time."""
    async with acquired(database) as connection:
        return await connection.execute(_SQL["remove"], endpoint, account) == "DELETE 1"


async def deliveries(database: Database, endpoint: int, *, before: int, limit: int) -> list[Delivery]:
    """What became of events at an endpoint, the newest first; ids below `before`."""
    async with acquired(database) as connection:
        rows = await connection.fetch(_SQL["deliveries"], endpoint, before, limit)
    return [Delivery(*row.values()) for row in rows]


async def begin_replay(database: Database, endpoint: int, event: str) -> tuple[Delivery, bytes] | None:
    """An event at an endpoint is pending once more: it, and its CallbackRecord; None when nothing is known of it."""
    async with acquired(database) as connection:
        row = await connection.fetchrow(_SQL["begin_replay"], endpoint, event)
    if row is None:
        return None
    *values, record = row.values()
    return Delivery(*values), record


async def dead(
    database: Database, since: datetime, *, account: str | None, message_id: int | None, limit: int
) -> list[DeadDelivery]:
    """Dead letters of endpoints since a time, oldest first."""
    async with acquired(database) as connection:
        rows = await connection.fetch(_SQL["dead"], since, account, message_id, limit)
    return [DeadDelivery(*row.values()) for row in rows]


async def waiting(connection: Connection) -> AsyncIterator[list[WaitingDelivery]]:
    """All that Redis has to have, in pieces."""
    after = 0
    while rows := await connection.fetch(_SQL["waiting"], after, PIECE_ROWS):
        yield [WaitingDelivery(*row.values()) for row in rows]
        after = rows[-1]["id"]


async def write_deliveries(connection: Connection, results: Sequence[CallbackResult]) -> None:
    """What the journal says of events at endpoints; the last of each counts. Who answered 410 is disabled."""
    rows: dict[tuple[int, str], tuple[Any, ...]] = {}
    for result in results:
        place = result.endpoint, result.event
        status = _STATUSES[result.outcome]
        is_owed = None if result.is_replay else status is DeliveryStatus.PENDING
        if is_owed is None and place in rows:
            is_owed = rows[place][-2]
        rows[place] = (
            *place, result.event_type, result.account, result.id, int(status), result.attempts, result.code,
            result.detail, result.at_ms, result.next_ms, is_owed, result.record,
        )  # fmt: skip
    await connection.execute(_SQL["write_deliveries"], *map(list, zip(*rows.values(), strict=True)))
    gone = {result.endpoint: result.revision for result in results if result.code == GONE}
    if gone:
        disabled = await connection.fetch(_SQL["disable_gone"], list(gone), list(gone.values()))
        if disabled:
            await connection.execute(_SQL["bury"], [row["id"] for row in disabled])


async def forget_deliveries(database: Database, before_ms: int) -> int:
    """Delete those of events before a time; how many."""
    forgotten = 0
    async with acquired(database) as connection:
        while True:
            status = await connection.execute(_SQL["forget"], before_ms, FORGOTTEN_AT_ONCE)
            count = int(status.split()[-1])
            forgotten += count
            if count < FORGOTTEN_AT_ONCE:
                return forgotten


def _stored(row: asyncpg.Record | None) -> StoredEndpoint:
    assert row is not None  # RETURNING, or looked for before
    values = dict(row)
    return StoredEndpoint(
        endpoint=msgspec.convert({name: values[name] for name in _FIELDS}, WebhookEndpoint),
        description=values["description"],
        disabled_reason=values["disabled_reason"],
        created_at=values["created_at"],
        changed_at=values["changed_at"],
    )
