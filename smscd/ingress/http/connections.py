"""Bounds on HTTP connections: how many, how much they hold, how long to send a head, to sit idle or to be busy.

aiohttp has no time-out for reading a head and none for an answer that is not read. Here every connection is in one of
three phases, each an insertion-ordered dict, so that the first of each is the one whose time ends first, or refused and
gone with the next sweep: one timer serves all of them, and a request costs a few dict operations.

What came of requests that are not answered yet is counted as it comes, before aiohttp keeps it: a connection that
brings more than there is room for is refused, and what it sends from then on is read and thrown away.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

import msgspec
import structlog
from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from smscd.ingress.http.answers import SERVER
from smscd.ingress.http.held import HeldOctets, give_back
from smscd.ingress.http.problems import (
    BAD_REQUEST,
    BUSY,
    HEADERS_TOO_LARGE,
    INTERNAL,
    PROBLEM_JSON,
    REQUEST_TIMEOUT,
    Code,
    encode,
    problem,
)

SWEEP_SECONDS: Final = 0.5
_log = structlog.get_logger(__name__)


class ConnectionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """connections_max: of one process; at the limit the connection that is idle longest is closed for a new one.

    head_seconds: from the opening, or from the first byte of a request, to the end of its head.
    idle_seconds: between requests. busy_seconds: from the head's end to the answer's last byte.
    held_bytes_max: of unanswered requests at one listener of a process, besides held_bytes_each for every connection.
    """

    connections_max: int = 4_096
    head_seconds: float = 8.0
    idle_seconds: float = 75.0
    busy_seconds: float = 25.0
    lingering_seconds: float = 3.0
    line_bytes_max: int = 8_190
    header_bytes_max: int = 8_190
    headers_max: int = 64
    held_bytes_max: int = 24 * 1024 * 1024
    held_bytes_each: int = 8 * 1024


class BoundedConnection(web.RequestHandler):
    """aiohttp's connection, telling its server which phase it is in, and answering its own errors as problems."""

    __slots__ = ("_bytes", "_held", "_server", "is_refused")

    def __init__(self, server: BoundedServer, **settings: Any) -> None:
        super().__init__(server, **settings)
        self._server = server
        self._held = server.held
        self._bytes = 0
        self.is_refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._server.opened(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._server.closed(self)
        self._holds(0)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.is_refused:
            return
        if data:
            self._server.receiving(self)
            size = self._bytes + len(data)
            if size <= self._held.each_bytes:
                self._bytes = size
            elif self._held.has_room(self._bytes, size):
                self._holds(size)
            elif not self._is_answering:
                self._server.refused(self)
                return
            else:  # whoever reads the body, or answers without it, sees it
                self.is_refused = True
        super().data_received(data)

    @property
    def _is_answering(self) -> bool:
        """True when a whole head has come whose answer is not out: aiohttp's task does not wait for one."""
        return self._waiter is None or bool(self._messages)

    def _holds(self, size: int) -> None:
        """So many octets of unanswered requests are held now."""
        self._held.moved(self._bytes, size)
        self._bytes = size

    def log_access(self, request: web.BaseRequest, response: web.StreamResponse, time: float | None) -> None:
        """Called by aiohttp when the answer is out; there is no log line per request."""
        self._server.answered(self)
        if not response.keep_alive:
            self.is_refused = True
        left = sum(payload.total_bytes for _, payload in self._messages) if self._messages else 0
        if self._bytes > self._held.each_bytes or left:
            self._holds(left)
        else:
            self._bytes = 0

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """A bug, or a peer that went away: what aiohttp could not turn into an answer."""
        error = kw.get("exc_info")
        _log.warning("http.connection_failed", error=type(error).__name__ if error is not None else str(args[:1]))

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What the parser refuses, as a problem; the connection is closed after it."""
        if exc is not None:
            exc.__traceback__ = None  # its frames hold this connection, which would live until the garbage is collected
        if request.writer.output_size > 0:
            raise ConnectionResetError("an answer is on its way already")
        if status < 500:
            code = HEADERS_TOO_LARGE if isinstance(exc, LineTooLong) else BAD_REQUEST
        else:
            code = INTERNAL
            _log.error("http.request_failed", error=type(exc).__name__)
        request_id = secrets.token_hex(8)
        headers = {"Content-Type": PROBLEM_JSON, "Server": SERVER, "X-Request-ID": request_id}
        response = web.Response(status=code.status, body=encode(problem(code), "", request_id), headers=headers)
        response.force_close()
        return response

    def refuse(self, answer: bytes) -> None:
        """The head did not come in time, or is too much now: say so, and let the peer read it.

        What it still sends is read and thrown away until the next sweep. A socket that is closed before that is reset,
        and the reset overtakes the answer.
        """
        self.is_refused = True
        self._holds(0)
        transport = self.transport
        if transport is not None:
            transport.write(answer)
            transport.write_eof()

    def abort(self) -> None:
        """Give up at once on a peer that does not read its answer, or on a request that hangs."""
        if self.transport is not None:
            self.transport.abort()
        self.force_close()


class BoundedServer(web.Server):
    """A low-level aiohttp server whose connections are bounded; answer() gets every request."""

    def __init__(
        self, answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], limits: ConnectionLimits
    ) -> None:
        super().__init__(
            answer,
            access_log=None,
            keepalive_timeout=limits.idle_seconds,
            lingering_time=limits.lingering_seconds,
            max_line_size=limits.line_bytes_max,
            max_field_size=limits.header_bytes_max,
            max_headers=limits.headers_max,
            auto_decompress=False,
        )
        self._limits = limits
        self.held = HeldOctets(limits.held_bytes_max, limits.held_bytes_each, give_back)
        self._heading: dict[BoundedConnection, float] = {}
        self._idle: dict[BoundedConnection, None] = {}
        self._busy: dict[BoundedConnection, float] = {}
        self._refused: dict[BoundedConnection, None] = {}
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._clock = asyncio.get_running_loop().time
        self.turned_away = 0

    def __call__(self) -> BoundedConnection:
        return BoundedConnection(self, loop=self._loop, **self._kwargs)

    @property
    def connection_count(self) -> int:
        """Connections that are open."""
        return len(self._heading) + len(self._idle) + len(self._busy) + len(self._refused)

    def opened(self, connection: BoundedConnection) -> None:
        """A new connection; the head of its first request is awaited."""
        if self.connection_count >= self._limits.connections_max:
            self.turned_away += 1
            if not self._idle:
                connection.abort()
                return
            oldest = next(iter(self._idle))
            del self._idle[oldest]
            oldest.force_close()
        self._heading[connection] = self._clock() + self._limits.head_seconds

    def receiving(self, connection: BoundedConnection) -> None:
        """Bytes came in; when the connection was idle, its next request has begun."""
        if connection in self._idle:
            del self._idle[connection]
            self._heading[connection] = self._clock() + self._limits.head_seconds

    def began(self, connection: web.RequestHandler) -> float:
        """A whole head is there and its request is being answered; returns the loop's time."""
        now = self._clock()
        if isinstance(connection, BoundedConnection):
            self._heading.pop(connection, None)
            self._idle.pop(connection, None)
            self._busy[connection] = now + self._limits.busy_seconds
        return now

    def answered(self, connection: BoundedConnection) -> None:
        """The answer is out."""
        self._heading.pop(connection, None)
        if self._busy.pop(connection, None) is not None:
            self._idle[connection] = None

    def refused(self, connection: BoundedConnection) -> None:
        """It brings more of a head than there is room for."""
        self._heading.pop(connection, None)
        self._refused[connection] = None
        connection.refuse(_BUSY)

    def closed(self, connection: BoundedConnection) -> None:
        """The connection is gone."""
        self._heading.pop(connection, None)
        self._idle.pop(connection, None)
        self._busy.pop(connection, None)
        self._refused.pop(connection, None)

    def start_sweeping(self) -> None:
        """Begin to close what is over its time."""
        self._sweep_timer = self._loop.call_later(SWEEP_SECONDS, self._sweep)

    def stop_sweeping(self) -> None:
        """End the timer."""
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
            self._sweep_timer = None

    def _sweep(self) -> None:
        now = self._clock()
        for connection in list(self._refused):
            connection.abort()
        for connection in _over(self._heading, now):
            self._refused[connection] = None
            connection.refuse(_LATE)
        for connection in _over(self._busy, now):
            connection.abort()
        self.held.trim(now)
        self._sweep_timer = self._loop.call_later(SWEEP_SECONDS, self._sweep)


def _over(phase: dict[BoundedConnection, float], now: float) -> list[BoundedConnection]:
    """Take out of a phase the connections whose time is over."""
    over = []
    for connection, ends in phase.items():
        if ends > now:
            break
        over.append(connection)
    for connection in over:
        del phase[connection]
    return over


def is_refused(request: web.BaseRequest) -> bool:
    """True when what a request's connection sends is thrown away."""
    connection = request.protocol
    return isinstance(connection, BoundedConnection) and connection.is_refused


def _canned(code: Code, fields: str = "") -> bytes:
    body = encode(problem(code), "", "")
    head = f"HTTP/1.1 {code.status} {HTTPStatus(code.status).phrase}\r\nContent-Type: {PROBLEM_JSON}\r\n{fields}"
    return f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


_LATE: Final = _canned(REQUEST_TIMEOUT)
_BUSY: Final = _canned(BUSY, "Retry-After: 1\r\n")
