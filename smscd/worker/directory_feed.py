"""Keeps the directory current: loaded from PostgreSQL, loaded again when a notification says that it changed.

Prices and routes, of which there may be a hundred thousand, are read and built only when they changed, and in steps
between which the process does its work. While PostgreSQL is away, or has a row that cannot be read, the last directory
stays in use; only the first load has to succeed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from smscd.core.directory import Snapshot
from smscd.core.directory_index import SCHEDULE_MAX_MS, DirectoryIndex
from smscd.core.price_tables import PriceTables
from smscd.core.routing import Rules, Why

REFRESH_SECONDS = 30.0
WARNED_ROUTES_MAX = 20
_log = structlog.get_logger(__name__)


class DirectoryFeed:
    """The current directory of one process.

    load(known): reads a snapshot, given the last one. unavailable: the exceptions with which it fails while the
    database is away, or has a row that this release cannot read.
    validity_default_ms: of a message whose customer asked for none. schedule_max_ms: how far ahead one
    may be scheduled.
    on_change(index): called after each load that brought a change. loads: how many did.
    """

    def __init__(
        self,
        load: Callable[[Snapshot], Awaitable[Snapshot]],
        unavailable: tuple[type[BaseException], ...],
        validity_default_ms: int,
        schedule_max_ms: int = SCHEDULE_MAX_MS,
    ) -> None:
        self._load = load
        self._validity_default_ms = validity_default_ms
        self._schedule_max_ms = schedule_max_ms
        self._unavailable = unavailable
        self._snapshot = Snapshot()
        self._wanted = asyncio.Event()
        self.loads = 0
        self.current = DirectoryIndex(self._snapshot, validity_default_ms, schedule_max_ms=schedule_max_ms)
        self.on_change: list[Callable[[DirectoryIndex], None]] = []

    def get(self) -> DirectoryIndex:
        """The directory as it is now."""
        return self.current

    def go_around(self, out: frozenset[str]) -> None:
        """These upstreams are out; see DirectoryIndex.go_around()."""
        self.current.go_around(out)

    def refresh_soon(self) -> None:
        """Load again at once; called for a notification."""
        self._wanted.set()

    async def refresh(self) -> None:
        """Load now. Raises what `load` raises."""
        snapshot = await self._load(self._snapshot)
        if snapshot == self._snapshot:
            return
        prices = self.current.prices
        if snapshot.prices_version != self._snapshot.prices_version:
            prices = PriceTables()
            for _ in prices.fill(snapshot.prices, snapshot.costs):
                await asyncio.sleep(0)
        rules = self.current.rules
        if snapshot.routes is not self._snapshot.routes:
            rules = Rules()
            for _ in rules.fill(snapshot.routes):
                await asyncio.sleep(0)
            for route in rules.unusable[:WARNED_ROUTES_MAX]:
                _log.warning("route.skipped", route=route.label, zone=route.zone, reason=Why.ZONE.value)
        self._snapshot = snapshot
        self.loads += 1
        out = self.current.out
        self.current = DirectoryIndex(snapshot, self._validity_default_ms, prices, self._schedule_max_ms, rules)
        self.current.go_around(out)
        _log.info("directory.loaded", accounts=len(snapshot.accounts), upstreams=len(snapshot.upstreams))
        for callback in self.on_change:
            callback(self.current)

    async def run(self) -> None:
        """Refresh on notification and every half minute, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(REFRESH_SECONDS):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            self._wanted.clear()
            try:
                await self.refresh()
            except self._unavailable as error:
                _log.warning("directory.kept", error=str(error))
