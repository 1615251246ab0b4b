"""A recovery on a real Redis and PostgreSQL, and a record in which much is open."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from redis import Redis

from smscd.core.directory import Account
from smscd.core.records import MessageRecord
from smscd.core.upstream import Upstream
from smscd.recovery.recover import Recovery
from storage.postgres.configuration import add_account, add_upstream
from storage.postgres.installation import get_installation, install
from storage.postgres.messages import recorded_id
from storage.postgres.pool import Connection, connect
from storage.redis.guard import Guard
from storage.redis.link import RedisLink
from storage.redis.recovery import LINK_NAME
from tests.integration.egress_rig import wall_ms
from tests.integration.journal_fake import FakeJournal, message, message_id, receipt, sent, top_up
from tests.integration.postgres_databases import RecordDatabase
from tests.integration.redis_picture import KEYS
from tests.integration.writer_fixture import write_all


def silent(what: str, share: float) -> None:
    """No bar."""


@asynccontextmanager
async def recovery(
    url: str, database: RecordDatabase, *, is_forced: bool = False, link: RedisLink | None = None
) -> AsyncIterator[Recovery]:
    """One on connections of its own."""
    connection = await connect(database.dsn, name="smscd recover")
    link = link or RedisLink(url, name=LINK_NAME)
    try:
        installation = await get_installation(connection)
        assert installation is not None
        yield Recovery(connection, link, installation, is_forced=is_forced)
    finally:
        await link.close()
        await connection.close()


@contextmanager
def raw(url: str) -> Iterator[Any]:
    with Redis.from_url(url) as store:
        yield store


async def fill(database: RecordDatabase, owner: Connection) -> list[MessageRecord]:
    """A record in which much is open: 250 that nobody tried, ten sent, one of them told, and money."""
    await install(owner)
    await add_account(owner, Account(id="demo"))
    await add_upstream(owner, Upstream(id="carrier", host="h", port=1, system_id="s", password="p"))
    now_ms = wall_ms() - 60_000
    journal = FakeJournal(now_ms=now_ms)
    journal.append(b"L", [top_up(10_000_000, now_ms)])
    records = [
        message(
            message_id(now_ms, number), dest=b"447900%03d000" % number, valid_until_ms=now_ms + 86_400_000,
            request_key=f"k{number}", stored_answer=b"answer %d" % number,
        )
        for number in range(260)
    ]  # fmt: skip
    journal.append(b"A", records)
    journal.append(b"T", [sent(record, now_ms + 5) for record in records[:10]])
    journal.append(b"R", [receipt(records[0], now_ms + 9)], b"2")
    await write_all(database.dsn, journal)
    return records


async def guarded(url: str, connection: Connection) -> None:
    """Connect as a daemon does."""
    installation = await get_installation(connection)
    assert installation is not None
    guard = Guard(KEYS, str(installation.id), 1, lambda: recorded_id(connection, 0), is_settled=True)
    link = RedisLink(url, name="guarded", verify=guard.verify)
    try:
        await link.command("PING")
    finally:
        await link.close()
