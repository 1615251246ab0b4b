"""A TCP proxy at one of the daemon's links, in a thread of its own, which cuts, kills quietly, and mutes."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

SUBMIT_SM_RESP = 0x8000_0004
CHUNK = 65_536


class _Pair:
    """A connection to us and ours to the target. is_lost: nothing passes any more, and neither side is told."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.near = near
        self.far = far
        self.is_lost = False
        self.lost_at = 0.0

    def abort(self, *, with_reset: bool = False) -> None:
        """End both sides. with_reset: by RST, and what they were still sent is lost."""
        for side in (self.near, self.far):
            if with_reset:
                side.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            side.transport.abort()


class Proxy:
    """Passes everything on, until it is told otherwise. port: where it listens.

    is_cut: connections are closed, and new ones too. is_dark: those that are open, and new ones, are half-open: nothing
    passes, and the end of one side is not told to the other. is_muted: no submit_sm_resp passes from the target.
    noticed: how long each half-open connection lived on, by which side gave it up: near or far. is_smpp: what passes is
    PDUs, and can be muted.
    """

    def __init__(self, target_port: int, *, is_smpp: bool = True) -> None:
        self.port = 0
        self.is_cut = self.is_dark = self.is_muted = False
        self.muted = 0
        self.noticed: list[tuple[str, float]] = []
        self._target_port = target_port
        self._is_smpp = is_smpp
        self._pairs: set[_Pair] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()

    def cut(self) -> None:
        """Reset everything, now and until heal()."""
        self.is_cut = True
        self._loop.call_soon_threadsafe(lambda: [pair.abort(with_reset=True) for pair in list(self._pairs)])

    def darken(self) -> None:
        """Make every connection half-open, now and until heal()."""
        self.is_dark = True
        self._loop.call_soon_threadsafe(self._lose)

    def heal(self) -> None:
        """New connections are well; those that were lost stay so."""
        self.is_cut = self.is_dark = self.is_muted = False

    @property
    def half_open(self) -> int:
        """How many connections are half-open, and neither side has noticed."""
        return sum(pair.is_lost for pair in tuple(self._pairs))

    def _lose(self) -> None:
        for pair in self._pairs:
            if not pair.is_lost:
                pair.is_lost, pair.lost_at = True, time.monotonic()

    async def _accept(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        if self.is_cut:
            near.transport.abort()
            return
        try:
            far_reader, far = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            near.transport.abort()
            return
        pair = _Pair(near, far)
        self._pairs.add(pair)
        if self.is_dark:
            self._lose()
        for side, source, sink in (("near", reader, far), ("far", far_reader, near)):
            task = asyncio.create_task(self._pump(pair, side, source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, pair: _Pair, side: str, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while passed := await self._next(source):
                if pair.is_lost:
                    continue
                if self.is_muted and side == "far" and int.from_bytes(passed[4:8], "big") == SUBMIT_SM_RESP:
                    self.muted += 1
                    continue
                sink.write(passed)
                await sink.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        if pair.is_lost and pair in self._pairs:
            self.noticed.append((side, time.monotonic() - pair.lost_at))
        self._pairs.discard(pair)
        pair.abort()

    async def _next(self, source: asyncio.StreamReader) -> bytes:
        """What is passed on at once: a PDU, or what there is; empty at the end."""
        if not self._is_smpp:
            return await source.read(CHUNK)
        head = await source.readexactly(4)
        return head + await source.readexactly(int.from_bytes(head, "big") - 4)

    async def _serve(self, started: threading.Event) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        async with server:
            await server.serve_forever()

    def _run(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._serving = self._loop.create_task(self._serve(started))
        try:
            self._loop.run_until_complete(self._serving)
        except asyncio.CancelledError:
            pass
        for pair in list(self._pairs):
            pair.abort()
        self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        self._loop.close()

    @contextmanager
    def running(self) -> Iterator[Proxy]:
        """From its start to its end."""
        started = threading.Event()
        thread = threading.Thread(target=self._run, args=(started,), name="proxy")
        thread.start()
        try:
            assert started.wait(10)
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._serving.cancel)
            thread.join(10)
