"""A link on a real Redis: what it makes of cancellations, and of a server that is full."""

from __future__ import annotations

import asyncio
import random

import pytest
from redis import Redis

from storage.redis.errors import StorageUnavailable
from storage.redis.link import RedisLink

TRIALS = 300
CONNECTING_SECONDS = 0.004


async def test_a_cancellation_at_any_moment_of_connecting_is_never_swallowed(valkey_url: str) -> None:
    """Or a lost role would go on working."""
    chance = random.Random(1)
    went_on = 0
    for _ in range(TRIALS):
        link = RedisLink(valkey_url, name="test")
        task = asyncio.create_task(link.command("PING"))
        await asyncio.sleep(chance.random() * CONNECTING_SECONDS)
        if task.cancel():
            await asyncio.wait((task,))
            went_on += not task.cancelled()
        await link.close()
    assert went_on == 0


async def test_a_redis_that_is_full_is_unavailable_and_no_bug_of_ours(valkey_url: str) -> None:
    link = RedisLink(valkey_url, name="test")
    with Redis.from_url(valkey_url) as store:
        limit = store.config_get("maxmemory")["maxmemory"]
        store.config_set("maxmemory", 1_000)
        try:
            with pytest.raises(StorageUnavailable, match="refuses to write"):
                await link.command("SET", "key", "value")
        finally:
            store.config_set("maxmemory", limit)
            await link.close()
