"""A link on a real Redis: who is cancelled while it connects is cancelled, or a lost role would go on working."""

from __future__ import annotations

import asyncio
import random

from storage.redis.link import RedisLink

TRIALS = 300
CONNECTING_SECONDS = 0.004


async def test_a_cancellation_at_any_moment_of_connecting_is_never_swallowed(valkey_url: str) -> None:
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
