"""GET /v1/messages on a real record: every message, newest first, once, and never more of it than may be looked at."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from smscd.core.ids import first_id
from smscd.core.records import State
from storage.postgres import message_pages
from storage.postgres.message_pages import MessageFilter, MessagePage, read_page
from storage.postgres.partitions import ensure_partitions
from storage.postgres.pool import Connection
from storage.postgres.rows import Direction
from tests.integration.http_rig import BODY, http_rig
from tests.integration.journal_fake import NOW_MS, FakeJournal, append_lives
from tests.integration.postgres_databases import RecordDatabase
from tests.integration.writer_fixture import write_all

pytest_plugins = ("tests.integration.postgres_fixture",)

DAY_MS, HOUR_MS = 86_400_000, 3_600_000
COUNT = 300


async def fill(dsn: str, owner: Connection) -> None:
    """Two days, in partitions of a day."""
    journal = FakeJournal()
    for day in range(2):
        journal.now_ms = NOW_MS + day * DAY_MS
        await ensure_partitions(owner, journal.now_ms, "day", 1)
        append_lives(journal, COUNT // 2, batch=50, step_ms=1_000)
    await write_all(dsn, journal)


async def pages(connection: Connection, wanted: MessageFilter, limit: int, **bounds: int) -> list[MessagePage]:
    """From the newest on until there is no more."""
    first, end = bounds.get("first_id", 0), bounds.get("end_id", 2**63 - 1)
    found = [await read_page(connection, "demo", wanted, limit=limit, first_id=first, end_id=end)]
    while (end := found[-1].next_id or 0) > 0:
        found.append(await read_page(connection, "demo", wanted, limit=limit, first_id=first, end_id=end))
    return found


async def test_pages_hold_every_message_once_newest_first(
    record_database: RecordDatabase, owner: Connection, daemon: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(record_database.dsn, owner)
    rows = await daemon.fetch("SELECT id FROM messages WHERE account = 'demo' ORDER BY id DESC")
    ids = [row["id"] for row in rows]
    assert len(ids) == COUNT
    for limit in (7, 500):
        found = await pages(daemon, MessageFilter(), limit)
        assert [message.id for page in found for message in page.messages] == ids
    between = await pages(daemon, MessageFilter(), 50, first_id=ids[200], end_id=ids[10])
    assert [message.id for page in between for message in page.messages] == ids[11:201]

    monkeypatch.setattr(message_pages, "SCANNED_MAX", 40)
    nothing = await pages(daemon, MessageFilter(states=(State.REJECTED,)), 500)
    assert [page.messages for page in nothing] == [[]] * len(nothing)
    assert len(nothing) == -(-COUNT // 40)
    dest = (await daemon.fetchval("SELECT dest FROM messages WHERE id = $1", ids[123])).encode()
    expected = await daemon.fetch("SELECT id FROM messages WHERE dest = $1 ORDER BY id DESC", dest.decode())
    some = await pages(daemon, MessageFilter(direction=Direction.OUTBOUND, dest=dest), 2)
    assert [message.id for page in some for message in page.messages] == [row["id"] for row in expected]


async def test_partitions_outside_of_the_time_are_left_alone(
    record_database: RecordDatabase, owner: Connection, daemon: Connection
) -> None:
    await fill(record_database.dsn, owner)
    await daemon.execute("SET plan_cache_mode = force_generic_plan")
    async with daemon.transaction():
        await read_page(
            daemon, "demo", MessageFilter(), limit=50, first_id=first_id(NOW_MS), end_id=first_id(NOW_MS + HOUR_MS)
        )
        touched = await daemon.fetch(
            "SELECT relname FROM pg_stat_xact_user_tables WHERE relname LIKE 'messages_%' AND idx_scan + seq_scan > 0"
        )
    assert len(touched) == 1, touched


async def test_the_list_shows_what_a_message_shows_and_nobody_elses(
    valkey_url: str, record_database: RecordDatabase
) -> None:
    async with http_rig(valkey_url, record_database.dsn) as rig:
        await rig.write()
        sent = [(await rig.send(BODY | {"client_ref": f"order-{n}"})).json for n in range(5)]
        await rig.get(f"/v1/messages/{sent[-1]['id']}")  # answered when the record has it
        assert (await rig.send(account="slow")).status == 202

        async def listed(**query: Any) -> tuple[list[Any], Any]:
            reply = await rig.get("/v1/messages?" + urlencode(query))
            assert reply.status == 200
            return reply.json["data"], reply.json["next_cursor"]

        assert await listed() == (sent[::-1], None)
        first, cursor = await listed(limit=3, to="+447700900123", status="queued")
        rest, end = await listed(limit=3, to="447700900123", status="queued", cursor=cursor)
        assert (first + rest, end) == (sent[::-1], None)
        assert await listed(status="delivered") == await listed(direction="inbound") == ([], None)
        assert await listed(created_before="2026-01-01") == ([], None)
