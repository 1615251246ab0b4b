"""Brings messages that wait in PostgreSQL alone back to their queues: tails of long ones, and those whose time comes.

The role `overflow` does it for all upstreams. A message is marked in PostgreSQL, brought by a script that notes its id,
and only then deleted in PostgreSQL; the script passes over ids that it has noted. So each comes once, wherever this is
killed, and what was never marked was certainly never sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Final, Protocol

import structlog

from smscd.archive.refilling import TAKEN_AT_ONCE, room_ahead, shares
from storage.postgres.overflow import OverflowRow
from storage.redis.overflow import Place, Refill, Waiting

AHEAD_MS: Final = 3_600_000
IDLE_SECONDS: Final = 1.0
TAIL_SECONDS: Final = 0.2
CALL_BYTES_MAX: Final = 256 * 1024

_log = structlog.get_logger(__name__)


class Brought(Protocol):
    """The Redis side: storage.redis.overflow.OverflowStore."""

    async def waiting(self) -> dict[Place, Waiting]: ...

    async def in_redis(self, upstream: str) -> tuple[int, int]: ...

    async def queued_blobs(self, places: Sequence[Place]) -> list[int]: ...

    async def refilled(self) -> set[int]: ...

    async def refused(self) -> set[int]: ...

    async def refill(self, upstream: str, messages: Sequence[Refill], forgotten: Sequence[int]) -> int: ...


class Kept(Protocol):
    """The PostgreSQL side: storage.postgres.overflow, on one database."""

    async def take(self, place: Place, *, after_ms: int, until_ms: int, limit: int) -> list[OverflowRow]: ...

    async def take_these(self, message_ids: Collection[int]) -> list[tuple[tuple[str, int, str], OverflowRow]]: ...

    async def first_due(self, places: Sequence[Place]) -> dict[int, int]: ...

    async def drop(self, message_ids: Collection[int]) -> None: ...


class OverflowTask:
    """One life of the role. in_redis_max: messages of an upstream that wait in Redis. now_ms: Redis TIME.

    away: what PostgreSQL raises when it cannot be asked; it is asked again. waiting: how many messages there are, by
    upstream, as they were last seen.
    """

    def __init__(
        self,
        store: Brought,
        kept: Kept,
        *,
        in_redis_max: int,
        now_ms: Callable[[], int],
        away: tuple[type[BaseException], ...],
        waiting: dict[str, int],
    ) -> None:
        self._store = store
        self._kept = kept
        self._in_redis_max = in_redis_max
        self._now_ms = now_ms
        self._away = away
        self._waiting = waiting
        self._forgotten: list[int] = []
        self._is_settled = False

    async def run(self) -> None:
        """Bring messages back until cancelled. Raises Fenced, StorageUnavailable."""
        while True:
            try:
                pause = await self.round()
            except self._away as error:
                _log.info("overflow.waiting", error=str(error) or type(error).__name__)
                pause = IDLE_SECONDS
            await asyncio.sleep(pause)

    async def round(self) -> float:
        """Bring what there is room for now; how long nothing more can be expected."""
        if not self._is_settled:
            await self._drop(await self._store.refilled())
            self._is_settled = True
        waiting = await self._store.waiting()
        self._show(waiting)
        if not waiting:
            return IDLE_SECONDS
        now_ms = self._now_ms()
        scheduled = [place for place, counts in waiting.items() if counts.scheduled]
        dues = await self._kept.first_due(scheduled) if scheduled else {}
        due = {scheduled[number]: due_ms for number, due_ms in dues.items()}
        brought = await self._bring_refused(now_ms)
        for upstream in {place.upstream for place in waiting}:
            mine = {place: counts for place, counts in waiting.items() if place.upstream == upstream}
            brought += await self._bring_due(upstream, mine, due, now_ms)
            brought += await self._bring_ahead(upstream, mine, due, now_ms)
        if brought:
            return 0.0
        return TAIL_SECONDS if any(counts.tail for counts in waiting.values()) else IDLE_SECONDS

    async def _bring_due(self, upstream: str, waiting: dict[Place, Waiting], due: dict[Place, int], now_ms: int) -> int:
        """Tails, and what was scheduled for a time that has come, as far as there is room."""
        places = [place for place, counts in waiting.items() if counts.tail or due.get(place, now_ms + 1) <= now_ms]
        if not places:
            return 0
        in_redis, _ = await self._store.in_redis(upstream)
        blobs = dict(zip(places, await self._store.queued_blobs(places), strict=True))
        brought = 0
        for place, share in shares(places, blobs, in_redis, self._in_redis_max).items():
            if share:
                rows = await self._kept.take(place, after_ms=-1, until_ms=now_ms, limit=share)
                brought += await self._bring(place, rows, now_ms)
        return brought

    async def _bring_refused(self, now_ms: int) -> int:
        """What was admitted though its customer was refused: it is cancelled, and paid back, when it would be sent."""
        refused = await self._store.refused()
        brought = 0
        for place, row in await self._kept.take_these(refused) if refused else ():
            brought += await self._bring(Place(*place), [row], row.due_ms)
        return brought

    async def _bring_ahead(
        self, upstream: str, waiting: dict[Place, Waiting], due: dict[Place, int], now_ms: int
    ) -> int:
        """What is due within the hour, to wait in Redis for its moment."""
        places = [place for place in waiting if now_ms < due.get(place, 0) <= now_ms + AHEAD_MS]
        brought = 0
        for place in sorted(places, key=lambda place: due[place]):
            _, later = await self._store.in_redis(upstream)
            room = room_ahead(later, self._in_redis_max)
            if not room:
                break
            rows = await self._kept.take(place, after_ms=now_ms, until_ms=now_ms + AHEAD_MS, limit=room)
            brought += await self._bring(place, rows, now_ms)
        return brought

    async def _bring(self, place: Place, rows: Sequence[OverflowRow], due_by_ms: int) -> int:
        """To the queue what is due by then, to `later` the rest."""
        brought = 0
        for part in _parts(rows):
            messages = [
                Refill(place, row.message_id, row.due_ms > 0, row.due_ms if row.due_ms > due_by_ms else 0, row.record)
                for row in part
            ]
            brought += await self._store.refill(place.upstream, messages, self._forgotten)
            self._forgotten = []
            await self._drop({row.message_id for row in part})
        return brought

    async def _drop(self, message_ids: Collection[int]) -> None:
        """Delete what is in Redis, and remember to say so there."""
        if message_ids:
            self._is_settled = False
            await self._kept.drop(message_ids)
            self._forgotten += message_ids
            self._is_settled = True

    def _show(self, waiting: dict[Place, Waiting]) -> None:
        self._waiting.update(dict.fromkeys(self._waiting, 0))
        for place, counts in waiting.items():
            self._waiting[place.upstream] = self._waiting.get(place.upstream, 0) + counts.tail + counts.scheduled


def _parts(rows: Iterable[OverflowRow]) -> Iterator[list[OverflowRow]]:
    """Cut into what one entry of a queue may hold."""
    part: list[OverflowRow] = []
    size = 0
    for row in rows:
        size += len(row.record)
        if part and (len(part) == TAKEN_AT_ONCE or size > CALL_BYTES_MAX):
            yield part
            part, size = [], len(row.record)
        part.append(row)
    if part:
        yield part
