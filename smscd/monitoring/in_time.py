"""A question that is answered in time or not at all, although a server that is silent holds up even its cancelling."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class InTime(Generic[T]):
    """Asks one thing, once at a time.

    A query that is cancelled waits until PostgreSQL has heard of it, which a server that is stopped never does. So what
    takes longer than `seconds` is left to its own time-out, and who asks meanwhile waits for the same answer.
    """

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, T]], seconds: float) -> None:
        self._ask = ask
        self._seconds = seconds
        self._asked: asyncio.Task[T] | None = None

    async def answer(self) -> T:
        """The answer. Raises TimeoutError when it did not come in time, and whatever ask() raises."""
        if self._asked is None:
            self._asked = asyncio.create_task(self._ask())
            self._asked.add_done_callback(self._came)
        asked = self._asked
        done, _ = await asyncio.wait((asked,), timeout=self._seconds)
        if not done:
            raise TimeoutError("no answer")
        return asked.result()

    def _came(self, asked: asyncio.Task[T]) -> None:
        self._asked = None
        if not asked.cancelled():
            asked.exception()  # looked at, so that nobody is told of one that came too late
