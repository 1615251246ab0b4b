"""Rows of the record for the doors, as fresh as the journal was when they were asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from storage.postgres.messages import StoredMessage, find_pending, get_group, get_messages, recorded_id
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

    async def catch_up(self) -> None:
        """Return when the record has all that the journal has now. Raises RecordBehind, StorageUnavailable."""
        wanted = entry_order(await self._journal.last_id())
        loop = asyncio.get_running_loop()
        ends = loop.time() + WAIT_SECONDS
        while entry_order(await recorded_id(self._pool(), 0) or "0-0") < wanted:
            if loop.time() >= ends:
                raise RecordBehind
            await asyncio.sleep(POLL_SECONDS)
