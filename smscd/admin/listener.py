"""The operator's listener in the supervisor: /health/ and /metrics of the whole instance, the admin API, its pages."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import msgspec
from aiohttp import web

from smscd import __version__
from smscd.admin.api import PREFIX, AdminApi
from smscd.admin.openapi import document
from smscd.admin.problems import CODES
from smscd.ingress.http.answers import Answer
from smscd.ingress.http.documents import Documents
from smscd.ingress.http.problems import TYPE_BASE, Problem
from smscd.monitoring.health import Health
from smscd.monitoring.metrics import Sample, merge, render

TEXT = "text/plain; version=0.0.4"
DOCUMENTS: Final = (f"{PREFIX}openapi.json", "/api/openapi.json")
OPEN: Final = (PREFIX, "/api/", TYPE_BASE)
"""What asks for no token of ours: the API, which asks for an operator's, and pages that are the same everywhere."""


class AdminListener:
    """GET /health/ and GET /metrics. Everybody who is not on loopback needs the token as `Authorization: Bearer`.

    The admin API, beside them, asks everybody for an operator's token; its document and the pages ask nobody.
    collect: the samples of all processes. health: the judgement.
    """

    def __init__(
        self,
        *,
        token: str,
        collect: Callable[[], Awaitable[list[list[Sample]]]],
        health: Callable[[], Awaitable[Health]],
        api: AdminApi,
    ) -> None:
        self._token = token
        self._collect = collect
        self._health = health
        self._api = api
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 picks a free one. Raises OSError when it is taken."""
        application = web.Application(middlewares=[self._guard], client_max_size=1024)
        application.router.add_get("/health/", self._answer_health)
        application.router.add_get("/health", self._answer_health)
        application.router.add_get("/metrics", self._answer_metrics)
        for path in DOCUMENTS:
            application.router.add_get(path, self._answer_document)
        for route in Documents(CODES).routes():
            application.router.add_get(route.template, partial(_answer_page, route.open["GET"]))
        application.router.add_route("*", PREFIX + "{rest:.*}", self._api.answer)
        self._runner = web.AppRunner(
            application, handle_signals=False, access_log=None, shutdown_timeout=1.0, keepalive_timeout=75.0
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError:
            await self._runner.cleanup()
            raise
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close."""
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.path.startswith(OPEN):
            return await handler(request)
        if not is_loopback_peer(request.remote) or request.headers.get("X-Forwarded-For"):
            given = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if not self._token or not hmac.compare_digest(given.encode(), self._token.encode()):
                raise web.HTTPUnauthorized(text="A token is needed: Authorization: Bearer TOKEN\n")
        return await handler(request)

    async def _answer_health(self, _request: web.Request) -> web.Response:
        health = await self._health()
        return web.Response(
            status=health.http_status,
            body=msgspec.json.encode(health.body),
            content_type="application/json",
            headers={"Cache-Control": "no-store"},
        )

    async def _answer_document(self, _request: web.Request) -> web.Response:
        """Open to everybody: it says nothing of this instance."""
        body = document(self._api.operations, __version__, PREFIX)
        return web.Response(body=body, content_type="application/json")

    async def _answer_metrics(self, _request: web.Request) -> web.Response:
        text = render(merge(await self._collect()))
        return web.Response(body=text.encode(), headers={"Content-Type": f"{TEXT}; charset=utf-8"})


async def _answer_page(
    page: Callable[[web.BaseRequest], Awaitable[Answer | Problem]], request: web.Request
) -> web.Response:
    found = await page(request)
    if isinstance(found, Problem):
        raise web.HTTPNotFound(text=f"{found.detail}\n")
    headers = {"Content-Type": found.content_type, **found.headers}
    return web.Response(status=found.status, body=found.body, headers=headers)


def is_loopback_peer(remote: str | None) -> bool:
    """True for a peer on this machine."""
    try:
        address = ipaddress.ip_address(remote or "")
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
