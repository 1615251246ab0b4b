"""A writer on a database of the test's own: writes a fake journal, and shows what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from smscd.archive.writer import Commit, Writer, WriterLimits
from storage.postgres.pool import WRITER_SETTINGS, Connection, connect
from tests.integration.journal_fake import FakeJournal

QUICK = WriterLimits(linger_seconds=0.0, poll_seconds=0.005, backoff_seconds_first=0.01, backoff_seconds_max=0.1)


@dataclass
class Observed:
    """What the writer told."""

    commits: list[Commit] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    behind_seconds: list[float] = field(default_factory=list)

    def committed(self, commit: Commit) -> None:
        self.commits.append(commit)

    def behind(self, seconds: float) -> None:
        self.behind_seconds.append(seconds)

    def interrupted(self, error: BaseException) -> None:
        self.errors.append(error)

    @property
    def rows(self) -> dict[str, int]:
        """Rows by table, all commits together."""
        total: dict[str, int] = {}
        for commit in self.commits:
            for table, count in commit.rows.items():
                total[table] = total.get(table, 0) + count
        return total


def connector(dsn: str) -> Callable[[float], Awaitable[Connection]]:
    """How a writer of tests connects."""

    async def open_connection(seconds: float) -> Connection:
        return await connect(dsn, name="writer", settings=WRITER_SETTINGS, command_seconds=seconds)

    return open_connection


def writer_on(
    dsn: str, journal: FakeJournal, observed: Observed | None = None, limits: WriterLimits = QUICK, shard: int = 0
) -> Writer:
    """A writer that does not linger."""
    return Writer(
        shard=shard,
        journal=journal,
        connect=connector(dsn),
        observer=observed or Observed(),
        now_ms=lambda: journal.now_ms,
        limits=limits,
    )


async def write_all(
    dsn: str, journal: FakeJournal, limits: WriterLimits = QUICK, observed: Observed | None = None
) -> Observed:
    """Write the journal to its end."""
    observed = observed or Observed()
    writer = writer_on(dsn, journal, observed, limits)
    writer.drain()
    await asyncio.wait_for(writer.run(), 60)
    return observed


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 30.0) -> None:
    """Wait for a condition, with a deadline."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.01)


async def rows(connection: Connection, query: str, *arguments: object) -> list[dict[str, Any]]:
    """Rows as dictionaries."""
    return [dict(row) for row in await connection.fetch(query, *arguments)]
