"""PostgreSQL as a worker reads it: a pool that opens also while the server is away."""

from __future__ import annotations

import asyncio

from smscd.core.directory import Snapshot
from smscd.core.upstream import Upstream
from storage.postgres import pool as postgres
from storage.postgres.configuration import load_snapshot
from storage.postgres.messages import recorded_id


class Database:
    """The pool of this worker; it opens also while PostgreSQL is away."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._pool: postgres.Pool | None = None

    async def open(self) -> None:
        """Make the pool; connections are made when they are needed."""
        self._pool = await postgres.open_pool(self._dsn, name="smscd worker", command_seconds=postgres.ANSWER_SECONDS)

    def get(self) -> postgres.Pool:
        """The pool; only after open()."""
        if self._pool is None:
            raise RuntimeError("the database is not open")
        return self._pool

    async def close(self) -> None:
        """Close it, and do not wait for a PostgreSQL that is away."""
        if self._pool is not None:
            try:
                async with asyncio.timeout(2.0):
                    await self._pool.close()
            except postgres.UNAVAILABLE:
                self._pool.terminate()

    async def load_directory(self, known: Snapshot) -> Snapshot:
        """Everything that configures this process while it runs. known: as it was."""
        return await load_snapshot(self.get(), known)

    async def load_upstreams(self) -> tuple[Upstream, ...]:
        """All upstreams, enabled or not."""
        return (await load_snapshot(self.get(), with_prices=False)).upstreams

    async def recorded_offset(self) -> str | None:
        """How far PostgreSQL has the journal; None while it cannot be asked."""
        try:
            return await recorded_id(self.get(), 0)
        except postgres.UNAVAILABLE:
            return None
