"""A dispatcher over a played Redis and played binds, worked one turn at a time."""

from __future__ import annotations

from protocols.smpp.codec import DECODERS
from protocols.smpp.constants import CommandId, CommandStatus
from protocols.smpp.pdu import SubmitSm
from smscd.core.breaker import Breaker, BreakerState
from smscd.core.upstream import Upstream
from smscd.egress.dispatch.dispatcher import Dispatcher
from smscd.egress.figures import UpstreamFigures
from tests.unit.smscd.egress.doubles import Clock, FakeLink, FakeParkedSink, FakeSenders, FakeSession, profile
from tests.unit.smscd.egress.redis_double import FakeDispatchStore, FakeRedis

ROK = 0
RSYSERR = int(CommandStatus.ESME_RSYSERR)
RMSGQFUL = int(CommandStatus.ESME_RMSGQFUL)
RTHROTTLED = int(CommandStatus.ESME_RTHROTTLED)
ROPTPARNOTALLWD = int(CommandStatus.ESME_ROPTPARNOTALLWD)
RINVDSTADR = int(CommandStatus.ESME_RINVDSTADR)


class Rig:
    """A dispatcher with everything around it."""

    def __init__(self, redis: FakeRedis | None = None, *, upstream: Upstream | None = None, links: int = 1) -> None:
        self.redis = redis or FakeRedis()
        self.clock = Clock()
        self.store = FakeDispatchStore(self.redis)
        self.session = FakeSession()
        self.links = [FakeLink() for _ in range(links)]
        self.senders = FakeSenders(*self.links)
        self.parked = FakeParkedSink()
        self.figures = UpstreamFigures("carrier")
        self.dispatcher = Dispatcher(
            upstream or profile(),
            store=self.store,  # type: ignore[arg-type]  # the double
            session=self.session,  # type: ignore[arg-type]  # the double
            senders=self.senders,  # type: ignore[arg-type]  # the double
            parked=self.parked,
            figures=self.figures,
            breaker=Breaker(),
            clock=self.clock.seconds,
            wall_ms=self.clock.wall_ms,
            chance=lambda: 0.0,
        )

    @property
    def link(self) -> FakeLink:
        return self.links[0]

    async def work(self) -> None:
        """Turns until there is nothing to do."""
        self.dispatcher.wake()
        for _ in range(50):
            if await self.dispatcher.cycle():
                return
        raise AssertionError("the dispatcher finds no rest")

    async def answer(self, *answers: tuple[int, bytes], link: FakeLink | None = None) -> None:
        """Answer the oldest segments of a bind, and let the dispatcher work."""
        link = link or self.link
        self.dispatcher.answered(link, link.answer(*answers), self.clock.now)  # type: ignore[arg-type]  # the double
        await self.work()

    async def lose(self, link: FakeLink | None = None) -> None:
        """The bind is lost; what it had pending is not answered."""
        link = link or self.link
        refs, link.pending = link.pending, []
        link.can_send = False
        self.dispatcher.lost(link, refs)  # type: ignore[arg-type]  # the double
        await self.work()

    def breaker_state(self) -> BreakerState:
        return self.dispatcher.breaker.state

    def outcomes(self) -> list[int]:
        return [result.outcome for result in self.redis.results()]

    def sent(self, link: FakeLink | None = None) -> list[SubmitSm]:
        decode = DECODERS[CommandId.SUBMIT_SM]
        return [decode(body, 0, len(body), 0, 0) for body, _ in (link or self.link).written]
