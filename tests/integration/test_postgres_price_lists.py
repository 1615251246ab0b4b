"""Price lists in the real PostgreSQL: what an import writes is what is loaded, and a large one holds up nobody."""

from __future__ import annotations

import asyncio
import time

import asyncpg
import pytest

from smscd.core.directory import Cost, Price, PriceRow
from smscd.core.directory_index import VALIDITY_DEFAULT_MS
from smscd.core.upstream import Upstream
from smscd.worker.directory_feed import DirectoryFeed
from storage.postgres import configuration, price_lists
from storage.postgres.pool import Connection, open_pool
from storage.postgres.price_lists import PlanPrices, UpstreamCosts
from tests.integration.postgres_databases import RecordDatabase

pytest_plugins = ("tests.integration.postgres_fixture",)

PLAN = PlanPrices("default")
COSTS = UpstreamCosts("carrier", "USD")
DAY = 86_400_000
ROWS = [PriceRow("", 9), PriceRow("44", 1, None, 5 * DAY), PriceRow("44", 2, 5 * DAY), PriceRow("7", 3, DAY, 2 * DAY)]


async def change(
    daemon: Connection,
    owner: PlanPrices | UpstreamCosts,
    added: list[PriceRow],
    changed: list[PriceRow] | None = None,
    removed: list[PriceRow] | None = None,
) -> None:
    async with daemon.transaction():
        await price_lists.hold(daemon)
        await price_lists.change_list(daemon, owner, added=added, changed=changed or [], removed=removed or [])


async def carrier(daemon: Connection) -> None:
    await configuration.add_upstream(daemon, Upstream(id="carrier", host="h", port=1, system_id="s", password="p"))


@pytest.mark.parametrize("owner", [PLAN, COSTS])
async def test_rows_are_added_changed_and_removed_by_prefix_and_beginning(
    daemon: Connection, owner: PlanPrices | UpstreamCosts
) -> None:
    await carrier(daemon)
    await change(daemon, owner, ROWS)
    assert sorted(await price_lists.read_list(daemon, owner), key=ROWS.index) == ROWS
    changed = [PriceRow("44", 7, None, 4 * DAY), PriceRow("7", 3, DAY, 3 * DAY)]
    await change(daemon, owner, [PriceRow("8", 1)], changed, [ROWS[0], ROWS[2]])
    assert set(await price_lists.read_list(daemon, owner)) == {*changed, PriceRow("8", 1)}


async def test_what_was_imported_is_what_is_loaded(daemon: Connection) -> None:
    await carrier(daemon)
    before = await configuration.load_snapshot(daemon)
    await change(daemon, PLAN, ROWS)
    await change(daemon, COSTS, ROWS[1:3])
    loaded = await configuration.load_snapshot(daemon, before)
    assert loaded.prices == tuple(
        Price(plan="default", prefix=prefix, price_micros=micros, valid_from_ms=begins, valid_until_ms=ends)
        for prefix, micros, begins, ends in ROWS
    )
    assert loaded.costs == tuple(
        Cost(upstream="carrier", currency="USD", prefix=prefix, cost_micros=micros, valid_from_ms=begins,
             valid_until_ms=ends)
        for prefix, micros, begins, ends in ROWS[1:3]
    )  # fmt: skip
    assert (await configuration.load_snapshot(daemon, with_prices=False)).prices == ()


async def test_prices_are_read_again_only_when_they_were_changed_however_that_was_done(daemon: Connection) -> None:
    await carrier(daemon)
    await change(daemon, PLAN, ROWS)
    known = await configuration.load_snapshot(daemon)
    assert (await configuration.load_snapshot(daemon, known)).prices is known.prices
    for statement in (
        "UPDATE prices SET price_micros = 4 WHERE prefix = ''",
        "DELETE FROM prices WHERE prefix = ''",
        "INSERT INTO upstream_costs VALUES ('carrier', 'EUR', '44', 1)",
    ):
        await daemon.execute(statement)
        found = await configuration.load_snapshot(daemon, known)
        assert (found.prices, found.costs) != (known.prices, known.costs)
        known = found


async def test_a_seed_has_one_price_for_all_time_and_leaves_the_dated_ones(daemon: Connection) -> None:
    await change(daemon, PLAN, [PriceRow("44", 1, None, 5 * DAY), PriceRow("7", 3, DAY, 2 * DAY)])
    await configuration.add_prices(daemon, [Price(plan="default", prefix="44", price_micros=8)])
    assert set(await price_lists.read_list(daemon, PLAN)) == {PriceRow("44", 8), PriceRow("7", 3, DAY, 2 * DAY)}


@pytest.mark.parametrize(
    "values",
    [
        "-1, NULL, NULL",
        "1, '2026-12-02', '2026-12-01'",
        "1, 'infinity', NULL",
        "1, NULL, 'infinity'",
        "NULL, NULL, NULL",
    ],
)
async def test_a_price_that_means_nothing_is_refused_by_the_database(daemon: Connection, values: str) -> None:
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await daemon.execute(f"INSERT INTO prices VALUES ('default', '44', {values})")


async def test_two_rows_of_a_prefix_that_begin_at_once_are_refused_by_the_database(daemon: Connection) -> None:
    await change(daemon, PLAN, [PriceRow("44", 1)])
    with pytest.raises(asyncpg.UniqueViolationError):
        await change(daemon, PLAN, [PriceRow("44", 2)])


async def test_who_imports_waits_for_who_imports(record_database: RecordDatabase) -> None:
    """So that the second one plans with what the first one wrote."""
    pool = await open_pool(record_database.dsn)
    try:
        async with pool.acquire() as first, pool.acquire() as second:
            async with first.transaction():
                await price_lists.hold(first)
                await price_lists.change_list(first, PLAN, added=[PriceRow("44", 1)], changed=[], removed=[])

                async def read() -> list[PriceRow]:
                    async with second.transaction():
                        await price_lists.hold(second)
                        return await price_lists.read_list(second, PLAN)

                reading = asyncio.create_task(read())
                while not await first.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                    assert not reading.done()
            assert await reading == [PriceRow("44", 1)]
    finally:
        await pool.close()


async def test_a_hundred_thousand_prices_hold_up_nobody(record_database: RecordDatabase) -> None:
    """They are written in seconds; a process that reads and builds them does its work meanwhile."""
    pool = await open_pool(record_database.dsn)
    rows = [PriceRow(str(number), number) for number in range(100_000, 200_000)]
    gaps: list[float] = []

    async def work() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    try:
        async with pool.acquire() as connection:
            began = time.perf_counter()
            await change(connection, PLAN, rows)
            changed = [row._replace(micros=row.micros + 1) for row in rows]
            await change(connection, PLAN, [], changed)
            assert time.perf_counter() - began < 20
        feed = DirectoryFeed(lambda known: configuration.load_snapshot(pool, known), (), VALIDITY_DEFAULT_MS)
        working = asyncio.create_task(work())
        await feed.refresh()
        working.cancel()
        assert feed.get().prices.price("default", b"1234567890", 0) == 123_457
        gaps.sort()
        assert len(gaps) > 400
        assert gaps[-5] < 0.05  # 2 to 5 ms on a quiet machine; in one piece it is half a second
        await feed.refresh()
        assert feed.loads == 1
    finally:
        await pool.close()
