"""The admin API: what operators do by command, over HTTP, each with a token of their own."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final
from urllib.parse import quote

import msgspec
import structlog
from aiohttp import web

from smscd.admin import accounts, orders, route_api
from smscd.admin.bodies import read_order
from smscd.admin.operators import Operators
from smscd.admin.orders import Outcome, Refusal
from smscd.admin.resources import Done, Resource, problem_of
from smscd.admin.traffic import Traffic
from smscd.admin.upstream_api import Answer, UpstreamResources
from smscd.admin.upstreams import Admin
from smscd.core.records import LedgerRecord
from smscd.ingress.http.bodies import BodyReader
from smscd.ingress.http.problems import (
    BUSY,
    INTERNAL,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    PROBLEM_JSON,
    TOO_LARGE,
    UNAUTHORIZED,
    Code,
    Problem,
    encode,
    problem,
    unavailable,
)
from storage.postgres.operators import Token, find_account
from storage.postgres.pool import UNAVAILABLE, Database
from storage.redis.accounts import Balances
from storage.redis.errors import StorageUnavailable
from storage.redis.keys import ShardKeys
from storage.redis.link import RedisLink

PREFIX: Final = "/admin/v1/"
BODY_BYTES_MAX: Final = 16_384
BODY_SECONDS: Final = 10.0
REQUESTS_MAX: Final = 64
FORBIDDEN: Final = Code(403, "forbidden", "Forbidden", "This token may read and change nothing: use one of role admin.")
_CHALLENGE: Final = (("WWW-Authenticate", 'Bearer realm="smscd admin"'),)
_AWAY: Final[tuple[type[BaseException], ...]] = (StorageUnavailable, *UNAVAILABLE)
_encode_json = msgspec.json.Encoder().encode
_log = structlog.get_logger(__name__)


class AdminApi:
    """Everything under /admin/v1/. tell: has all processes read the configuration again.

    waiting: how many messages Redis has for an upstream. now_ms: milliseconds since the Unix epoch. wait_seconds: how
    long an order waits for the ledger; then it is pending. more: further paths (patterns) below /admin/v1/ with their
    resources.
    """

    def __init__(
        self,
        *,
        database: Database,
        balances: Balances,
        link: RedisLink,
        keys: ShardKeys,
        operators: Operators,
        tell: Callable[[], Awaitable[None]],
        waiting: Callable[[str], Awaitable[int]],
        now_ms: Callable[[], int],
        wait_seconds: float,
        more: Sequence[tuple[str, Mapping[str, Resource]]] = (),
    ) -> None:
        self._database = database
        self._balances = balances
        self._operators = operators
        self._tell = tell
        self._now_ms = now_ms
        self._wait_seconds = wait_seconds
        self._bodies = BodyReader(
            bytes_max=BODY_BYTES_MAX, pending_bytes_max=REQUESTS_MAX * BODY_BYTES_MAX, seconds=BODY_SECONDS
        )
        self._under_way = 0
        self._upstreams = UpstreamResources(
            database,
            lambda operator: Admin(operator=operator, database=database, tell=tell, waiting=waiting, now_ms=now_ms),
        )
        traffic = Traffic(database, link, keys, self._body, tell, now_ms)
        account = "accounts/(?P<account>[^/]+)"
        upstream = "upstreams/(?P<upstream>[^/]+)"
        paths: list[tuple[str, Mapping[str, Resource]]] = [
            (account, {"GET": self._view}),
            (f"{account}/topups", {"POST": self._order}),
            (f"{account}/topups/(?P<reference>[^/]+)", {"GET": self._order_again}),
            (f"{account}/suspend", {"POST": self._suspend}),
            (f"{account}/resume", {"POST": self._resume}),
            ("upstreams", {"GET": self._list_upstreams, "POST": self._add_upstream}),
            (upstream, {"GET": self._view_upstream, "PATCH": self._change_upstream, "DELETE": self._remove_upstream}),
            ("routes", {"GET": self._routes_listed}),
            ("routes/explain", {"GET": self._explain}),
            ("routes/(?P<label>.+)", {"GET": self._route, "PUT": self._put_route, "DELETE": self._delete_route}),
            *more,
        ]
        paths += traffic.resources()
        self._routes = [(re.compile(PREFIX + path), methods) for path, methods in paths]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, whatever it is."""
        if self._under_way >= REQUESTS_MAX:
            return _refused(problem(BUSY, headers=(("Retry-After", "1"),)), request)
        self._under_way += 1
        try:
            found = await self._find(request)
        except _AWAY:
            found = unavailable()
        except Exception as error:  # noqa: BLE001 - the top of a request: logged, and answered with 500
            _log.error("admin.request_failed", error=type(error).__name__)
            found = problem(INTERNAL)
        finally:
            self._under_way -= 1
        if isinstance(found, Problem):
            return _refused(found, request)
        return web.Response(
            status=found.status,
            body=_encode_json(found.body),
            content_type="application/json",
            headers={"Cache-Control": "no-store", **found.headers},
        )

    async def _find(self, request: web.Request) -> Done | Problem:
        """Who asks comes first, so that nobody learns without a token what there is."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        operator = await self._operators.who(token.strip()) if scheme.lower() == "bearer" else None
        if operator is None:
            detail = "A token is needed: Authorization: Bearer TOKEN. `smscd operator add` makes one."
            return problem(UNAUTHORIZED, detail, headers=_CHALLENGE)
        for pattern, methods in self._routes:
            if (match := pattern.fullmatch(request.path)) is None:
                continue
            resource = methods.get(request.method)
            if resource is None:
                return problem(METHOD_NOT_ALLOWED, headers=(("Allow", ", ".join(methods)),))
            if request.method != "GET" and operator.role != "admin":
                return problem(FORBIDDEN)
            return await resource(request, operator, match.groupdict())
        return problem(NOT_FOUND)

    async def _view(self, _request: web.Request, _operator: Token, names: dict[str, str]) -> Done | Problem:
        found = await accounts.view(names["account"], self._database, self._balances)
        return problem_of(found) if isinstance(found, Refusal) else Done(200, found)

    async def _order(self, request: web.Request, operator: Token, names: dict[str, str]) -> Done | Problem:
        body = await self._body(request)
        if isinstance(body, Problem):
            return body
        asked = read_order(body)
        if isinstance(asked, Problem):
            return asked
        account = names["account"]
        order = LedgerRecord(
            account,
            asked.kind,
            asked.micros,
            asked.reference,
            self._now_ms(),
            operator.name,
            asked.note,
            asked.corrects or "",
        )
        outcome = await orders.place(
            order, self._database, self._balances, is_forced=asked.force, wait_seconds=self._wait_seconds
        )
        if isinstance(outcome, Refusal):
            return problem_of(outcome)
        _log.info(
            "account.ordered",
            account=account,
            operator=operator.name,
            kind=asked.kind,
            amount_micros=asked.micros,
            reference=asked.reference,
            status=outcome.status,
        )
        place = f"{PREFIX}accounts/{quote(account)}/topups/{quote(asked.reference, safe='')}"
        status = 202 if outcome.entry is None else 201 if outcome.is_new else 200
        return await self._outcome(outcome, status, {"Location": place})

    async def _body(self, request: web.Request) -> bytes | Problem:
        body = self._bodies.arrived(request)
        if body is None:
            body = await self._bodies.read(request)
        return _with_our_size(body) if isinstance(body, Problem) else body

    async def _order_again(self, _request: web.Request, _operator: Token, names: dict[str, str]) -> Done | Problem:
        outcome = await orders.find(names["reference"], names["account"], self._database, self._balances)
        if outcome is None:
            return problem(NOT_FOUND, f"{names['account']} has no order {names['reference']}.")
        return problem_of(outcome) if isinstance(outcome, Refusal) else await self._outcome(outcome, 200, {})

    async def _outcome(self, outcome: Outcome, status: int, headers: dict[str, str]) -> Done:
        terms = await find_account(self._database, outcome.order.account)
        return Done(status, orders.shown(outcome, terms.currency if terms is not None else ""), headers)

    async def _suspend(self, _request: web.Request, operator: Token, names: dict[str, str]) -> Done | Problem:
        return await self._set_suspended(operator, names["account"], is_suspended=True)

    async def _resume(self, _request: web.Request, operator: Token, names: dict[str, str]) -> Done | Problem:
        return await self._set_suspended(operator, names["account"], is_suspended=False)

    async def _set_suspended(self, operator: Token, account: str, *, is_suspended: bool) -> Done | Problem:
        found = await accounts.suspend(account, operator.name, self._database, self._tell, is_suspended=is_suspended)
        if isinstance(found, Refusal):
            return problem_of(found)
        _log.info("account.suspended" if is_suspended else "account.resumed", account=account, operator=operator.name)
        body = {"account": account, "is_suspended": is_suspended, "changed": found.has_changed, "told": found.is_told}
        return Done(200, body)

    async def _list_upstreams(self, _request: web.Request, _operator: Token, _names: dict[str, str]) -> Done | Problem:
        return _done(await self._upstreams.all())

    async def _view_upstream(self, _request: web.Request, _operator: Token, names: dict[str, str]) -> Done | Problem:
        return _done(await self._upstreams.view(names["upstream"]))

    async def _add_upstream(self, request: web.Request, operator: Token, _names: dict[str, str]) -> Done | Problem:
        body = await self._body(request)
        return body if isinstance(body, Problem) else _done(await self._upstreams.add(body, operator.name))

    async def _change_upstream(self, request: web.Request, operator: Token, names: dict[str, str]) -> Done | Problem:
        body = await self._body(request)
        if isinstance(body, Problem):
            return body
        return _done(await self._upstreams.change(names["upstream"], body, operator.name))

    async def _remove_upstream(self, request: web.Request, operator: Token, names: dict[str, str]) -> Done | Problem:
        is_forced = request.query.get("force") == "true"
        return _done(await self._upstreams.remove(names["upstream"], operator.name, is_forced=is_forced))

    async def _routes_listed(self, request: web.Request, _operator: Token, _names: dict[str, str]) -> Done | Problem:
        return Done(200, await route_api.listed(request, self._database))

    async def _explain(self, request: web.Request, _operator: Token, _names: dict[str, str]) -> Done | Problem:
        return _answer(await route_api.explained(request, self._database, self._now_ms))

    async def _route(self, _request: web.Request, _operator: Token, names: dict[str, str]) -> Done | Problem:
        return _answer(await route_api.one(names["label"], self._database))

    async def _put_route(self, request: web.Request, operator: Token, names: dict[str, str]) -> Done | Problem:
        body = self._bodies.arrived(request)
        if body is None:
            body = await self._bodies.read(request)
        if isinstance(body, Problem):
            return _with_our_size(body)
        return await self._told(await route_api.put(names["label"], body, self._database, operator.name))

    async def _delete_route(self, _request: web.Request, operator: Token, names: dict[str, str]) -> Done | Problem:
        return await self._told(await route_api.delete(names["label"], self._database, operator.name))

    async def _told(self, found: dict[str, object] | Refusal) -> Done | Problem:
        """Where it is not told, every process finds out at its next look, within half a minute."""
        if isinstance(found, Refusal):
            return problem_of(found)
        try:
            await self._tell()
        except StorageUnavailable:
            return Done(200, found | {"told": False})
        return Done(200, found | {"told": True})


def _answer(found: dict[str, object] | Refusal) -> Done | Problem:
    return problem_of(found) if isinstance(found, Refusal) else Done(200, found)


def _done(found: Answer | Refusal | Problem) -> Done | Problem:
    if isinstance(found, Problem):
        return found
    return problem_of(found) if isinstance(found, Refusal) else Done(*found)


def _with_our_size(found: Problem) -> Problem:
    """Bodies here are bounded more narrowly than customers' are."""
    if found.status != TOO_LARGE.status:
        return found
    return msgspec.structs.replace(found, detail=f"The body is larger than {BODY_BYTES_MAX:,} bytes.")


def _refused(found: Problem, request: web.Request) -> web.StreamResponse:
    request_id = secrets.token_hex(8)
    response = web.Response(
        status=found.status,
        body=encode(found, request.path, request_id),
        content_type=PROBLEM_JSON,
        headers={"Cache-Control": "no-store", "X-Request-ID": request_id, **dict(found.headers)},
    )
    if found.closes:
        response.force_close()
    return response
