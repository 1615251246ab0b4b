"""The door with TLS: connections are limited as soon as they are accepted, before anything is computed for them.

create_server(ssl=...) tells of a connection after its handshake only, and start_tls on one that is read from already
may lose the first octets of it; so the sockets are accepted here and handed over with their context.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final, Protocol

from smscd.transport.connection import SmppConnection
from smscd.transport.tls import ServerTls

ACCEPTS_AT_ONCE: Final = 100
ACCEPT_AGAIN_SECONDS: Final = 1.0


class Gatekeeper(Protocol):
    """The listener, as this door knows it."""

    def enter(self, address: str) -> bool:
        """Count a connection that has not bound; False when there is no room for it."""
        ...

    def handshake_failed(self, address: str) -> None:
        """It did not become a connection."""
        ...


class TlsDoor:
    """Listening sockets whose connections begin with a handshake.

    make(): a connection that is counted already; its time for the bind runs from now on, and its connection_made is
    called once the handshake is done. seconds: until that must be, part of the same time.
    """

    def __init__(
        self, gatekeeper: Gatekeeper, tls: ServerTls, make: Callable[[], SmppConnection], seconds: float
    ) -> None:
        self._gatekeeper = gatekeeper
        self._tls = tls
        self._make = make
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._sockets: list[socket.socket] = []
        self._handshakes: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._sockets[0].getsockname()[1]) if self._sockets else 0

    @property
    def handshakes(self) -> int:
        """How many are under way."""
        return len(self._handshakes)

    async def start(self, host: str, port: int, *, reuse_port: bool, backlog: int) -> None:
        """Listen. Raises OSError when the address cannot be had."""
        places = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        try:
            for family, _, _, _, place in dict.fromkeys(places):
                self._listen(family, place, reuse_port=reuse_port, backlog=backlog)
        except OSError:
            self.close()
            raise

    def _listen(self, family: int, place: tuple[object, ...], *, reuse_port: bool, backlog: int) -> None:
        listening = socket.socket(family, socket.SOCK_STREAM)
        self._sockets.append(listening)
        listening.setblocking(False)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(place)
        listening.listen(backlog)
        self._loop.add_reader(listening.fileno(), self._accept, listening)

    def close(self) -> None:
        """Accept nothing more, and end the handshakes that are under way."""
        for listening in self._sockets:
            self._loop.remove_reader(listening.fileno())
            listening.close()
        self._sockets.clear()
        for task in tuple(self._handshakes):
            task.cancel()

    def _accept(self, listening: socket.socket) -> None:
        """Take what has come, as much of it as leaves the others their turn."""
        for _ in range(ACCEPTS_AT_ONCE):
            try:
                accepted, place = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                # No file descriptor is free: asking at once again would only keep us from closing some.
                self._loop.remove_reader(listening.fileno())
                self._loop.call_later(ACCEPT_AGAIN_SECONDS, self._listen_again, listening)
                return
            address = str(place[0])
            if not self._gatekeeper.enter(address):
                accepted.close()
                continue
            accepted.setblocking(False)
            task = self._loop.create_task(self._shake_hands(accepted, address))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    def _listen_again(self, listening: socket.socket) -> None:
        if listening in self._sockets:
            self._loop.add_reader(listening.fileno(), self._accept, listening)

    async def _shake_hands(self, accepted: socket.socket, address: str) -> None:
        connection = self._make()
        try:
            await self._loop.connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=self._tls.context,
                ssl_handshake_timeout=self._seconds,
                ssl_shutdown_timeout=self._seconds,
            )
        except OSError:
            self._gatekeeper.handshake_failed(address)
        except asyncio.CancelledError:
            self._gatekeeper.handshake_failed(address)
            raise
