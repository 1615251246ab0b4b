"""What operators have paused or drained, as they change and list it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from smscd.core.directory import HaltKind, HaltState
from storage.postgres.pool import Connection, Database, acquired
from storage.postgres.statements import load

_SQL = load("halts")


class Subject(NamedTuple):
    """What may be halted. name: of an upstream or account, or a route's prefix. account: a route's, "" for all."""

    kind: HaltKind
    name: str
    account: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HaltRow:
    """A halt, to be shown."""

    kind: HaltKind
    name: str
    account: str
    state: HaltState
    since: datetime
    operator: str


async def set_state(
    connection: Connection, subject: Subject, state: HaltState | None, operator: str
) -> HaltState | None:
    """Halt or, with None, resume; what it was before. In a transaction, one after another."""
    await connection.execute(_SQL["lock_halts"])
    before: HaltState | None = await connection.fetchval(_SQL["state"], *subject)
    if state is None:
        await connection.execute(_SQL["resume"], *subject)
    elif state != before:
        await connection.execute(_SQL["halt"], *subject, state, operator)
    return before


async def is_known(database: Database, subject: Subject) -> bool:
    """Whether there is such an upstream, account or route."""
    async with acquired(database) as connection:
        return bool(await connection.fetchval(_SQL["has_subject"], *subject))


async def halts(database: Database) -> list[HaltRow]:
    """All of them."""
    async with acquired(database) as connection:
        return [HaltRow(**dict(row)) for row in await connection.fetch(_SQL["halts"])]


async def upstream_ids(database: Database) -> list[str]:
    """Every upstream there is."""
    async with acquired(database) as connection:
        return [row["id"] for row in await connection.fetch(_SQL["upstream_ids"])]
