"""A wake-up call for a loop that works in turns: set from anywhere on the event loop, waited for with a limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Wake:
    """Like asyncio.Event with a time-out, without a task for each wait. One waiter."""

    __slots__ = ("_future", "_is_set", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._is_set = False
        self._future: asyncio.Future[None] | None = None

    def set(self) -> None:
        """Wake the waiter, or let the next wait return at once."""
        self._is_set = True
        future = self._future
        if future is not None and not future.done():
            future.set_result(None)

    def clear(self) -> None:
        """Forget what was set; to be called before looking at what there is to do."""
        self._is_set = False

    async def wait(self, seconds: float) -> bool:
        """Return when it is set, or after the time; True when it was set."""
        if not self._is_set:
            self._future = self._loop.create_future()
            timer = self._loop.call_later(seconds, self._expire, self._future)
            try:
                await self._future
            finally:
                timer.cancel()
                self._future = None
        return self._is_set

    async def gather(self, until: float, is_enough: Callable[[], bool]) -> None:
        """Return at `until` on the loop's clock, or as soon as there is enough to do; to be called between two turns.

        A turn costs the same whether it carries one fact or a hundred, so a loop that has just worked lets some
        milliseconds of facts come together. After a pause it works at once.
        """
        while not is_enough() and (left := until - self._loop.time()) > 0:
            self._is_set = False
            await self.wait(left)

    @staticmethod
    def _expire(future: asyncio.Future[None]) -> None:
        if not future.done():
            future.set_result(None)
