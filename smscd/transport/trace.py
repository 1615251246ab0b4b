"""Live traces of sessions for an operator: PDUs of the connections that somebody watches, redacted, as they pass.

A connection has a tap only while it is watched; else tracing costs one comparison a read and a write.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from protocols.smpp.constants import HEADER_SIZE
from protocols.smpp.redaction import redacted
from smscd.transport.connection import SmppConnection

LOOK_SECONDS: Final = 0.5
PUBLISH_SECONDS: Final = 0.1
WAITING_MAX: Final = 2_000


class TracedPdu(msgspec.Struct, array_like=True):
    """One PDU of a trace.

    at_ms: since the Unix epoch. is_ours: we sent it. frame: redacted. lost: PDUs that were left out before it.
    """

    at_ms: int
    session: str
    is_ours: bool
    frame: bytes
    lost: int = 0


class Traceable(NamedTuple):
    """A connection, and the names by which it can be asked for."""

    connection: SmppConnection
    names: frozenset[str]


class Tap:
    """Cuts both directions of one connection into PDUs. targets: by which of its names it is watched."""

    __slots__ = ("_rest", "_take", "targets")

    def __init__(self, take: Callable[[bool, bytes], None], targets: frozenset[str] = frozenset()) -> None:
        self.targets = targets
        self._take = take
        self._rest = {False: b"", True: b""}

    def __call__(self, is_ours: bool, data: bytes) -> None:
        """Octets that passed. A PDU that began before the tap was set is skipped as far as it can be told."""
        data = self._rest[is_ours] + data
        position = 0
        while len(data) - position >= HEADER_SIZE:
            length = int.from_bytes(data[position : position + 4], "big")
            if not HEADER_SIZE <= length <= 1 << 24:
                data, position = b"", 0
                break
            if position + length > len(data):
                break
            self._take(is_ours, data[position : position + length])
            position += length
        self._rest[is_ours] = data[position:]


class Tracer:
    """The traces of one process.

    watched(): the targets that somebody watches. publish(items): sends (target, record) on. connections(): what is
    open here. now_ms: milliseconds since the Unix epoch. away: what the first two raise when Redis is away.
    """

    def __init__(
        self,
        *,
        watched: Callable[[], Awaitable[set[str]]],
        publish: Callable[[Sequence[tuple[str, bytes]]], Awaitable[None]],
        connections: Callable[[], Iterable[Traceable]],
        now_ms: Callable[[], int],
        away: tuple[type[BaseException], ...],
    ) -> None:
        self._watched = watched
        self._publish = publish
        self._connections = connections
        self._now_ms = now_ms
        self._away = away
        self._targets: set[str] = set()
        self._waiting: deque[tuple[str, TracedPdu]] = deque()
        self._lost = 0
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Somebody begins to watch."""
        self._rung.set()

    async def run(self) -> None:
        """Trace what is watched, until cancelled."""
        looked = 0.0
        loop = asyncio.get_running_loop()
        while True:
            try:
                if not self._targets or loop.time() - looked >= LOOK_SECONDS:
                    looked = loop.time()
                    self._rung.clear()
                    self._targets = await self._watched()
                    self._set_taps()
                await self._send()
            except self._away:
                self._waiting.clear()
            if self._targets:
                await asyncio.sleep(PUBLISH_SECONDS)
            else:
                await self._rung.wait()

    def _set_taps(self) -> None:
        """A tap for each connection that is watched and none for the others; a new one when others watch it."""
        for connection, names in self._connections():
            targets = names & self._targets
            if not targets:
                connection.tap = None
            elif not isinstance(connection.tap, Tap) or connection.tap.targets != targets:
                connection.tap = Tap(self._taker(connection, sorted(targets)), targets)

    def _taker(self, connection: SmppConnection, targets: list[str]) -> Callable[[bool, bytes], None]:
        session = f"{connection.peer[0]}:{connection.peer[1]}"

        def take(is_ours: bool, frame: bytes) -> None:
            if len(self._waiting) >= WAITING_MAX:
                self._lost += 1
                return
            shown = TracedPdu(self._now_ms(), session, is_ours, redacted(frame), self._lost)
            self._lost = 0
            self._waiting.extend((target, shown) for target in targets)

        return take

    async def _send(self) -> None:
        if self._waiting:
            items = [(target, msgspec.msgpack.encode(shown)) for target, shown in self._waiting]
            self._waiting.clear()
            await self._publish(items)
