"""Adds up the days that are over, by whoever leads, and again while refunds and receipts may still come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from typing import Final

import asyncpg
import structlog

from smscd.archive.day_totals import add_up_day, day_begins_ms, day_of
from smscd.core.ids import message_ms
from smscd.core.totals import DAY_MS, is_due
from storage.postgres.pool import UNAVAILABLE, Connection
from storage.postgres.totals import computed_days, first_message, read_currencies, store_day

TOTALS_SETTINGS: Final = {"max_parallel_workers_per_gather": "0", "plan_cache_mode": "force_custom_plan"}
"""For its connection: one process of the server at most works for it."""
_TROUBLE: tuple[type[Exception], ...] = (*UNAVAILABLE, asyncpg.PostgresError)
_log = structlog.get_logger(__name__)


class TotalsTask:
    """run() until cancelled; also run_once(), for tests. connect: one connection a time, closed after a round."""

    def __init__(
        self,
        *,
        connect: Callable[[], Awaitable[Connection]],
        now_ms: Callable[[], int],
        every_seconds: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """sleep: for tests, which move the clock."""
        self._connect = connect
        self._now_ms = now_ms
        self._every_seconds = every_seconds
        self._sleep = sleep

    async def run(self) -> None:
        """Every so often, the first time after a pause of that length."""
        while True:
            await self._sleep(self._every_seconds)
            try:
                await self.run_once()
            except _TROUBLE as error:
                _log.warning("totals.not_computed", error=type(error).__name__)

    async def run_once(self) -> list[date]:
        """Add up what is due, the newest day first; between two slices it rests for as long as one takes."""
        connection = await self._connect()
        try:
            done = []
            for day in await self._due(connection):
                began_ms = self._now_ms()
                totals = await add_up_day(connection, day, pause=self._sleep)
                await store_day(connection, day, began_ms, totals, await read_currencies(connection))
                _log.info("totals.computed", day=str(day), rows=len(totals))
                done.append(day)
            return done
        finally:
            await connection.close()

    async def _due(self, connection: Connection) -> list[date]:
        """A day before the oldest message is not: its partition may have been dropped, its totals stay."""
        oldest, now_ms = await first_message(connection), self._now_ms()
        if oldest is None:
            return []
        first, today = day_of(message_ms(oldest)), day_of(now_ms)
        known = await computed_days(connection, first, today)
        days = [today - timedelta(days=back) for back in range(1, (today - first).days + 1)]
        return [day for day in days if is_due(day_begins_ms(day) + DAY_MS, known.get(day), now_ms)]
