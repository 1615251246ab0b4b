"""The writer on a real journal in Redis: read, written, trimmed; and Redis going away is waited out."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from smscd.archive.writer import Writer, WriterLimits
from storage.postgres import ledger
from storage.postgres.pool import Connection
from storage.redis.errors import StorageUnavailable
from storage.redis.journal import JournalReader
from storage.redis.keys import ShardKeys
from storage.redis.link import RedisLink
from tests.integration.journal_fake import NOW_MS, FakeJournal, append_lives
from tests.integration.postgres_databases import RecordDatabase
from tests.integration.writer_fixture import Observed, connector, until

pytest_plugins = ("tests.integration.postgres_fixture",)


async def fill(url: str, journal: FakeJournal) -> None:
    """Put the entries into the shard's stream as the scripts do."""
    async with Redis.from_url(url) as redis:
        for entry in journal.entries:
            fields = {"k": entry.kind, "b": entry.blob}
            if entry.effects:
                fields["e"] = entry.effects
            if entry.refunds:
                fields["r"] = entry.refunds
            await redis.xadd(ShardKeys(0).journal, fields, id=entry.id)  # type: ignore[arg-type]  # bytes do


def writer(database: RecordDatabase, link: RedisLink, observed: Observed, limits: WriterLimits) -> Writer:
    return Writer(
        shard=0,
        journal=JournalReader(ShardKeys(0), link),
        connect=connector(database.dsn),
        observer=observed,
        now_ms=lambda: NOW_MS + 3_600_000,
        limits=limits,
    )


async def test_a_real_journal_is_written_and_then_trimmed_below_what_is_committed(
    record_database: RecordDatabase, daemon: Connection, valkey_url: str
) -> None:
    journal = FakeJournal()
    append_lives(journal, 1_000, batch=50)
    await fill(valkey_url, journal)
    link, observed = RedisLink(valkey_url, name="writer-test"), Observed()
    limits = WriterLimits(
        poll_seconds=0.005, batch_records=500, read_entries=7, trim_after_bytes=100_000, trim_every_seconds=0.0
    )
    written = writer(record_database, link, observed, limits)
    written.drain()
    await asyncio.wait_for(written.run(), 60)
    assert len(observed.commits) > 3
    assert await daemon.fetchval("SELECT count(*) FROM messages WHERE state = 4 AND callback_state = 2") == 1_000
    assert await ledger.balance(daemon, "demo") == -10_000_000
    assert written.offset is not None
    assert written.offset.last_id == journal.top
    async with Redis.from_url(valkey_url) as redis:
        left = await redis.xlen(ShardKeys(0).journal)
        trimmed = await redis.hget(ShardKeys(0).meta, "trimmed")
    assert 0 < left < len(journal.entries)
    assert trimmed is not None
    await link.close()


async def test_redis_that_comes_back_is_written_from_again(
    record_database: RecordDatabase, daemon: Connection, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = FakeJournal()
    append_lives(journal, 200, batch=50)
    await fill(valkey_url, journal)
    link, observed = RedisLink(valkey_url, name="writer-test"), Observed()
    command, refusals = link.command, 3

    async def away(*args: bytes | str | int | float, timeout: float = 5.0) -> object:
        nonlocal refusals
        if refusals:
            refusals -= 1
            raise StorageUnavailable("cut by the test")
        return await command(*args, timeout=timeout)

    monkeypatch.setattr(link, "command", away)
    limits = WriterLimits(linger_seconds=0.0, poll_seconds=0.005, backoff_seconds_first=0.005)
    running = asyncio.create_task(writer(record_database, link, observed, limits).run())

    async def written() -> bool:
        return bool(await daemon.fetchval("SELECT count(*) = 200 FROM messages WHERE callback_state = 2"))

    await until(written)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert observed.errors
    await link.close()
