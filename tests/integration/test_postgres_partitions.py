"""Partitions: made ahead, idempotent, also under load while the clock crosses their boundaries; pruned by queries."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import asyncpg
import pytest
from msgspec.structs import astuple

from smscd.archive.partitions_task import ORPHANS_KEPT_MS, PartitionsTask
from smscd.core.records import OrphanRecord, ParkedReceipt
from storage.postgres.learned import Learned
from storage.postgres.orphans import insert_orphans, open_orphans
from storage.postgres.partitions import (
    TABLES,
    ensure_partitions,
    id_at,
    list_partitions,
    made_until_ms,
    stray_rows,
)
from storage.postgres.pool import WRITER_SETTINGS, Connection, connect
from storage.postgres.statements import load
from tests.integration.journal_fake import NOW_MS, FakeJournal, append_lives, message, message_id
from tests.integration.postgres_databases import RecordDatabase
from tests.integration.writer_fixture import Observed, rows, until, write_all, writer_on

pytest_plugins = ("tests.integration.postgres_fixture",)

DAY_MS = 86_400_000


def ms(year: int, month: int, day: int, *time: int) -> int:
    hour, minute, second = (*time, 0, 0, 0)[:3]
    return int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp() * 1000)


@dataclass
class Told:
    """What the task told."""

    ahead_seconds: list[float] = field(default_factory=list)
    stray: list[int] = field(default_factory=list)

    def partitions_made(self, ahead_seconds: float, stray_rows: int) -> None:
        self.ahead_seconds.append(ahead_seconds)
        self.stray.append(stray_rows)


@dataclass
class Clock:
    """A clock that the test moves; sleepers wake when it has passed their time."""

    now_ms: int

    async def sleep(self, seconds: float) -> None:
        wake_ms = self.now_ms + int(seconds * 1000)
        while self.now_ms < wake_ms:
            await asyncio.sleep(0.001)


def task_on(database: Connection, clock: Clock, told: Told, granularity: str, **options: int) -> PartitionsTask:
    return PartitionsTask(
        database=database,
        granularity=granularity,
        observer=told,
        now_ms=lambda: clock.now_ms,
        sleep=clock.sleep,
        **options,
    )


async def test_old_orphans_are_forgotten_when_partitions_are_made(daemon: Connection) -> None:
    for name, at_ms in ((b"old", NOW_MS - ORPHANS_KEPT_MS - 1), (b"young", NOW_MS - ORPHANS_KEPT_MS)):
        receipt = ParkedReceipt(name, b"DELIVRD", b"000", 4, at_ms, b"raw", at_ms)
        await insert_orphans(daemon, [OrphanRecord("carrier", name, "unknown", receipt)])
    await task_on(daemon, Clock(NOW_MS), Told(), "year").run_once()
    assert [one.upstream_message_id for one in await open_orphans(daemon, upstream=None, limit=9)] == [b"young"]


@pytest.mark.parametrize(
    ("granularity", "names"),
    [
        ("year", ["messages_y2026", "messages_y2027", "messages_y2028"]),
        ("month", ["messages_m2026_11", "messages_m2026_12", "messages_m2027_01", "messages_m2027_02"]),
        (
            "day",
            [f"messages_d2026_11_{day}" for day in range(17, 31)] + ["messages_d2026_12_01", "messages_d2026_12_02"],
        ),
    ],
)
async def test_partitions_are_made_ahead_and_making_them_again_makes_none(
    daemon: Connection, granularity: str, names: list[str]
) -> None:
    made = await ensure_partitions(daemon, NOW_MS, granularity)
    assert [name for name in made if name.startswith("messages_")] == names
    assert set(made.values()) == {0}
    assert len(made) == len(names) * len(TABLES)
    assert await ensure_partitions(daemon, NOW_MS, granularity) == {}
    listed = await list_partitions(daemon)
    assert [found.name for found in listed if found.parent == "messages"] == ["messages_default", *names]
    assert made_until_ms(NOW_MS, listed) > NOW_MS + 13 * DAY_MS
    options = await daemon.fetchval("SELECT reloptions FROM pg_class WHERE relname = $1", names[0])
    assert options == ["fillfactor=50"]


async def test_a_finer_granularity_begins_where_the_coarser_ends(daemon: Connection) -> None:
    now_ms = ms(2026, 12, 30, 12)
    await ensure_partitions(daemon, now_ms, "year", ahead=0)
    made = await ensure_partitions(daemon, now_ms, "day", ahead=3)
    assert [name for name in made if name.startswith("messages_")] == ["messages_d2027_01_01", "messages_d2027_01_02"]


async def test_a_coarser_granularity_fills_up_what_the_finer_left(daemon: Connection) -> None:
    now_ms = ms(2026, 12, 1, 12)
    await ensure_partitions(daemon, now_ms, "day", ahead=3)
    made = await ensure_partitions(daemon, now_ms, "month", ahead=1)
    assert [name for name in made if name.startswith("messages_")] == [
        "messages_m2026_12_20261205", "messages_m2027_01",
    ]  # fmt: skip
    assert made_until_ms(now_ms, await list_partitions(daemon)) == ms(2027, 2, 1)


async def test_rows_in_default_are_counted_and_moved_when_their_partition_is_made(
    record_database: RecordDatabase, daemon: Connection
) -> None:
    journal = FakeJournal()
    ids = append_lives(journal, 500, batch=100)
    await write_all(record_database.dsn, journal)
    stray = await stray_rows(daemon)
    assert {table: count for table, count in stray.items() if table != "ledger_entries"} == {
        "messages": 500, "segments": 500, "message_events": 500,
    }  # fmt: skip
    told = Told()
    task = task_on(daemon, Clock(NOW_MS), told, "day")
    made = await task.run_once()
    assert made["messages_d2026_11_18"] == 500
    assert sum(made.values()) == sum(stray.values())
    assert told.stray == [0]
    assert await daemon.fetchval("SELECT count(*) FROM messages WHERE id = ANY($1)", ids) == 500


async def test_stray_rows_and_a_short_future_are_told(record_database: RecordDatabase, daemon: Connection) -> None:
    clock, told = Clock(NOW_MS), Told()
    task = task_on(daemon, clock, told, "day", ahead=0)
    await task.run_once()
    assert 0 < told.ahead_seconds[-1] <= 86_400
    journal = FakeJournal(now_ms=NOW_MS + 5 * DAY_MS)
    journal.append(b"A", [message(message_id(journal.now_ms, 1))])
    await write_all(record_database.dsn, journal)
    await task.run_once()
    assert told.stray[-1] == 2


async def test_a_table_that_is_busy_is_tried_again(record_database: RecordDatabase, daemon: Connection) -> None:
    reader = await connect(record_database.dsn)
    reading = reader.transaction()
    await reading.start()
    await reader.fetch("SELECT FROM messages_default")
    with pytest.raises(asyncpg.LockNotAvailableError):
        await ensure_partitions(daemon, NOW_MS, "year", ahead=0)
    clock, told = Clock(NOW_MS), Told()
    running = asyncio.create_task(task_on(daemon, clock, told, "year").run())
    await reading.rollback()
    await reader.close()

    async def made() -> bool:
        clock.now_ms += 1_000
        return len(told.stray) > 0

    await until(made)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def cross(
    database: RecordDatabase, daemon: Connection, clock: Clock, granularity: str, step_ms: int, steps: int
) -> tuple[Observed, Told, list[int]]:
    """Write lives without a pause while the clock moves over many boundaries and the task makes partitions."""
    told, observed, journal = Told(), Observed(), FakeJournal(now_ms=clock.now_ms)
    maker = await connect(database.dsn)
    task = task_on(maker, clock, told, granularity, ahead=1)
    await task.run_once()
    making = asyncio.create_task(task.run())
    writer = writer_on(database.dsn, journal, observed)
    writing = asyncio.create_task(writer.run())
    ids: list[int] = []

    def told_again(before: int) -> Callable[[], Awaitable[bool]]:
        async def check() -> bool:
            return len(told.stray) > before

        return check

    for _ in range(steps):
        before = len(told.stray)
        clock.now_ms += step_ms
        journal.now_ms = clock.now_ms
        ids += append_lives(journal, 400, batch=100, step_ms=1, gap=2)
        await until(told_again(before))  # the daily run; the writer goes on meanwhile
    writer.drain()
    await asyncio.wait_for(writing, 60)
    making.cancel()
    await asyncio.gather(making, return_exceptions=True)
    await maker.close()
    return observed, told, ids


@pytest.mark.parametrize(
    ("granularity", "start", "step_ms", "partitions"),
    [
        # Six months a step over three New Years; a day a step over a fortnight.
        ("year", ms(2026, 12, 31, 23, 59, 59), 182 * DAY_MS, ["y2027", "y2028", "y2029"]),
        ("day", ms(2026, 12, 31, 23, 59, 59), DAY_MS, [f"d2027_01_{day:02d}" for day in range(1, 7)]),
    ],
)
async def test_no_row_strays_while_the_clock_crosses_boundaries_under_load(
    record_database: RecordDatabase,
    daemon: Connection,
    granularity: str,
    start: int,
    step_ms: int,
    partitions: list[str],
) -> None:
    clock = Clock(start)
    observed, told, ids = await cross(record_database, daemon, clock, granularity, step_ms, 6)
    assert observed.errors == []
    assert set(told.stray) == {0}
    assert min(told.ahead_seconds) > 3_600
    assert sum((await stray_rows(daemon)).values()) == 0
    found = await rows(
        daemon, "SELECT tableoid::regclass::text AS name, count(*) AS n FROM messages GROUP BY 1 ORDER BY 1"
    )
    assert [row["name"] for row in found] == [f"messages_{suffix}" for suffix in partitions]
    assert sum(row["n"] for row in found) == len(set(ids)) == 2_400
    whole = await daemon.fetchval("SELECT count(*) FROM messages WHERE state = 4 AND callback_state = 2")
    assert whole == 2_400


async def plan(connection: Connection, statement: str, *arguments: object) -> str:
    return "\n".join(row[0] for row in await connection.fetch("EXPLAIN " + statement, *arguments))


async def test_queries_and_updates_look_into_the_partitions_of_their_ids_only(
    record_database: RecordDatabase, daemon: Connection
) -> None:
    await ensure_partitions(daemon, NOW_MS, "day")
    one, sql = message_id(NOW_MS, 1), load("messages")
    for statement, arguments in (
        (sql["get_messages"], ([one], "demo")),
        (sql["get_timeline"], (one,)),
    ):
        text = await plan(daemon, statement, *arguments)
        assert "d2026_11_18" in text
        assert "d2026_11_19" not in text
        assert "default" not in text
    recent = await plan(daemon, sql["find_segments"], "carrier", ["x"], id_at(NOW_MS + 10 * DAY_MS), 20)
    assert "d2026_11_18" not in recent
    writer = await connect(record_database.dsn, settings=WRITER_SETTINGS)
    columns = [[value] for value in astuple(Learned(state=4))]
    ids = [message_id(NOW_MS, number) for number in range(3)]
    text = await plan(writer, load("journal")["update_messages"], ids, [1, 1, 1], *columns, ids[0], ids[-1] + 1)
    await writer.close()
    assert "d2026_11_18" in text
    assert "d2026_11_19" not in text
    assert "Seq Scan" not in text
    assert "Nested Loop" not in text


async def test_a_year_of_days_does_not_slow_a_batch_down(record_database: RecordDatabase, daemon: Connection) -> None:
    await ensure_partitions(daemon, NOW_MS, "day", ahead=100)
    journal = FakeJournal()
    append_lives(journal, 400, batch=100)
    observed = await write_all(record_database.dsn, journal)
    assert max(commit.seconds for commit in observed.commits) < 2
