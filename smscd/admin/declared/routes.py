"""The section `routes` of a declaration: [[routes]], each with its prefix, its upstreams, and perhaps an account."""

from __future__ import annotations

import re
from typing import Any, TypeAlias

import msgspec

from smscd.admin.declared.steps import Planning, Step, Verb, differences, read
from smscd.core.directory import Route, zone_of
from storage.postgres import configuration, operators
from storage.postgres.pool import Connection

SECTION = "routes"
PREFIX = re.compile(r"[0-9]{0,15}")

_Key: TypeAlias = tuple[str, str, str]


def steps(declared: object, planning: Planning) -> list[Step]:
    """What makes the routes those that are declared. A route is known by its account, prefix and name."""
    held = {(route.account, route.prefix, route.name): route for route in planning.held.routes}
    if not isinstance(declared, list) or not all(isinstance(table, dict) for table in declared):
        planning.refuse(SECTION, "is written [[routes]], once for each route")
        return []
    wanted: dict[_Key, Route] = {}
    for number, table in enumerate(declared, 1):
        route = _read(table, held, f"{SECTION}[{number}]", planning)
        if route is None:
            continue
        key = route.account, route.prefix, route.name
        if key in wanted:
            planning.refuse(f"{SECTION}[{number}]", f"{route.label} is declared twice")
        wanted[key] = route
    planned: list[Step] = []
    for key, route in wanted.items():
        before = held.get(key)
        found = differences(before, route, hidden=("account", "prefix", "name"))
        if before is None or found:
            planned.append(_written(before, route))
    if planning.is_pruned:
        planned += [_removed(route) for key, route in held.items() if key not in wanted]
    return planned


def _read(table: dict[str, Any], held: dict[_Key, Route], where: str, planning: Planning) -> Route | None:
    key = table.get("account", ""), table.get("prefix", ""), table.get("name", "")
    before = held.get(key) if all(isinstance(part, str) for part in key) else None
    route = read(Route, before, {"prefix": "", **table}, where, planning)
    if route is None:
        return None
    if not PREFIX.fullmatch(route.prefix):
        planning.refuse(f"{where}.prefix", "is up to 15 digits, without +; empty for every number")
    try:
        zone_of(route.zone or "UTC")
    except ValueError as error:
        planning.refuse(f"{where}.zone", str(error))
    for upstream in route.upstreams:
        if upstream not in planning.upstreams:
            planning.refuse(f"{where}.upstreams", f"there is no upstream {upstream}: declare it, or make it first")
    if route.account and route.account not in planning.accounts:
        planning.refuse(f"{where}.account", f"there is no account {route.account}: declare it, or make it first")
    return route


def _written(before: Route | None, route: Route) -> Step:
    found = differences(before, route, hidden=("account", "prefix", "name"))

    async def write(connection: Connection, operator: str) -> None:
        await configuration.add_route(connection, route)
        old = None if before is None else msgspec.to_builtins(before)
        await operators.log(connection, operator, "route.set", route.label, old=old, new=msgspec.to_builtins(route))

    verb: Verb = "add" if before is None else "change"
    return Step(section=SECTION, name=route.label, verb=verb, differences=found, write=write)


def _removed(route: Route) -> Step:
    async def write(connection: Connection, operator: str) -> None:
        await configuration.delete_route(connection, route.account, route.prefix, route.name)
        await operators.log(connection, operator, "route.remove", route.label, old=msgspec.to_builtins(route))

    return Step(section=SECTION, name=route.label, verb="remove", differences={}, write=write)
