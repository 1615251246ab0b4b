"""The SMSC's door: accepts TCP connections, bounded in all and before the bind, and makes each an SmppConnection."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from dataclasses import dataclass

from protocols.smpp.limits import SessionConfig
from protocols.smpp.state import Role
from smscd.transport.connection import Callbacks, CloseReason, SmppConnection, WriteLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerLimits:
    """How many connections one process takes; one more is closed at once, without a word to the owner.

    half_open_max, half_open_per_address_max: connections that have not bound yet, which cost the peer nothing.
    """

    connections_max: int = 20_000
    half_open_max: int = 4_000
    half_open_per_address_max: int = 1_500
    backlog: int = 1_024


class Listener:
    """A listening socket and its connections. Made by listen()."""

    def __init__(
        self,
        config: SessionConfig,
        callbacks: Callbacks,
        limits: ListenerLimits,
        write_limits: WriteLimits,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.connections: set[SmppConnection] = set()
        self.refused_count = 0
        self._config = config
        self._callbacks = callbacks
        self._limits = limits
        self._write_limits = write_limits
        self._loop = loop
        self._half_open: Counter[str] = Counter()
        self._half_open_count = 0
        self._server: asyncio.Server | None = None

    @property
    def half_open_count(self) -> int:
        """Connections that have not bound yet."""
        return self._half_open_count

    @property
    def port(self) -> int:
        """The port that is listened on, also when 0 was asked for."""
        if self._server is None or not self._server.sockets:
            return 0
        return int(self._server.sockets[0].getsockname()[1])

    async def start(
        self, host: str, port: int, *, reuse_port: bool = False, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        """Listen. Raises OSError when the address cannot be had."""
        self._server = await self._loop.create_server(
            self._connection, host, port, reuse_port=reuse_port, ssl=ssl_context, backlog=self._limits.backlog
        )

    async def dial(self, host: str, port: int, timeout_seconds: float) -> SmppConnection:
        """Connect to an ESME instead of waiting for it; the connection is then one like any other.

        Raises OSError, TimeoutError included, also when there are too many connections.
        """
        async with asyncio.timeout(timeout_seconds):
            _, connection = await self._loop.create_connection(self._connection, host, port)
        if not connection.is_open:
            raise ConnectionError("too many connections")
        return connection

    def stop_accepting(self) -> None:
        """Close the listening socket; connections stay."""
        if self._server is not None:
            self._server.close()

    def abort_all(self, reason: str = CloseReason.LOCAL) -> None:
        """Cut every connection that is left."""
        for connection in tuple(self.connections):
            connection.abort(reason)

    def _connection(self) -> SmppConnection:
        callbacks = Callbacks(self._on_open, self._callbacks.on_events, self._on_closed)
        return SmppConnection(
            Role.SMSC, self._config, callbacks, self._loop, self._write_limits, on_bound=self._left_half_open
        )

    def _on_open(self, connection: SmppConnection) -> None:
        address = connection.peer[0]
        self._half_open[address] += 1
        self._half_open_count += 1
        if (
            len(self.connections) >= self._limits.connections_max
            or self._half_open_count > self._limits.half_open_max
            or self._half_open[address] > self._limits.half_open_per_address_max
        ):
            self.refused_count += 1
            connection.abort(CloseReason.REFUSED)
            return
        self.connections.add(connection)
        self._callbacks.on_open(connection)

    def _left_half_open(self, connection: SmppConnection) -> None:
        address = connection.peer[0]
        self._half_open_count -= 1
        self._half_open[address] -= 1
        if not self._half_open[address]:
            del self._half_open[address]

    def _on_closed(self, connection: SmppConnection, reason: str) -> None:
        if connection in self.connections:
            self.connections.discard(connection)
            self._callbacks.on_closed(connection, reason)


async def listen(
    host: str,
    port: int,
    *,
    config: SessionConfig,
    callbacks: Callbacks,
    reuse_port: bool = False,
    limits: ListenerLimits | None = None,
    write_limits: WriteLimits | None = None,
    ssl_context: ssl.SSLContext | None = None,
) -> Listener:
    """Accept ESMEs on host and port (0: any free one, see Listener.port). Raises OSError."""
    listener = Listener(
        config,
        callbacks,
        limits or ListenerLimits(),
        write_limits or WriteLimits(),
        asyncio.get_running_loop(),
    )
    await listener.start(host, port, reuse_port=reuse_port, ssl_context=ssl_context)
    return listener
