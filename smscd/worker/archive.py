"""What keeps the record in PostgreSQL: the writer, partitions ahead of it, audit and totals after it, a role each."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from smscd.archive.announcer import Announcer
from smscd.archive.audit_task import AuditTask
from smscd.archive.overflow import OverflowTask
from smscd.archive.partitions_task import PartitionsTask
from smscd.archive.totals_task import TOTALS_SETTINGS, TotalsTask
from smscd.archive.writer import Writer, WriterLimits
from smscd.archive.writer_work import WriterWork
from smscd.monitoring.metrics import Sample
from smscd.monitoring.observers import AuditMetrics, PartitionMetrics, WriterMetrics
from smscd.roles.role import RoleService
from storage.postgres import pool as postgres
from storage.postgres.overflow import OverflowTable
from storage.redis.accounts import Balances
from storage.redis.journal import JournalReader
from storage.redis.outbox import HookFeed
from storage.redis.overflow import OverflowStore

if TYPE_CHECKING:
    from smscd.daemon import Composition

# Shorter than elsewhere: one that was begun while the link was lost must not keep the writer once it is back.
CONNECT_SECONDS = 2.0


class Archive:
    """The services, and what a heartbeat says of them."""

    def __init__(self, parts: Composition) -> None:
        self._parts = parts
        self._written = WriterMetrics(parts.metrics)
        self._audited = AuditMetrics(parts.metrics)
        self._writer = self._make_writer()
        self._audit = self._make_audit()

    def services(self) -> list[RoleService]:
        """In the order in which they start."""
        services = [self._writer, self._make_partitions(), self._make_overflow()]
        if self._parts.config.audit.every_seconds:
            services.append(self._audit)
        if self._parts.config.totals.every_seconds:
            services.append(self._make_totals())
        return services

    @property
    def writer_lag_seconds(self) -> float | None:
        """How far PostgreSQL is behind the journal; None when another worker writes."""
        return self._written.behind_seconds if self._writer.is_held else None

    @property
    def ledger_differences(self) -> int | None:
        """What the last audit found; None when another worker audits, or none has yet."""
        return self._audited.differences if self._audit.is_held else None

    def _make_writer(self) -> RoleService:
        parts, config = self._parts, self._parts.config
        limits = WriterLimits(
            linger_seconds=config.writer.linger_seconds,
            answer_seconds=config.writer.answer_seconds,
            batch_records=config.writer.rows_max,
            trim_after_seconds=config.writer.trim_after_seconds,
            trim_after_bytes=config.writer.trim_after_bytes,
        )
        link = parts.link("journal")
        journal, hooks = JournalReader(parts.keys, link), HookFeed(parts.keys, link)

        def writer() -> Writer:
            return Writer(
                shard=0,
                journal=journal,
                connect=lambda seconds: postgres.connect(
                    config.postgres_dsn,
                    name="smscd writer",
                    settings=postgres.WRITER_SETTINGS,
                    connect_seconds=max(CONNECT_SECONDS, seconds / 4),
                    command_seconds=seconds,
                ),
                observer=self._written,
                now_ms=parts.redis_ms,
                limits=limits,
                announcer=Announcer(hooks),
            )

        work = WriterWork(writer)
        return self._role("write", work.run, work.finish)

    def _make_partitions(self) -> RoleService:
        parts = self._parts
        observer = PartitionMetrics(parts.metrics)

        async def work() -> None:
            await PartitionsTask(
                database=parts.database.get(),
                granularity=parts.config.writer.partition,
                observer=observer,
                now_ms=parts.redis_ms,
            ).run()

        return self._role("partitions", work)

    def _make_overflow(self) -> RoleService:
        parts, waiting = self._parts, dict[str, int]()
        session = parts.session("overflow")
        store = OverflowStore(parts.keys, session, parts.link("overflow-reads"))
        parts.metrics.add_source(
            lambda: [Sample("smscd_overflow_messages", (name,), count) for name, count in waiting.items()]
        )

        async def work() -> None:
            try:
                await OverflowTask(
                    store,
                    OverflowTable(parts.database.get()),
                    in_redis_max=parts.config.admission.queue_in_redis_max,
                    now_ms=parts.redis_ms,
                    away=postgres.UNAVAILABLE,
                    waiting=waiting,
                ).run()
            finally:
                waiting.clear()

        return RoleService("overflow", session, parts.leases, work, _nothing)

    def _make_audit(self) -> RoleService:
        parts, config = self._parts, self._parts.config
        link = parts.link("audit")
        task = AuditTask(
            connect=lambda: postgres.connect(config.postgres_dsn, name="smscd audit"),
            balances=Balances(parts.keys, link),
            journal=JournalReader(parts.keys, link),
            observer=self._audited,
            chance=random.random,
            every_seconds=config.audit.every_seconds,
        )
        return self._role("audit", task.run)

    def _make_totals(self) -> RoleService:
        parts, config = self._parts, self._parts.config
        task = TotalsTask(
            connect=lambda: postgres.connect(
                config.postgres_dsn, name="smscd totals", settings=TOTALS_SETTINGS, command_seconds=600.0
            ),
            now_ms=parts.redis_ms,
            every_seconds=config.totals.every_seconds,
        )
        return self._role("totals", task.run)

    def _role(
        self, name: str, work: Callable[[], Awaitable[None]], finish: Callable[[], Awaitable[None]] | None = None
    ) -> RoleService:
        parts = self._parts
        return RoleService(name, parts.session(name), parts.leases, work, finish or _nothing)


async def _nothing() -> None:
    """What these roles do is done in one step each: there is nothing to finish."""
