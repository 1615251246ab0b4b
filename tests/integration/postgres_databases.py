"""Makes and drops databases on the tests' server."""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg

from storage.embedded.postgres import EmbeddedPostgres


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordDatabase:
    """One migrated database: dsn as the daemon's role, owner_dsn as a superuser."""

    name: str
    dsn: str
    owner_dsn: str


def database_dsn(dsn: str, name: str) -> str:
    """The same server and role, another database."""
    return dsn.rsplit("/", 1)[0] + "/" + name


async def create_database(server: EmbeddedPostgres, name: str, template: str = "template0") -> RecordDatabase:
    """Make a database; also used by tests that need an empty or a second one."""
    connection = await asyncpg.connect(server.owner_dsn)
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    finally:
        await connection.close()
    return RecordDatabase(name=name, dsn=database_dsn(server.dsn, name), owner_dsn=database_dsn(server.owner_dsn, name))


async def drop_database(server: EmbeddedPostgres, name: str) -> None:
    """Drop a database, sessions and all."""
    connection = await asyncpg.connect(server.owner_dsn)
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    finally:
        await connection.close()
