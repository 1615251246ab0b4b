"""Operators and their tokens, what they look at and change of an account, and the log of what they did."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

import msgspec

from storage.postgres.pool import Database, acquired
from storage.postgres.statements import load

OPERATORS_MAX = 1_000

OperatorRole: TypeAlias = Literal["admin", "support", "read"]
ORIGIN: Final[ContextVar[str]] = ContextVar("whence an order comes", default="local")
"""The address that the order under way comes from, of this task and those that it starts (decisions/0037)."""
_SQL = load("operators")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountTerms:
    """What an account may spend and how fast. low_balance_micros: it is warned below this; None: never."""

    id: str
    currency: str
    plan: str
    is_suspended: bool
    credit_limit_micros: int
    low_balance_micros: int | None
    rate_per_second: float
    burst: int
    binds_max: int
    spend_per_day_micros: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """Of an operator that is not revoked. token_hash: SHA-256 of the whole token."""

    name: str
    token_hash: bytes
    role: OperatorRole


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorRow:
    """An operator, to be shown."""

    name: str
    role: OperatorRole
    created_at: datetime
    revoked_at: datetime | None


async def find_account(database: Database, account: str) -> AccountTerms | None:
    """The terms of an account; None when there is none."""
    async with acquired(database) as connection:
        row = await connection.fetchrow(_SQL["find_account"], account)
    return None if row is None else AccountTerms(**dict(row))


async def set_suspended(database: Database, account: str, *, is_suspended: bool) -> bool | None:
    """Suspend or resume an account; whether it was suspended before, None when there is none."""
    async with acquired(database) as connection:
        before: bool | None = await connection.fetchval(_SQL["suspend"], account, is_suspended)
    return before


async def log(
    database: Database,
    operator: str,
    action: str,
    subject: str,
    *,
    old: Mapping[str, Any] | None = None,
    new: Mapping[str, Any] | None = None,
) -> None:
    """Write down who did what to whom. Nobody can change it afterwards."""
    was, becomes = (None if values is None else msgspec.json.encode(values).decode() for values in (old, new))
    async with acquired(database) as connection:
        await connection.execute(_SQL["log"], operator, action, subject, was, becomes, ORIGIN.get())


async def add_operator(database: Database, name: str, token_hash: bytes, role: OperatorRole) -> bool:
    """Add an operator; False when the name was ever given before, so that a name in the log means one person."""
    async with acquired(database) as connection:
        return await connection.execute(_SQL["add_operator"], name, token_hash, role) == "INSERT 0 1"


async def operators(database: Database) -> list[OperatorRow]:
    """All, the revoked ones as well."""
    async with acquired(database) as connection:
        return [OperatorRow(**dict(row)) for row in await connection.fetch(_SQL["operators"])]


async def tokens(database: Database) -> list[Token]:
    """Of those that are not revoked."""
    async with acquired(database) as connection:
        return [Token(**dict(row)) for row in await connection.fetch(_SQL["tokens"], OPERATORS_MAX)]


async def revoke_operator(database: Database, name: str) -> bool:
    """Revoke an operator's token for good; False when there is no such operator, or no longer."""
    async with acquired(database) as connection:
        return await connection.execute(_SQL["revoke_operator"], name) == "UPDATE 1"
