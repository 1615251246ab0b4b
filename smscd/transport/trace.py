"""Live traces of sessions for an operator: PDUs of the connections that somebody watches, redacted, as they pass.

A connection has a tap only while it is watched, or while anything is watched and it has not said who it is; else
tracing costs one comparison a read and a write.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from protocols.smpp.constants import HEADER_SIZE, CommandId
from protocols.smpp.redaction import redacted
from smscd.transport.connection import SmppConnection

LOOK_SECONDS: Final = 0.5
PUBLISH_SECONDS: Final = 0.1
WAITING_MAX: Final = 2_000
FIRST_PDUS_MAX: Final = 20
_BINDS: Final = frozenset((CommandId.BIND_TRANSMITTER, CommandId.BIND_RECEIVER, CommandId.BIND_TRANSCEIVER))


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


def traceable_by_address(connection: SmppConnection, *names: str) -> Traceable:
    """A connection by the address of its peer, with the port and without, and by these names."""
    host, port = connection.peer
    return Traceable(connection, frozenset((*names, host, f"{host}:{port}")))


class Tap:
    """Cuts both directions of one connection into PDUs.

    targets: by which of its names it is watched. claimed: the watched system_ids as which it has asked to be bound,
    whatever it was answered.
    """

    __slots__ = ("_rest", "_take", "claimed", "targets")

    def __init__(
        self,
        take: Callable[[bool, bytes], None],
        targets: frozenset[str] = frozenset(),
        claimed: frozenset[str] = frozenset(),
    ) -> None:
        self.targets = targets
        self.claimed = claimed
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

    def opened(self, new: Traceable) -> None:
        """A connection is up, nothing has passed yet. Who watches it, by a name that it has or will claim, sees all."""
        if not self._targets:
            return
        connection, names = new
        first: list[TracedPdu] = []

        def take(is_ours: bool, frame: bytes) -> None:
            name = "" if is_ours else system_id_of(frame)
            if name in self._targets and name not in tap.targets:
                tap.claimed |= {name}
                tap.targets |= {name}
                for shown in first:
                    self._show(shown, (name,))
            is_shown = bool(tap.targets) and self._has_room()
            if is_shown or len(first) < FIRST_PDUS_MAX:
                shown = self._traced(connection, is_ours, frame)
                if len(first) < FIRST_PDUS_MAX:
                    first.append(shown)
                if is_shown:
                    self._show(shown, tap.targets)

        tap = Tap(take, names & self._targets)
        connection.tap = tap

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
        """A tap for each connection that is watched and none for the others; a new one when others watch it.

        One that opened while something was watched keeps its first tap until it is bound.
        """
        for connection, names in self._connections():
            tap = connection.tap if isinstance(connection.tap, Tap) else None
            claimed = tap.claimed if tap is not None else frozenset()
            targets = (names | claimed) & self._targets
            if targets:
                if tap is None or tap.targets != targets:
                    connection.tap = Tap(self._taker(connection, targets), targets, claimed)
            elif not (tap is not None and self._targets and connection.session.state.is_before_bind):
                connection.tap = None

    def _taker(self, connection: SmppConnection, targets: Iterable[str]) -> Callable[[bool, bytes], None]:
        def take(is_ours: bool, frame: bytes) -> None:
            if self._has_room():
                self._show(self._traced(connection, is_ours, frame), targets)

        return take

    def _traced(self, connection: SmppConnection, is_ours: bool, frame: bytes) -> TracedPdu:
        host, port = connection.peer
        return TracedPdu(self._now_ms(), f"{host}:{port}", is_ours, redacted(frame))

    def _has_room(self) -> bool:
        if len(self._waiting) < WAITING_MAX:
            return True
        self._lost += 1
        return False

    def _show(self, shown: TracedPdu, targets: Iterable[str]) -> None:
        shown = msgspec.structs.replace(shown, lost=self._lost)
        self._lost = 0
        self._waiting.extend((target, shown) for target in targets)

    async def _send(self) -> None:
        if self._waiting:
            items = [(target, msgspec.msgpack.encode(shown)) for target, shown in self._waiting]
            self._waiting.clear()
            await self._publish(items)


def system_id_of(frame: bytes) -> str:
    """As whom a bind asks to be bound; empty for any other PDU."""
    if int.from_bytes(frame[4:8], "big") not in _BINDS:
        return ""
    return frame[HEADER_SIZE:].split(b"\0", 1)[0].decode("latin-1")
