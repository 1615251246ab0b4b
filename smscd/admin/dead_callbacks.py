"""Callbacks that were given up, for operators: listed, and sent once more.

Those of endpoints stand in webhook_deliveries. Those of a message's own callback_url, and of the webhook_url of an
account without endpoints, are made again from the record, as recovery does it. A replay begins with the first attempt,
and has the ids that the callback had; it changes nothing of what a message has open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import msgspec

from smscd.core.callback_records import CallbackRecord
from smscd.core.callbacks import event_id_of
from smscd.core.directory_index import DirectoryIndex
from smscd.egress.owed_callbacks import inbound_due, receipts_due
from storage.postgres import operators, recovery, webhooks
from storage.postgres.configuration import load_snapshot
from storage.postgres.messages import dead_callbacks, record_of
from storage.postgres.partitions import id_at
from storage.postgres.pool import Connection
from storage.postgres.rows import Direction
from storage.redis.outbox import HookFeed

LISTED_MAX: Final = 10_000
PUSHED_AT_ONCE: Final = 200
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(CallbackRecord).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Dead:
    """One that was given up. endpoint: 0 for one that goes to `url`, None there: the account's webhook_url."""

    message_id: int
    account: str
    event: str
    endpoint: int
    url: str | None
    attempts: int
    detail: str
    at: datetime
    record: CallbackRecord

    def shown(self) -> dict[str, object]:
        """As JSON. A URL may hold a token: only its beginning, up to the path, is shown."""
        target = str(self.endpoint) if self.endpoint else _host(self.url)
        return {
            "event": self.event,
            "message": str(self.message_id),
            "account": self.account,
            "to": target,
            "attempts": self.attempts,
            "error": self.detail,
            "at": self.at.isoformat(),
        }


class DeadCallbacks:
    """What operators may do. connection: the record, and the log of what operators did."""

    def __init__(self, connection: Connection, hooks: HookFeed) -> None:
        self._connection = connection
        self._hooks = hooks

    async def listed(self, since: datetime, *, account: str | None, message_id: int | None, limit: int) -> list[Dead]:
        """Those that ended since a time, oldest first; those of a message's own URL come after those of endpoints."""
        found = [
            _of_endpoint(row)
            for row in await webhooks.dead(self._connection, since, account=account, message_id=message_id, limit=limit)
        ]
        if len(found) < limit:
            found += await self._of_urls(since, account, message_id, limit - len(found))
        return found

    async def replay(self, dead: Sequence[Dead], operator: str) -> int:
        """Send these once more; how many. Written down first."""
        if not dead:
            return 0
        subjects = sorted({one.account for one in dead})
        events = {"events": [one.event for one in dead[:PUSHED_AT_ONCE]], "count": len(dead)}
        await operators.log(self._connection, operator, "callback.replay", ", ".join(subjects)[:200], new=events)
        for first in range(0, len(dead), PUSHED_AT_ONCE):
            part = dead[first : first + PUSHED_AT_ONCE]
            for one in part:
                if one.endpoint:
                    await webhooks.begin_replay(self._connection, one.endpoint, one.event)
            again = [msgspec.structs.replace(one.record, attempt=0, is_replay=True) for one in part]
            await self._hooks.push([_encode(record) for record in again])
        return len(dead)

    async def _of_urls(self, since: datetime, account: str | None, message_id: int | None, limit: int) -> list[Dead]:
        earliest = message_id or max(0, id_at(int(since.timestamp() * 1000) - recovery.CALLBACK_LIFE_MS))
        ids = await dead_callbacks(self._connection, since, earliest, account, message_id, limit)
        directory = DirectoryIndex(await load_snapshot(self._connection, with_prices=False))
        dead: list[Dead] = []
        for found in await recovery.read(self._connection, ids, with_events=True):
            message = found.message
            dead += [
                Dead(
                    message_id=message.id,
                    account=message.account,
                    event=event_id_of(record),
                    endpoint=0,
                    url=record.url,
                    attempts=message.callback_attempts,
                    detail="",
                    at=message.callback_at or since,
                    record=record,
                )
                for record in made_again(found, directory)
            ]
        return dead


def made_again(found: recovery.Found, directory: DirectoryIndex) -> list[CallbackRecord]:
    """The last callback of a message, out of the record."""
    message = replace(found.message, callbacks_open=1)
    if message.direction == Direction.INBOUND:
        return [inbound_due(message, directory)]
    return receipts_due(message, record_of(message), found.sent, found.events)


def _of_endpoint(row: webhooks.DeadDelivery) -> Dead:
    return Dead(
        message_id=row.message_id,
        account=row.account,
        event=row.event,
        endpoint=row.endpoint,
        url=None,
        attempts=row.attempts,
        detail=row.detail,
        at=row.at,
        record=_decode(row.record),
    )


def _host(url: str | None) -> str:
    if url is None:
        return "webhook_url"
    scheme, slashes, rest = url.partition("://")
    return f"{scheme}{slashes}{rest.partition('/')[0].rpartition('@')[2].partition('?')[0]}/..."
