"""What is done to the writer: poison, kills, cuts, a second writer; and the record is exact all the same."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import msgspec
import pytest

from smscd.archive import commit
from smscd.archive.writer import Writer, WriterFenced, WriterLimits
from smscd.core.records import MessageRecord, OrphanRecord, Outcome, ParkedReceipt, State
from storage.embedded.postgres import EmbeddedPostgres
from storage.postgres import ledger
from storage.postgres.migrate import migrate
from storage.postgres.orphans import open_orphans
from storage.postgres.partitions import ensure_partitions
from storage.postgres.pool import Connection, connect
from storage.redis.errors import StorageUnavailable
from tests.integration.journal_fake import (
    NOW_MS,
    FakeJournal,
    append_lives,
    message,
    message_id,
    receipt,
    sent,
    top_up,
)
from tests.integration.postgres_databases import RecordDatabase
from tests.integration.writer_fixture import Observed, rows, until, write_all, writer_on

pytest_plugins = ("tests.integration.postgres_fixture",)

SMALL = WriterLimits(
    linger_seconds=0.0, poll_seconds=0.005, batch_records=800, backoff_seconds_first=0.01, backoff_seconds_max=0.1
)


async def complete(connection: Connection) -> int:
    """How many messages have their whole life in the record, once."""
    found = await connection.fetchval(
        "SELECT count(*) FROM messages m WHERE state = 4 AND callbacks_open = 0 AND callback_state = 2"
        " AND (SELECT count(*) FROM segments s WHERE s.message_id = m.id) = 1"
        " AND (SELECT count(*) FROM message_events e WHERE e.message_id = m.id) = 1"
    )
    return int(found)


async def assert_exact(connection: Connection, count: int) -> None:
    """Nothing is missing, nothing stands twice, and the money adds up."""
    assert await complete(connection) == count
    for table in ("messages", "segments", "message_events"):
        assert await connection.fetchval(f"SELECT count(*) FROM {table}") == count
    head, fault = await ledger.verify(connection, "demo")
    assert (head.balance_micros, fault) == (-10_000 * count, None)


async def test_one_poison_row_in_five_thousand_is_set_aside_and_its_charge_counts(
    record_database: RecordDatabase, daemon: Connection
) -> None:
    journal = FakeJournal()
    records = [
        message(message_id(journal.now_ms + number // 4000, number % 4000), client_ref=f"ref {number}")
        for number in range(5_000)
    ]
    records[1234].client_ref = "nul \0 in a text"
    for start in range(0, 5_000, 500):
        journal.append(b"A", records[start : start + 500])
    observed = await write_all(record_database.dsn, journal)
    assert [commit.rows["messages"] for commit in observed.commits] == [4_999]
    assert [commit.rows["journal_dead_letters"] for commit in observed.commits] == [1]
    assert observed.errors == []
    letter = await daemon.fetchrow("SELECT * FROM journal_dead_letters")
    assert letter is not None
    assert (letter["kind"], letter["message_id"], letter["price_micros"]) == ("A", records[1234].id, 10_000)
    assert msgspec.msgpack.decode(letter["record"], type=MessageRecord) == records[1234]
    assert (letter["journal_from"], letter["journal_to"]) == (journal.entries[0].id, journal.top)
    assert letter["charge_entry"] == await daemon.fetchval("SELECT id FROM ledger_entries")
    assert await ledger.balance(daemon, "demo") == -50_000_000
    assert await daemon.fetchval("SELECT last_id FROM journal_offsets") == journal.top


async def test_every_kind_of_bad_value_is_found_among_good_rows(
    record_database: RecordDatabase, daemon: Connection
) -> None:
    journal = FakeJournal()
    known, other = message(message_id(NOW_MS, 0)), message(message_id(NOW_MS, 50))
    journal.append(b"A", [known, other])
    await write_all(record_database.dsn, journal)
    good = [message(message_id(NOW_MS, number)) for number in range(1, 40)]
    bad = [
        message(message_id(NOW_MS, 100), metadata=b"{not json"),
        message(message_id(NOW_MS, 101), metadata=b"\xff\xfe"),
        message(message_id(NOW_MS, 102), data_coding=70_000),
        message(message_id(NOW_MS, 103), price_micros=1, valid_until_ms=2**62),
        message(message_id(NOW_MS, 104), callback_url="https://\0"),
        known,
    ]
    journal.append(b"A", [*good[:20], *bad, *good[20:], good[0]])
    facts = [
        sent(good[1], NOW_MS, segment=40_000),
        sent(good[2], NOW_MS),
        sent(other, NOW_MS, outcome=Outcome.RETRIED, command_status=0x58, attempt=40_000, state=State.QUEUED),
    ]
    journal.append(b"T", facts)
    journal.append(b"R", [receipt(good[2], NOW_MS), receipt(good[4], NOW_MS, segment=-40_000)], b"22")
    journal.append_blob(b"A", b"\xc1 not msgpack")
    journal.append_blob(b"A", msgspec.msgpack.encode([[1, 2, 3]]))
    journal.append_blob(b"?", msgspec.msgpack.encode([]))
    journal.append(b"R", [receipt(good[5], NOW_MS)], b"")
    observed = await write_all(record_database.dsn, journal)
    assert observed.errors == []
    letters = await rows(daemon, "SELECT kind, message_id, error FROM journal_dead_letters ORDER BY id")
    refused = sorted(letter["message_id"] for letter in letters if letter["kind"] == "A" and letter["message_id"])
    assert refused == sorted([*(record.id for record in bad), good[0].id])
    assert "".join(sorted(letter["kind"] for letter in letters)) == "?AAAAAAAAARRTTU"
    assert await daemon.fetchval("SELECT count(*) FROM messages") == 41
    assert await daemon.fetchval("SELECT state FROM messages WHERE id = $1", good[2].id) == State.DELIVERED
    assert await ledger.balance(daemon, "demo") == -10_000 * (2 + 39 + 5 + 1) - 1


async def test_what_became_of_a_message_in_the_dead_letters_harms_nobody(
    record_database: RecordDatabase, daemon: Connection
) -> None:
    journal = FakeJournal()
    poison, good = message(message_id(NOW_MS, 1), request_key="\0"), message(message_id(NOW_MS, 2))
    journal.append(b"A", [poison, good])
    await write_all(record_database.dsn, journal)
    end = sent(
        poison, NOW_MS, outcome=Outcome.FAILED, state=State.FAILED, refund_micros=10_000, account="demo",
        command_status=8,
    )  # fmt: skip
    journal.append(b"T", [end, sent(good, NOW_MS)], b"1")
    observed = await write_all(record_database.dsn, journal)
    assert observed.rows["journal_dead_letters"] == 0
    assert await daemon.fetchval("SELECT array_agg(state) FROM messages") == [State.SENT]
    assert await ledger.balance(daemon, "demo") == -10_000


async def test_writing_what_is_written_changes_nothing(record_database: RecordDatabase, daemon: Connection) -> None:
    journal = FakeJournal()
    append_lives(journal, 1_000, batch=100)
    await write_all(record_database.dsn, journal, SMALL)
    again = await write_all(record_database.dsn, journal, SMALL)
    assert again.commits == []
    await assert_exact(daemon, 1_000)


async def test_a_second_writer_is_fenced_off_and_the_record_stays_exact(
    record_database: RecordDatabase, daemon: Connection
) -> None:
    journal = FakeJournal()
    append_lives(journal, 3_000, batch=100)
    writers: list[Writer] = [writer_on(record_database.dsn, journal, limits=SMALL) for _ in range(3)]
    for writer in writers:
        writer.drain()
    ends = await asyncio.wait_for(asyncio.gather(*(writer.run() for writer in writers), return_exceptions=True), 60)
    assert all(end is None or isinstance(end, WriterFenced) for end in ends), ends
    assert any(isinstance(end, WriterFenced) for end in ends)
    await write_all(record_database.dsn, journal, SMALL)
    await assert_exact(daemon, 3_000)


async def test_connections_that_are_cut_at_any_moment_cost_nothing(
    record_database: RecordDatabase, daemon: Connection, owner: Connection
) -> None:
    journal = FakeJournal()
    append_lives(journal, 2_000, batch=100)
    observed = Observed()
    writer = writer_on(record_database.dsn, journal, observed, SMALL)
    writer.drain()
    running = asyncio.create_task(writer.run())
    cuts = 0
    while cuts < 10 and not running.done():
        cuts += await owner.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'writer'"
        )
        # Each connection lives a little longer than the one before, so that every step of a batch is cut somewhere.
        await asyncio.wait([running], timeout=0.002 * cuts)
    await asyncio.wait_for(running, 60)
    assert cuts == 10
    assert observed.errors
    await assert_exact(daemon, 2_000)


async def test_a_connection_that_is_lost_between_the_offset_and_the_rows_moves_neither(
    record_database: RecordDatabase, daemon: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = FakeJournal()
    append_lives(journal, 500, batch=100)
    observed = Observed()
    copy = commit.copy_rows
    losses = 0

    async def lose(connection: Connection, table: str, chunks: AsyncIterator[bytes]) -> None:
        nonlocal losses
        if losses < 2:
            losses += 1
            connection.terminate()
        await copy(connection, table, chunks)

    monkeypatch.setattr(commit, "copy_rows", lose)
    await write_all(record_database.dsn, journal, SMALL, observed)
    assert len(observed.errors) == losses == 2
    await assert_exact(daemon, 500)


async def test_a_commit_whose_answer_is_lost_is_not_repeated(
    record_database: RecordDatabase, daemon: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = FakeJournal()
    append_lives(journal, 500, batch=100)
    observed = Observed()
    name = "_Transaction__commit"  # what leaving the `async with` calls
    real = getattr(asyncpg.transaction.Transaction, name)
    losses = 0

    async def lose(self: asyncpg.transaction.Transaction) -> None:
        nonlocal losses
        await real(self)
        if losses < 2:
            losses += 1
            raise ConnectionResetError("the answer to COMMIT is lost")

    monkeypatch.setattr(asyncpg.transaction.Transaction, name, lose)
    await write_all(record_database.dsn, journal, SMALL, observed)
    assert len(observed.errors) == losses == 2
    await assert_exact(daemon, 500)


async def test_a_journal_that_ends_before_the_record_is_not_written_from(
    record_database: RecordDatabase, daemon: Connection
) -> None:
    journal = FakeJournal()
    journal.append(b"L", [top_up(5, NOW_MS)])
    await write_all(record_database.dsn, journal)
    older = FakeJournal(now_ms=NOW_MS - 1_000)
    older.append(b"L", [top_up(7, NOW_MS, "another")])
    observed = Observed()
    running = asyncio.create_task(writer_on(record_database.dsn, older, observed).run())

    async def refused() -> bool:
        return len(observed.errors) > 2

    await until(refused)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert isinstance(observed.errors[0], StorageUnavailable)
    assert await ledger.balance(daemon, "demo") == 5


async def test_each_shard_has_a_writer_an_offset_and_ledger_ids_of_its_own(
    record_database: RecordDatabase, daemon: Connection
) -> None:
    journals = [FakeJournal(), FakeJournal()]
    for shard, journal in enumerate(journals):
        journal.append(b"L", [top_up(shard + 1, NOW_MS, account=f"account {shard}")])
        writer = writer_on(record_database.dsn, journal, shard=shard)
        writer.drain()
        await writer.run()
    assert await ledger.balances(daemon) == {"account 0": 1, "account 1": 2}
    offsets = await rows(daemon, "SELECT shard, last_id FROM journal_offsets ORDER BY shard")
    assert [row["shard"] for row in offsets] == [0, 1]
    assert await daemon.fetchval("SELECT count(DISTINCT id) FROM ledger_entries") == 2


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory that PostgreSQL's own user can reach; another run of pytest closes the parents of tmp_path again."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o711)
        yield path


async def test_kill_9_of_postgres_three_times_loses_and_doubles_nothing(
    servers: tuple[str, str], postgres_server: EmbeddedPostgres, open_place: Path
) -> None:
    server = EmbeddedPostgres(open_place / "postgres")
    await server.start()
    restarting = asyncio.create_task(server.watch())
    try:
        await migrate(server.owner_dsn)
        connection = await connect(server.dsn)
        await ensure_partitions(connection, NOW_MS, "day")
        await connection.close()
        journal = FakeJournal()
        count = 20_000
        append_lives(journal, count)
        observed = Observed()
        limits = WriterLimits(linger_seconds=0.0, poll_seconds=0.005, batch_records=5_000, backoff_seconds_first=0.05)
        writer = writer_on(server.dsn, journal, observed, limits)
        writer.drain()
        running = asyncio.create_task(writer.run())
        for kill in range(1, 4):

            async def far_enough(commits: int = 4 * kill) -> bool:
                return len(observed.commits) >= commits or running.done()

            await until(far_enough, 60)
            assert not running.done()
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            killed = server.pid

            async def back(killed: int = killed) -> bool:
                return server.pid not in (None, killed)

            await until(back, 30)
        await asyncio.wait_for(running, 60)
        assert len(observed.errors) >= 3
        assert max(observed.behind_seconds) >= 0
        connection = await connect(server.dsn)
        await assert_exact(connection, count)
        await connection.close()
    finally:
        restarting.cancel()
        await asyncio.gather(restarting, return_exceptions=True)
        await server.stop()


async def test_an_orphan_that_postgresql_refuses_is_set_aside_and_the_others_are_kept(
    record_database: RecordDatabase, daemon: Connection
) -> None:
    journal = FakeJournal()
    told = [
        OrphanRecord("carrier", b"%d" % number, reason, ParkedReceipt(b"%d" % number, b"", b"", 3, NOW_MS, b"", NOW_MS))
        for number, reason in enumerate(("unknown", "no such reason", "ambiguous"))
    ]
    journal.append(b"O", told)
    journal.append(b"O", told[:1])
    observed = await write_all(record_database.dsn, journal)
    found = await open_orphans(daemon, upstream="carrier", limit=10)
    assert [(one.upstream_message_id, one.reason) for one in found] == [(b"0", "unknown"), (b"2", "ambiguous")]
    assert [one.receipt for one in found] == [told[0].receipt, told[2].receipt]
    dead = await rows(daemon, "SELECT kind, message_id, account FROM journal_dead_letters")
    assert [tuple(row.values()) for row in dead] == [("O", None, None)] and observed.rows["journal_dead_letters"] == 1
