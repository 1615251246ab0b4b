"""Price lists as they are stored: read whole, and changed as an import has planned it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from smscd.core.directory import PriceRow
from storage.postgres.pool import Connection
from storage.postgres.statements import load

_SQL = load("price_lists")


class PlanPrices(NamedTuple):
    """The prices of a plan."""

    plan: str


class UpstreamCosts(NamedTuple):
    """What an upstream asks of accounts with this currency."""

    upstream: str
    currency: str


class _Stored(NamedTuple):
    """Where the lists of a kind are, and the statements for them. columns: of the owner, then of the row."""

    table: str
    columns: tuple[str, ...]
    read: str
    read_part: str
    read_prefixes: str
    remove: str
    change: str


_ROW = ("valid_from", "valid_until")
_PLANS = _Stored(
    "prices",
    ("plan", "prefix", "price_micros", *_ROW),
    "read_prices",
    "price_page",
    "prices_of",
    "remove_prices",
    "change_prices",
)
_UPSTREAMS = _Stored(
    "upstream_costs",
    ("upstream", "currency", "prefix", "cost_micros", *_ROW),
    "read_costs",
    "cost_page",
    "costs_of",
    "remove_costs",
    "change_costs",
)


async def hold(connection: Connection) -> None:
    """Let nobody else change prices until the end of the transaction."""
    await connection.execute(_SQL["hold"])


async def plan_currency(connection: Connection, plan: str) -> str | None:
    """The currency of a price plan; None when there is no such plan."""
    found: str | None = await connection.fetchval(_SQL["plan_currency"], plan)
    return found


async def has_upstream(connection: Connection, upstream: str) -> bool:
    """Whether there is an upstream of this name."""
    return bool(await connection.fetchval(_SQL["has_upstream"], upstream))


async def read_list(connection: Connection, owner: PlanPrices | UpstreamCosts) -> list[PriceRow]:
    """All rows of a list."""
    rows = await connection.fetch(_SQL[_stored(owner).read], *owner)
    return [PriceRow(*row) for row in rows]


async def read_page(
    connection: Connection, owner: PlanPrices | UpstreamCosts, *, after: str | None, limit: int
) -> list[PriceRow]:
    """All rows of the next `limit` prefixes after this one; of the first ones without it."""
    rows = await connection.fetch(_SQL[_stored(owner).read_part], *owner, after, limit)
    return [PriceRow(*row) for row in rows]


async def read_prefixes(
    connection: Connection, owner: PlanPrices | UpstreamCosts, prefixes: Sequence[str]
) -> list[PriceRow]:
    """The rows of these prefixes."""
    rows = await connection.fetch(_SQL[_stored(owner).read_prefixes], *owner, list(prefixes))
    return [PriceRow(*row) for row in rows]


async def change_list(
    connection: Connection,
    owner: PlanPrices | UpstreamCosts,
    *,
    added: Sequence[PriceRow],
    changed: Sequence[PriceRow],
    removed: Sequence[PriceRow],
) -> None:
    """Change a list; only in a transaction that holds it. changed: as they shall be."""
    stored = _stored(owner)
    if removed:
        await connection.execute(_SQL[stored.remove], *owner, *_keys(removed))
    if changed:
        terms = [row.micros for row in changed], [_time(row.until_ms) for row in changed]
        await connection.execute(_SQL[stored.change], *owner, *_keys(changed), *terms)
    if added:
        rows = [(*owner, row.prefix, row.micros, _time(row.from_ms), _time(row.until_ms)) for row in added]
        await connection.copy_records_to_table(stored.table, records=rows, columns=stored.columns)


def _stored(owner: PlanPrices | UpstreamCosts) -> _Stored:
    return _PLANS if isinstance(owner, PlanPrices) else _UPSTREAMS


def _keys(rows: Iterable[PriceRow]) -> tuple[list[str], list[datetime | None]]:
    pairs = [(row.prefix, _time(row.from_ms)) for row in rows]
    return [prefix for prefix, _ in pairs], [begin for _, begin in pairs]


def _time(at_ms: int | None) -> datetime | None:
    return None if at_ms is None else datetime.fromtimestamp(at_ms // 1000, UTC)
