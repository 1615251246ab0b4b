"""Opens connections to PostgreSQL with the settings that this daemon counts on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

import asyncpg

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

# Strings, because asyncpg's classes take no parameter at run time.
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Database: TypeAlias = "Connection | Pool"

# The answer of a query that is asked for one row is planned in microseconds; compiling it takes milliseconds.
BASE_SETTINGS: Mapping[str, str] = {
    "timezone": "UTC",
    "search_path": "public",
    "jit": "off",
    "idle_in_transaction_session_timeout": "60s",
}

# The writer joins arrays of ids with partitions of hundreds of millions of rows, of which the youngest have no
# statistics yet. These leave one good plan, the primary key and a hash join, and have it made with the values at hand,
# so that partitions are pruned at once.
WRITER_SETTINGS: Mapping[str, str] = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_nestloop": "off",
    "enable_mergejoin": "off",
    "plan_cache_mode": "force_custom_plan",
}

# A link that swallows everything is only noticed by an answer that does not come. asyncpg waits as long again for the
# end of what it cancels.
ANSWER_SECONDS = 5.0
IDLE_SECONDS = 2.0
"""How long a connection out of a pool, which may have been lost while it was idle, has to say that it is well."""

# What a query raises when PostgreSQL is away or going away: try again later, on a new connection.
UNAVAILABLE: tuple[type[Exception], ...] = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what asyncpg says of a connection that was cut in the middle of an exchange
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.ObjectInUseError,
    asyncpg.LockNotAvailableError,
    asyncpg.PostgresIOError,
)


async def connect(
    dsn: str,
    *,
    name: str = "smscd",
    settings: Mapping[str, str] | None = None,
    connect_seconds: float = 5.0,
    command_seconds: float | None = 60.0,
) -> Connection:
    """One connection of its own, as the writer and the migrations want it. name: application_name."""
    server_settings = {**BASE_SETTINGS, **(settings or {}), "application_name": name}
    return await asyncpg.connect(
        dsn, timeout=connect_seconds, command_timeout=command_seconds, server_settings=server_settings
    )


async def open_pool(
    dsn: str,
    *,
    name: str = "smscd",
    size_min: int = 0,
    size_max: int = 4,
    connect_seconds: float = 5.0,
    command_seconds: float = 30.0,
) -> Pool:
    """A pool for everything that is not the writer. With size_min 0 it opens also while PostgreSQL is away.

    Each connection is asked whether it is well before it is used: TimeoutError when it is not, and after that all that
    were idle are made anew.
    """

    async def greet(connection: Connection) -> None:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                await connection.execute("SELECT 1")
        except TimeoutError:
            connection.terminate()
            await pool.expire_connections()
            raise

    pool: Pool = await asyncpg.create_pool(
        dsn,
        min_size=size_min,
        max_size=size_max,
        timeout=connect_seconds,
        command_timeout=command_seconds,
        setup=greet,
        server_settings={**BASE_SETTINGS, "application_name": name},
    )
    return pool


@asynccontextmanager
async def acquired(database: Database) -> AsyncIterator[Connection]:
    """A connection out of a pool, or the connection itself when it is one already."""
    if isinstance(database, asyncpg.Pool):
        async with database.acquire() as connection:
            yield connection
    else:
        yield database
