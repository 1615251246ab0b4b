"""What operators see of the queues: what waits, since when, and what of it is paused."""

from __future__ import annotations

from storage.postgres import halts
from storage.postgres.pool import Database
from storage.redis.keys import ShardKeys
from storage.redis.link import RedisLink
from storage.redis.queues import QueueView, read_queues


async def view(database: Database, link: RedisLink, keys: ShardKeys, now_ms: int) -> list[dict[str, object]]:
    """Each upstream as JSON, with its queues."""
    found = await halts.halts(database)
    upstreams = {row.name: row.state for row in found if row.kind == "upstream"}
    accounts = {row.name: row.state for row in found if row.kind == "account"}
    views = await read_queues(link, keys, await halts.upstream_ids(database))

    def shown(queue: QueueView) -> dict[str, object]:
        age = None if queue.oldest_ms is None else max(0, now_ms - queue.oldest_ms) // 1000
        return {
            "priority": queue.priority,
            "account": queue.account,
            "waiting": queue.waiting,
            "is_estimated": queue.is_estimated,
            "oldest_seconds": age,
            "account_state": accounts.get(queue.account, "running"),
        }

    return [
        {
            "upstream": seen.upstream,
            "state": upstreams.get(seen.upstream, "running"),
            "waiting": seen.waiting,
            "retries": seen.retries,
            "queues": [shown(queue) for queue in seen.queues],
        }
        for seen in views
    ]
