"""GET /v1/transactions on real ledgers: every entry, in order, once, and never more of the record than it may read."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import urlencode

import pytest

from smscd.archive.writer import WriterLimits
from smscd.ingress.http.transactions import READS_MAX
from storage.postgres import account_entries
from storage.postgres.account_entries import BookedEntry, find_period, read_page, stream_period
from storage.postgres.ledger import entries as ledger_entries
from storage.postgres.partitions import ensure_partitions, id_at
from storage.postgres.pool import Connection, connect
from tests.integration.http_rig import HttpRig, http_rig
from tests.integration.journal_fake import NOW_MS, FakeJournal, append_lives, append_money, top_up
from tests.integration.postgres_databases import RecordDatabase
from tests.integration.writer_fixture import until, write_all

pytest_plugins = ("tests.integration.postgres_fixture",)

DAY_MS = 86_400_000
SMALL = WriterLimits(linger_seconds=0.0, poll_seconds=0.005, batch_records=20)


async def fill(dsn: str, owner: Connection) -> None:
    """Three days of two accounts, in partitions of a day."""
    journal = FakeJournal()
    for day in range(3):
        journal.now_ms = NOW_MS + day * DAY_MS
        await ensure_partitions(owner, journal.now_ms, "day", 1)
        journal.append(b"L", [top_up(50_000_000, NOW_MS, f"invoice-{day}")])
        append_lives(journal, 400, batch=20, step_ms=1_000)
        append_money(journal)
        await write_all(dsn, journal, SMALL)


async def chain(connection: Connection, account: str = "demo") -> list[tuple[int, str, int, int]]:
    """Every entry by the code that proves them, newest first."""
    found = await ledger_entries(connection, account, limit=10_000)
    return [(entry.id, entry.kind, entry.amount_micros, entry.balance_micros) for entry in found]


def told(entries: list[BookedEntry]) -> list[tuple[int, str, int, int]]:
    return [(entry.id, entry.kind, entry.amount_micros, entry.balance_micros) for entry in entries]


@pytest.mark.parametrize("limit", [1, 7, 500])
async def test_pages_hold_every_entry_once_newest_first(
    record_database: RecordDatabase, owner: Connection, daemon: Connection, limit: int
) -> None:
    await fill(record_database.dsn, owner)
    seen: list[BookedEntry] = []
    from_seq: int | None = None
    while True:
        page = await read_page(daemon, "demo", limit=limit, from_seq=from_seq)
        seen += page.entries
        from_seq = page.next_seq
        if from_seq is None:
            break
    assert told(seen) == await chain(daemon)
    assert len(seen) > 20 and {entry.kind for entry in seen} == {"charge", "refund", "topup"}


async def test_a_period_is_a_part_of_the_chain_without_a_gap_wherever_it_begins_and_ends(
    record_database: RecordDatabase, owner: Connection, daemon: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_entries, "PART_ENTRIES", 7)
    await fill(record_database.dsn, owner)
    whole = await chain(daemon)
    newest, fourth = whole[0][0], whole[3][0]
    bounds = [0, id_at(NOW_MS + DAY_MS), fourth, fourth + 1, whole[-1][0], newest, newest + 1, 2**63]
    for first in bounds:
        for end in bounds:
            expected = [entry for entry in whole if first <= entry[0] < end]
            page = await read_page(daemon, "demo", limit=10_000, first_id=first, end_id=end)
            assert told(page.entries) == expected and page.next_seq is None
            period = await find_period(daemon, "demo", first, end)
            streamed = [entry async for entry in stream_period(daemon, period)]
            assert told(streamed[::-1]) == expected
            if expected:
                assert period.opening_micros == expected[-1][3] - expected[-1][2]
                assert period.entries == len(expected)
            elif first <= end:
                assert period.entries == 0
                assert period.opening_micros == next((entry[3] for entry in whole if entry[0] < first), 0)


async def test_kinds_are_found_among_many_others_by_little_at_a_time(
    record_database: RecordDatabase, owner: Connection, daemon: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(record_database.dsn, owner)
    whole = await chain(daemon)
    monkeypatch.setattr(account_entries, "SCANNED_MAX", 10)
    seen, pages, from_seq = [], 0, None
    while True:
        page = await read_page(daemon, "demo", limit=500, kinds=("refund",), from_seq=from_seq)
        seen += page.entries
        pages += 1
        from_seq = page.next_seq
        if from_seq is None:
            break
    assert told(seen) == [entry for entry in whole if entry[1] == "refund"]
    assert pages == -(-len(whole) // 10)
    orders = await read_page(daemon, "demo", limit=500, kinds=("topup", "adjust"))
    assert [entry.reference for entry in orders.entries] == ["invoice-2", "invoice-1", "invoice-0"]
    assert orders.next_seq is None, "what is rare has an index: it is found at once"


async def test_a_chain_whose_beginning_was_dropped_begins_where_it_is_there(
    record_database: RecordDatabase, owner: Connection, daemon: Connection
) -> None:
    await fill(record_database.dsn, owner)
    await owner.execute("DELETE FROM ledger_entries WHERE id < $1", id_at(NOW_MS + DAY_MS))
    left = await chain(daemon)
    page = await read_page(daemon, "demo", limit=500, first_id=1, end_id=left[0][0])
    assert told(page.entries) == left[1:]
    period = await find_period(daemon, "demo", 0, 2**63)
    assert period.entries == len(left) and period.opening_micros == left[-1][3] - left[-1][2]


async def test_no_plan_reads_the_chain_to_find_a_place_in_it(
    record_database: RecordDatabase, owner: Connection, daemon: Connection
) -> None:
    await fill(record_database.dsn, owner)
    await owner.execute(
        "INSERT INTO ledger_entries SELECT id + 4194304 + n, 'long', n, 'charge', -1, -n, 1, '', '', NULL, NULL, NULL,"
        " at, prev_hash, hash FROM (SELECT * FROM ledger_entries LIMIT 1) e, generate_series(1, 100000) n"
    )
    await owner.execute("ANALYZE ledger_entries")
    await daemon.execute("SET plan_cache_mode = force_generic_plan")
    first = await daemon.fetchval("SELECT min(id) FROM ledger_entries WHERE account = 'long'")
    async with daemon.transaction():
        before = await daemon.fetchval("SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_xact_user_tables")
        page = await read_page(daemon, "long", limit=50, first_id=first + 10_000, end_id=first + 60_000)
        after = await daemon.fetchval("SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_xact_user_tables")
    assert [entry.seq for entry in page.entries] == list(range(60_000, 59_950, -1))
    assert after - before < 500


async def transactions(rig: HttpRig, account: str = "acme", **query: str) -> dict[str, object]:
    reply = await rig.get(f"/v1/transactions?{urlencode(query)}", account=account)
    assert reply.status == 200, reply.body
    found: dict[str, object] = json.loads(reply.body)
    return found


async def test_an_account_sees_its_own_entries_and_their_money_as_text(
    valkey_url: str, record_database: RecordDatabase
) -> None:
    async with http_rig(valkey_url, record_database.dsn) as rig:
        await rig.write()
        sent = await rig.send()

        async def is_booked() -> bool:
            return len((await transactions(rig))["data"]) == 2  # type: ignore[arg-type]  # a list

        await until(is_booked, 10)
        found = await transactions(rig)
        charge, topup = found["data"]  # type: ignore[misc]  # a list of two
        assert (charge["kind"], charge["messages"], charge["reference"]) == ("charge", 1, None)
        assert charge["amount"] == {"amount": "-0.0100", "currency": "EUR"}
        assert charge["balance"] == {"amount": "9.9900", "currency": "EUR"}
        assert (topup["kind"], topup["messages"], topup["reference"]) == ("topup", 0, "first of acme")
        assert found["next_cursor"] is None and charge["created_at"] >= sent.json["created_at"]
        first = await transactions(rig, limit="1")
        cursor = first["next_cursor"]
        assert first["data"] == [charge] and isinstance(cursor, str)
        assert await transactions(rig, limit="1", cursor=cursor) == {"data": [topup], "next_cursor": None}
        assert (await transactions(rig, kind="topup"))["data"] == [topup]
        assert (await transactions(rig, created_after="2030-01-01"))["data"] == []
        assert (await transactions(rig, created_before="2030-01-01"))["data"] == [charge, topup]
        others = await transactions(rig, account="slow")
        assert [entry["reference"] for entry in others["data"]] == ["first of slow"]  # type: ignore[attr-defined]
        assert await transactions(rig, account="poor") == {"data": [], "next_cursor": None}


async def test_statements_take_turns_and_leave_a_connection_for_the_rest(
    valkey_url: str, record_database: RecordDatabase, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smscd.ingress.http.queries.WAIT_SECONDS", 0.2)
    async with http_rig(valkey_url, record_database.dsn) as rig:
        await rig.write()
        sent = await rig.send()
        assert (await rig.get(sent.headers["location"])).status == 200
        async with owner.transaction():
            await owner.execute("LOCK TABLE ledger_entries IN ACCESS EXCLUSIVE MODE")
            reading = [asyncio.create_task(rig.get("/v1/transactions")) for _ in range(READS_MAX)]
            watching = await connect(record_database.owner_dsn)

            async def all_wait() -> bool:
                waiting = (
                    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = $1"
                )
                return bool(await watching.fetchval(waiting, "http test") == READS_MAX)

            await until(all_wait, 10)
            await watching.close()
            busy = await rig.get("/v1/transactions")
            assert (busy.status, busy.json["code"], busy.headers["retry-after"]) == (503, "busy", "1")
            assert (await rig.get(sent.headers["location"])).status == 200
        assert {(await reply).status for reply in reading} == {200}
