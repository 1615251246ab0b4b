"""When messages leave an upstream that is out, and what its dispatcher has to read and to forget for it."""

from __future__ import annotations

from smscd.core.breaker import Breaker
from smscd.egress.binds.ports import Senders
from smscd.egress.dispatch.backlog import Backlog
from smscd.egress.dispatch.claims import Claims
from smscd.egress.dispatch.failover import Failover
from smscd.egress.figures import Tally, UpstreamFigures


class Leaving:
    """Of one dispatcher. failover: None where messages stay whatever happens. must_look: judge at the next turn."""

    __slots__ = ("_backlog", "_breaker", "_claims", "_figures", "_senders", "failover", "must_look")

    def __init__(
        self,
        failover: Failover | None,
        *,
        backlog: Backlog,
        claims: Claims,
        breaker: Breaker,
        senders: Senders,
        figures: UpstreamFigures,
    ) -> None:
        self.failover = failover
        self.must_look = True
        self._backlog = backlog
        self._claims = claims
        self._breaker = breaker
        self._senders = senders
        self._figures = figures

    def answered(self, tally: Tally, now: float) -> None:
        """The answers that a turn took in."""
        if self.failover is not None:
            self.failover.answered(tally, now)

    async def look(self, now: float, now_ms: int) -> None:
        """Judge whether the upstream is out, and say so, when it is time to."""
        if not self.must_look or self.failover is None:
            return
        self.must_look = False
        is_idle = not self._backlog.size and not self._figures.queued
        await self.failover.look(self._breaker, bool(self._senders.senders()), is_idle, now, now_ms)

    def wanted(self, wanted: int, now: float) -> int:
        """How many messages to have read, when so many are wanted to be sent."""
        if self.failover is not None and self.failover.is_moving(now):
            return max(wanted, self.failover.wanted)
        return wanted

    async def move_on(self, now: float, now_ms: int) -> bool:
        """While the upstream is out: what it was never sent goes to the next of its route. True when some did."""
        failover = self.failover
        if failover is None or not failover.is_moving(now):
            return False
        finished = await failover.move(self._backlog.fresh(), now_ms)
        if finished is None:
            return False
        self._backlog.drop_over()
        self._claims.forget(finished)
        return True
