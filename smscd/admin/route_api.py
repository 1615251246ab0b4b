"""The routes of the admin API: listed, shown, put, deleted and explained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
from aiohttp import web

from smscd.admin import routes
from smscd.admin.orders import Refusal
from smscd.core.price_files import moment_ms
from smscd.core.route_forms import key_of, route_of, shown
from storage.postgres import configuration
from storage.postgres.pool import Database, acquired

LISTED_MAX: Final = 1_000
_decoder = msgspec.json.Decoder(dict[str, Any])


async def listed(request: web.Request, database: Database) -> dict[str, object]:
    """The first thousand routes, of one account with ?account=; is_cut says that there are more."""
    account = request.query.get("account")
    async with acquired(database) as connection, connection.transaction():
        found = [one for one in await configuration.load_routes(connection) if account in (None, one.account)]
    return {"routes": [shown(one) for one in found[:LISTED_MAX]], "is_cut": len(found) > LISTED_MAX}


async def one(label: str, database: Database) -> dict[str, object] | Refusal:
    """A route by its name."""
    try:
        key = key_of(label)
    except ValueError as error:
        return _invalid(error)
    async with acquired(database) as connection, connection.transaction():
        for found in await configuration.load_routes(connection):
            if (found.account, found.digits, found.name) == key:
                return shown(found)
    return routes.no_route(label)


async def put(label: str, body: bytes, database: Database, operator: str) -> dict[str, object] | Refusal:
    """Make a route, or make it what the body says; its name is the path's. Raises nothing that a body can cause."""
    try:
        account, prefix, name = key_of(label)
        route = route_of(_decoder.decode(body) | {"account": account, "prefix": prefix, "name": name})
    except (ValueError, TypeError, RecursionError) as error:
        return _invalid(error)
    found = await routes.change(database, operator, [route])
    return found if isinstance(found, Refusal) else shown(route)


async def delete(label: str, database: Database, operator: str) -> dict[str, object] | Refusal:
    """Remove a route."""
    try:
        key = key_of(label)
    except ValueError as error:
        return _invalid(error)
    found = await routes.change(database, operator, [], removes=key)
    return found if isinstance(found, Refusal) else {"removed": label}


async def explained(request: web.Request, database: Database, now_ms: Callable[[], int]) -> dict[str, Any] | Refusal:
    """?account=, ?to=, and where they are wanted ?from= and ?at=."""
    query = request.query
    if not query.get("account") or not query.get("to"):
        return Refusal("validation_failed", 422, "Give ?account= and ?to=.")
    at_ms = moment_ms(query["at"]) if "at" in query else now_ms()
    if at_ms is None:
        return Refusal("validation_failed", 422, "at is not a time such as 2026-12-01T00:00:00Z.")
    snapshot = await configuration.load_snapshot(database)
    return routes.explain(snapshot, query["account"], query["to"], query.get("from"), at_ms)


def _invalid(error: Exception) -> Refusal:
    return Refusal("validation_failed", 422, f"{error}.")
