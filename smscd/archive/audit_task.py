"""Audits a sample of the ledger again and again, by whoever leads, so that somebody hears of it when money is off."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import asyncpg
import structlog

from smscd.archive.audit import Audit, Balances, Difference, Journal, sample
from storage.postgres.audit import snapshot
from storage.postgres.pool import UNAVAILABLE, Connection
from storage.redis.errors import StorageUnavailable

_TROUBLE: tuple[type[Exception], ...] = (*UNAVAILABLE, asyncpg.PostgresError, StorageUnavailable)
_log = structlog.get_logger(__name__)


class AuditObserver(Protocol):
    """Whom the task tells; an alert is due when there is any difference, and when it has not told for long."""

    def audited(self, entries: int, differences: Sequence[Difference]) -> None:
        """An audit is over."""
        ...


class AuditTask:
    """run() until cancelled; also run_once(), for tests. connect: one connection a time, closed after the audit."""

    def __init__(
        self,
        *,
        connect: Callable[[], Awaitable[Connection]],
        balances: Balances,
        journal: Journal,
        observer: AuditObserver,
        chance: Callable[[], float],
        every_seconds: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """sleep: for tests, which move the clock."""
        self._connect = connect
        self._balances = balances
        self._journal = journal
        self._observer = observer
        self._chance = chance
        self._every_seconds = every_seconds
        self._sleep = sleep

    async def run(self) -> None:
        """Every so often, the first time after a pause of that length."""
        while True:
            await self._sleep(self._every_seconds)
            try:
                await self.run_once()
            except _TROUBLE as error:
                _log.warning("ledger.not_audited", error=type(error).__name__)

    async def run_once(self) -> Audit:
        """Audit a sample, and tell."""
        found = await self._sample()
        self._observer.audited(found.entries, found.differences)
        for difference in found.differences:
            _log.error(
                "ledger.difference",
                kind=difference.kind,
                account=difference.account,
                micros=difference.micros,
                what=difference.what,
            )
        return found

    async def _sample(self) -> Audit:
        connection = await self._connect()
        try:
            async with snapshot(connection) as record:
                return await sample(record, self._balances, self._journal, chance=self._chance)
        finally:
            await connection.close()
