"""Our congestion_state: looked at a few times a second, told to every ESME of SMPP 5.0 in the responses it gets anyway.

It says how near we are to ESME_RMSGQFUL, so that an ESME can slow down before. Of the queues, all upstreams together
count: one that is full must not slow down the customers of the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from smscd.core.directory_index import DirectoryIndex
from smscd.core.pacing import congestion_state
from smscd.core.upstream import Upstream
from storage.redis.errors import StorageUnavailable

LOOK_SECONDS: Final = 0.25


class Congestion:
    """pending_share, memory_share: of the admitter's limit and the gate's. tell: told a state that is another."""

    def __init__(
        self,
        *,
        pending_share: Callable[[], float],
        memory_share: Callable[[], float],
        is_open: Callable[[], bool],
        depths: Callable[[], Awaitable[Mapping[str, int]]],
        directory: Callable[[], DirectoryIndex],
        tell: Callable[[int], None],
    ) -> None:
        self._pending_share = pending_share
        self._memory_share = memory_share
        self._is_open = is_open
        self._depths = depths
        self._directory = directory
        self._tell = tell
        self._told: int | None = None

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Look once."""
        try:
            queued = queue_share(await self._depths(), self._directory().snapshot.upstreams)
        except StorageUnavailable:
            queued = 1.0  # nothing can be admitted now
        state = congestion_state(self._pending_share(), self._memory_share(), queued, is_closed=not self._is_open())
        if state != self._told:
            self._told = state
            self._tell(state)


def queue_share(depths: Mapping[str, int], upstreams: tuple[Upstream, ...]) -> float:
    """How full the queues of all enabled upstreams are, together."""
    room = sum(upstream.queue_messages_max for upstream in upstreams if upstream.is_enabled)
    held = sum(max(0, depths.get(upstream.id, 0)) for upstream in upstreams if upstream.is_enabled)
    return held / room if room else 0.0
