"""What is fixed when the installation is made, and refused when it does not fit."""

from __future__ import annotations

import asyncio

import pytest

from storage.postgres.installation import InstallationMismatch, get_installation, install
from storage.postgres.messages import recorded_id
from storage.postgres.pool import Connection, connect
from tests.integration.journal_fake import NOW_MS, FakeJournal, top_up
from tests.integration.postgres_databases import RecordDatabase
from tests.integration.writer_fixture import write_all

pytest_plugins = ("tests.integration.postgres_fixture",)


async def test_the_first_start_makes_the_installation_and_every_other_finds_it(record_database: RecordDatabase) -> None:
    connections = [await connect(record_database.dsn) for _ in range(4)]
    assert await get_installation(connections[0]) is None
    found = await asyncio.gather(*(install(connection, shards=2, granularity="day") for connection in connections))
    assert len({installation.id for installation in found}) == 1
    assert (found[0].shards, found[0].granularity) == (2, "day")
    assert await get_installation(connections[0]) == found[0]
    for connection in connections:
        await connection.close()


async def test_another_number_of_shards_or_granularity_is_refused_with_advice(daemon: Connection) -> None:
    assert (await install(daemon, shards=1)).granularity == "year"
    with pytest.raises(InstallationMismatch, match="set shards = 1"):
        await install(daemon, shards=16)
    with pytest.raises(InstallationMismatch, match="granularity = year"):
        await install(daemon, shards=1, granularity="day")
    assert (await install(daemon, shards=1, granularity="year")).shards == 1


async def test_the_recorded_id_is_that_of_the_last_commit(record_database: RecordDatabase, daemon: Connection) -> None:
    assert await recorded_id(daemon, 0) is None
    journal = FakeJournal()
    journal.append(b"L", [top_up(5, NOW_MS)])
    await write_all(record_database.dsn, journal)
    assert await recorded_id(daemon, 0) == journal.top
