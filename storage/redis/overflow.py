"""Messages that wait in PostgreSQL alone, as Redis knows them: how many of each queue, and how they come back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from storage.redis import scripts
from storage.redis.blobs import KeyList
from storage.redis.dispatch import id8, later_member
from storage.redis.keys import ShardKeys
from storage.redis.link import Arg, RedisLink
from storage.redis.session import RoleSession

SCHEDULED_MARK = "@"


class Place(NamedTuple):
    """Where a message is queued. priority: 0 comes first."""

    upstream: str
    priority: int
    account: str


class Waiting(NamedTuple):
    """How many messages of a place wait in PostgreSQL alone: its tail, and those that wait for their time."""

    tail: int
    scheduled: int


class Refill(NamedTuple):
    """A message to be brought back. due_ms: when its time comes, 0 to queue it at once."""

    place: Place
    message_id: int
    is_scheduled: bool
    due_ms: int
    record: bytes


class OverflowStore:
    """The Redis side of the role `overflow`; link: for reading."""

    def __init__(self, keys: ShardKeys, session: RoleSession, link: RedisLink) -> None:
        self._keys = keys
        self._session = session
        self._link = link

    async def waiting(self) -> dict[Place, Waiting]:
        """What waits in PostgreSQL alone, highest priority first. Raises StorageUnavailable."""
        return await read_waiting(self._link, self._keys)

    async def in_redis(self, upstream: str) -> tuple[int, int]:
        """How many messages of an upstream wait in Redis, and how many of these for a time of their own."""
        asked = ("HMGET", self._keys.depth, upstream, f"\0{upstream}")
        (all_of_it, apart), later = await self._link.pipeline([asked, ("ZCARD", self._keys.later(upstream))])
        return int(all_of_it or 0) - int(apart or 0), int(later)

    async def queued_blobs(self, places: Sequence[Place]) -> list[int]:
        """How many blobs are in the queue of each place."""
        return list(await self._link.pipeline([("XLEN", self._keys.queue(*place)) for place in places]))

    async def refused(self) -> set[int]:
        """Ids of messages that were admitted though refused, and are not cancelled yet; see cancel.lua."""
        return {int.from_bytes(name, "big") for name in await self._link.command("HKEYS", self._keys.changes)}

    async def refilled(self) -> set[int]:
        """Ids of messages that were brought here, and whose rows may still be in PostgreSQL."""
        return {int.from_bytes(member, "big") for member in await self._link.command("SMEMBERS", self._keys.refilled)}

    async def refill(self, upstream: str, messages: Sequence[Refill], forgotten: Sequence[int]) -> int:
        """Bring messages of one upstream back, each once. forgotten: ids whose rows are gone. Raises Fenced.

        messages: at most what one entry of a queue may hold.
        """
        names = self._keys
        keys = KeyList(
            [names.depth, names.overflow, names.refilled, names.ready(upstream), names.later(upstream)], skipped=1
        )
        args: list[Arg] = [upstream, names.bell, len(forgotten), *(id8(message_id) for message_id in forgotten)]
        args.append(len(messages))
        for place, message_id, is_scheduled, due_ms, record in messages:
            queue = names.queue(*place)
            field = SCHEDULED_MARK + queue if is_scheduled else queue
            if due_ms:
                args += (keys.number(queue), field, id8(message_id), due_ms, later_member(queue, record))
            else:
                args += (keys.number(queue), field, id8(message_id), "", record)
        reply = await self._session.run(scripts.REFILL, keys.names, args)
        return int(reply[0])


async def read_waiting(link: RedisLink, keys: ShardKeys) -> dict[Place, Waiting]:
    """What waits in PostgreSQL alone, highest priority first. Raises StorageUnavailable."""
    before_place = len(keys.queue("", 0, "")) - len(":0:")
    found: dict[Place, Waiting] = {}
    for name, count in _pairs(await link.command("HGETALL", keys.overflow)):
        is_scheduled = name.startswith(SCHEDULED_MARK)
        upstream, priority, account = name.removeprefix(SCHEDULED_MARK)[before_place:].split(":", 2)
        place = Place(upstream, int(priority), account)
        before = found.get(place, Waiting(0, 0))
        found[place] = before._replace(scheduled=int(count)) if is_scheduled else before._replace(tail=int(count))
    return dict(sorted(found.items(), key=lambda item: item[0].priority))


def _pairs(reply: list[bytes]) -> list[tuple[str, bytes]]:
    return [(name.decode(), value) for name, value in zip(reply[::2], reply[1::2], strict=True)]
