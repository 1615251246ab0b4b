"""What the owner does about an upstream that is out: tells everybody, and moves what it never sent to the next of its
route. Decisions are those of smscd.core.failover; a move is one script."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec
import structlog

from smscd.core.breaker import Breaker, BreakerState
from smscd.core.directory_index import DirectoryIndex
from smscd.core.failover import Standing, Throttling, next_candidates, reroute
from smscd.core.records import MessageRecord, State
from smscd.core.upstream import Upstream
from smscd.egress.dispatch.blobs import Blob, Item
from smscd.egress.figures import Tally, UpstreamFigures
from storage.redis.breakers import THROTTLED, encode_standing
from storage.redis.dispatch import Move, MoveReply

MOVED_AT_ONCE: Final = 200
STAYING_MAX: Final = 10_000

_encode = msgspec.msgpack.Encoder().encode
_log = structlog.get_logger(__name__)


class MoveStore(Protocol):
    """The part of DispatchStore that this needs."""

    async def publish_standing(self, standing: str) -> None: ...

    async def move(self, move: Move) -> MoveReply: ...


@dataclass(slots=True)
class _Share:
    """What goes to one other upstream."""

    upstream: Upstream
    items: list[Item] = field(default_factory=list)
    records: list[MessageRecord] = field(default_factory=list)


class Failover:
    """Of one upstream, for as long as its role is held."""

    def __init__(
        self,
        upstream: str,
        store: MoveStore,
        directory: Callable[[], DirectoryIndex],
        figures: UpstreamFigures,
        *,
        grace_seconds: float,
        no_bind_seconds: float,
        throttled_seconds: float,
    ) -> None:
        self._upstream = upstream
        self._store = store
        self._directory = directory
        self._figures = figures
        self._standing = Standing(grace_seconds, no_bind_seconds)
        self._throttling = Throttling(throttled_seconds)
        self._has_binds = False
        self._since_ms = 0
        self._published: str | None = None
        self._staying: set[int] = set()

    def answered(self, tally: Tally, now: float) -> None:
        """The answers that a turn took in."""
        self._throttling.answered(tally.throttled, tally.accepted + tally.failed, now)

    def is_moving(self, now: float) -> bool:
        """True while what waits shall go elsewhere."""
        return self._standing.may_move(now)

    @property
    def wanted(self) -> int:
        """How many messages to have read while it moves: those that cannot move are in the way."""
        return MOVED_AT_ONCE + min(len(self._staying), STAYING_MAX)

    async def look(self, breaker: Breaker, has_binds: bool, is_idle: bool, now: float, now_ms: int) -> None:
        """Once a second, and when the breaker changed: tell the others. is_idle: nothing is here to probe with.

        What could not move is looked at again.
        """
        self._has_binds = has_binds
        self._staying.clear()
        was_out = self._standing.since is not None
        throttles = self._figures.is_throttled = self._throttling.is_all
        self._standing.look(breaker.state, has_binds, now, throttles=throttles)
        is_out = self._standing.since is not None
        if is_out != was_out:
            self._since_ms = now_ms
            if is_out:
                _log.warning("upstream.went_out", upstream=self._upstream, is_throttled=throttles)
            else:
                _log.info("upstream.came_back", upstream=self._upstream)
        self._figures.out_since_ms = self._since_ms if is_out else 0
        standing = ""
        if is_out:
            probe_at = breaker.next_probe_at
            is_closed = breaker.state is BreakerState.CLOSED
            may_probe = throttles if is_closed else breaker.state is BreakerState.OPEN and (probe_at or 0.0) <= now
            state = THROTTLED if is_closed and throttles else breaker.state.value
            standing = encode_standing(state, self._since_ms, has_binds and is_idle and may_probe)
        if standing or standing != self._published:
            await self._store.publish_standing(standing)
            self._published = standing

    async def move(self, waiting: Iterable[Item], now_ms: int) -> list[Blob] | None:
        """Move up to MOVED_AT_ONCE of these, which have no intent; the blobs of which nothing is left.

        None: there is nothing that can move. One stays as the probe while there is a bind to probe.
        """
        shares = self._share(waiting, now_ms)
        if not shares:
            return None
        finished: list[Blob] = []
        for share in shares:
            finished += await self._move_share(share)
        return finished

    def _share(self, waiting: Iterable[Item], now_ms: int) -> Sequence[_Share]:
        directory = self._directory()
        shares: dict[str, _Share] = {}
        count = 0
        must_keep = self._has_binds
        for item in waiting:
            record = item.record
            if item.is_over or item.blob is None or item.resends or not item.is_untouched or item.is_queued:
                continue
            if must_keep:
                must_keep = False
                continue
            if record.id in self._staying or record.valid_until_ms <= now_ms:
                continue
            for upstream in next_candidates(directory, record, now_ms):
                moved = reroute(directory, record, upstream, now_ms)
                if moved is not None:
                    share = shares.setdefault(upstream.id, _Share(upstream))
                    share.items.append(item)
                    share.records.append(moved)
                    count += 1
                    break
            else:
                self._staying.add(record.id)
            if count >= MOVED_AT_ONCE:
                break
        return list(shares.values())

    async def _move_share(self, share: _Share) -> list[Blob]:
        """Move as many as the other upstream has room for; the others stay for a second."""
        other, items, records = share.upstream, share.items, share.records
        while items:
            reply = await self._store.move(_move_of(other, items, records))
            if reply.is_done:
                break
            self._staying.update(record.id for record in records[reply.room :])
            items, records = items[: reply.room], records[: reply.room]
        if not items:
            return []
        self._figures.moved += len(items)
        _log.info("messages.moved", upstream=self._upstream, to=other.id, count=len(items))
        finished = []
        for item in items:
            blob = item.blob
            assert blob is not None
            item.is_over = True
            item.state = State.QUEUED
            blob.unsettled -= 1
            if blob.unsettled == 0:
                finished.append(blob)
        return finished


def _move_of(other: Upstream, items: Sequence[Item], records: Sequence[MessageRecord]) -> Move:
    by_blob: dict[int, tuple[Blob, list[Item]]] = {}
    by_queue: dict[tuple[int, str], list[bytes]] = {}
    move = Move(upstream=other.id, queue_messages_max=other.queue_messages_max, count=len(items))
    for item, record in zip(items, records, strict=True):
        blob = item.blob
        assert blob is not None
        by_blob.setdefault(id(blob), (blob, []))[1].append(item)
        encoded = _encode(record)
        by_queue.setdefault((record.priority, record.account), []).append(encoded)
        move.journal.append(encoded)
    for blob, moved in by_blob.values():
        if blob.unsettled == len(moved):
            move.finished.append((blob.queue, blob.entry_id))
        else:
            for item in moved:
                move.settled += [(blob.queue, blob.entry_id, item.field(part)) for part in range(len(item.states))]
    move.added = [(priority, account, blobs) for (priority, account), blobs in by_queue.items()]
    return move
