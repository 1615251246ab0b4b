"""A network in memory: servers, connections with delays, cuts, and links on which everything vanishes in silence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from random import Random
from typing import Any

from tests.simulation.loop import HOST, NOBODY, Host, VirtualLoop

TAKES_SECONDS = (0.0002, 0.003)


class Wire:
    """One connection. is_silent: half open, what is written vanishes. to: where it was dialed."""

    def __init__(self, loop: VirtualLoop, chance: Random, to: str) -> None:
        self.loop = loop
        self.chance = chance
        self.to = to
        self.is_silent = False
        self.near: End
        self.far: End

    def cut(self) -> None:
        """Reset at both ends."""
        for end in (self.near, self.far):
            end.lose(ConnectionResetError("cut"))


class End(asyncio.Transport):
    """One end of a wire. sent_at: when what arrives now was written. on_write: told of each write before it goes."""

    def __init__(self, wire: Wire, host: Host | None, address: str) -> None:
        super().__init__()
        self.wire = wire
        self.host = host
        self.address = address
        self.protocol: Any = None
        self.other: End
        self.is_over = False
        self.sent_at = 0.0
        self.on_write: Callable[[bytes], None] | None = None
        self._is_reading = True
        self._unread: list[tuple[bytes, float]] = []
        self._arrives = 0.0

    @property
    def context(self) -> Context:
        return self.host.context if self.host is not None else NOBODY

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return (self.other.address, 40_000) if name == "peername" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.is_over

    def pause_reading(self) -> None:
        self._is_reading = False

    def resume_reading(self) -> None:
        self._is_reading = True
        self.wire.loop.call_soon(self._read_on, context=self.context)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.is_over or (self.host is not None and self.host.is_dead):
            return
        if self.on_write is not None:
            self.on_write(bytes(data))
        if not self.wire.is_silent:
            self._later(self.other.take, bytes(data), self.wire.loop.now)

    def close(self) -> None:
        self._end(None)

    def abort(self) -> None:
        self._end(None)

    def take(self, data: bytes, sent_at: float) -> None:
        """Octets have arrived."""
        self._unread.append((data, sent_at))
        self._read_on()

    def lose(self, error: Exception | None) -> None:
        """The connection is gone, as this end learns of it now."""
        if not self.is_over:
            self.is_over = True
            self.wire.loop.call_soon(self._tell_lost, error, context=self.context)

    def host_died(self) -> None:
        """The kernel closes what a dead process had open; what it had written still arrives."""
        self.is_over = True
        if not self.wire.is_silent:
            self._later(self.other.lose, None)

    def _read_on(self) -> None:
        while self._unread and self._is_reading and not self.is_over:
            data, self.sent_at = self._unread.pop(0)
            self.protocol.data_received(data)

    def _end(self, error: Exception | None) -> None:
        if self.is_over:
            return
        self.is_over = True
        self.wire.loop.call_soon(self._tell_lost, error, context=self.context)
        if not self.wire.is_silent:
            self._later(self.other.lose, None)

    def _tell_lost(self, error: Exception | None) -> None:
        self.protocol.connection_lost(error)

    def _later(self, call: Callable[..., None], *args: Any) -> None:
        """At the other end, after a while, in the order of the calls."""
        at = self.wire.loop.now + self.wire.chance.uniform(*TAKES_SECONDS)
        self._arrives = max(at, self._arrives + 1e-6)
        self.wire.loop.call_at(self._arrives, call, *args, context=self.other.context)


class _Server:
    sockets = ()

    def __init__(self, close: Callable[[], None]) -> None:
        self.close = close


class Network:
    """All servers and wires. closed: addresses that take no connection now. opened: told of each new wire."""

    def __init__(self, loop: VirtualLoop, chance: Random) -> None:
        self._loop = loop
        self._chance = chance
        self._servers: dict[str, tuple[Callable[[], Any], Host | None]] = {}
        self.wires: list[Wire] = []
        self.closed: set[str] = set()
        self.opened: Callable[[Wire], None] = lambda wire: None
        loop.create_server = self._create_server
        loop.create_connection = self._create_connection

    def listen(self, name: str, make: Callable[[], Any], host: Host | None) -> None:
        """Serve under a name, as a host that is no process of ours."""
        self._servers[name] = (make, host)

    def died(self, host: Host) -> None:
        """Close everything that a host had open."""
        self._servers = {name: found for name, found in self._servers.items() if found[1] is not host}
        for wire in self.wires:
            for end in (wire.near, wire.far):
                if end.host is host and not end.is_over:
                    end.host_died()

    async def _create_server(self, make: Callable[[], Any], host: str, port: int, **_: Any) -> _Server:
        self.listen(host, make, HOST.get())
        return _Server(lambda: self._servers.pop(host, None) and None)

    async def _create_connection(self, make: Callable[[], Any], host: str, port: int, **_: Any) -> tuple[End, Any]:
        await asyncio.sleep(self._chance.uniform(*TAKES_SECONDS))
        found = self._servers.get(host)
        if found is None or host in self.closed:
            raise ConnectionRefusedError(f"nobody listens at {host}")
        wire = Wire(self._loop, self._chance, host)
        mine = HOST.get()
        wire.near = End(wire, mine, mine.name if mine is not None else "esme")
        wire.far = End(wire, found[1], host)
        wire.near.other, wire.far.other = wire.far, wire.near
        self.wires = [each for each in self.wires if not (each.near.is_over and each.far.is_over)]
        self.wires.append(wire)
        near = wire.near.protocol = make()
        far = wire.far.protocol = found[0]()
        self.opened(wire)
        self._loop.call_soon(far.connection_made, wire.far, context=wire.far.context)
        near.connection_made(wire.near)
        return wire.near, near
