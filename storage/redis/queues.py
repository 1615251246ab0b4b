"""What waits in the queues, for an operator to look at: by upstream, priority and account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from smscd.core.records import MessageRecord
from storage.redis.keys import ShardKeys, id_ms
from storage.redis.link import RedisLink

SAMPLE_ENTRIES: Final = 100
QUEUES_AT_ONCE: Final = 20

_decode = msgspec.msgpack.Decoder(list[MessageRecord]).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueView:
    """One queue. waiting: messages in it that have not all ended, by count, or where that is_estimated by its blobs.

    oldest_ms: when its oldest message was admitted.
    """

    upstream: str
    priority: int
    account: str
    waiting: int
    is_estimated: bool
    oldest_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamView:
    """What waits for one upstream. waiting: everything that it has not accepted. retries: of these, for their time."""

    upstream: str
    waiting: int
    retries: int
    queues: list[QueueView]


async def read_queues(link: RedisLink, keys: ShardKeys, upstreams: Sequence[str]) -> list[UpstreamView]:
    """What waits for these. Raises StorageUnavailable."""
    commands = [
        command
        for upstream in upstreams
        for command in (
            ("HGET", keys.depth, upstream),
            ("ZCARD", keys.later(upstream)),
            ("SMEMBERS", keys.ready(upstream)),
        )
    ]
    replies = await link.pipeline(commands) if commands else []
    views = []
    for at, upstream in enumerate(upstreams):
        depth, retries, names = replies[3 * at : 3 * at + 3]
        queues = []
        ready = sorted(name.decode() for name in names)
        for start in range(0, len(ready), QUEUES_AT_ONCE):
            queues += await _read(link, keys, upstream, ready[start : start + QUEUES_AT_ONCE])
        queues.sort(key=lambda queue: (queue.priority, queue.account))
        views.append(
            UpstreamView(upstream=upstream, waiting=max(0, int(depth or 0)), retries=int(retries), queues=queues)
        )
    return views


async def _read(link: RedisLink, keys: ShardKeys, upstream: str, names: list[str]) -> list[QueueView]:
    """One command each for the length and for both ends: a queue may have millions of messages."""
    commands = [
        command
        for name in names
        for command in (
            ("XLEN", name),
            ("XRANGE", name, "-", "+", "COUNT", SAMPLE_ENTRIES),
            ("XREVRANGE", name, "+", "-", "COUNT", SAMPLE_ENTRIES),
        )
    ]
    replies = await link.pipeline(commands)
    queues = []
    for at, name in enumerate(names):
        length, first, last = replies[3 * at : 3 * at + 3]
        blobs = {entry_id: _records(fields) for entry_id, fields in (*first, *last)}
        if not blobs:
            continue
        count = sum(map(len, blobs.values()))
        is_estimated = length > len(blobs)
        priority, _, account = name[len(keys.queue(upstream, 0, "")) - 2 :].partition(":")
        oldest = [record.id for _, fields in first[:1] for record in _records(fields)]
        queues.append(
            QueueView(
                upstream=upstream,
                priority=int(priority),
                account=account,
                waiting=round(count * length / len(blobs)) if is_estimated else count,
                is_estimated=is_estimated,
                oldest_ms=id_ms(min(oldest)) if oldest else None,
            )
        )
    return queues


def _records(fields: Any) -> list[MessageRecord]:
    """Those of an entry; none where it is none of ours."""
    try:
        return _decode(fields[1])
    except (msgspec.DecodeError, IndexError):
        return []
