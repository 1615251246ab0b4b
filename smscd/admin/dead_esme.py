"""What no ESME took, for operators: receipts and messages from phones, listed, and sent once more.

They were refused for good, or nobody was bound for seven days. They are made again from the record, as recovery does
it, and wait for seven days anew. Nothing of what a message has open changes. The record has one as a dead letter until
an ESME has taken it: who asks twice sends it twice, and with a Redis that is lost goes only that it was asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from smscd.admin.dead_callbacks import made_again
from smscd.core.callback_records import CallbackRecord
from smscd.core.directory_index import DirectoryIndex
from smscd.core.records import State
from storage.postgres import operators, recovery
from storage.postgres.configuration import load_snapshot
from storage.postgres.messages import DeadToEsme, dead_to_esmes
from storage.postgres.partitions import id_at
from storage.postgres.pool import Connection
from storage.postgres.rows import Direction
from storage.redis.errors import StorageUnavailable
from storage.redis.outbox import OutFeed

ACTION: Final = "dead_letter.redrive"
DAYS: Final = 7
ID_MAX: Final = (1 << 63) - 1
PUSHED_AT_ONCE: Final = 200
NAMED_MAX: Final = 200
_encode = msgspec.msgpack.Encoder().encode


class EsmeLetter(msgspec.Struct, kw_only=True):
    """One of them. kind: receipt, or message for one from a phone. error: why it was given up."""

    message_id: str
    account: str
    kind: str
    status: str
    attempts: int
    error: str
    at: str


def shown(found: DeadToEsme) -> EsmeLetter:
    """One as JSON, the same by command and over HTTP."""
    return EsmeLetter(
        message_id=str(found.id),
        account=found.account,
        kind="message" if found.direction == Direction.INBOUND else "receipt",
        status=State(found.state).name.lower(),
        attempts=found.attempts,
        error=found.detail or "",
        at=found.at.isoformat(),
    )


class DeadToEsmes:
    """What operators may do. connection: the record, and the log of what operators did."""

    def __init__(self, connection: Connection, outbox: OutFeed) -> None:
        self._connection = connection
        self._outbox = outbox

    async def listed(
        self,
        *,
        limit: int,
        since: datetime | None = None,
        before: int | None = None,
        account: str | None = None,
        message_id: int | None = None,
    ) -> list[DeadToEsme]:
        """Those that were given up since a time (None: a week ago), newest messages first. before: ids below it."""
        begin = since or datetime.now(UTC) - timedelta(days=DAYS)
        first_id = max(0, id_at(int(begin.timestamp() * 1000) - recovery.CALLBACK_LIFE_MS))
        return await dead_to_esmes(
            self._connection, begin, first_id, before or ID_MAX, account=account, message_id=message_id, limit=limit
        )

    async def redrive(self, dead: Sequence[DeadToEsme], operator: str) -> int:
        """Send these once more, oldest messages first; how many. Written down first. Raises StorageUnavailable."""
        directory = DirectoryIndex(await load_snapshot(self._connection, with_prices=False))
        again: dict[str, list[CallbackRecord]] = {}
        for found in await recovery.read(self._connection, [one.id for one in dead], with_events=True):
            again.setdefault(found.message.account, []).extend(made_again(found, directory))
        for account, records in again.items():
            said = {"messages": [str(record.id) for record in records[:NAMED_MAX]], "count": len(records)}
            await operators.log(self._connection, operator, ACTION, account, new=said)
            try:
                await self._push(account, records)
            except StorageUnavailable:
                await operators.log(self._connection, operator, f"{ACTION}.refused", account, new=said)
                raise
        return sum(map(len, again.values()))

    async def _push(self, account: str, records: Sequence[CallbackRecord]) -> None:
        for first in range(0, len(records), PUSHED_AT_ONCE):
            part = records[first : first + PUSHED_AT_ONCE]
            await self._outbox.push(account, [_encode(msgspec.structs.replace(one, is_replay=True)) for one in part])
