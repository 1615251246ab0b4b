"""Looks at the unsettled messages of upstreams that have left their blobs, for who is not their owner."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from storage.redis.dispatch import id8
from storage.redis.keys import ShardKeys
from storage.redis.link import RedisLink

SCANNED_AT_ONCE = 500


class RestReader:
    """link: one that many may share. All methods raise StorageUnavailable."""

    def __init__(self, keys: ShardKeys, link: RedisLink) -> None:
        self._keys = keys
        self._link = link

    async def scan(self, upstream: str) -> AsyncIterator[list[bytes]]:
        """The RestRecords of an upstream, in parts; one that comes or goes meanwhile may be there or not."""
        cursor: bytes | int = 0
        while True:
            cursor, fields = await self._link.command(
                "HSCAN", self._keys.rest(upstream), cursor, "COUNT", SCANNED_AT_ONCE
            )
            yield fields[1::2]
            if int(cursor) == 0:
                return

    async def get(self, upstream: str, message_ids: Sequence[int]) -> list[bytes]:
        """The RestRecords of those of these messages that are there."""
        if not message_ids:
            return []
        held = await self._link.command("HMGET", self._keys.rest(upstream), *map(id8, message_ids))
        return [blob for blob in held if blob]
