"""A ledger with a real Redis, a real PostgreSQL and a writer that is started and stopped at will."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from smscd.admin import orders
from smscd.admin.orders import Outcome, Refusal
from smscd.archive.announcer import Announcer
from smscd.archive.writer import Writer
from smscd.core.directory import Account
from smscd.core.records import LedgerRecord
from storage.postgres.configuration import add_account
from storage.postgres.pool import Pool, open_pool
from storage.redis.accounts import Balances
from storage.redis.journal import JournalReader
from storage.redis.keys import ShardKeys
from storage.redis.link import RedisLink
from tests.integration.postgres_databases import RecordDatabase
from tests.integration.writer_fixture import QUICK, Observed, connector

KEYS = ShardKeys(0)


class LedgerRig:
    """Accounts demo (no credit) and acme (owes up to 100 micro-units)."""

    def __init__(self, record: RecordDatabase, url: str, database: Pool) -> None:
        self.record = record
        self.database = database
        self.link = RedisLink(url, name="test")
        self.balances = Balances(KEYS, self.link)
        self.observed = Observed()

    def writer(self, announcer: Announcer | None = None) -> Writer:
        """A writer of the journal, which does not linger."""
        return Writer(
            shard=0,
            journal=JournalReader(KEYS, self.link),
            connect=connector(self.record.dsn),
            observer=self.observed,
            now_ms=lambda: int(time.time() * 1000),
            limits=QUICK,
            announcer=announcer,
        )

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """With a writer at work."""
        task = asyncio.create_task(self.writer().run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def write(self, announcer: Announcer | None = None) -> None:
        """Write the journal to its end."""
        writer = self.writer(announcer)
        writer.drain()
        await asyncio.wait_for(writer.run(), 60)

    async def place(
        self,
        kind: str,
        micros: int,
        reference: str,
        *,
        account: str = "demo",
        note: str = "because",
        corrects: str = "",
        is_forced: bool = False,
        wait_seconds: float = 10.0,
    ) -> Outcome | Refusal:
        """Place an order of operator `ann`."""
        order = LedgerRecord(account, kind, micros, reference, int(time.time() * 1000), "ann", note, corrects)
        return await orders.place(order, self.database, self.balances, is_forced=is_forced, wait_seconds=wait_seconds)

    async def logged(self) -> list[tuple[str, str, str]]:
        """Who did what to whom, oldest first."""
        rows = await self.database.fetch("SELECT operator, action, subject FROM audit_log ORDER BY id")
        return [(row["operator"], row["action"], row["subject"]) for row in rows]


@asynccontextmanager
async def ledger_rig(record: RecordDatabase, url: str) -> AsyncIterator[LedgerRig]:
    """On an empty Redis and a migrated database."""
    pool = await open_pool(record.dsn, name="test admin")
    rig = LedgerRig(record, url, pool)
    try:
        await add_account(pool, Account(id="demo", webhook_secret="whsec_" + "A" * 32))
        await add_account(pool, Account(id="acme", credit_limit_micros=100))
        yield rig
    finally:
        await rig.link.close()
        await pool.close()
