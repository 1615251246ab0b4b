"""Strict durability: an account's yes waits until PostgreSQL has the message too, and so does the message.

The script that admits puts such messages where they wait instead of into their queues. Here the verdicts are kept back
until the writer's offset is past the journal's end at the time they came; what waits at or below the offset is moved to
its queue. A message whose commit does not come in time is cancelled first, and refused after that: until the
cancellation is on disk nothing is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from smscd.core.planning import Planned
from smscd.core.reasons import Reason
from smscd.core.verdicts import Accepted, Refused, Verdict, VerdictSink
from storage.redis.admission import Refusal
from storage.redis.errors import StorageUnavailable
from storage.redis.journal import entry_order
from storage.redis.strict import StrictStore

POLL_SECONDS = 0.02
LAG_SECONDS = 0.5
FRESH_SECONDS = 1.5
BEHIND = Refused(Reason.RECORD_BEHIND, 1.0)


class CancellingAdmitter(Protocol):
    """smscd.ingress.admission.BatchAdmitter, as it is needed here."""

    def submit(self, planned: list[Planned], on_verdicts: VerdictSink) -> None:
        """See smscd.core.verdicts.Admitter."""
        ...

    async def cancel(self, refused: list[Refusal]) -> list[int]:
        """Cancel what was admitted; the ids that are not cancelled, because a copy was told yes."""
        ...


@dataclass(slots=True, eq=False)
class _Kept:
    """Verdicts that wait. due: when they are given up, by the monotonic clock. until: the journal's end after them."""

    sink: VerdictSink
    start: int
    verdicts: list[Verdict]
    planned: list[Planned]
    due: float
    until: tuple[int, int] | None = None


class StrictAdmitter:
    """The admitter of a process, for accounts of either durability; see smscd.core.verdicts.Admitter.

    recorded(): how far PostgreSQL has the journal; None while it cannot be asked. has_strict(): whether any account is
    strict. on_behind(messages): told of those that are refused because the record is behind.
    """

    def __init__(
        self,
        admitter: CancellingAdmitter,
        store: StrictStore,
        *,
        recorded: Callable[[], Awaitable[str | None]],
        has_strict: Callable[[], bool],
        on_behind: Callable[[int], None],
        lag_seconds_max: float,
        wait_seconds: float,
    ) -> None:
        self._admitter = admitter
        self._store = store
        self._recorded = recorded
        self._has_strict = has_strict
        self._on_behind = on_behind
        self._lag_ms_max = lag_seconds_max * 1000
        self._wait_seconds = wait_seconds
        self._kept: deque[_Kept] = deque()
        self._offset: str | None = None
        self._asked = self._looked = 0.0
        self._is_current = self._has_held = False
        self._came, self._wanted = asyncio.Event(), asyncio.Event()

    def submit(self, planned: list[Planned], on_verdicts: VerdictSink) -> None:
        """Take planned messages of one account for admission; see smscd.core.verdicts.Admitter.submit."""
        if not planned or not planned[0].is_strict:
            self._admitter.submit(planned, on_verdicts)
            return
        now = time.monotonic()
        if not self._is_current or now > self._asked + FRESH_SECONDS:
            self._on_behind(len(planned))
            on_verdicts(0, [BEHIND] * len(planned))
            return
        due = now + self._wait_seconds

        def keep(start: int, verdicts: list[Verdict]) -> None:
            if all(isinstance(verdict, Refused) for verdict in verdicts):
                on_verdicts(start, verdicts)
                return
            self._kept.append(_Kept(on_verdicts, start, verdicts, planned[start : start + len(verdicts)], due))
            self._came.set()
            self._wanted.set()

        self._admitter.submit(planned, keep)

    async def run(self) -> None:
        """Release what PostgreSQL has, and answer, until cancelled. What waits, waits on when it is run again."""
        watching = asyncio.create_task(self._watch_record())
        try:
            while not watching.done():
                try:
                    await self._turn()
                except StorageUnavailable:
                    self._is_current = False
                await self._pause(self._came)
            await watching
        finally:
            watching.cancel()

    async def drain(self) -> None:
        """Wait until every verdict is out."""
        while self._kept:  # noqa: ASYNC110  # once, at the end of the process
            await asyncio.sleep(0.01)

    async def _pause(self, came: asyncio.Event) -> None:
        """Until it is worth looking again."""
        came.clear()
        if self._kept:
            await asyncio.sleep(POLL_SECONDS)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAG_SECONDS):
                await came.wait()

    async def _watch_record(self) -> None:
        """Ask PostgreSQL how far it is, in a task of its own: a server that hangs must not keep anybody from his no."""
        while True:
            if self._kept or self._has_held or self._has_strict():
                self._offset = await self._recorded()
                if self._offset is not None:
                    self._asked = time.monotonic()
            await self._pause(self._wanted)

    async def _turn(self) -> None:
        """Answer what can be answered, and look how far PostgreSQL is behind."""
        await self._give_up()
        fresh = [kept for kept in self._kept if kept.until is None]
        if fresh:
            until = entry_order(await self._store.journalled())
            for kept in fresh:
                kept.until = until
        recorded = self._offset
        self._has_held = not await self._store.is_empty()
        if recorded is None:
            return
        if self._has_held:
            await self._store.release(recorded)
        offset = entry_order(recorded)
        for kept in [kept for kept in self._kept if kept.until is not None and kept.until <= offset]:
            self._kept.remove(kept)
            kept.sink(kept.start, kept.verdicts)
        if self._has_strict() and time.monotonic() > self._looked + LAG_SECONDS:
            self._is_current = await self._store.lag_ms(recorded) <= self._lag_ms_max
            self._looked = time.monotonic()

    async def _give_up(self) -> None:
        """Cancel what waited too long, then refuse it. What a copy was told yes for waits on."""
        now = time.monotonic()
        for kept in [kept for kept in self._kept if kept.due <= now]:
            refusals = [
                Refusal(record.id, record.account, record.upstream, message.idem_key or b"")
                for message, verdict in zip(kept.planned, kept.verdicts, strict=True)
                if isinstance(verdict, Accepted)
                for record in message.records
            ]
            stays = set(await self._admitter.cancel(refusals)) if refusals else set()
            kept.verdicts = [_given_up(verdict, stays) for verdict in kept.verdicts]
            kept.due = math.inf
            self._on_behind(kept.verdicts.count(BEHIND))
            if not stays:
                self._kept.remove(kept)
                kept.sink(kept.start, kept.verdicts)


def _given_up(verdict: Verdict, stays: set[int]) -> Verdict:
    """What is answered when PostgreSQL did not come: no to a yes, but to one that a copy was told too."""
    if isinstance(verdict, Refused) or (isinstance(verdict, Accepted) and verdict.id in stays):
        return verdict
    return BEHIND
