"""A connection on the TLS port until its handshake is done: limited before anything is computed for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from smscd.transport.connection import SmppConnection
from smscd.transport.tls import ServerTls


class Gatekeeper(Protocol):
    """The listener, as a handshake knows it."""

    def enter(self, address: str) -> bool:
        """Count a connection that has not bound; False when there is no room for it."""
        ...

    def handshake_failed(self, address: str) -> None:
        """It did not become a connection."""
        ...


class Handshake(asyncio.Protocol):
    """Reads nothing until the handshake begins; afterwards the connection takes its place.

    seconds: until the handshake must be done, part of the time that a peer has for its bind.
    """

    def __init__(
        self,
        gatekeeper: Gatekeeper,
        tls: ServerTls,
        make: Callable[[], SmppConnection],
        tasks: set[asyncio.Task[None]],
        seconds: float,
    ) -> None:
        self._gatekeeper = gatekeeper
        self._tls = tls
        self._make = make
        self._tasks = tasks
        self._seconds = seconds

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let it in, or cut it off."""
        plain = cast(asyncio.Transport, transport)
        name = transport.get_extra_info("peername")
        address = str(name[0]) if isinstance(name, tuple) else ""
        if not self._gatekeeper.enter(address):
            plain.abort()
            return
        plain.pause_reading()
        task = asyncio.get_running_loop().create_task(self._shake_hands(plain, address))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _shake_hands(self, plain: asyncio.Transport, address: str) -> None:
        connection = self._make()
        early = _Early()
        try:
            secured = await asyncio.get_running_loop().start_tls(
                plain,
                early,
                self._tls.context,
                server_side=True,
                ssl_handshake_timeout=self._seconds,
                ssl_shutdown_timeout=self._seconds,
            )
        except (OSError, asyncio.CancelledError) as error:
            plain.abort()
            self._gatekeeper.handshake_failed(address)
            if isinstance(error, asyncio.CancelledError):
                raise
            return
        if secured is None or early.is_lost:
            plain.abort()
            self._gatekeeper.handshake_failed(address)
            return
        secured.set_protocol(connection)
        connection.connection_made(secured)
        if early.data:
            connection.data_received(bytes(early.data))
        if early.is_eof:
            connection.eof_received()
            secured.close()


class _Early(asyncio.Protocol):
    """Keeps what the peer sends with the end of its handshake, until the connection is there to read it."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.is_eof = False
        self.is_lost = False

    def data_received(self, data: bytes) -> None:
        """The first PDUs."""
        self.data += data

    def eof_received(self) -> bool:
        """It will send no more; the connection is told when it is there."""
        self.is_eof = True
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone already."""
        self.is_lost = True
