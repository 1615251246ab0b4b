"""Declarations over the admin API: a file as `smscd apply` takes it, its plan first, and then that plan applied."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
import structlog

from smscd.admin import queries
from smscd.admin.declared import forms, plan
from smscd.admin.declared.plan import Declaration, DeclarationInvalid
from smscd.admin.desk import Desk
from smscd.admin.orders import Refusal
from smscd.admin.resources import TOML, Asked, Done, Operation, Query, TextBody, answered
from smscd.ingress.http.problems import FieldError, Problem, invalid
from smscd.ingress.http.queries import Parameter
from smscd.ingress.http.strict_bodies import FIELD_ERRORS_MAX
from smscd.supervision.seed import new_webhook_secret
from storage.postgres.pool import acquired

_ID: Final = "0123456789abcdef"
_EXAMPLE: Final = '[[routes]]\nprefix = "44"\nupstreams = ["north"]\n'
_log = structlog.get_logger(__name__)


def _read_id(text: str) -> str | None:
    return text if len(text) == 32 and set(text) <= set(_ID) else None


_PLAN: Final = Query(
    parameter=Parameter(_read_id, "must be the id of a plan that was shown"),
    schema={"type": "string", "pattern": "^[0-9a-f]{32}$"},
    sentence="Apply it, if its plan is still the one of this id; without, the plan is shown.",
)


class Planned(msgspec.Struct, kw_only=True):
    """What would be done, or was. id: asks for this plan to be applied. told: Redis has passed the notice on."""

    id: str
    plan: list[dict[str, Any]]
    applied: bool
    told: bool | None = None


class DeclarationResources:
    """Answers for /declarations."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def operations(self) -> list[Operation]:
        """The one that there is."""
        step = {
            "section": "routes",
            "name": "*/44",
            "verb": "change",
            "fields": {"upstreams": {"before": ["old"], "after": ["north"]}},
        }
        return [
            Operation(
                method="POST",
                path="declarations",
                id="applyDeclaration",
                summary="What a file changes of upstreams, routes, accounts and numbers; with ?plan= it is done.",
                call=self._apply,
                body=TextBody(TOML),
                query={
                    "plan": _PLAN,
                    "prune": queries.flag("Remove what a section that is in the file does not declare."),
                    "force": queries.flag("Remove upstreams although messages wait or receipts may still come."),
                },
                answer=Planned,
                example=Planned(id="0123456789abcdef" * 2, plan=[step], applied=False),
                asks=_EXAMPLE,
            )
        ]

    async def _apply(self, asked: Asked) -> Done | Problem:
        try:
            sections = plan.parse(await asyncio.to_thread(asked.body.decode))
            is_pruned = asked.query.get("prune") == "true"
            declaration = Declaration(sections=sections, is_pruned=is_pruned, new_secret=new_webhook_secret)
            return await self._planned(declaration, asked)
        except UnicodeDecodeError:
            return invalid([FieldError("", "is not UTF-8: save the file as UTF-8")])
        except DeclarationInvalid as error:
            return invalid(
                [FieldError(f"/{where}" if where else "", rule) for where, rule in error.faults[:FIELD_ERRORS_MAX]]
            )

    async def _planned(self, declaration: Declaration, asked: Asked) -> Done | Problem:
        desk, wanted, operator = self._desk, asked.query.get("plan"), asked.operator.name
        async with acquired(desk.database) as connection:
            steps = await plan.plan(declaration, connection)
        found = Planned(
            id=forms.plan_id(asked.body, steps), plan=[forms.shown(step) for step in steps], applied=wanted is not None
        )
        if wanted is None:
            return Done(200, found)
        if wanted != found.id:
            return answered(Refusal("plan_changed", 409, "This is not the plan that was shown: look at the new one."))
        told = await plan.apply(declaration, steps, desk.admin(operator), is_forced=asked.query.get("force") == "true")
        if isinstance(told, Refusal):
            return answered(told)
        _log.info("declaration.applied", operator=operator, steps=len(steps))
        found.told = told
        return Done(200, found)
