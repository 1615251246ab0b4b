"""Verdicts: hands planned messages to the admitter and waits for their verdicts, with a bound and no timer each."""

from __future__ import annotations

import asyncio
from typing import Final

from smscd.core.planning import Planned
from smscd.core.verdicts import Admitter, Verdict

SWEEP_SECONDS: Final = 1.0


class _Waiting:
    """One request that waits. It is itself what the admitter calls, so that none is made per request."""

    __slots__ = ("ends", "future", "key", "verdicts")

    def __init__(self, verdicts: Verdicts, key: tuple[str, bytes] | None, ends: float) -> None:
        self.verdicts = verdicts
        self.key = key
        self.ends = ends
        self.future: asyncio.Future[Verdict | None] = verdicts.loop.create_future()

    def __call__(self, _first: int, verdicts: list[Verdict]) -> None:
        self.verdicts.decided(self)
        if not self.future.done():
            self.future.set_result(verdicts[0])

    def give_up(self) -> None:
        """Answer without a verdict."""
        if not self.future.done():
            self.future.set_result(None)

    @property
    def open_keys(self) -> list[tuple[str, bytes]]:
        """The request keys whose verdict is not there."""
        return [self.key] if self.key is not None else []


class _WaitingBatch:
    """The messages of one request that wait together."""

    __slots__ = ("ends", "found", "future", "left", "planned", "verdicts")

    def __init__(self, verdicts: Verdicts, planned: list[Planned], ends: float) -> None:
        self.verdicts = verdicts
        self.planned = planned
        self.ends = ends
        self.found: list[Verdict | None] = [None] * len(planned)
        self.left = len(planned)
        self.future: asyncio.Future[list[Verdict | None]] = verdicts.loop.create_future()

    def __call__(self, first: int, verdicts: list[Verdict]) -> None:
        self.found[first : first + len(verdicts)] = verdicts
        self.left -= len(verdicts)
        if not self.left:
            self.verdicts.decided(self)
            if not self.future.done():
                self.future.set_result(self.found)

    def give_up(self) -> None:
        """Answer with the verdicts that there are."""
        if not self.future.done():
            self.future.set_result(list(self.found))

    @property
    def open_keys(self) -> list[tuple[str, bytes]]:
        """The request keys of the batch: all of them stay undecided until the last verdict is there."""
        return [(message.record.account, key) for message in self.planned if (key := message.idem_key) is not None]


class Verdicts:
    """The requests of one process that wait for the admitter. seconds: the longest wait.

    The admitter refuses by itself after a second, so the wait ends here only when something is badly wrong. Then a
    keyed request stays undecided until its verdict comes after all: a copy of it is answered 409 meanwhile.
    """

    def __init__(self, admitter: Admitter, seconds: float) -> None:
        self.loop = asyncio.get_running_loop()
        self._admitter = admitter
        self._seconds = seconds
        self._waiting: dict[_Waiting | _WaitingBatch, None] = {}
        self._undecided: set[tuple[str, bytes]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def ask(self, planned: Planned) -> asyncio.Future[Verdict | None]:
        """Await this for the verdict; None when it did not come in time."""
        key = (planned.record.account, planned.idem_key) if planned.idem_key is not None else None
        waiting = _Waiting(self, key, self.loop.time() + self._seconds)
        self._begin(waiting)
        self._admitter.submit([planned], waiting)
        return waiting.future

    def ask_all(self, planned: list[Planned]) -> asyncio.Future[list[Verdict | None]]:
        """Await this for the verdicts of a batch, in its order; None for one that did not come in time."""
        waiting = _WaitingBatch(self, planned, self.loop.time() + self._seconds)
        self._begin(waiting)
        self._admitter.submit(planned, waiting)
        return waiting.future

    def _begin(self, waiting: _Waiting | _WaitingBatch) -> None:
        self._waiting[waiting] = None
        if self._timer is None:
            self._timer = self.loop.call_later(min(SWEEP_SECONDS, self._seconds), self._sweep)

    def is_undecided(self, account: str, key: bytes) -> bool:
        """True while an earlier request with this key was given up without a verdict."""
        return bool(self._undecided) and (account, key) in self._undecided

    def decided(self, waiting: _Waiting | _WaitingBatch) -> None:
        """All verdicts are there; called for each request once."""
        self._waiting.pop(waiting, None)
        if self._undecided:
            self._undecided.difference_update(waiting.open_keys)

    def _sweep(self) -> None:
        """Give up what waited too long; the first are those that wait longest."""
        now = self.loop.time()
        late = []
        for waiting in self._waiting:
            if waiting.ends > now:
                break
            late.append(waiting)
        for waiting in late:
            del self._waiting[waiting]
            self._undecided.update(waiting.open_keys)
            waiting.give_up()
        self._timer = None
        if self._waiting:
            self._timer = self.loop.call_later(min(SWEEP_SECONDS, self._seconds), self._sweep)
