"""The HTTP interface: finds the route and the account of each request, answers it, and counts the answer."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, TypeAlias

import msgspec
import structlog
from aiohttp import web

from smscd.core.directory_index import AccountEntry
from smscd.ingress.http.answers import Answer, wire
from smscd.ingress.http.connections import BoundedServer, ConnectionLimits, is_refused
from smscd.ingress.http.figures import HttpFigures, RouteFigures
from smscd.ingress.http.keys import Keys
from smscd.ingress.http.problems import (
    INTERNAL,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    PROBLEM_JSON,
    Problem,
    encode,
    problem,
    unavailable,
)
from smscd.ingress.http.request_keys import is_request_key
from smscd.ingress.http.scopes import scope_of
from storage.postgres.pool import UNAVAILABLE as POSTGRES_UNAVAILABLE
from storage.redis.errors import StorageUnavailable

BACKLOG: Final = 1_024
_NAMES: Final = re.compile(r"\{[^}]+\}")
_STORAGE_UNAVAILABLE: Final[tuple[type[BaseException], ...]] = (StorageUnavailable, *POSTGRES_UNAVAILABLE)
_log = structlog.get_logger(__name__)


Open: TypeAlias = Callable[[web.BaseRequest], Awaitable[Answer | Problem]]
Keyed: TypeAlias = Callable[[web.BaseRequest, AccountEntry, str], Awaitable[Answer | Problem]]


class Route(msgspec.Struct, frozen=True):
    """One resource. Exactly one of the dicts is filled: `keyed` needs an X-Api-Key and gets its account.

    template: as documents and metrics name it; a trailing {id} takes one path segment, handed over as text. Where there
    are others before the end, what stands for all of them is handed over with a slash between.
    scopes: what a key needs, by method, where it is not what scopes.scope_of() says.
    """

    template: str
    open: Mapping[str, Open] = {}
    keyed: Mapping[str, Keyed] = {}
    scopes: Mapping[str, int] = {}

    @property
    def methods(self) -> str:
        """The value of Allow."""
        methods = set(self.open) | set(self.keyed)
        return ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))


def merged(routes: Iterable[Route]) -> list[Route]:
    """One route for each template, with the methods of all of that template, and the scope of each with a key."""
    found: dict[str, Route] = {}
    for route in routes:
        needed = {method: scope_of(route.template, method) for method in route.keyed} | dict(route.scopes)
        known = found.get(route.template, Route(route.template))
        found[route.template] = Route(
            route.template, {**known.open, **route.open}, {**known.keyed, **route.keyed}, {**known.scopes, **needed}
        )
    return list(found.values())


class HttpServer:
    """Serves routes over bounded connections. keys: needed where a route needs a key."""

    def __init__(
        self,
        routes: list[Route],
        *,
        figures: HttpFigures,
        keys: Keys | None = None,
        limits: ConnectionLimits | None = None,
        request_seconds: float = 10.0,
    ) -> None:
        routes = merged(routes)
        self._exact = {route.template: route for route in routes if "{" not in route.template}
        named = [route for route in routes if "{" in route.template]
        nested = [route for route in named if route.template.index("{") < route.template.rindex("/")]
        self._patterns = [(re.compile(_NAMES.sub("([^/]+)", route.template)), route) for route in nested]
        self._prefixed = {route.template[: route.template.index("{")]: route for route in named if route not in nested}
        self._keys = keys
        self._figures = figures
        self._by_route: dict[str, RouteFigures] = {route.template: figures.route(route.template) for route in routes}
        self._other = figures.route("other")
        self._limits = limits or ConnectionLimits()
        self._request_seconds = request_seconds
        self._server: BoundedServer | None = None
        self._runner: web.ServerRunner | None = None
        self._clock: Callable[[], float] = lambda: 0.0
        self._is_draining = False

    async def start(self, host: str, port: int, *, reuse_port: bool = False) -> int:
        """Listen; port 0 picks a free one. Returns the port. Raises OSError when it is taken."""
        self._clock = asyncio.get_running_loop().time
        self._server = BoundedServer(self._answer, self._limits)
        self._runner = web.ServerRunner(self._server, handle_signals=False, shutdown_timeout=self._request_seconds)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, backlog=BACKLOG, reuse_port=reuse_port or None)
        try:
            await site.start()
        except OSError:
            await self._runner.cleanup()
            raise
        self._server.start_sweeping()
        self._figures.watch(self._server)
        bound: int = self._runner.addresses[0][1]
        _log.info("http.listening", host=host, port=bound)
        return bound

    async def stop(self) -> None:
        """Take no new connection, close idle ones, finish what is being answered."""
        self._is_draining = True
        if self._server is not None:
            self._server.stop_sweeping()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request: the only layer around the resources."""
        server = self._server
        assert server is not None
        started = server.began(request.protocol)
        path = request.raw_path
        if path[:1] != "/" or "?" in path:
            path = request.path
        route = self._exact.get(path)
        argument = ""
        if route is None:
            route, argument = self._find(path)
        given = request.headers.get("X-Request-ID")
        try:
            outcome = await self._resource(request, route, argument)
        except _STORAGE_UNAVAILABLE:
            outcome = unavailable()
        except Exception as error:  # noqa: BLE001 - the top of a request: logged, and answered with 500
            _log.error("http.request_failed", path=route.template if route else "other", error=_where(error))
            outcome = problem(INTERNAL)
        has_id = given is not None and is_request_key(given)
        if isinstance(outcome, Problem):
            request_id = given if given is not None and has_id else secrets.token_hex(8)
            body = encode(outcome, path, request_id)
            headers = dict(outcome.headers)
            headers["X-Request-ID"] = request_id
            outcome = Answer(outcome.status, body, headers, PROBLEM_JSON, outcome.closes)
        elif given is not None and has_id:
            outcome.headers["X-Request-ID"] = given
        if self._is_draining or not request.content.is_eof() or is_refused(request):
            outcome.closes = True
        figures = self._other if route is None else self._by_route[route.template]
        figures.answered(outcome.status, self._clock() - started)
        return wire(outcome)

    def _find(self, path: str) -> tuple[Route | None, str]:
        """The route of a path that is no route's own, and what stands for its {id}."""
        start, slash, last = path.rpartition("/")
        route = self._prefixed.get(start + slash)
        if route is not None and last:
            return route, last
        for pattern, found in self._patterns:
            if match := pattern.fullmatch(path):
                return found, "/".join(match.groups())
        return self._exact.get(path + "/"), ""

    def _resource(self, request: web.BaseRequest, route: Route | None, argument: str) -> Awaitable[Answer | Problem]:
        """The work that answers a request, once it is known who asks."""
        if route is None:
            return _given(problem(NOT_FOUND))
        method = "GET" if request.method == "HEAD" else request.method
        keyed = route.keyed.get(method)
        if keyed is None:
            opened = route.open.get(method)
            if opened is not None:
                return opened(request)
            return _given(problem(METHOD_NOT_ALLOWED, headers=(("Allow", route.methods),)))
        assert self._keys is not None
        entry = self._keys.admitted(request, route.scopes[method])
        if isinstance(entry, Problem):
            return _given(entry)
        return keyed(request, entry, argument)


async def _given(found: Problem) -> Problem:
    """A refusal that needs no work."""
    return found


def _where(error: BaseException) -> str:
    """Type and place of a bug; never its text, which may quote a message."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else ""
    return f"{type(error).__name__}{place}"
