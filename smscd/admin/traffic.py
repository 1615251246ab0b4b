"""The part of the admin API that steers traffic: pauses, drains, queues, and whose messages from phones are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog
from aiohttp import web

from smscd.admin import halts, mo_rules, queues
from smscd.admin.bodies import read_mo_rule
from smscd.admin.orders import Refusal
from smscd.admin.resources import Done, Resource, problem_of
from smscd.core.directory import HaltKind, HaltState
from smscd.ingress.http.problems import Problem
from storage.postgres.halts import Subject
from storage.postgres.halts import halts as all_halts
from storage.postgres.mo_rules import rules
from storage.postgres.operators import Token
from storage.postgres.pool import Database
from storage.redis.keys import ShardKeys
from storage.redis.link import RedisLink

_KINDS: Final[dict[str, HaltKind]] = {"upstreams": "upstream", "routes": "route", "accounts": "account"}
_STATES: Final[dict[str, HaltState | None]] = {"pause": "paused", "drain": "drained", "resume": None}
_log = structlog.get_logger(__name__)


class Traffic:
    """Resources. body: reads the body of a request, or says why it is not taken. tell: as of AdminApi."""

    def __init__(
        self,
        database: Database,
        link: RedisLink,
        keys: ShardKeys,
        body: Callable[[web.Request], Awaitable[bytes | Problem]],
        tell: Callable[[], Awaitable[None]],
        now_ms: Callable[[], int],
    ) -> None:
        self._database = database
        self._link = link
        self._keys = keys
        self._body = body
        self._tell = tell
        self._now_ms = now_ms

    def resources(self) -> list[tuple[str, Mapping[str, Resource]]]:
        """Patterns of paths, and what each method does there."""
        return [
            (
                "halts/(?P<kind>upstreams|routes|accounts)/(?P<name>[^/]+)/(?P<verb>pause|drain|resume)",
                {"POST": self._halt},
            ),
            ("halts", {"GET": self._halts}),
            ("queues", {"GET": self._queues}),
            ("mo", {"GET": self._mo_rules, "POST": self._add_mo_rule}),
            ("mo/(?P<number>[^/]+)", {"DELETE": self._remove_mo_rule}),
        ]

    async def _halt(self, request: web.Request, operator: Token, names: dict[str, str]) -> Done | Problem:
        """The catch-all route is *; a route of an account's own is asked for with ?account=NAME."""
        kind = _KINDS[names["kind"]]
        name = "" if kind == "route" and names["name"] == "*" else names["name"]
        subject = Subject(kind, name, request.query.get("account", "") if kind == "route" else "")
        state = _STATES[names["verb"]]
        found = await halts.halt(subject, state, operator.name, self._database, self._tell)
        if isinstance(found, Refusal):
            return problem_of(found)
        _log.info("traffic.halted", what=halts.described(subject), state=state or "running", operator=operator.name)
        return Done(200, halts.shown(found))

    async def _halts(self, _request: web.Request, _operator: Token, _names: dict[str, str]) -> Done | Problem:
        return Done(200, {"halts": [halts.listed(row) for row in await all_halts(self._database)]})

    async def _queues(self, _request: web.Request, _operator: Token, _names: dict[str, str]) -> Done | Problem:
        return Done(200, {"upstreams": await queues.view(self._database, self._link, self._keys, self._now_ms())})

    async def _mo_rules(self, _request: web.Request, _operator: Token, _names: dict[str, str]) -> Done | Problem:
        return Done(200, {"rules": [mo_rules.shown(rule) for rule in await rules(self._database)]})

    async def _add_mo_rule(self, request: web.Request, operator: Token, _names: dict[str, str]) -> Done | Problem:
        body = await self._body(request)
        if isinstance(body, Problem):
            return body
        asked = read_mo_rule(body)
        if isinstance(asked, Problem):
            return asked
        number = "" if asked.number == "*" else asked.number
        rule = mo_rules.rule_of(number, asked.account, asked.via, asked.keyword or "", is_prefix=asked.prefix)
        if isinstance(rule, Refusal):
            return problem_of(rule)
        found = await mo_rules.add(rule, operator.name, self._database, self._tell)
        if isinstance(found, Refusal):
            return problem_of(found)
        shown = mo_rules.shown(rule) | {"changed": found.before != rule, "told": found.is_told}
        return Done(201 if found.before is None else 200, shown)

    async def _remove_mo_rule(self, request: web.Request, operator: Token, names: dict[str, str]) -> Done | Problem:
        number = "" if names["number"] == "*" else names["number"]
        keyword, is_prefix = request.query.get("keyword", ""), request.query.get("prefix", "") == "true"
        found = await mo_rules.remove(number, keyword, operator.name, self._database, self._tell, is_prefix=is_prefix)
        if isinstance(found, Refusal):
            return problem_of(found)
        return Done(200, mo_rules.shown(found.before or found.rule) | {"removed": True, "told": found.is_told})
