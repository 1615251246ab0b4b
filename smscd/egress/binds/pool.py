"""The binds of one upstream as a pool: how many there are, what all of them together may send, and their end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from protocols.smpp.constants import CommandStatus
from smscd.core.pacing import TokenBucket
from smscd.core.upstream import Upstream
from smscd.egress.binds.links import ANSWERS_SHARE, BindKind, Link, LinkState
from smscd.egress.binds.pauses import INHERITED_SECONDS, SessionEnd
from smscd.egress.binds.ports import DeliverSink, Dial, LinkSink
from smscd.egress.figures import UpstreamFigures

BURST_SECONDS: Final = 0.1
UNBIND_SECONDS: Final = 5.0
STOP_SECONDS: Final = 2.0
"""The same at the end, when answers were waited for before: a process that stops has a tenth of its time left then."""
OTHER_STATUS: Final = "other"
_STATUSES: Final = frozenset(map(int, CommandStatus))

_log = structlog.get_logger(__name__)


class UpstreamPool:
    """All binds of one upstream, each kept up by a task of its own.

    dial: opens connections. delivers: takes the upstream's deliver_sm. chance: uniform in 0..1.
    """

    def __init__(
        self,
        profile: Upstream,
        *,
        dial: Dial,
        delivers: DeliverSink,
        figures: UpstreamFigures,
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self.profile = profile
        self.links: list[Link] = []
        self._dial = dial
        self._delivers = delivers
        self._figures = figures
        self._clock = clock
        self._chance = chance
        self._sink: LinkSink | None = None
        self._tasks: dict[Link, asyncio.Task[None]] = {}
        self._leaving: dict[asyncio.Task[None], Link] = {}
        self._turn = 0
        self._is_alerted = False
        self._is_ending = False
        self._heir_until = 0.0
        self._bucket = TokenBucket(0.0, 1.0, clock())
        self._set_rate()

    # --- for the dispatcher -----------------------------------------------------------------------------------------

    def senders(self) -> list[Link]:
        """The binds that may send, another one first each time, so that they share what is little."""
        able = [link for link in self.links if link.can_send]
        if len(able) > 1:
            self._turn += 1
            start = self._turn % len(able)
            able = able[start:] + able[:start]
        return able

    def take_rate(self, wanted: int, now: float) -> int:
        """How many segments the upstream's rate lets pass now."""
        return self._bucket.take(wanted, now)

    def give_back_rate(self, unused: int) -> None:
        """Return what take_rate() gave and was not used."""
        if unused:
            self._bucket.give_back(unused)

    def next_room_at(self, now: float) -> float | None:
        """When a bind with free slots will be let send by its pace and the upstream's; None when no bind has any."""
        moments = [at for link in self.links if (at := link.next_room_at(now)) is not None]
        if not moments:
            return None
        return max(min(moments), now + self._bucket.seconds_until(max(1, int(self._bucket.burst / 2)), now))

    # --- for the owner ----------------------------------------------------------------------------------------------

    @property
    def pending(self) -> int:
        """Requests of ours that are awaited on all binds."""
        return sum(link.pending for link in (*self.links, *self._leaving.values()))

    def start(self, sink: LinkSink, *, is_heir: bool = False) -> None:
        """Begin to dial. Requests and answers are told to `sink` from now on.

        is_heir: the owner before has not given the upstream up, and its binds may still count there.
        """
        self._sink = sink
        self._heir_until = self._clock() + INHERITED_SECONDS if is_heir else 0.0
        self._match_links()

    def adopt(self, dial: Dial) -> bool:
        """Bind over a connection that the upstream has opened, as one more bind. False: it is not the time for it."""
        if self._sink is None or not self.profile.is_enabled:
            return False
        kind = BindKind.TRANSCEIVER if self.profile.bind_mode == "transceiver" else BindKind.RECEIVER
        link = self._begin(kind, dial, is_adopted=True)
        self.links.append(link)
        self._tasks[link].add_done_callback(lambda _: self._adopted_ended(link))
        return True

    def hold_reading(self, is_held: bool) -> None:
        """Read nothing from any bind until this is called with False."""
        for link in self.links:
            link.hold_reading(is_held)

    def reconfigure(self, profile: Upstream) -> None:
        """Go on under a changed profile: binds that were held try again, surplus ones end, missing ones are made."""
        self.profile = profile
        self._is_alerted = False
        self._set_rate()
        if self._sink is not None:
            self._match_links()  # first, so that a bind which is to go does not dial the new address
        for link in self.links:
            link.reconfigure(profile)

    async def stop(self) -> None:
        """Unbind all and close."""
        self._is_ending = True
        links = [*self.links, *self._leaving.values()]
        await asyncio.gather(*(link.stop(STOP_SECONDS) for link in links))
        await self._finish_tasks()

    async def cut(self) -> None:
        """Close all at once, without a word: the role was lost."""
        self._is_ending = True
        for link in (*self.links, *self._leaving.values()):
            link.cut()
        await self._finish_tasks()

    def count(self) -> None:
        """Set the gauges."""
        figures = self._figures
        figures.binds_bound = sum(link.state is LinkState.BOUND for link in self.links)
        if figures.binds_bound:
            self._is_alerted = False
        figures.window = sum(link.window for link in self.links if link.state is LinkState.BOUND)
        figures.binds_held = sum(link.state is LinkState.HELD for link in self.links)
        figures.in_flight = self.pending
        for link in self.links:
            self._count_errors(link)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _held(self, end: SessionEnd, seconds: float) -> None:
        """A bind was refused for good: one alert, however many binds are and however often."""
        if not self._is_alerted:
            self._is_alerted = True
            _log.error("upstream.held", upstream=self.profile.id, reason=end.reason, command_status=end.refused,
                       seconds=seconds)  # fmt: skip

    def _count_errors(self, link: Link) -> None:
        figures = self._figures
        figures.tls_failures += link.tls_failures
        figures.framing_errors += link.framing_errors
        figures.unreadable += link.unreadable
        link.tls_failures = link.framing_errors = link.unreadable = 0
        for status in link.refusals:
            name = CommandStatus(status).name if status in _STATUSES else OTHER_STATUS
            figures.binds_refused[name] = figures.binds_refused.get(name, 0) + 1
        link.refusals.clear()
        if link.connection is not None:
            malformed = link.connection.session.malformed
            figures.unreadable += sum(malformed.values())
            malformed.clear()

    def _set_rate(self) -> None:
        rate = self.profile.rate_per_second
        self._bucket = TokenBucket(rate, max(1.0, rate * BURST_SECONDS), self._clock())

    def _match_links(self) -> None:
        """Make the links those of the profile: a new one only when an old one has unbound, so that there are never more
        than the upstream allows."""
        profile = self.profile
        wanted = kinds_of(profile) if profile.is_enabled else []
        binds_max = len(wanted)
        kept: list[Link] = []
        for link in self.links:
            if link.is_adopted and profile.is_enabled:
                kept.append(link)
            elif link.kind in wanted and not link.is_adopted:
                wanted.remove(link.kind)
                kept.append(link)
            else:
                self._part_with(link)
        places = binds_max - sum(not link.is_adopted for link in (*kept, *self._leaving.values()))
        self.links = kept + [self._begin(kind, self._dial) for kind in wanted[: max(0, places)]]

    def _begin(self, kind: BindKind, dial: Dial, *, is_adopted: bool = False) -> Link:
        assert self._sink is not None
        link = Link(
            self.profile,
            kind,
            dial=dial,
            sink=self._sink,
            delivers=self._delivers,
            clock=self._clock,
            chance=self._chance,
            on_held=self._held,
            is_adopted=is_adopted,
            heir_until=self._heir_until,
        )
        self._tasks[link] = asyncio.create_task(link.run(), name=f"bind {self.profile.id}")
        return link

    def _adopted_ended(self, link: Link) -> None:
        if link in self.links:
            self.links.remove(link)
            self._tasks.pop(link, None)
            self._count_errors(link)
            if self._sink is not None:
                self._sink.links_changed()

    def _part_with(self, link: Link) -> None:
        """End a bind once what is under way on it is answered."""
        seconds = self.profile.response_timeout_seconds / ANSWERS_SHARE
        task = asyncio.create_task(link.stop(seconds), name=f"unbind {self.profile.id}")
        self._leaving[task] = link
        task.add_done_callback(self._has_left)

    def _has_left(self, task: asyncio.Task[None]) -> None:
        link = self._leaving.pop(task)
        self._count_errors(link)
        if not self._is_ending:
            if (run := self._tasks.get(link)) is not None and run.done():
                del self._tasks[link]
            self._match_links()

    async def _finish_tasks(self) -> None:
        tasks = [*self._tasks.values(), *self._leaving]
        for task in tasks:
            if task not in self._leaving:
                task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                _log.error("upstream.bind_failed", upstream=self.profile.id, error=repr(result))
        self._tasks.clear()
        self.links = []


def kinds_of(profile: Upstream) -> list[BindKind]:
    """The binds that a profile asks for."""
    match profile.bind_mode:
        case "pair":
            receivers = profile.receiver_binds or profile.binds
            return [BindKind.TRANSMITTER] * profile.binds + [BindKind.RECEIVER] * receivers
        case "transmitter":
            return [BindKind.TRANSMITTER] * profile.binds
        case "receiver":
            return [BindKind.RECEIVER] * profile.binds
        case _:
            return [BindKind.TRANSCEIVER] * profile.binds
