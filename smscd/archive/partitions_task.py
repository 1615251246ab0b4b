"""Keeps partitions made ahead: at the start, then daily, by whoever leads; and says when the future runs short.

Orphans, the events that customers ask for, and what became of events at webhooks have no partitions: they are deleted
at the same time when they are old.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Protocol

import asyncpg
import structlog

from storage.postgres.account_events import forget_events
from storage.postgres.orphans import forget_orphans, forget_parked
from storage.postgres.partitions import ensure_partitions, list_partitions, made_until_ms, stray_rows
from storage.postgres.pool import UNAVAILABLE, Database
from storage.postgres.webhooks import forget_deliveries

DAY_SECONDS = 86_400.0
ORPHANS_KEPT_MS = 90 * 86_400_000
EVENTS_KEPT_MS = 7 * 86_400_000
DELIVERIES_KEPT_MS = 30 * 86_400_000
PARKED_KEPT_MS = 86_400_000
_TROUBLE: tuple[type[Exception], ...] = (*UNAVAILABLE, asyncpg.PostgresError)
_log = structlog.get_logger(__name__)


class PartitionsObserver(Protocol):
    """Whom the task tells how it stands; an alert is due when seconds is below a day, or rows above 0."""

    def partitions_made(self, ahead_seconds: float, stray_rows: int) -> None:
        """Until when there are partitions, from now; and how many rows lie in DEFAULT (counted to 10,000 a table)."""
        ...


class PartitionsTask:
    """run() until cancelled; also run_once(), for the supervisor's first run and for tests."""

    def __init__(
        self,
        *,
        database: Database,
        granularity: str,
        observer: PartitionsObserver,
        now_ms: Callable[[], int],
        ahead: int | None = None,
        every_seconds: float = DAY_SECONDS,
        retry_seconds: float = 60.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """granularity: the installation's. ahead: spans after the present one (by default 2 years, 3 months, 14 days).
        sleep: for tests, which move the clock."""
        self._database = database
        self._granularity = granularity
        self._observer = observer
        self._now_ms = now_ms
        self._ahead = ahead
        self._every_seconds = every_seconds
        self._retry_seconds = retry_seconds
        self._sleep = sleep

    async def run(self) -> None:
        """Now, and then every day; sooner again after a failure."""
        while True:
            try:
                await self.run_once()
            except _TROUBLE as error:
                _log.warning("partitions.not_made", error=type(error).__name__)
                await self._sleep(self._retry_seconds)
            else:
                await self._sleep(self._every_seconds)

    async def run_once(self) -> dict[str, int]:
        """Make what is missing; the new partitions' names and how many rows were moved into each out of DEFAULT."""
        now_ms = self._now_ms()
        made = await ensure_partitions(self._database, now_ms, self._granularity, self._ahead)
        until_ms = made_until_ms(now_ms, await list_partitions(self._database))
        stray = sum((await stray_rows(self._database)).values())
        for name, moved in made.items():
            _log.info("partition.made", name=name, moved=moved)
        if stray:
            _log.error("partitions.rows_in_default", rows=stray)
        await forget_parked(self._database, now_ms - PARKED_KEPT_MS)
        forgotten = await forget_orphans(self._database, now_ms - ORPHANS_KEPT_MS)
        if forgotten:
            _log.info("orphans.forgotten", count=forgotten)
        old = datetime.fromtimestamp((now_ms - EVENTS_KEPT_MS) / 1000, UTC)
        if forgotten := await forget_events(self._database, old):
            _log.info("events.forgotten", count=forgotten)
        forgotten = await forget_deliveries(self._database, now_ms - DELIVERIES_KEPT_MS)
        if forgotten:
            _log.info("webhooks.forgotten", count=forgotten)
        self._observer.partitions_made((until_ms - now_ms) / 1000, stray)
        return made
