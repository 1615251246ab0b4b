"""An event loop on virtual time: it never waits, and what runs on it belongs to hosts that can be killed or paused.

A host is known by the context that a callback was scheduled in. Of a dead host nothing runs any more, not even a
`finally`; what a paused one was to do is kept and done when it goes on, as after SIGSTOP.
"""

from __future__ import annotations

import asyncio
import heapq
from asyncio import events
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from typing import Any

START = 1000.0
ROUNDS_MAX = 20_000


class Host:
    """One process of the simulated machine. held: what it was to do when it was paused, or had died."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_dead = False
        self.is_paused = False
        self.held: list[events.Handle] = []
        self.context: Context = copy_context()
        self.context.run(HOST.set, self)

    def lets(self, handle: events.Handle) -> bool:
        """Whether this may run now."""
        if self.is_dead or self.is_paused:
            self.held.append(handle)
            return False
        return True


HOST: ContextVar[Host | None] = ContextVar("HOST", default=None)


class _Handle(events.Handle):
    __slots__ = ()

    def _run(self) -> None:
        host = self._context.get(HOST)
        if host is None or host.lets(self):
            super()._run()


class _Timer(events.TimerHandle):
    __slots__ = ("order",)

    def __lt__(self, other: Any) -> bool:
        return (self._when, self.order) < (other._when, other.order)

    def _run(self) -> None:
        host = self._context.get(HOST)
        if host is None or host.lets(self):
            super()._run()


class _Selector:
    """Waits by moving the clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._rounds = 0

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("nothing is left that could ever happen")
        self._rounds = 0 if timeout else self._rounds + 1
        if self._rounds > ROUNDS_MAX:
            raise RuntimeError(f"it spins at {self._loop.now}")
        self._loop.now += timeout
        return []

    def close(self) -> None:
        pass


class VirtualLoop(asyncio.BaseEventLoop):
    """now: seconds on its clock. create_server, create_connection: set by the network that it stands in."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.steps = 0
        # Nobody else holds those of a dead host, and one that is collected would still run its `finally`.
        self.tasks: list[asyncio.Task[Any]] = []
        self.set_task_factory(self._make_task)
        self.create_server: Callable[..., Any]  # type: ignore[assignment]
        self.create_connection: Callable[..., Any]  # type: ignore[assignment]
        self._selector = _Selector(self)

    def _make_task(self, loop: Any, work: Any, **options: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(work, loop=loop, **options)
        self.tasks.append(task)
        return task

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> _Timer:
        timer = _Timer(when, callback, args, self, context)
        self.steps += 1
        timer.order = self.steps
        heapq.heappush(self._scheduled, timer)
        timer._scheduled = True
        return timer

    def go_on(self, host: Host) -> None:
        """A paused host runs again."""
        host.is_paused = False
        held, host.held = host.held, []
        self._ready.extend(handle for handle in held if not handle._cancelled)

    def _call_soon(self, callback: Any, args: Any, context: Context | None) -> _Handle:
        handle = _Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


def _nobody() -> Context:
    context = copy_context()
    context.run(HOST.set, None)
    return context


NOBODY = _nobody()
"""The context of what belongs to no host: what is under way, and everybody outside."""
