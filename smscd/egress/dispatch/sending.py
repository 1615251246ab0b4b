"""What goes out with a turn: chosen as pace and breaker permit, and written when the intents are durable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from smscd.core.breaker import Breaker, BreakerState
from smscd.core.upstream import Upstream
from smscd.egress.binds.links import Link
from smscd.egress.binds.ports import Senders
from smscd.egress.dispatch.assign import Lot, assign, drop_withheld, take_back
from smscd.egress.dispatch.backlog import Backlog
from smscd.egress.dispatch.blobs import Item
from smscd.egress.dispatch.submits import SubmitEncoder
from smscd.egress.dispatch.turn import Draft
from smscd.egress.figures import UpstreamFigures
from storage.redis.session import RoleSession

SEGMENTS_A_TURN: Final = 1_000


class Sending:
    """Of one dispatcher. clock: monotonic seconds, the clock of RoleSession.deadline."""

    __slots__ = ("_backlog", "_breaker", "_clock", "_encoder", "_figures", "_senders", "_session")

    def __init__(
        self,
        profile: Upstream,
        *,
        backlog: Backlog,
        breaker: Breaker,
        senders: Senders,
        session: RoleSession,
        figures: UpstreamFigures,
        clock: Callable[[], float],
    ) -> None:
        self._encoder = SubmitEncoder(profile)
        self._backlog = backlog
        self._breaker = breaker
        self._senders = senders
        self._session = session
        self._figures = figures
        self._clock = clock

    def reconfigure(self, profile: Upstream) -> None:
        """Go on under a changed profile."""
        self._encoder = SubmitEncoder(profile)

    def links(self) -> list[Link]:
        """The binds that may be written to: none once the lease may be another's."""
        return self._senders.senders() if self._may_write() else []

    def assign(self, draft: Draft, links: list[Link], *, takes_new: bool) -> list[Lot]:
        """Choose what goes out next; its intents become part of the turn."""
        begun = any(link.begun for link in links)
        if not links or not ((self._backlog.size and takes_new) or begun):
            return []
        now = self._clock()
        rate = self._senders.take_rate(min(sum(link.room(now) for link in links), SEGMENTS_A_TURN), now)
        if not rate:
            return []
        permitted = self._breaker.permit(rate, now)
        source = self._backlog if takes_new else None
        lots, used = assign(draft, source, links, min(rate, permitted), self._encoder, now)
        self._senders.give_back_rate(rate - used)
        if not used and self._breaker.state is BreakerState.HALF_OPEN and permitted:
            self._breaker.withdraw_probe(now)
        return lots

    def write(self, lots: list[Lot], withheld: set[int]) -> list[Item]:
        """After the reply: the bytes, one flush for each bind. Never past the lease's deadline.

        withheld: indexes of intents that are not to be sent; return their messages.
        """
        is_probing = self._breaker.state is BreakerState.HALF_OPEN and any(lot.refs for lot in lots)
        items = drop_withheld(lots, withheld) if withheld else []
        now = self._clock()
        may_write = self._may_write()
        for lot in lots:
            if may_write and lot.can_send:
                self._figures.sent += lot.send(now)
            else:
                self._figures.unwritten += len(lot.refs)
                for item in take_back(lot):
                    self._backlog.add_begun(item)
        if is_probing and not any(lot.refs for lot in lots):
            self._breaker.withdraw_probe(now)
        return items

    def next_room_at(self, now: float) -> float | None:
        """When something that waits may be sent; None while only an answer makes room."""
        room_at = self._senders.next_room_at(now)
        probe_at = self._breaker.next_probe_at
        return room_at if room_at is None or probe_at is None else max(room_at, probe_at)

    def _may_write(self) -> bool:
        return self._clock() < self._session.deadline
