"""All upstreams of the directory as a service of this process: an owner for each, following the configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

import structlog

from smscd.core.directory_index import DirectoryIndex
from smscd.core.upstream import Upstream
from smscd.egress.binds.owner import Surroundings, UpstreamOwner
from smscd.egress.dispatch.halting import halting_of
from smscd.egress.figures import UpstreamFigures
from smscd.transport.trace import Traceable, traceable_by_address

REMOVED_SECONDS: Final = 30.0

_log = structlog.get_logger(__name__)


class Upstreams:
    """The service. subscribe, unsubscribe: those of Bells.

    figures: by upstream; they stay when an upstream goes, because counters do not go back.
    """

    name = "upstreams"

    def __init__(
        self,
        around: Surroundings,
        *,
        subscribe: Callable[[bytes, Callable[[], None]], None],
        unsubscribe: Callable[[bytes, Callable[[], None]], None],
    ) -> None:
        self.figures: dict[str, UpstreamFigures] = {}
        self._around = around
        self._subscribe = subscribe
        self._unsubscribe = unsubscribe
        self._owners: dict[str, UpstreamOwner] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._is_started = False
        self._is_stopping = False

    async def start(self) -> None:
        """Begin to take roles; returns at once. What owners need of the process is there by now, and not before."""
        self._is_started = True
        self.reconfigure(self._around.directory())

    def reconfigure(self, directory: DirectoryIndex) -> None:
        """Follow a new directory. To be put into DirectoryFeed.on_change."""
        if self._is_stopping or not self._is_started:
            return
        wanted = {profile.id: profile for profile in directory.snapshot.upstreams}
        for name in [name for name in self._owners if name not in wanted]:
            self._part_with(name)
        for name, profile in wanted.items():
            owner = self._owners.get(name)
            if owner is None:
                self._begin(profile)
                continue
            if owner.profile != profile:
                owner.reconfigure(profile)
            owner.halt(halting_of(name, directory, self._around.wall_ms))

    def wake(self, upstream: str) -> None:
        """The admitter of this process has just queued messages for it."""
        owner = self._owners.get(upstream)
        if owner is not None:
            owner.wake()

    def owner(self, upstream: str) -> UpstreamOwner | None:
        """The owner of an upstream, whether or not it holds the role now."""
        return self._owners.get(upstream)

    def traceable(self) -> Iterator[Traceable]:
        """Open binds of this process by the upstream's name and its address."""
        for name, owner in self._owners.items():
            for link in owner.pool.links if owner.pool is not None else ():
                connection = link.connection
                if connection is not None:
                    yield traceable_by_address(connection, name)

    async def drain(self) -> None:
        """Let every window run empty; the caller bounds the time."""
        self._is_stopping = True
        await asyncio.gather(*(owner.drain() for owner in self._owners.values()))

    async def stop(self) -> None:
        """Unbind, close, and give the roles up."""
        self._is_stopping = True
        for name in list(self._owners):
            self._part_with(name)
        await asyncio.gather(*self._leaving, return_exceptions=True)

    def _begin(self, profile: Upstream) -> None:
        name = profile.id
        figures = self.figures.setdefault(name, UpstreamFigures(name))
        owner = self._owners[name] = UpstreamOwner(profile, self._around, figures)
        self._subscribe(b"q:" + name.encode(), owner.wake)
        self._subscribe(b"c:" + name.encode(), owner.asked)
        self._subscribe(b"m:" + name.encode(), owner.matched)
        self._tasks[name] = asyncio.create_task(owner.run(), name=f"upstream {name}")

    def _part_with(self, name: str) -> None:
        owner = self._owners.pop(name)
        self._unsubscribe(b"q:" + name.encode(), owner.wake)
        self._unsubscribe(b"c:" + name.encode(), owner.asked)
        self._unsubscribe(b"m:" + name.encode(), owner.matched)
        task = asyncio.create_task(self._end(owner, self._tasks.pop(name)), name=f"upstream {name} ends")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _end(self, owner: UpstreamOwner, task: asyncio.Task[None]) -> None:
        try:
            async with asyncio.timeout(0.0 if self._is_stopping else REMOVED_SECONDS):
                await owner.drain()
        except TimeoutError:
            _log.warning("upstream.not_drained", upstream=owner.profile.id)
        owner.end()
        await task
