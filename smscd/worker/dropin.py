"""The doors of other gateways, Kannel's and Jasmin's, as far as the configuration opens them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from smscd.core.verdicts import Admitter
from smscd.ingress.dropin.gatekeeper import Gatekeeper
from smscd.ingress.dropin.routes import JasminDoor, KannelDoor
from smscd.ingress.dropin.sending import Sender
from smscd.ingress.http.client_addresses import ClientAddresses
from smscd.ingress.http.connections import ConnectionLimits
from smscd.ingress.http.figures import HttpFigures
from smscd.ingress.http.server import HttpServer, Route
from smscd.ingress.smpp.auth import Authenticator
from smscd.monitoring.samples import http_samples
from smscd.monitoring.vitals import BoundUpstreams
from smscd.worker.smpp_door import share_of
from storage.redis.accounts import Balances

if TYPE_CHECKING:
    from smscd.daemon import Composition


class DropinDoors:
    """Both doors of a worker, or one, or none."""

    def __init__(self, parts: Composition, admitter: Admitter) -> None:
        self._parts = parts
        self._servers: list[tuple[HttpServer, str, int]] = []
        config = parts.config
        if not (config.kannel.host or config.jasmin.host):
            return
        seconds = config.http.request_seconds
        sender = Sender(
            admitter=admitter,
            directory=parts.directory.get,
            ids=parts.node.ids,
            clock_ms=parts.redis_ms,
            seconds=seconds,
        )
        guesses = share_of(config.smpp.bind_failures_max, parts.worker.index, parts.worker.workers)
        gatekeeper = Gatekeeper(
            Authenticator(config.pepper.encode()),
            parts.directory.get,
            time.monotonic,
            guesses_max=max(1, guesses),
            window_seconds=config.smpp.bind_failures_window_seconds,
            now_ms=parts.redis_ms,
            uses=parts.key_uses,
        )
        addresses = ClientAddresses(config.http.proxies)
        if config.kannel.host:
            bound = BoundUpstreams(parts.shared, parts.keys)
            kannel = KannelDoor(sender, gatekeeper, addresses, bound.has, request_seconds=seconds)
            self._add(kannel.routes(), config.kannel.host, config.kannel.port)
        if config.jasmin.host:
            balance = Balances(parts.keys, parts.shared).balance
            jasmin = JasminDoor(sender, gatekeeper, addresses, balance, request_seconds=seconds)
            self._add(jasmin.routes(), config.jasmin.host, config.jasmin.port)

    def _add(self, routes: list[Route], host: str, port: int) -> None:
        config, figures = self._parts.config.http, HttpFigures()
        server = HttpServer(
            routes,
            figures=figures,
            limits=ConnectionLimits(
                connections_max=config.connections_max,
                head_seconds=config.header_seconds,
                idle_seconds=config.keepalive_seconds,
            ),
            request_seconds=config.request_seconds,
        )
        self._parts.metrics.add_source(lambda: http_samples(figures))
        self._servers.append((server, host, port))

    async def start(self) -> None:
        """Listen. Raises OSError."""
        for server, host, port in self._servers:
            await server.start(host, port, reuse_port=True)

    async def stop(self) -> None:
        """Take nothing new; answer what was taken."""
        for server, _, _ in self._servers:
            await server.stop()
