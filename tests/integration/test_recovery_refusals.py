"""What `smscd recover` does not do, and what it says then."""

from __future__ import annotations

import pytest

from smscd.recovery.recover import RecoveryRefused
from storage.postgres.installation import install
from storage.postgres.pool import Connection, connect
from storage.redis.errors import StorageUnavailable
from storage.redis.link import RedisLink
from tests.integration.postgres_databases import RecordDatabase
from tests.integration.recovery_fixture import fill, guarded, raw, recovery, silent
from tests.integration.redis_picture import KEYS, picture

pytest_plugins = ("tests.integration.postgres_fixture",)


async def test_a_redis_that_has_everything_is_left_alone(
    valkey_url: str, record_database: RecordDatabase, owner: Connection
) -> None:
    await fill(record_database, owner)
    async with recovery(valkey_url, record_database) as work:
        await work.run(silent)
    before = picture(valkey_url)
    async with recovery(valkey_url, record_database) as work:
        for go in (work.plan, work.run):
            with pytest.raises(RecoveryRefused, match="nothing to recover"):
                await go(silent)
    assert picture(valkey_url) == before


async def test_an_installation_that_never_worked_has_nothing_to_recover(
    valkey_url: str, record_database: RecordDatabase, owner: Connection
) -> None:
    await install(owner)
    async with recovery(valkey_url, record_database) as work:
        with pytest.raises(RecoveryRefused, match="nothing to recover"):
            await work.run(silent)


async def test_the_redis_of_another_installation_is_never_touched(
    valkey_url: str, record_database: RecordDatabase, owner: Connection
) -> None:
    await fill(record_database, owner)
    with raw(valkey_url) as store:
        store.hset(KEYS.meta, "install", "another")
    async with recovery(valkey_url, record_database, is_forced=True) as work:
        with pytest.raises(RecoveryRefused, match="belongs to installation another"):
            await work.run(silent)


@pytest.mark.parametrize("side", ["redis", "postgres"])
async def test_it_does_not_work_beside_a_daemon(
    valkey_url: str, record_database: RecordDatabase, owner: Connection, side: str
) -> None:
    await fill(record_database, owner)
    link = RedisLink(valkey_url, name="smscd-0-shared" if side == "redis" else "smscd-command")
    connection = await connect(record_database.dsn, name="smscd writer" if side == "postgres" else "smscd command")
    try:
        await link.command("PING")
        async with recovery(valkey_url, record_database) as work:
            with pytest.raises(RecoveryRefused, match="smscd-0-shared" if side == "redis" else "smscd writer"):
                await work.run(silent)
    finally:
        await link.close()
        await connection.close()
    assert picture(valkey_url) == {}


async def test_a_daemon_on_another_database_of_the_same_redis_is_no_hindrance(
    valkey_url: str, record_database: RecordDatabase, owner: Connection
) -> None:
    await fill(record_database, owner)
    link = RedisLink(valkey_url.removesuffix("/0") + "/1", name="smscd-0-shared")
    try:
        await link.command("PING")
        async with recovery(valkey_url, record_database) as work:
            assert (await work.run(silent)).waiting.total() == 250
    finally:
        await link.close()


async def test_two_do_not_work_at_once(valkey_url: str, record_database: RecordDatabase, owner: Connection) -> None:
    await fill(record_database, owner)
    async with recovery(valkey_url, record_database) as first, recovery(valkey_url, record_database) as second:
        await first.check()
        with pytest.raises(RecoveryRefused, match="Another"):
            await second.run(silent)


async def test_a_ledger_that_cannot_be_believed_is_not_taken_over_by_itself(
    valkey_url: str, record_database: RecordDatabase, owner: Connection
) -> None:
    await fill(record_database, owner)
    await owner.execute("UPDATE ledger_entries SET balance_micros = balance_micros + 1 WHERE kind = 'charge'")
    async with recovery(valkey_url, record_database) as work:
        planned = await work.plan(silent)
        with pytest.raises(RecoveryRefused, match=r"entry 2 of demo does not add up.*ledger verify --account demo"):
            await work.run(silent)
    assert planned.faults.keys() == {"demo"} and picture(valkey_url) == {}
    async with recovery(valkey_url, record_database, is_forced=True) as work:
        await work.run(silent)
    assert picture(valkey_url)[KEYS.acct("demo")] == str(10_000_000 - 2_600_000 + 1).encode()


async def test_a_redis_that_has_no_room_says_so_and_is_not_served_from(
    valkey_url: str, record_database: RecordDatabase, owner: Connection
) -> None:
    await fill(record_database, owner)
    with raw(valkey_url) as store:
        limit = store.config_get("maxmemory")["maxmemory"]
        store.config_set("maxmemory", store.info("memory")["used_memory"] + 1_000)
        try:
            async with recovery(valkey_url, record_database) as work:
                with pytest.raises(StorageUnavailable, match="refuses"):
                    await work.run(silent)
        finally:
            store.config_set("maxmemory", limit)
    async with recovery(valkey_url, record_database) as work:
        await work.run(silent)
    await guarded(valkey_url, owner)
