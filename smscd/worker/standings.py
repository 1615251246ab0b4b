"""Keeps this process told which upstreams are out: by a bell, and a look once a second."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from storage.redis.breakers import UpstreamStanding
from storage.redis.errors import StorageUnavailable

LOOK_SECONDS: Final = 1.0


class Standings:
    """read: Breakers.read. now_ms: Redis time. tell: given the upstreams that new messages shall go around."""

    def __init__(
        self,
        read: Callable[[], Awaitable[Sequence[UpstreamStanding]]],
        now_ms: Callable[[], int],
        tell: Callable[[frozenset[str]], None],
    ) -> None:
        self._read = read
        self._now_ms = now_ms
        self._tell = tell
        self._known: Sequence[UpstreamStanding] = ()
        self._out: frozenset[str] = frozenset()
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Something changed (a bell)."""
        self._rung.set()

    async def look(self) -> None:
        """Read once. While Redis is away what was read is believed until it runs out."""
        try:
            self._known = await self._read()
        except StorageUnavailable:
            pass  # the caller looks again, and each standing has its end
        now_ms = self._now_ms()
        out = frozenset(one.upstream for one in self._known if one.until_ms > now_ms and not one.takes_new)
        if out != self._out:
            self._out = out
            self._tell(out)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._rung.wait()
            except TimeoutError:
                pass
            self._rung.clear()
