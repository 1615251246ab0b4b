"""Price lists for operators: read, looked up, and changed as a file says, after a look at the plan."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from smscd.admin.orders import Refusal
from smscd.core.directory import PriceRow
from smscd.core.price_changes import PriceChanges, plan_changes
from storage.postgres import configuration, operators, price_lists
from storage.postgres.pool import Connection, Database, acquired
from storage.postgres.price_lists import PlanPrices, UpstreamCosts

Owner: TypeAlias = PlanPrices | UpstreamCosts
LOGGED_ROWS_MAX: Final = 100


async def bring(
    owner: Owner,
    currency: str | None,
    rows: Mapping[int, PriceRow],
    operator: str,
    database: Database,
    *,
    replace: bool,
    apply: bool,
) -> tuple[PriceChanges, str] | Refusal:
    """What the rows change of a list, and its currency; changed when apply is set and nothing is wrong with them.

    currency: of a new plan, or what is expected of one that is there. replace: what is not among the rows goes.
    """
    async with acquired(database) as connection, connection.transaction():
        if apply:
            await price_lists.hold(connection)
        unit = await _currency_of(connection, owner, currency, apply=apply)
        if isinstance(unit, Refusal):
            return unit
        changes = plan_changes(await price_lists.read_list(connection, owner), rows, replace=replace)
        if changes.errors or not apply or changes.is_nothing:
            return changes, unit
        await price_lists.change_list(
            connection,
            owner,
            added=changes.added,
            changed=[change.new for change in changes.changed],
            removed=changes.removed,
        )
        old = {"currency": unit, **_logged([*(change.old for change in changes.changed), *changes.removed])}
        new = {"currency": unit, **_logged([*(change.new for change in changes.changed), *changes.added])}
        await operators.log(connection, operator, "price.import", _named(owner), old=old, new=new)
    return changes, unit


async def look_up(database: Database, owner: Owner, digits: str, at_ms: int) -> dict[str, Any] | Refusal:
    """The row by which messages to these digits are charged at a moment: that of the longest prefix."""
    async with acquired(database) as connection:
        if refusal := await unknown(connection, owner):
            return refusal
        rows = await price_lists.read_prefixes(connection, owner, [digits[:size] for size in range(len(digits) + 1)])
    valid = [
        row
        for row in rows
        if (row.from_ms is None or row.from_ms <= at_ms) and (row.until_ms is None or at_ms < row.until_ms)
    ]
    if not valid:
        return Refusal("no_price", 404, f"The list has no price for {digits} at that moment.")
    return fields(max(valid, key=lambda row: len(row.prefix)))


async def unknown(connection: Connection, owner: Owner) -> Refusal | None:
    """Why there is no such list."""
    if isinstance(owner, UpstreamCosts):
        if not await price_lists.has_upstream(connection, owner.upstream):
            return Refusal("not_found", 404, f"There is no upstream {owner.upstream}.")
    elif await price_lists.plan_currency(connection, owner.plan) is None:
        return Refusal("not_found", 404, f"There is no price plan {owner.plan}.")
    return None


def as_json(changes: PriceChanges, currency: str, *, is_applied: bool) -> dict[str, Any]:
    """What an import changes, the same by command and over HTTP."""
    return {
        "applied": is_applied,
        "currency": currency,
        "added": [fields(row) for row in changes.added],
        "changed": [{"old": fields(old), "new": fields(new)} for old, new in changes.changed],
        "removed": [fields(row) for row in changes.removed],
        "unchanged": changes.unchanged,
    }


def fields(row: PriceRow) -> dict[str, Any]:
    """A row as JSON."""
    return {
        "prefix": row.prefix,
        "price_micros": row.micros,
        "valid_from": moment(row.from_ms),
        "valid_until": moment(row.until_ms),
    }


def moment(at_ms: int | None) -> str | None:
    """A time as files and answers have it."""
    return None if at_ms is None else f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


async def _currency_of(connection: Connection, owner: Owner, currency: str | None, *, apply: bool) -> str | Refusal:
    """The currency of a list; a plan that is not there is made when the import is to be applied."""
    if isinstance(owner, UpstreamCosts):
        return await unknown(connection, owner) or owner.currency
    known = await price_lists.plan_currency(connection, owner.plan)
    if known is None:
        known = currency or "EUR"
        if apply:
            await configuration.add_price_plan(connection, owner.plan, known)
    if currency not in (None, known):
        return Refusal(
            "another_currency",
            409,
            f"The plan {owner.plan} is in {known}, not in {currency}: import these into a plan of their own.",
        )
    return known


def _named(owner: Owner) -> str:
    return f"plan {owner.plan}" if isinstance(owner, PlanPrices) else f"upstream {owner.upstream}"


def _logged(rows: list[PriceRow]) -> dict[str, object]:
    """The first rows and how many there are: a list may have a hundred thousand."""
    return {"rows": len(rows), "first_rows": [fields(row) for row in rows[:LOGGED_ROWS_MAX]]}
