"""What a worker is made of: services that start, drain and stop, and tasks that are restarted when they crash."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import structlog

RESTART_SECONDS_FIRST = 0.1
RESTART_SECONDS_MAX = 10.0
HEALTHY_AFTER_SECONDS = 30.0
_log = structlog.get_logger(__name__)


class Service(Protocol):
    """A long-lived part of a worker.

    start() returns when it works or has begun to try; it raises only when the process cannot go on at all.
    drain() takes no new work and returns when what is under way has ended; the caller bounds its time.
    stop() ends everything at once; it is called after drain(), also when that did not finish.
    """

    @property
    def name(self) -> str:
        """For logs and metrics."""
        ...

    async def start(self) -> None:
        """Begin."""
        ...

    async def drain(self) -> None:
        """Finish what is under way."""
        ...

    async def stop(self) -> None:
        """End."""
        ...


OnRestart = Callable[[str], None]


async def run_supervised(name: str, run: Callable[[], Awaitable[None]], on_restart: OnRestart | None = None) -> None:
    """Until cancelled: run it again when it crashes or returns, after a pause that grows while it keeps crashing.

    A task group would cancel the siblings of the one that crashed; here nobody else notices.
    """
    pause = RESTART_SECONDS_FIRST
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        try:
            await run()
            _log.error("service.returned", service=name)
        except asyncio.CancelledError:
            raise
        except Exception:  # noqa: BLE001  # the top of a task: logged, counted, started again
            _log.exception("service.crashed", service=name)
        if on_restart is not None:
            on_restart(name)
        if loop.time() - began > HEALTHY_AFTER_SECONDS:
            pause = RESTART_SECONDS_FIRST
        await asyncio.sleep(pause)
        pause = min(pause * 2, RESTART_SECONDS_MAX)


async def _nothing() -> None:
    """A service that has nothing under way when it is asked to drain."""


class TaskService:
    """A coroutine that runs for ever, as a service. drain: what to wait for before it is cancelled."""

    def __init__(
        self,
        name: str,
        run: Callable[[], Awaitable[None]],
        *,
        drain: Callable[[], Awaitable[None]] = _nothing,
        on_restart: OnRestart | None = None,
    ) -> None:
        self.name = name
        self._run = run
        self._drain = drain
        self._on_restart = on_restart
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the task."""
        self._task = asyncio.create_task(run_supervised(self.name, self._run, self._on_restart), name=self.name)

    async def drain(self) -> None:
        """Wait for what is under way."""
        await self._drain()

    async def stop(self) -> None:
        """Cancel the task and wait for its end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None


async def start_all(services: Sequence[Service]) -> None:
    """Start in order. When one fails, stop those before it and raise what it raised."""
    for index, service in enumerate(services):
        try:
            await service.start()
        except BaseException:
            await stop_all(services[:index])
            raise


async def drain_all(services: Sequence[Service], seconds: float) -> bool:
    """Drain in reverse order, all within `seconds`; False when time ran out."""
    deadline = asyncio.get_running_loop().time() + seconds
    is_whole = True
    for service in reversed(services):
        left = deadline - asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(max(0.0, left)):
                await service.drain()
        except TimeoutError:
            _log.warning("service.not_drained", service=service.name)
            is_whole = False
        except Exception:  # noqa: BLE001  # the others are still to be drained
            _log.exception("service.drain_failed", service=service.name)
            is_whole = False
    return is_whole


async def stop_all(services: Sequence[Service]) -> None:
    """Stop in reverse order; one that fails does not keep the others."""
    for service in reversed(services):
        try:
            await service.stop()
        except Exception:  # noqa: BLE001  # the others are still to be stopped
            _log.exception("service.stop_failed", service=service.name)
