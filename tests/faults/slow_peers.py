"""Peers that send an octet a second of their bind, as cheaply as can be: they must not take the time they measure."""

from __future__ import annotations

import select
import socket
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from smscd.supervision.ready import SmppAddress

TICKS_PER_SECOND: Final = 50
SPREAD_SECONDS: Final = 5
PATIENCE_SECONDS: Final = 15.0
SOURCES: Final = 20


@dataclass(slots=True)
class _Peer:
    socket: socket.socket
    came_at: float
    slot: int
    sent: int = 0


class SlowPeers:
    """So many of them all the time while it is entered: each that is closed comes again. seconds: how long each stayed.

    They come evenly over five seconds, which entering takes; leaving waits until the last are closed.
    """

    def __init__(self, address: SmppAddress, octets: bytes, count: int) -> None:
        self.seconds: list[float] = []
        self._address = (address.host, address.port)
        self._octets = octets
        self._count = count
        self._came = 0
        self._peers: dict[int, _Peer] = {}
        # Who sends at which tick of a second, by file descriptor.
        self._senders: list[set[int]] = [set() for _ in range(TICKS_PER_SECOND)]
        self._are_all_there = threading.Event()
        self._is_wanted = True
        self._thread = ThreadPoolExecutor(1)
        self._life: Future[None]

    def __enter__(self) -> Self:
        self._life = self._thread.submit(self._run)
        if not self._are_all_there.wait(PATIENCE_SECONDS):
            self._end()
            raise AssertionError(f"there are not {self._count} peers after {PATIENCE_SECONDS:g} s")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def _end(self) -> None:
        self._is_wanted = False
        self._life.result()
        self._thread.shutdown()

    def _run(self) -> None:
        with select.epoll() as epoll:
            try:
                self._live(epoll)
            finally:
                for peer in self._peers.values():
                    peer.socket.close()

    def _live(self, epoll: select.epoll) -> None:
        tick, began, leaving = 0, time.monotonic(), 0
        while self._is_wanted or self._peers:
            leaving += not self._is_wanted
            assert leaving <= PATIENCE_SECONDS * TICKS_PER_SECOND, f"{len(self._peers)} peers are never closed"
            for descriptor, _ in epoll.poll(0):
                self._leave(descriptor)
            for descriptor in self._senders[tick % TICKS_PER_SECOND]:
                self._send(descriptor)
            due = self._count * (tick + 1) // (SPREAD_SECONDS * TICKS_PER_SECOND)
            while self._is_wanted and len(self._peers) < min(due, self._count):
                self._come(epoll, tick % TICKS_PER_SECOND)
            if len(self._peers) >= self._count:
                self._are_all_there.set()
            tick += 1
            time.sleep(max(0.0, began + tick / TICKS_PER_SECOND - time.monotonic()))

    def _come(self, epoll: select.epoll, slot: int) -> None:
        source = f"127.0.{1 + self._came % SOURCES}.1"
        self._came += 1
        peer = _Peer(socket.create_connection(self._address, PATIENCE_SECONDS, (source, 0)), time.monotonic(), slot)
        descriptor = peer.socket.fileno()
        self._peers[descriptor] = peer
        self._senders[slot].add(descriptor)
        epoll.register(descriptor, select.EPOLLIN | select.EPOLLRDHUP)
        self._send(descriptor)

    def _send(self, descriptor: int) -> None:
        """The next octet; whether the peer is still there shows when it is looked for."""
        peer = self._peers[descriptor]
        try:
            peer.socket.send(self._octets[peer.sent : peer.sent + 1])
        except OSError:
            return
        peer.sent += 1

    def _leave(self, descriptor: int) -> None:
        """It is closed, or was told something, which is not for it either."""
        peer = self._peers.pop(descriptor)
        self.seconds.append(time.monotonic() - peer.came_at)
        peer.socket.close()
        self._senders[peer.slot].discard(descriptor)
