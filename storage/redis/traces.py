"""Which sessions an operator watches, and the way their PDUs take to him: a key a watch, a channel a watch.

A watch lives as long as its watcher renews it, so that nothing is traced for nobody.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import redis.asyncio as aioredis

from storage.redis.keys import ShardKeys
from storage.redis.link import RedisLink

WATCH_SECONDS = 10


class Traces:
    """Both sides of a trace over one link. A target is a system_id, an account, an upstream or a peer's address."""

    def __init__(self, keys: ShardKeys, link: RedisLink) -> None:
        self._keys = keys
        self._link = link

    async def watched(self) -> set[str]:
        """The targets that somebody watches now. Raises StorageUnavailable."""
        found = await self._link.command("ZRANGEBYSCORE", self._keys.traces, await self._now(), "+inf")
        return {target.decode() for target in found}

    async def watch(self, target: str) -> None:
        """Begin to watch, or go on for another WATCH_SECONDS."""
        until = await self._now() + WATCH_SECONDS
        await self._link.pipeline(
            [
                ("ZADD", self._keys.traces, until, target),
                ("EXPIRE", self._keys.traces, 2 * WATCH_SECONDS),
                ("PUBLISH", self._keys.bell, "t"),
            ]
        )

    async def unwatch(self, target: str) -> None:
        """Stop watching."""
        await self._link.command("ZREM", self._keys.traces, target)

    async def publish(self, items: Sequence[tuple[str, bytes]]) -> None:
        """Send (target, record) to whoever watches. Raises StorageUnavailable."""
        await self._link.pipeline([("PUBLISH", self._keys.trace(target), record) for target, record in items])

    async def _now(self) -> int:
        seconds, _ = await self._link.command("TIME")
        return int(seconds)


async def listen(url: str, keys: ShardKeys, target: str) -> AsyncIterator[bytes]:
    """The records of a watched target, as they come. Raises redis.exceptions.RedisError, OSError."""
    connection = aioredis.Redis.from_url(url, socket_timeout=None, protocol=2)
    try:
        async with connection.pubsub(ignore_subscribe_messages=True) as pubsub:
            await pubsub.subscribe(keys.trace(target))
            async for message in pubsub.listen():
                yield message["data"]
    finally:
        await connection.aclose()
