"""The part of the admin API that steers traffic: pauses, drains, queues, and whose messages from phones are."""

from __future__ import annotations

from typing import Final

import structlog

from smscd.admin import halts, mo_rules, queries, queues
from smscd.admin.bodies import MoRuleRequest
from smscd.admin.desk import Desk
from smscd.admin.orders import Refusal
from smscd.admin.resources import Asked, Done, Operation, StructBody, answered
from smscd.core.directory import HaltKind, HaltState
from smscd.ingress.http.problems import Problem
from storage.postgres.halts import Subject
from storage.postgres.halts import halts as all_halts
from storage.postgres.mo_rules import rules

_KINDS: Final[dict[str, HaltKind]] = {"upstreams": "upstream", "routes": "route", "accounts": "account"}
_STATES: Final[dict[str, HaltState | None]] = {"pause": "paused", "drain": "drained", "resume": None}
_log = structlog.get_logger(__name__)


class Traffic:
    """Answers for /halts, /queues and /mo."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def operations(self) -> list[Operation]:
        """All of them."""
        return [
            Operation(
                method="POST",
                path="halts/{kind}/{name}/{verb}",
                parts={"kind": "|".join(_KINDS), "verb": "|".join(_STATES)},
                id="halt",
                summary="Pause, drain or resume an upstream, a route or an account. The route of everything is *.",
                call=self._halt,
                query={"account": queries.text("Of a route: whose it is.")},
            ),
            Operation(
                method="GET", path="halts", id="listHalts", summary="What is paused or drained.", call=self._halts
            ),
            Operation(
                method="GET",
                path="queues",
                id="listQueues",
                summary="What waits, by upstream, priority and account, in Redis and in PostgreSQL, and since when.",
                call=self._queues,
            ),
            Operation(
                method="GET", path="mo", id="listMoRules", summary="Whose messages from phones are.", call=self._rules
            ),
            Operation(
                method="POST",
                path="mo",
                id="putMoRule",
                summary="Give messages to a number to an account, or change whose they are.",
                call=self._add_rule,
                body=StructBody(MoRuleRequest),
                statuses=(200, 201),
            ),
            Operation(
                method="DELETE",
                path="mo/{number}",
                id="removeMoRule",
                summary="Take a rule away.",
                call=self._remove_rule,
                query={
                    "keyword": queries.text("Of the rule."),
                    "prefix": queries.flag("The number is the beginning of many."),
                },
            ),
        ]

    async def _halt(self, asked: Asked) -> Done | Problem:
        """A route of an account's own is asked for with ?account=NAME."""
        kind = _KINDS[asked.names["kind"]]
        name = "" if kind == "route" and asked.names["name"] == "*" else asked.names["name"]
        subject = Subject(kind, name, asked.query.get("account", "") if kind == "route" else "")
        state = _STATES[asked.names["verb"]]
        found = await halts.halt(subject, state, asked.operator.name, self._desk.database, self._desk.tell)
        if isinstance(found, Refusal):
            return answered(found)
        _log.info(
            "traffic.halted", what=halts.described(subject), state=state or "running", operator=asked.operator.name
        )
        return Done(200, halts.shown(found))

    async def _halts(self, _asked: Asked) -> Done | Problem:
        return Done(200, {"halts": [halts.listed(row) for row in await all_halts(self._desk.database)]})

    async def _queues(self, _asked: Asked) -> Done | Problem:
        desk = self._desk
        return Done(200, {"upstreams": await queues.view(desk.database, desk.link, desk.keys, desk.now_ms())})

    async def _rules(self, _asked: Asked) -> Done | Problem:
        return Done(200, {"rules": [mo_rules.shown(rule) for rule in await rules(self._desk.database)]})

    async def _add_rule(self, asked: Asked) -> Done | Problem:
        body: MoRuleRequest = asked.body
        number = "" if body.number == "*" else body.number
        rule = mo_rules.rule_of(number, body.account, body.via, body.keyword or "", is_prefix=body.prefix)
        if isinstance(rule, Refusal):
            return answered(rule)
        found = await mo_rules.add(rule, asked.operator.name, self._desk.database, self._desk.tell)
        if isinstance(found, Refusal):
            return answered(found)
        shown = mo_rules.shown(rule) | {"changed": found.before != rule, "told": found.is_told}
        return Done(201 if found.before is None else 200, shown)

    async def _remove_rule(self, asked: Asked) -> Done | Problem:
        number = "" if asked.names["number"] == "*" else asked.names["number"]
        keyword, is_prefix = asked.query.get("keyword", ""), asked.query.get("prefix") == "true"
        desk = self._desk
        found = await mo_rules.remove(
            number, keyword, asked.operator.name, desk.database, desk.tell, is_prefix=is_prefix
        )
        if isinstance(found, Refusal):
            return answered(found)
        return Done(200, mo_rules.shown(found.before or found.rule) | {"removed": True, "told": found.is_told})
