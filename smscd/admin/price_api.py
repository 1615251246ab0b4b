"""Price lists over the admin API: read, looked up, and imported from CSV after a look at the plan."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from smscd.admin import prices, queries
from smscd.admin.desk import Desk
from smscd.admin.orders import Refusal
from smscd.admin.prices import Owner
from smscd.admin.resources import Asked, Done, Operation, Query, TextBody, answered
from smscd.core.price_files import LineError, moment_ms, read_prices
from smscd.ingress.http.problems import FieldError, Problem, invalid
from smscd.ingress.http.queries import LIMIT_DEFAULT, Parameter
from storage.postgres import configuration, price_lists
from storage.postgres.pool import acquired
from storage.postgres.price_lists import PlanPrices, UpstreamCosts

ERRORS_MAX: Final = 100
CURRENCY: Final = "EUR"
_log = structlog.get_logger(__name__)


def _currency(sentence: str) -> Query:
    def read(text: str) -> str | None:
        return text if len(text) == 3 and text.isascii() and text.isalpha() and text.isupper() else None

    schema = {"type": "string", "pattern": "^[A-Z]{3}$"}
    return Query(parameter=Parameter(read, "must be three capitals, such as EUR"), schema=schema, sentence=sentence)


def _digits(sentence: str, *, is_required: bool) -> Query:
    def read(text: str) -> str | None:
        return text if text.isascii() and text.isdigit() and len(text) <= 15 else None

    schema = {"type": "string", "pattern": "^[0-9]{1,15}$"}
    parameter = Parameter(read, "must be 1 to 15 digits")
    return Query(parameter=parameter, schema=schema, sentence=sentence, is_required=is_required)


class PriceResources:
    """Answers for /prices: plans, and what upstreams ask."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def operations(self) -> list[Operation]:
        """All of them."""
        return [
            Operation(
                method="GET",
                path="prices",
                id="listPricePlans",
                summary="The price plans and their currencies.",
                call=self._plans,
            ),
            *self._of("prices/plans/{plan}", "Prices", "a price plan", {}),
            *self._of(
                "prices/upstreams/{upstream}",
                "Costs",
                "what an upstream asks",
                {"currency": _currency("Of accounts with this currency; EUR otherwise.")},
            ),
        ]

    def _of(self, path: str, name: str, what: str, of_owner: dict[str, Query]) -> list[Operation]:
        """The three operations on lists of a kind."""
        importing = {
            "apply": queries.flag("Do it; otherwise it is only shown."),
            "replace": queries.flag("Remove what is not in the file."),
            "currency": _currency("Of a new plan, or of accounts that the upstream asks this of; EUR otherwise."),
        }
        return [
            Operation(
                method="GET",
                path=path,
                id=f"list{name}",
                summary=f"The rows of {what}, by prefix.",
                call=self._rows,
                query={
                    **of_owner,
                    "after": _digits("The next_after of an earlier answer.", is_required=False),
                    "limit": queries.LIMITED,
                },
            ),
            Operation(
                method="GET",
                path=f"{path}/lookup",
                id=f"lookUp{name}",
                summary=f"The row of {what} that counts for a number: that of the longest prefix.",
                call=self._found,
                query={
                    **of_owner,
                    "to": _digits("The number, or the beginning of one.", is_required=True),
                    "at": queries.text("At another moment than now: 2026-12-01T00:00:00Z."),
                },
            ),
            Operation(
                method="POST",
                path=path,
                id=f"import{name}",
                summary=f"What a CSV file changes of {what}; with apply=true it is changed, all or nothing.",
                call=self._bring,
                body=TextBody(),
                query=importing,
            ),
        ]

    async def _plans(self, _asked: Asked) -> Done | Problem:
        plans = await configuration.price_plans(self._desk.database)
        return Done(200, {"plans": [{"plan": plan, "currency": currency} for plan, currency in plans.items()]})

    async def _rows(self, asked: Asked) -> Done | Problem:
        owner, limit = _owner(asked), asked.query.get("limit", LIMIT_DEFAULT)
        async with acquired(self._desk.database) as connection:
            if refusal := await prices.unknown(connection, owner):
                return answered(refusal)
            rows = await price_lists.read_page(connection, owner, after=asked.query.get("after"), limit=limit)
        prefixes = list(dict.fromkeys(row.prefix for row in rows))
        cursor = prefixes[-1] if len(prefixes) == limit else None
        return Done(200, {"rows": [prices.fields(row) for row in rows], "next_after": cursor})

    async def _found(self, asked: Asked) -> Done | Problem:
        at_ms = moment_ms(asked.query["at"]) if "at" in asked.query else self._desk.now_ms()
        if at_ms is None:
            return invalid([FieldError("/at", "must be a time such as 2026-12-01T00:00:00Z")])
        return answered(await prices.look_up(self._desk.database, _owner(asked), asked.query["to"], at_ms))

    async def _bring(self, asked: Asked) -> Done | Problem:
        file = await asyncio.to_thread(read_prices, asked.body)
        if file.errors:
            return _invalid(file.errors)
        owner, desk = _owner(asked), self._desk
        apply, replace = (asked.query.get(name) == "true" for name in ("apply", "replace"))
        found = await prices.bring(
            owner,
            asked.query.get("currency"),
            file.rows,
            asked.operator.name,
            desk.database,
            replace=replace,
            apply=apply,
        )
        if isinstance(found, Refusal):
            return answered(found)
        changes, currency = found
        if changes.errors:
            return _invalid(changes.errors)
        shown = prices.as_json(changes, currency, is_applied=apply)
        if not apply or changes.is_nothing:
            return Done(200, shown)
        _log.info("prices.imported", operator=asked.operator.name, added=len(changes.added),
                  changed=len(changes.changed), removed=len(changes.removed))  # fmt: skip
        return Done(200, shown | {"told": await desk.told()})


def _owner(asked: Asked) -> Owner:
    if "plan" in asked.names:
        return PlanPrices(asked.names["plan"])
    return UpstreamCosts(asked.names["upstream"], asked.query.get("currency", CURRENCY))


def _invalid(errors: list[LineError]) -> Problem:
    """The first errors of a file, each at its line; 0 is the whole file."""
    return invalid([FieldError(f"/{line}" if line else "", sentence) for line, sentence in errors[:ERRORS_MAX]])
