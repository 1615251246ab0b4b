"""The record of a shard of the money machine: a database of its own, the real writer, the real recovery."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from smscd.archive.writer import WriterLimits
from smscd.core.directory import Account
from smscd.core.upstream import Upstream
from smscd.recovery.report import Report
from storage.embedded.postgres import EmbeddedPostgres
from storage.postgres.configuration import add_account, add_upstream
from storage.postgres.installation import install
from storage.postgres.ledger import entry_of
from storage.postgres.overflow import OverflowTable
from storage.postgres.pool import connect
from storage.redis.journal import JournalEntry
from tests.integration.journal_fake import FakeEntry, FakeJournal
from tests.integration.postgres_databases import RecordDatabase, create_database, drop_database
from tests.integration.recovery_fixture import recovery, silent
from tests.integration.writer_fixture import QUICK, write_all

_numbers = itertools.count(1)


class Record:
    """Made when it is first written to, which most runs never do. template: a migrated database."""

    def __init__(self, server: EmbeddedPostgres, template: str, accounts: Sequence[str], upstream: str) -> None:
        self._server = server
        self._template = template
        self._accounts = accounts
        self._upstream = upstream
        self._database: RecordDatabase | None = None

    async def write(self, entries: Sequence[JournalEntry], last_id: str, now_ms: int, batch_records: int) -> None:
        """Bring the record up to last_id, where `entries` of the journal end, with a commit for so many records."""
        database = self._database or await self._make()
        made = [FakeEntry(entry.id, entry.kind, entry.blob, entry.effects, entry.refunds) for entry in entries]
        limits = WriterLimits(linger_seconds=0.0, poll_seconds=QUICK.poll_seconds, batch_records=batch_records)
        observed = await write_all(database.dsn, FakeJournal(now_ms, made, top=last_id), limits)
        assert not observed.errors
        assert not observed.rows.get("journal_dead_letters")

    async def forget(self, ids: Sequence[int]) -> None:
        """These do not wait here alone any more."""
        assert self._database is not None
        connection = await connect(self._database.dsn, name="test")
        try:
            await OverflowTable(connection).drop(ids)
        finally:
            await connection.close()

    async def recover(self, url: str, *, is_forced: bool) -> Report:
        """Build Redis again."""
        assert self._database is not None
        async with recovery(url, self._database, is_forced=is_forced) as work:
            return await work.run(silent)

    async def knows(self, reference: str) -> bool:
        """True when the ledger has this order: then nobody asks Redis, which has forgotten it."""
        if self._database is None:
            return False
        connection = await connect(self._database.dsn, name="test")
        try:
            return await entry_of(connection, reference) is not None
        finally:
            await connection.close()

    async def close(self) -> None:
        """Drop the database."""
        if self._database is not None:
            await drop_database(self._server, self._database.name)

    async def _make(self) -> RecordDatabase:
        database = await create_database(self._server, f"money_{next(_numbers)}", self._template)
        self._database = database
        connection = await connect(database.owner_dsn, name="test owner")
        try:
            await install(connection)
            for account in self._accounts:
                await add_account(connection, Account(id=account))
            profile = Upstream(id=self._upstream, host="h", port=1, system_id="s", password="p")
            await add_upstream(connection, profile)
        finally:
            await connection.close()
        return database
