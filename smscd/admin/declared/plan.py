"""From a declaration to a plan, and from a plan that was shown to what it says, in one transaction."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from smscd.admin.declared import accounts, numbers, routes, upstreams
from smscd.admin.declared.steps import Planning, Step
from smscd.admin.orders import Refusal
from smscd.admin.upstreams import Admin, why_not_empty
from storage.postgres import configuration
from storage.postgres.pool import Connection, acquired

_ORDER: Final = (
    ("add", accounts.SECTION), ("change", accounts.SECTION),
    ("add", upstreams.SECTION), ("change", upstreams.SECTION),
    ("add", routes.SECTION), ("change", routes.SECTION), ("remove", routes.SECTION),
    ("add", numbers.SECTION), ("change", numbers.SECTION), ("remove", numbers.SECTION),
    ("remove", upstreams.SECTION),
)  # fmt: skip
SECTIONS: Final = (upstreams.SECTION, routes.SECTION, accounts.SECTION, numbers.SECTION)


class DeclarationInvalid(Exception):
    """A file cannot be applied: where, and a sentence each."""

    def __init__(self, faults: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{where}: {rule}" if where else rule for where, rule in faults))
        self.faults = faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What a file says. new_secret: makes the webhook secret of a new account."""

    sections: dict[str, Any]
    is_pruned: bool
    new_secret: Callable[[], str]


def parse(text: str) -> dict[str, Any]:
    """The sections of a file. Raises DeclarationInvalid."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DeclarationInvalid([("", f"is no TOML: {error}")]) from error
    if unknown := [name for name in found if name not in SECTIONS]:
        rule = f"there is no such section: a declaration has {', '.join(SECTIONS)}"
        raise DeclarationInvalid([(name, rule) for name in unknown])
    return found


async def plan(declaration: Declaration, connection: Connection) -> list[Step]:
    """What would be done now, in its order. Raises DeclarationInvalid."""
    held = await configuration.load_snapshot(connection, with_prices=False)
    sections = declaration.sections
    planning = Planning(
        held=held,
        accounts={account.id for account in held.accounts} | set(_names(sections, accounts.SECTION)),
        upstreams=_names(sections, upstreams.SECTION)
        if declaration.is_pruned and upstreams.SECTION in sections
        else {upstream.id for upstream in held.upstreams} | _names(sections, upstreams.SECTION),
        plans=await configuration.price_plans(connection),
        is_pruned=declaration.is_pruned,
    )
    planned: list[Step] = []
    if upstreams.SECTION in sections:
        planned += upstreams.steps(sections[upstreams.SECTION], planning)
    if routes.SECTION in sections:
        planned += routes.steps(sections[routes.SECTION], planning)
    if accounts.SECTION in sections:
        planned += accounts.steps(sections[accounts.SECTION], planning, declaration.new_secret)
    if numbers.SECTION in sections:
        planned += numbers.steps(sections[numbers.SECTION], planning)
    _check_routes_left(planned, planning, sections)
    if planning.faults:
        raise DeclarationInvalid(planning.faults)
    return sorted(planned, key=lambda step: _ORDER.index((step.verb, step.section)))


async def apply(
    declaration: Declaration, shown: list[Step], admin: Admin, *, is_forced: bool = False
) -> bool | Refusal:
    """Carry out the plan that was shown, all of it or nothing; whether the workers have been told.

    is_forced: upstreams go although messages wait for them or receipts of them may still come. Raises
    DeclarationInvalid.
    """
    async with acquired(admin.database) as connection, connection.transaction():
        await configuration.lock(connection)
        if await plan(declaration, connection) != shown:
            return Refusal("plan_changed", 409, "Somebody changed something meanwhile: look at the new plan.")
        for step in shown:
            if step.section == upstreams.SECTION and step.verb == "remove" and not is_forced:
                refusal = await why_not_empty(connection, step.name, admin)
                if refusal is not None:
                    return refusal
        for step in shown:
            await step.write(connection, admin.operator)
    return await admin.told()


def _names(sections: dict[str, Any], section: str) -> set[str]:
    declared = sections.get(section)
    return set(declared) if isinstance(declared, dict) else set()


def _check_routes_left(planned: list[Step], planning: Planning, sections: dict[str, Any]) -> None:
    """A route that stays as it is must not lead to an upstream that goes."""
    gone = {step.name for step in planned if step.section == upstreams.SECTION and step.verb == "remove"}
    if not gone or routes.SECTION in sections:
        return
    for route in planning.held.routes:
        for name in gone.intersection(route.upstreams):
            planning.refuse(upstreams.SECTION, f"the route {route.label} leads to {name}: declare the routes too")
