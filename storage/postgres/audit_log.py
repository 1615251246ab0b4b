"""Reads the log of what operators did, newest first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from storage.postgres.pool import Database, acquired
from storage.postgres.statements import load

READ_SECONDS: Final = 5.0
ID_MAX: Final = (1 << 63) - 1
_SQL = load("audit_log")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Who did what to whom. address: whence it was asked. old, new: what it was and became, without secrets."""

    id: int
    at: datetime
    operator: str
    address: str
    action: str
    subject: str
    old: dict[str, Any] | None
    new: dict[str, Any] | None


async def read_page(
    database: Database,
    *,
    limit: int,
    before: int | None = None,
    operator: str | None = None,
    action: str | None = None,
    subject: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[AuditEntry]:
    """Up to `limit` entries with ids below `before`. action: one, or the first word of several, such as account."""
    asked = (before or ID_MAX, operator, action, subject, since, until, limit)
    async with acquired(database) as connection:
        rows = await connection.fetch(_SQL["page"], *asked, timeout=READ_SECONDS)
    return [_entry(dict(row)) for row in rows]


def _entry(values: dict[str, Any]) -> AuditEntry:
    for name in ("old", "new"):
        if values[name] is not None:
            values[name] = msgspec.json.decode(values[name])
    return AuditEntry(**values)
