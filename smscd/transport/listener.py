"""The SMSC's door: accepts connections, plain and TLS, bounded in all and before the bind, each an SmppConnection."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

from protocols.smpp.limits import SessionConfig
from protocols.smpp.state import Role
from smscd.core.address_buckets import AddressBuckets
from smscd.core.networks import peer_group
from smscd.transport.connection import Callbacks, CloseReason, SmppConnection, WriteLimits
from smscd.transport.dial import open_connection
from smscd.transport.handshake import TlsDoor
from smscd.transport.tls import ClientTls, ServerTls


class Refusal(StrEnum):
    """Why a connection was closed before its first PDU was looked at; the values are labels of a metric."""

    CONNECTIONS = "too_many_connections"
    HALF_OPEN = "too_many_half_open"
    ADDRESS_HALF_OPEN = "too_many_half_open_of_address"
    RATE = "too_fast"
    HANDSHAKE = "tls_handshake_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerLimits:
    """How many connections one process takes; one more is closed at once, without a word to the owner.

    half_open_max, half_open_per_address_max: connections that have not bound yet, which cost the peer nothing.
    per_second_per_address, burst_per_address: new ones, see AddressBuckets; 0 a second is no limit.
    """

    connections_max: int = 20_000
    half_open_max: int = 4_000
    half_open_per_address_max: int = 1_500
    per_second_per_address: float = 0.0
    burst_per_address: int = 500
    addresses_max: int = 10_000
    backlog: int = 1_024


class Listener:
    """The listening sockets and their connections. Made by listen(). refused: connections that were not let in."""

    def __init__(
        self,
        config: SessionConfig,
        callbacks: Callbacks,
        limits: ListenerLimits,
        write_limits: WriteLimits,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.connections: set[SmppConnection] = set()
        self.refused: Counter[Refusal] = Counter()
        self._config = config
        self._callbacks = callbacks
        self._limits = limits
        self._write_limits = write_limits
        self._loop = loop
        self._rates = AddressBuckets(limits.per_second_per_address, limits.burst_per_address, limits.addresses_max)
        self._half_open: Counter[str] = Counter()
        self._half_open_count = 0
        self._server: asyncio.Server | None = None
        self._tls_door: TlsDoor | None = None

    @property
    def refused_count(self) -> int:
        """Connections that were not let in, for whatever reason."""
        return self.refused.total()

    @property
    def half_open_count(self) -> int:
        """Connections that have not bound yet, handshakes included."""
        return self._half_open_count

    @property
    def port(self) -> int:
        """The port that is listened on without TLS, also when 0 was asked for; 0 when there is none."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server is not None and self._server.sockets else 0

    @property
    def tls_port(self) -> int:
        """The port that is listened on with TLS; 0 when there is none."""
        return self._tls_door.port if self._tls_door is not None else 0

    async def start(self, host: str, port: int, *, reuse_port: bool = False) -> None:
        """Listen without TLS. Raises OSError when the address cannot be had."""
        self._server = await self._loop.create_server(
            self._connection, host, port, reuse_port=reuse_port, backlog=self._limits.backlog
        )

    async def start_tls(self, host: str, port: int, tls: ServerTls, *, reuse_port: bool = False) -> None:
        """Listen with TLS. Raises OSError when the address cannot be had."""
        self._tls_door = TlsDoor(
            self, tls, lambda: self._connection(is_entered=True), self._config.session_init_seconds
        )
        await self._tls_door.start(host, port, reuse_port=reuse_port, backlog=self._limits.backlog)

    async def dial(self, host: str, port: int, timeout_seconds: float, tls: ClientTls | None = None) -> SmppConnection:
        """Connect to an ESME instead of waiting for it; the connection is then one like any other.

        Raises OSError, TimeoutError and ssl.SSLError included, also when there are too many connections.
        """
        connection = await open_connection(self._connection, host, port, timeout_seconds, tls)
        if not connection.is_open:
            raise ConnectionError("too many connections")
        return connection

    def stop_accepting(self) -> None:
        """Close the listening sockets; connections stay, handshakes do not."""
        if self._server is not None:
            self._server.close()
        if self._tls_door is not None:
            self._tls_door.close()

    def abort_all(self, reason: str = CloseReason.LOCAL) -> None:
        """Cut every connection that is left."""
        for connection in tuple(self.connections):
            connection.abort(reason)

    # --- who may come in --------------------------------------------------------------------------------------------

    def enter(self, address: str) -> bool:
        """Count a connection that has not bound; False when there is no room for it, and it is not counted."""
        group = peer_group(address)
        refusal = self._refusal(address, group)
        if refusal is not None:
            self.refused[refusal] += 1
            return False
        self._half_open[group] += 1
        self._half_open_count += 1
        return True

    def handshake_failed(self, address: str) -> None:
        """A connection on the TLS port did not get to its first PDU."""
        self.refused[Refusal.HANDSHAKE] += 1
        self._leave(address)

    def _refusal(self, address: str, group: str) -> Refusal | None:
        limits = self._limits
        if len(self.connections) >= limits.connections_max:
            return Refusal.CONNECTIONS
        if self._half_open_count >= limits.half_open_max:
            return Refusal.HALF_OPEN
        if self._half_open[group] >= limits.half_open_per_address_max:
            return Refusal.ADDRESS_HALF_OPEN
        return None if self._rates.take(address, self._loop.time()) else Refusal.RATE

    def _leave(self, address: str) -> None:
        group = peer_group(address)
        self._half_open_count -= 1
        self._half_open[group] -= 1
        if not self._half_open[group]:
            del self._half_open[group]

    # --- what connections tell --------------------------------------------------------------------------------------

    def _connection(self, *, is_entered: bool = False) -> SmppConnection:
        opened = self._on_entered if is_entered else self._on_open
        callbacks = Callbacks(opened, self._callbacks.on_events, self._on_closed)
        return SmppConnection(
            Role.SMSC, self._config, callbacks, self._loop, self._write_limits, on_bound=self._left_half_open
        )

    def _on_open(self, connection: SmppConnection) -> None:
        if not self.enter(connection.peer[0]):
            connection.forget_bound()
            connection.abort(CloseReason.REFUSED)
            return
        self._on_entered(connection)

    def _on_entered(self, connection: SmppConnection) -> None:
        self.connections.add(connection)
        self._callbacks.on_open(connection)

    def _left_half_open(self, connection: SmppConnection) -> None:
        self._leave(connection.peer[0])

    def _on_closed(self, connection: SmppConnection, reason: str) -> None:
        if connection in self.connections:
            self.connections.discard(connection)
            self._callbacks.on_closed(connection, reason)


async def listen(
    host: str,
    port: int | None,
    *,
    config: SessionConfig,
    callbacks: Callbacks,
    reuse_port: bool = False,
    limits: ListenerLimits | None = None,
    write_limits: WriteLimits | None = None,
    tls_port: int = 0,
    tls: ServerTls | None = None,
) -> Listener:
    """Accept ESMEs on host: at port without TLS, at tls_port with it (0: any free one, see Listener.port).

    port None: only with TLS. tls None: only without. Raises OSError.
    """
    listener = Listener(
        config,
        callbacks,
        limits or ListenerLimits(),
        write_limits or WriteLimits(),
        asyncio.get_running_loop(),
    )
    if port is not None:
        await listener.start(host, port, reuse_port=reuse_port)
    if tls is not None:
        await listener.start_tls(host, tls_port, tls, reuse_port=reuse_port)
    return listener
