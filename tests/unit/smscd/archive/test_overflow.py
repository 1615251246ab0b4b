"""Messages come back from PostgreSQL once and in their order, wherever the role that brings them is killed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from smscd.archive.overflow import AHEAD_MS, IDLE_SECONDS, TAIL_SECONDS, OverflowTask
from smscd.archive.refilling import TAKEN_AT_ONCE
from storage.postgres.overflow import OverflowRow
from storage.redis.overflow import Place, Refill, Waiting

NOW = 1_795_000_000_000
BULK, OTHER = Place("u", 1, "bulk"), Place("u", 1, "other")


class Killed(Exception):
    """The process ends here."""


@dataclass
class World:
    """Both sides, in memory. fuse: how many writes there are until the process is killed, after or before one."""

    in_redis_max: int = 1_000
    tails: dict[Place, list[OverflowRow]] = field(default_factory=dict)
    queued: list[tuple[Place, int]] = field(default_factory=list)
    later: dict[int, int] = field(default_factory=dict)
    noted: set[int] = field(default_factory=set)
    taken: set[int] = field(default_factory=set)
    asked: set[int] = field(default_factory=set)
    counts: dict[Place, Waiting] = field(default_factory=dict)
    drained: int = 0
    fuse: int = 10**9
    is_before: bool = False
    waiting_seen: dict[str, int] = field(default_factory=dict)

    def add(self, place: Place, *message_ids: int, due_ms: int = 0) -> None:
        rows = self.tails.setdefault(place, [])
        rows += [OverflowRow(message_id, due_ms, b"%d" % message_id) for message_id in message_ids]
        rows.sort(key=lambda row: row.due_ms)
        tail, scheduled = self.counts.get(place, Waiting(0, 0))
        more = len(message_ids)
        self.counts[place] = Waiting(tail, scheduled + more) if due_ms else Waiting(tail + more, scheduled)

    def task(self) -> OverflowTask:
        return OverflowTask(
            self,
            self,
            in_redis_max=self.in_redis_max,
            now_ms=lambda: NOW,
            away=(ConnectionError,),
            waiting=self.waiting_seen,
        )

    def _burn(self, *, is_done: bool) -> None:
        if is_done is not self.is_before:
            self.fuse -= 1
            if self.fuse == 0:
                raise Killed

    async def waiting(self) -> dict[Place, Waiting]:
        return {place: counts for place, counts in self.counts.items() if sum(counts)}

    async def in_redis(self, upstream: str) -> tuple[int, int]:
        return len(self.queued) - self.drained + len(self.later), len(self.later)

    async def queued_blobs(self, places: Sequence[Place]) -> list[int]:
        return [sum(place == queue for queue, _ in self.queued[self.drained :]) for place in places]

    async def refilled(self) -> set[int]:
        return set(self.noted)

    async def refill(self, upstream: str, messages: Sequence[Refill], forgotten: Sequence[int]) -> int:
        self._burn(is_done=False)
        self.noted.difference_update(forgotten)
        count = 0
        for place, message_id, is_scheduled, due_ms, record in messages:
            assert record == b"%d" % message_id and message_id in self.taken
            if message_id in self.noted:
                continue
            self.noted.add(message_id)
            tail, scheduled = self.counts[place]
            self.counts[place] = Waiting(tail, scheduled - 1) if is_scheduled else Waiting(tail - 1, scheduled)
            if due_ms:
                self.later[message_id] = due_ms
            else:
                self.queued.append((place, message_id))
            count += 1
        self._burn(is_done=True)
        return count

    async def take(self, place: Place, *, after_ms: int, until_ms: int, limit: int) -> list[OverflowRow]:
        self._burn(is_done=False)
        rows = [row for row in self.tails.get(place, ()) if after_ms < row.due_ms <= until_ms][:limit]
        self.taken.update(row.message_id for row in rows)
        self._burn(is_done=True)
        return rows

    async def refused(self) -> set[int]:
        return self.asked

    async def take_these(self, message_ids: Collection[int]) -> list[tuple[tuple[str, int, str], OverflowRow]]:
        found = [(place, row) for place, rows in self.tails.items() for row in rows if row.message_id in message_ids]
        self.taken.update(row.message_id for _, row in found)
        return list(found)

    async def first_due(self, places: Sequence[Place]) -> dict[int, int]:
        dues = [[row.due_ms for row in self.tails.get(place, ()) if row.due_ms] for place in places]
        return {number: min(due) for number, due in enumerate(dues) if due}

    async def drop(self, message_ids: Collection[int]) -> None:
        self._burn(is_done=False)
        for place, rows in self.tails.items():
            self.tails[place] = [row for row in rows if row.message_id not in message_ids]
        self._burn(is_done=True)


async def test_each_message_comes_once_and_in_order_wherever_the_role_is_killed() -> None:
    kills = 0
    for is_before in (False, True):
        for fuse in range(1, 16):
            world = World(in_redis_max=600, fuse=fuse, is_before=is_before)
            world.add(BULK, *range(1, 1_201))
            world.add(OTHER, *range(2_001, 2_011))
            world.add(OTHER, 3_001, due_ms=NOW - 1)
            world.add(OTHER, 3_002, due_ms=NOW + 5)
            task = world.task()
            for _ in range(60):
                try:
                    await task.round()
                except Killed:
                    kills += 1
                    world.fuse = 10**9
                    task = world.task()
                world.drained = len(world.queued)
            assert [number for place, number in world.queued if place == BULK] == list(range(1, 1_201))
            assert [number for place, number in world.queued if place == OTHER] == [*range(2_001, 2_011), 3_001]
            assert world.later == {3_002: NOW + 5}
            assert not any(world.tails.values()) and not await world.waiting()
    assert kills == 30  # before and after each write that there is


async def test_the_memory_is_bounded_and_a_small_account_does_not_wait_for_a_large_one() -> None:
    world = World(in_redis_max=400)
    world.add(BULK, *range(1, 5_001))
    task = world.task()
    assert await task.round() == 0.0
    assert len(world.queued) == 400
    assert await task.round() == TAIL_SECONDS
    world.add(OTHER, 9_001, 9_002)
    assert await task.round() == 0.0
    assert [number for place, number in world.queued if place == OTHER] == [9_001, 9_002]
    assert world.waiting_seen == {"u": 4_602}
    world.drained = 202
    await task.round()
    assert len(world.queued) - world.drained == 400


async def test_what_is_scheduled_comes_within_the_hour_and_leaves_room_for_what_is_to_be_sent_now() -> None:
    world = World(in_redis_max=400)
    world.add(BULK, *range(1, 301), due_ms=NOW + AHEAD_MS)
    world.add(BULK, 500, due_ms=NOW + AHEAD_MS + 1)
    task = world.task()
    assert await task.round() == 0.0
    assert len(world.later) == 100
    assert await task.round() == IDLE_SECONDS
    world.later.clear()
    await task.round()
    await task.round()
    assert sorted(world.later) == list(range(101, 201))
    assert not world.queued


async def test_postgres_that_is_away_is_asked_again_and_nothing_comes_twice() -> None:
    world = World()
    world.add(BULK, *range(1, TAKEN_AT_ONCE + 1))
    task = world.task()

    class Away(World):
        async def drop(self, message_ids: Collection[int]) -> None:
            raise ConnectionError

    task._kept = away = Away()  # its rows are found, and cannot be deleted
    away.tails, away.taken = world.tails, world.taken
    for _ in range(3):
        try:
            await task.round()
        except ConnectionError:
            pass
    task._kept = world
    assert await task.round() == IDLE_SECONDS
    assert [number for _, number in world.queued] == list(range(1, TAKEN_AT_ONCE + 1))
    assert not world.tails[BULK]


async def test_what_was_admitted_though_refused_comes_at_once_to_be_cancelled() -> None:
    world = World()
    world.add(BULK, 1, 2, due_ms=NOW + 10 * AHEAD_MS)
    world.asked = {2, 99}
    task = world.task()
    assert await task.round() == 0.0
    assert world.queued == [(BULK, 2)] and not world.later
    assert await task.round() == IDLE_SECONDS
