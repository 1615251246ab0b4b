"""How much waits for an upstream, asked from outside of its owner."""

from __future__ import annotations

from storage.redis.keys import ShardKeys
from storage.redis.link import RedisLink


async def waiting(link: RedisLink, keys: ShardKeys, upstream: str) -> int:
    """Messages of an upstream in Redis that it has not accepted yet, wherever they are."""
    held = await link.command("HGET", keys.depth, upstream)
    return 0 if held is None else max(0, int(held))
