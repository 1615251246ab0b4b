"""The door for carriers that call us: accepts a connection, waits for its outbind, and hands both over.

Off unless it is configured. Who may call is a list of networks; one that says nothing in time, says anything else, or
is one too many is closed without a word.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address

import structlog

from protocols.smpp.events import Event, OutbindReceived
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import Outbind
from protocols.smpp.state import Role
from smscd.transport.connection import Callbacks, SmppConnection
from smscd.transport.handshake import TlsDoor
from smscd.transport.tls import ClientTls, ServerTls

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutbindLimits:
    """Where carriers may call, who may, and how much of it.

    open_seconds: from the connection to its outbind. connections_max: of one upstream, the bound ones included.
    """

    host: str
    networks: tuple[IPv4Network | IPv6Network, ...]
    open_seconds: float = 5.0
    connections_max: int = 16

    def allows(self, address: str) -> bool:
        """True when a peer of this address may call."""
        try:
            peer = ip_address(address)
        except ValueError:
            return False
        mapped = getattr(peer, "ipv4_mapped", None)
        return any((mapped or peer) in network for network in self.networks)


class Caller:
    """One connection that a carrier has opened. Whoever takes it over hears of it from then on, as if he had dialed."""

    def __init__(self, door: OutbindListener, loop: asyncio.AbstractEventLoop) -> None:
        callbacks = Callbacks(self._on_open, self._on_events, self._on_closed)
        self.connection = SmppConnection(Role.ESME, door.config, callbacks, loop)
        self._door = door
        self._loop = loop
        self._taker: Callbacks | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def take_over(
        self, host: str, port: int, *, config: SessionConfig, callbacks: Callbacks, tls: ClientTls | None = None
    ) -> SmppConnection:
        """Instead of transport.dial.connect; the door has decided whether there is TLS, so tls does not count.

        Raises ConnectionError when the carrier has hung up.
        """
        if not self.connection.is_open:
            raise ConnectionError("the carrier has hung up")
        self._taker = callbacks
        callbacks.on_open(self.connection)
        self.connection.flush()
        return self.connection

    def refuse(self, reason: str) -> None:
        """Close, and say why in the log."""
        self._door.refused(self.connection.peer[0], reason)
        self.connection.abort(reason)

    def _on_open(self, connection: SmppConnection) -> None:
        limits = self._door.limits
        self._door.callers.add(self)
        if not limits.allows(connection.peer[0]):
            self.refuse("address_not_allowed")
        elif len(self._door.callers) > limits.connections_max:
            self.refuse("too_many_connections")
        else:
            self._timer = self._loop.call_later(limits.open_seconds, self.refuse, "no_outbind")

    def _on_events(self, connection: SmppConnection, events: list[Event]) -> None:
        if self._taker is not None:
            self._taker.on_events(connection, events)
            return
        for event in events:
            if not isinstance(event, OutbindReceived) or self._timer is None:
                self.refuse("not_an_outbind")
                return
            self._stop_timer()
            self._door.on_outbind(self, event.pdu)

    def _on_closed(self, connection: SmppConnection, reason: str) -> None:
        self._stop_timer()
        self._door.callers.discard(self)
        if self._taker is not None:
            self._taker.on_closed(connection, reason)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class OutbindListener:
    """A listening socket for the outbinds of one upstream, and who has called. on_outbind: takes over or refuses.

    tls: None for a door without TLS.
    """

    def __init__(
        self,
        name: str,
        config: SessionConfig,
        limits: OutbindLimits,
        on_outbind: Callable[[Caller, Outbind], None],
        tls: ServerTls | None = None,
    ) -> None:
        self.name = name
        self.config = config
        self.limits = limits
        self.on_outbind = on_outbind
        self.callers: set[Caller] = set()
        self._tls = tls
        self._tls_door: TlsDoor | None = None
        self._server: asyncio.Server | None = None

    async def start(self, port: int) -> None:
        """Listen. Raises OSError when the address cannot be had."""
        loop = asyncio.get_running_loop()
        limits = self.limits

        def make() -> SmppConnection:
            return Caller(self, loop).connection

        if self._tls is None:
            self._server = await loop.create_server(make, limits.host, port, backlog=limits.connections_max)
        else:
            self._tls_door = TlsDoor(self, self._tls, make, limits.open_seconds)
            await self._tls_door.start(limits.host, port, reuse_port=False, backlog=limits.connections_max)

    @property
    def port(self) -> int:
        """The port that is listened on."""
        if self._tls_door is not None:
            return self._tls_door.port
        return int(self._server.sockets[0].getsockname()[1]) if self._server is not None else 0

    def stop(self) -> None:
        """Take no more calls; those that were taken over go on."""
        if self._server is not None:
            self._server.close()
        if self._tls_door is not None:
            self._tls_door.close()
        for caller in tuple(self.callers):
            if caller._taker is None:
                caller.connection.abort()

    def enter(self, address: str) -> bool:
        """True when a handshake with a peer of this address may begin."""
        if not self.limits.allows(address):
            self.refused(address, "address_not_allowed")
        elif len(self.callers) + self._handshakes >= self.limits.connections_max:
            self.refused(address, "too_many_connections")
        else:
            return True
        return False

    @property
    def _handshakes(self) -> int:
        return self._tls_door.handshakes if self._tls_door is not None else 0

    def handshake_failed(self, address: str) -> None:
        """A call did not get to its first PDU."""
        self.refused(address, "tls_handshake_failed")

    def refused(self, address: str, reason: str) -> None:
        """Say in the log that a call was not taken, and why."""
        _log.warning("outbind.refused", upstream=self.name, peer=address, reason=reason)
