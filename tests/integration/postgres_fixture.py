"""Migrated databases for the tests, made from a template, and connections to them; the server is conftest.py's."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator

import pytest

from storage.embedded.postgres import EmbeddedPostgres
from storage.postgres.migrate import migrate
from storage.postgres.pool import Connection, connect
from tests.integration.postgres_databases import RecordDatabase, create_database, drop_database

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def migrated_template(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """The name of a migrated database that nobody is connected to."""

    async def make() -> str:
        database = await create_database(postgres_server, "migrated")
        await migrate(database.owner_dsn)
        return database.name

    yield asyncio.run(make())
    asyncio.run(drop_database(postgres_server, "migrated"))


@pytest.fixture
async def empty_database(postgres_server: EmbeddedPostgres) -> AsyncIterator[RecordDatabase]:
    """A database without our schema."""
    database = await create_database(postgres_server, f"empty_{next(_numbers)}")
    yield database
    await drop_database(postgres_server, database.name)


@pytest.fixture
async def record_database(postgres_server: EmbeddedPostgres, migrated_template: str) -> AsyncIterator[RecordDatabase]:
    """A migrated database of the test's own."""
    database = await create_database(postgres_server, f"record_{next(_numbers)}", migrated_template)
    yield database
    await drop_database(postgres_server, database.name)


@pytest.fixture
async def daemon(record_database: RecordDatabase) -> AsyncIterator[Connection]:
    """A connection with the daemon's role."""
    connection = await connect(record_database.dsn, name="test")
    yield connection
    await connection.close()


@pytest.fixture
async def owner(record_database: RecordDatabase) -> AsyncIterator[Connection]:
    """A connection as a superuser."""
    connection = await connect(record_database.owner_dsn, name="test owner")
    yield connection
    await connection.close()
