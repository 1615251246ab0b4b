"""What operators see of the queues: what waits in Redis and in PostgreSQL alone, since when, and what is paused."""

from __future__ import annotations

from collections.abc import Mapping

from storage.postgres import halts
from storage.postgres.overflow import OverflowHead, overflow_heads
from storage.postgres.pool import Database
from storage.redis.keys import ShardKeys, id_ms
from storage.redis.link import RedisLink
from storage.redis.overflow import Place, Waiting, read_waiting
from storage.redis.queues import QueueView, read_queues

_NONE = Waiting(0, 0)


async def view(database: Database, link: RedisLink, keys: ShardKeys, now_ms: int) -> list[dict[str, object]]:
    """Each upstream as JSON, with its queues.

    Of a queue, waiting and oldest_seconds are of Redis; tail waits in PostgreSQL for room, scheduled for its time.
    """
    found = await halts.halts(database)
    upstreams = {row.name: row.state for row in found if row.kind == "upstream"}
    accounts = {row.name: row.state for row in found if row.kind == "account"}
    views = await read_queues(link, keys, await halts.upstream_ids(database))
    apart = await read_waiting(link, keys)
    heads = await overflow_heads(database, list(apart)) if apart else {}

    def shown(place: Place, queue: QueueView | None) -> dict[str, object]:
        return {
            "priority": place.priority,
            "account": place.account,
            "waiting": queue.waiting if queue is not None else 0,
            "is_estimated": queue.is_estimated if queue is not None else False,
            "oldest_seconds": _age(queue.oldest_ms if queue is not None else None, now_ms),
            **_apart(apart.get(place, _NONE), heads.get(place), now_ms),
            "account_state": accounts.get(place.account, "running"),
        }

    def queues_of(upstream: str, queues: list[QueueView]) -> list[dict[str, object]]:
        by_place: Mapping[Place, QueueView] = {
            Place(upstream, queue.priority, queue.account): queue for queue in queues
        }
        places = {*by_place, *(place for place in apart if place.upstream == upstream)}
        return [shown(place, by_place.get(place)) for place in sorted(places)]

    return [
        {
            "upstream": seen.upstream,
            "state": upstreams.get(seen.upstream, "running"),
            "waiting": seen.waiting,
            "retries": seen.retries,
            "queues": queues_of(seen.upstream, seen.queues),
        }
        for seen in views
    ]


def _apart(waiting: Waiting, head: OverflowHead | None, now_ms: int) -> dict[str, object]:
    """What waits in PostgreSQL alone. tail_oldest_seconds, due_ms: of the first that waits for room, for its time."""
    oldest = head.tail_id if head is not None else None
    return {
        "tail": waiting.tail,
        "tail_oldest_seconds": _age(id_ms(oldest) if oldest is not None else None, now_ms),
        "scheduled": waiting.scheduled,
        "due_ms": head.due_ms if head is not None else None,
    }


def _age(since_ms: int | None, now_ms: int) -> int | None:
    return None if since_ms is None else max(0, now_ms - since_ms) // 1000
