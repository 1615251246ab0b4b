"""Rows of the record for the doors, as fresh as the journal was when they were asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from smscd.core.records import MessageRecord
from storage.postgres.messages import (
    StoredMessage,
    find_pending,
    find_replaced,
    get_group,
    get_messages,
    recorded_id,
)
from storage.postgres.pool import Pool
from storage.redis.journal import JournalReader, entry_order

WAIT_SECONDS: Final = 1.0
POLL_SECONDS: Final = 0.02


class RecordBehind(Exception):
    """The writer did not come as far as the journal within WAIT_SECONDS; what the record says may be old."""


class RecordReader:
    """Reads messages of one shard. pool: opens the pool when it is first needed."""

    def __init__(self, pool: Callable[[], Pool], journal: JournalReader) -> None:
        self._pool = pool
        self._journal = journal
        self._waiting: list[tuple[tuple[int, int], float, asyncio.Future[None]]] = []
        self._polling: asyncio.Task[None] | None = None

    async def find(self, account: str, message_ids: Sequence[int]) -> dict[int, StoredMessage]:
        """Messages of an account as the record has them now, by id; those that it does not have are missing."""
        return {found.id: found for found in await get_messages(self._pool(), message_ids, account)}

    async def find_group(self, account: str, group_id: int) -> list[StoredMessage]:
        """The messages of a submit_multi, by the id of the first."""
        ids = await get_group(self._pool(), group_id, account)
        return await get_messages(self._pool(), ids, account)

    async def find_pending(
        self, account: str, source: bytes, dest: bytes, service_type: bytes, oldest_id: int, limit: int
    ) -> list[int]:
        """Ids of messages between two addresses that are not sent yet, oldest first. service_type b"": any."""
        return await find_pending(self._pool(), account, source, dest, service_type, oldest_id, limit)

    async def find_replaced(self, record: MessageRecord, oldest_id: int, before_id: int, limit: int) -> list[int]:
        """Ids of messages that are not sent yet and that `record` would replace, newest first."""
        return await find_replaced(self._pool(), record, oldest_id, before_id, limit)

    async def catch_up(self) -> None:
        """Return when the record has all that the journal has now; all who wait share the look at PostgreSQL.

        Raises RecordBehind, StorageUnavailable, and what PostgreSQL raises when it is away.
        """
        wanted = entry_order(await self._journal.last_id())
        loop = asyncio.get_running_loop()
        reached: asyncio.Future[None] = loop.create_future()
        self._waiting.append((wanted, loop.time() + WAIT_SECONDS, reached))
        if self._polling is None:
            self._polling = asyncio.create_task(self._poll())
        await reached

    async def _poll(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                recorded = entry_order(await recorded_id(self._pool(), 0) or "0-0")
                still: list[tuple[tuple[int, int], float, asyncio.Future[None]]] = []
                for wanted, ends, reached in self._waiting:
                    if reached.done():
                        continue
                    if recorded >= wanted:
                        reached.set_result(None)
                    elif loop.time() >= ends:
                        reached.set_exception(RecordBehind())
                    else:
                        still.append((wanted, ends, reached))
                self._waiting = still
                if still:
                    await asyncio.sleep(POLL_SECONDS)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is the waiters' to know
            waiting, self._waiting = self._waiting, []
            for _, _, reached in waiting:
                if not reached.done():
                    reached.set_exception(error)
        finally:
            self._polling = None
