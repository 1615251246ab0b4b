"""What was fixed when the installation was made: its id, the number of shards, the granularity of partitions."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from storage.postgres.pool import Database, acquired
from storage.postgres.statements import load

_SQL = load("installation")


class InstallationMismatch(Exception):
    """The configuration does not fit the database; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """The one row of `installation`."""

    id: uuid.UUID
    shards: int
    granularity: str
    created_at: datetime


async def install(database: Database, *, shards: int = 1, granularity: str | None = None) -> Installation:
    """Make the installation's row if there is none, and return it. granularity: "year" (default), "month" or "day".

    Raises InstallationMismatch when the database was made with another number of shards or, if one is given,
    another granularity.
    """
    async with acquired(database) as connection:
        await connection.execute(_SQL["install"], shards, granularity or "year")
        row = await connection.fetchrow(_SQL["get_installation"])
    assert row is not None  # the insert above made it
    found = Installation(**dict(row))
    if found.shards != shards:
        raise InstallationMismatch(
            f"This database was made for {found.shards} shards and the configuration says {shards}: "
            f"set shards = {found.shards}, or drain and run `smscd recover`."
        )
    if granularity is not None and found.granularity != granularity:
        raise InstallationMismatch(
            f"Partitions of this database are by {found.granularity} and the configuration says {granularity}: set "
            f"granularity = {found.granularity}, or as owner UPDATE installation SET granularity = '{granularity}'."
        )
    return found


async def get_installation(database: Database) -> Installation | None:
    """The installation's row, or None in a database that is not installed yet."""
    async with acquired(database) as connection:
        row = await connection.fetchrow(_SQL["get_installation"])
    return None if row is None else Installation(**dict(row))
