"""Whose messages from phones are, as operators change and list it."""

from __future__ import annotations

from smscd.core.directory import MoNumber
from storage.postgres.pool import Database, acquired
from storage.postgres.statements import load

_SQL = load("mo_rules")


async def find(database: Database, number: str, keyword: str, *, is_prefix: bool) -> MoNumber | None:
    """One rule."""
    async with acquired(database) as connection:
        row = await connection.fetchrow(_SQL["find"], number, keyword, is_prefix)
    return None if row is None else MoNumber(**dict(row))


async def remove(database: Database, number: str, keyword: str, *, is_prefix: bool) -> bool:
    """Remove a rule; False when there is none."""
    async with acquired(database) as connection:
        return await connection.execute(_SQL["remove"], number, keyword, is_prefix) == "DELETE 1"


async def rules(database: Database) -> list[MoNumber]:
    """All of them."""
    async with acquired(database) as connection:
        return [MoNumber(**dict(row)) for row in await connection.fetch(_SQL["rules"])]
