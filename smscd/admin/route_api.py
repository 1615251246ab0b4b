"""The routes of the admin API: listed, shown, put, deleted and explained."""

from __future__ import annotations

from typing import Any, Final

from smscd.admin import queries, routes
from smscd.admin.desk import Desk
from smscd.admin.orders import Refusal
from smscd.admin.resources import Asked, Done, FieldsBody, Operation, answered
from smscd.core.directory import RouteInvalid
from smscd.core.price_files import moment_ms
from smscd.core.route_forms import FIELDS, key_of, route_of, shown
from smscd.core.routing import NONE_CLOSED
from smscd.ingress.http.field_errors import pointer
from smscd.ingress.http.problems import FieldError, Problem, invalid
from smscd.ingress.http.strict_bodies import FIELD_ERRORS_MAX
from storage.postgres import configuration
from storage.postgres.pool import Database, acquired
from storage.redis.breakers import Breakers

LISTED_MAX: Final = 1_000
_LISTS: Final = ("upstreams", "tags", "days", "weights")
_OF_PATH: Final = ("account", "prefix", "name")
_BODY: Final = FieldsBody(
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["upstreams"],
        "properties": {
            name: {"type": "array"} if name in _LISTS else {"type": "string"} for name in FIELDS if name not in _OF_PATH
        },
    }
)


class RouteResources:
    """Answers for /routes."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def operations(self) -> list[Operation]:
        """In this order: explain is no route's name."""
        label = "routes/{label*}"
        explained = {
            "account": queries.text("Whose message it would be.", is_required=True),
            "to": queries.text("Its number.", is_required=True),
            "from": queries.text("Its sender; otherwise one that the account may use.", may_be_empty=True),
            "at": queries.text("At another moment than now: 2026-12-01T00:00:00Z."),
        }
        return [
            Operation(
                method="GET",
                path="routes",
                id="listRoutes",
                summary="The first thousand routes; is_cut says that there are more.",
                call=self._listed,
                query={"account": queries.text("Of this account; empty: of no account.", may_be_empty=True)},
            ),
            Operation(
                method="GET",
                path="routes/explain",
                id="explainRoute",
                summary="Which route, upstream, price and cost a message has, and why not the others.",
                call=self._explained,
                query=explained,
            ),
            Operation(method="GET", path=label, id="getRoute", summary="A route.", call=self._one),
            Operation(
                method="PUT",
                path=label,
                id="putRoute",
                summary="Make a route, or make it what the body says.",
                call=self._put,
                body=_BODY,
            ),
            Operation(method="DELETE", path=label, id="deleteRoute", summary="Remove a route.", call=self._delete),
        ]

    async def _listed(self, asked: Asked) -> Done | Problem:
        account = asked.query.get("account")
        async with acquired(self._desk.database) as connection, connection.transaction():
            found = [one for one in await configuration.load_routes(connection) if account in (None, one.account)]
        return Done(200, {"routes": [shown(one) for one in found[:LISTED_MAX]], "is_cut": len(found) > LISTED_MAX})

    async def _one(self, asked: Asked) -> Done | Problem:
        return answered(await _one(asked.names["label"], self._desk.database))

    async def _put(self, asked: Asked) -> Done | Problem:
        try:
            account, prefix, name = key_of(asked.names["label"])
            route = route_of(asked.body | {"account": account, "prefix": prefix, "name": name})
        except RouteInvalid as error:
            return invalid([FieldError(pointer(name), rule) for name, rule in error.faults[:FIELD_ERRORS_MAX]])
        except ValueError as error:
            return invalid([FieldError("", f"{error}")])
        found = await routes.change(self._desk.database, asked.operator.name, [route])
        return answered(found if isinstance(found, Refusal) else shown(route) | {"told": await self._desk.told()})

    async def _delete(self, asked: Asked) -> Done | Problem:
        label = asked.names["label"]
        try:
            key = key_of(label)
        except ValueError as error:
            return answered(_invalid(error))
        found = await routes.change(self._desk.database, asked.operator.name, [], removes=key)
        return answered(found if isinstance(found, Refusal) else {"removed": label, "told": await self._desk.told()})

    async def _explained(self, asked: Asked) -> Done | Problem:
        query = asked.query
        at_ms = moment_ms(query["at"]) if "at" in query else self._desk.now_ms()
        if at_ms is None:
            return invalid([FieldError("/at", "must be a time such as 2026-12-01T00:00:00Z")])
        out = NONE_CLOSED if "at" in query else await Breakers(self._desk.keys, self._desk.link).passed_over()
        snapshot = await configuration.load_snapshot(self._desk.database)
        return answered(routes.explain(snapshot, query["account"], query["to"], query.get("from"), at_ms, out=out))


async def _one(label: str, database: Database) -> dict[str, Any] | Refusal:
    try:
        key = key_of(label)
    except ValueError as error:
        return _invalid(error)
    async with acquired(database) as connection, connection.transaction():
        for found in await configuration.load_routes(connection):
            if (found.account, found.digits, found.name) == key:
                return shown(found)
    return routes.no_route(label)


def _invalid(error: Exception) -> Refusal:
    return Refusal("validation_failed", 422, f"{error}.")
