"""A gate between answers and receipts: a receipt is looked up only when the answers before it can be found."""

from __future__ import annotations

import asyncio


class AnswerGate:
    """Counts answers as they come and as they are correlated."""

    __slots__ = ("_correlated", "_seen", "_waiters")

    def __init__(self) -> None:
        self._seen = 0
        self._correlated = 0
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def seen(self) -> int:
        """How many answers have come."""
        return self._seen

    def come(self, count: int) -> None:
        """So many answers came."""
        self._seen += count

    def correlated(self, total: int) -> None:
        """The first `total` of all answers can be found now."""
        self._correlated = total
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self) -> None:
        """Return when every answer that has come until now can be found.

        A receipt that comes right behind its submit_sm_resp would else be parked, only to be found a moment later.
        """
        seen = self._seen
        while self._correlated < seen:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
