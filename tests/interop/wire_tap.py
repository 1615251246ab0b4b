"""A TCP proxy that keeps what goes through it, both directions in the order in which it came."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

from tests.interop.capture import Chunk, pdus_of

READ_MAX = 65_536


class Tap:
    """Listens on a free port and passes each connection on to `target`. chunks: what was read, before it went on."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.chunks: list[Chunk] = []
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def pdus(self, *, is_dialer: bool) -> list[bytes]:
        """The whole PDUs of one side so far, those of the first connection first."""
        with self._lock:
            chunks = [chunk for chunk in self.chunks if chunk.is_dialer == is_dialer]
        return [pdu for pdus in pdus_of(chunks, is_over=False).values() for pdu in pdus]

    def close(self) -> None:
        """Cut what is open and wait for the threads."""
        for each in [self._listening, *self._sockets]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10.0)
        for each in [self._listening, *self._sockets]:
            each.close()

    def _accept(self) -> None:
        for number in range(1_000):
            try:
                dialer, _ = self._listening.accept()
            except OSError:
                return  # closed
            listener = socket.create_connection(self.target)
            self._sockets += [dialer, listener]
            for source, sink, is_dialer in ((dialer, listener, True), (listener, dialer, False)):
                thread = threading.Thread(target=self._pass, args=(source, sink, number, is_dialer))
                self._threads.append(thread)
                thread.start()

    def _pass(self, source: socket.socket, sink: socket.socket, connection: int, is_dialer: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(READ_MAX):
                with self._lock:
                    self.chunks.append(Chunk(time.monotonic(), connection, is_dialer, data))
                sink.sendall(data)
        with self._lock:
            self.chunks.append(Chunk(time.monotonic(), connection, is_dialer, b""))
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def tapped(host: str, port: int) -> Iterator[Tap]:
    """A tap before a listener, closed at the end."""
    tap = Tap((host, port))
    try:
        yield tap
    finally:
        tap.close()
