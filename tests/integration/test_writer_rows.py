"""What the writer makes of the journal: rows, timeline, ledger; the same in one batch and in many."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from smscd.archive.writer import WriterLimits
from smscd.core.callback_records import CallbackOutcome
from smscd.core.records import Conversion, Outcome, State, Tariff
from storage.postgres import ledger, messages
from storage.postgres.partitions import ensure_partitions
from storage.postgres.pool import Connection
from storage.postgres.rows import CallbackState
from tests.integration.journal_fake import (
    NOW_MS,
    FakeJournal,
    append_lives,
    append_money,
    delivered_callback,
    inbound,
    message,
    message_id,
    receipt,
    sent,
    top_up,
)
from tests.integration.postgres_databases import RecordDatabase
from tests.integration.writer_fixture import QUICK, rows, until, write_all

pytest_plugins = ("tests.integration.postgres_fixture",)

ONE_BATCH = QUICK
SMALL = WriterLimits(linger_seconds=0.0, poll_seconds=0.005, batch_records=1)
BATCHES = pytest.mark.parametrize("limits", [ONE_BATCH, SMALL], ids=["one batch", "a batch each"])
FIRST = message_id(NOW_MS, 1)


def at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


async def test_a_whole_life_is_three_rows_and_an_update(record_database: RecordDatabase, daemon: Connection) -> None:
    journal = FakeJournal()
    record = message(FIRST)
    journal.append(b"A", [record])
    journal.append(b"T", [sent(record, NOW_MS + 50)])
    first = await write_all(record_database.dsn, journal)
    assert first.rows == {
        "messages": 1, "segments": 1, "message_events": 0, "messages_updated": 0, "ledger_entries": 1,
        "journal_dead_letters": 0,
    }  # fmt: skip
    journal.append(b"R", [receipt(record, NOW_MS + 900)], b"2")
    journal.append(b"C", [delivered_callback(record, NOW_MS + 950)])
    second = await write_all(record_database.dsn, journal)
    assert second.rows == {
        "messages": 0, "segments": 0, "message_events": 1, "messages_updated": 1, "ledger_entries": 0,
        "journal_dead_letters": 0,
    }  # fmt: skip
    stored = await messages.get_message(daemon, FIRST, with_timeline=True)
    assert stored is not None
    assert (stored.state, stored.done_at, stored.error_code) == (State.DELIVERED, at(NOW_MS + 900), None)
    assert (stored.callbacks_open, stored.callback_state) == (0, CallbackState.DELIVERED)
    assert [entry.what for entry in stored.timeline] == [
        "admitted", "sent", "receipt", "callback due", "callback delivered",
    ]  # fmt: skip
    assert "stat:DELIVRD" in (stored.timeline[2].detail or "")


@BATCHES
async def test_every_field_of_a_message_comes_back(
    record_database: RecordDatabase, daemon: Connection, limits: WriterLimits
) -> None:
    journal = FakeJournal()
    record = message(
        FIRST, segments=[b"\x05\x00\x03\x01\x02\x01one", b"\x05\x00\x03\x01\x02\x02\x00two"], source=b"A\\B\xe9 C",
        source_ton=5, source_npi=2, dest=b"+4479", dest_ton=2, dest_npi=8, esm_class=0x40, protocol_id=65,
        data_coding=245, registered_delivery=17, priority=3, door=2, via=2, tariff=Tariff.ON_DELIVERY,
        service_type=b"CMT", tlvs=b"\x14\x00\x00\x01x", client_ref="order \u00e9 77",
        callback_url="https://x.example/dlr", metadata=b'{"k": "\\u0000"}', request_key="key", attempt=1, resends=1,
        conversion=Conversion(1, 3, b"\0what was sent", 3, 0x80, b"\x14\x01\0\0", b"?what was sent"), priority_flag=3,
        cost_micros=4_100, stored_answer=b"\x95\0answer", in_doubt=2,
    )  # fmt: skip
    journal.append(b"A", [record])
    journal.append(b"T", [sent(record, NOW_MS, 1, state=State.SENDING, upstream="other", attempt=2)])
    await write_all(record_database.dsn, journal, limits)
    stored = await messages.get_message(daemon, FIRST)
    assert stored is not None
    assert stored.segments == tuple(record.segments)
    for name in (
        "id", "account", "source", "source_ton", "source_npi", "dest", "dest_ton", "dest_npi", "esm_class",
        "protocol_id", "data_coding", "registered_delivery", "priority", "door", "via", "tariff", "service_type",
        "client_ref", "callback_url", "request_key", "price_micros", "conversion", "parts",
        "priority_flag", "cost_micros", "stored_answer", "in_doubt",
    ):  # fmt: skip
        assert getattr(stored, name) == getattr(record, name), name
    assert stored.metadata == '{"k": "\\u0000"}'
    assert stored.valid_until == at(record.valid_until_ms)
    assert (stored.state, stored.upstream, stored.attempts) == (State.SENDING, "other", 2)
    assert stored.maybe_duplicate
    assert await daemon.fetchval("SELECT tlvs FROM messages") == record.tlvs
    assert stored.parts == 3


@BATCHES
async def test_failures_refunds_and_doubts_are_recorded(
    record_database: RecordDatabase, daemon: Connection, limits: WriterLimits
) -> None:
    journal = FakeJournal()
    failed, doubted, expired, canceled = (message(message_id(NOW_MS, number)) for number in range(4))
    journal.append(b"A", [failed, doubted, expired, canceled])
    retry = sent(
        failed, NOW_MS + 1, outcome=Outcome.RETRIED, upstream_message_id=b"", command_status=0x58, state=State.QUEUED,
        attempt=1,
    )  # fmt: skip
    doubt = sent(doubted, NOW_MS + 1, outcome=Outcome.DOUBTED, upstream_message_id=b"", state=State.SENDING)
    unannounced = sent(
        failed, NOW_MS + 1, outcome=Outcome.UNANNOUNCED, upstream_message_id=b"", state=State.SCHEDULED
    )  # fmt: skip
    journal.append(b"T", [retry, doubt])
    journal.append(b"T", [unannounced, sent(canceled, NOW_MS + 1, outcome=Outcome.UNANNOUNCED, state=State.SCHEDULED)])
    end = sent(
        failed, NOW_MS + 2, outcome=Outcome.FAILED, upstream_message_id=b"", command_status=0x0B, state=State.FAILED,
        attempt=1, refund_micros=10_000, account="demo", due=True,
    )  # fmt: skip
    over = sent(
        expired, NOW_MS + 2, outcome=Outcome.EXPIRED, upstream_message_id=b"", state=State.EXPIRED,
        refund_micros=10_000, account="demo", due=True,
    )  # fmt: skip
    withheld = sent(canceled, NOW_MS + 2, outcome=Outcome.CANCELED, state=State.CANCELED)
    journal.append(b"T", [sent(doubted, NOW_MS + 2), end, over, withheld], b"10")
    lost = delivered_callback(
        failed, NOW_MS + 9, outcome=CallbackOutcome.DEAD, attempts=10, detail="HTTP 500\0 from x.example"
    )
    journal.append(b"C", [lost])
    await write_all(record_database.dsn, journal, limits)
    found = await rows(
        daemon,
        "SELECT state, error_code, refunded_micros, refund_entry IS NOT NULL AS refunded, maybe_duplicate, attempts,"
        " callbacks_open, callback_state FROM messages ORDER BY id",
    )
    assert [list(row.values()) for row in found] == [
        [State.FAILED, "0x0000000b", 10_000, True, True, 1, 0, CallbackState.DEAD],
        [State.SENT, None, 0, False, True, 0, 0, CallbackState.NONE],
        [State.EXPIRED, None, 0, False, False, 0, 1, CallbackState.DUE],
        [State.CANCELED, None, 0, False, False, 0, 0, CallbackState.NONE],
    ]
    stored = await messages.get_message(daemon, failed.id, with_timeline=True)
    assert stored is not None
    assert [(entry.what, entry.detail) for entry in stored.timeline][1:] == [
        ("retried", "0x00000058"),
        ("admitted though refused", ""),
        ("failed", "0x0000000b"),
        ("callback due", "failed"),
        ("callback dead", "HTTP 500\\x00 from x.example"),
        ("callback dead", None),
    ]
    head, fault = await ledger.verify(daemon, "demo")
    assert fault is None
    assert head.balance_micros == -40_000 + 10_000


@BATCHES
async def test_a_final_state_stays_whatever_comes_after_it(
    record_database: RecordDatabase, daemon: Connection, limits: WriterLimits
) -> None:
    """Quirk 6: states that repeat, come late or out of order."""
    journal = FakeJournal()
    early, late = message(message_id(NOW_MS, 1)), message(message_id(NOW_MS, 2))
    journal.append(b"A", [early, late])
    journal.append(b"R", [receipt(early, NOW_MS + 5)], b"2")  # the receipt before the response
    journal.append(b"T", [sent(early, NOW_MS + 6), sent(late, NOW_MS + 6)])
    journal.append(b"R", [receipt(late, NOW_MS + 7, state=State.UNDELIVERED, stat=b"UNDELIV", err=b"001")], b"2")
    again = [receipt(late, NOW_MS + 8), receipt(early, NOW_MS + 9, state=State.SENT, stat=b"ENROUTE")]
    journal.append(b"R", again, b"00")
    journal.append(b"R", [receipt(late, NOW_MS + 10, state=State.SENT, stat=b"ACCEPTD", due=False)], b"1")
    await write_all(record_database.dsn, journal, limits)
    found = await rows(daemon, "SELECT state, done_at, error_code, callbacks_open FROM messages ORDER BY id")
    assert found == [
        {"state": State.DELIVERED, "done_at": at(NOW_MS + 5), "error_code": None, "callbacks_open": 1},
        {"state": State.UNDELIVERED, "done_at": at(NOW_MS + 7), "error_code": "001", "callbacks_open": 1},
    ]
    whats = [row["what"] for row in await rows(daemon, "SELECT what FROM message_timeline WHERE detail ~ 'stat:'")]
    assert sorted(whats) == ["receipt"] * 3 + ["receipt repeated"] * 2


@BATCHES
async def test_segments_have_receipts_of_their_own_and_one_end(
    record_database: RecordDatabase, daemon: Connection, limits: WriterLimits
) -> None:
    journal = FakeJournal()
    record = message(FIRST, segments=[b"one", b"two"])
    journal.append(b"A", [record])
    journal.append(b"T", [sent(record, NOW_MS, 0, state=State.SENDING), sent(record, NOW_MS, 1)])
    journal.append(b"R", [receipt(record, NOW_MS + 1, 0)], b"1")
    await write_all(record_database.dsn, journal, limits)
    assert await daemon.fetchval("SELECT (state, callbacks_open) = (3, 0) FROM messages")
    journal.append(b"R", [receipt(record, NOW_MS + 2, 1)], b"2")
    await write_all(record_database.dsn, journal, limits)
    assert await daemon.fetchval("SELECT (state, callbacks_open) = (4, 1) FROM messages")
    found = await messages.find_segments(daemon, "carrier", [b"%x01" % FIRST, b"unknown"], FIRST - 1)
    assert [(segment.message_id, segment.segment) for segment in found] == [(FIRST, 1)]
    assert await messages.find_segments(daemon, "carrier", [b"%x01" % FIRST], FIRST + 1) == []
    assert await messages.find_segments(daemon, "another", [b"%x01" % FIRST], FIRST - 1) == []


@BATCHES
async def test_the_row_of_a_message_that_moved_says_where_it_waits_and_what_it_is_there(
    record_database: RecordDatabase, daemon: Connection, limits: WriterLimits
) -> None:
    journal = FakeJournal()
    record = message(FIRST, segments=[b"one", b"two"], cost_micros=5)
    other = message(FIRST + 1, cost_micros=3)
    retried = msgspec.structs.replace(
        sent(record, NOW_MS), outcome=Outcome.RETRIED, state=State.QUEUED, attempt=1, upstream_message_id=b""
    )
    moved = msgspec.structs.replace(record, upstream="second", segments=[b"onetwo"], cost_micros=7, attempt=1)
    moved_too = msgspec.structs.replace(other, upstream="second", segments=[b"a", b"bc"], cost_micros=9)
    journal.append(b"A", [record, other])
    journal.append(b"T", [retried])
    journal.now_ms = NOW_MS + 1
    journal.append(b"P", [moved, moved_too], b"carrier")
    await write_all(record_database.dsn, journal, limits)
    for one in moved, moved_too:
        stored = await messages.get_message(daemon, one.id, with_timeline=True)
        assert stored is not None
        assert messages.record_of(stored) == one, "what a recovery queues"
        (event,) = (entry for entry in stored.timeline if entry.what == "moved")
        assert (event.at, event.upstream, event.detail) == (at(NOW_MS + 1), "second", "from carrier to second")
    assert await daemon.fetchval("SELECT sum(cost_micros) FROM messages") == 7 + 9
    journal.append(b"T", [msgspec.structs.replace(sent(moved, NOW_MS + 1), upstream="second")])
    await write_all(record_database.dsn, journal, limits)
    stored = await messages.get_message(daemon, FIRST)
    assert stored is not None and (stored.upstream, stored.state, stored.price_micros) == (
        "second", State.SENT, record.price_micros,
    )  # fmt: skip


@BATCHES
async def test_inbound_messages_are_recorded_also_those_of_nobody(
    record_database: RecordDatabase, daemon: Connection, limits: WriterLimits
) -> None:
    journal = FakeJournal()
    ours, nobodys = inbound(FIRST, NOW_MS, body=b"\0\xff"), inbound(FIRST + 1, NOW_MS, account="", via=0)
    journal.append(b"M", [ours, nobodys])
    journal.append(b"C", [delivered_callback(message(FIRST), NOW_MS + 3, kind=2)])
    await write_all(record_database.dsn, journal, limits)
    stored = await messages.get_message(daemon, FIRST, account="demo", with_timeline=True)
    assert stored is not None
    assert (stored.direction, stored.segments, stored.dest) == (2, (b"\0\xff",), b"12345")
    assert [entry.what for entry in stored.timeline] == ["received", "callback due", "callback delivered"]
    assert await messages.get_message(daemon, FIRST, account="other") is None
    other = await messages.get_message(daemon, FIRST + 1)
    assert other is not None
    assert (other.account, other.callback_state) == ("", CallbackState.NONE)


async def test_many_lives_in_many_batches_are_complete(record_database: RecordDatabase, daemon: Connection) -> None:
    journal = FakeJournal()
    count = 3_000
    append_lives(journal, count, batch=100)
    limits = WriterLimits(linger_seconds=0.0, poll_seconds=0.005, batch_records=700)
    observed = await write_all(record_database.dsn, journal, limits)
    assert len(observed.commits) > 10
    whole = await daemon.fetchval(
        "SELECT count(*) FROM messages m WHERE state = 4 AND callbacks_open = 0 AND callback_state = 2"
        " AND upstream = 'carrier' AND EXISTS (SELECT FROM segments s WHERE s.message_id = m.id)"
        " AND (SELECT count(*) FROM message_events e WHERE e.message_id = m.id) = 1"
    )
    assert whole == count
    assert observed.rows["messages"] == observed.rows["segments"] == observed.rows["message_events"] == count
    assert await daemon.fetchval("SELECT last_id FROM journal_offsets") == journal.top


async def test_the_ledger_is_a_chain_whose_sums_can_be_made_again(
    record_database: RecordDatabase, daemon: Connection
) -> None:
    journal = FakeJournal()
    journal.append(b"L", [top_up(1_000_000, NOW_MS)])
    append_money(journal)
    await write_all(record_database.dsn, journal, SMALL)
    heads = {}
    for account in ("demo", "acme"):
        heads[account], fault = await ledger.verify(daemon, account)
        assert fault is None
    assert heads["demo"].balance_micros == 1_000_000 - 5 * (7 + 9) + 5 * 7
    assert heads["acme"].balance_micros == -5 * 8 - 3
    assert await ledger.balances(daemon) == {account: head.balance_micros for account, head in heads.items()}
    assert await ledger.balance(daemon, "demo") == heads["demo"].balance_micros
    assert await ledger.balance(daemon, "free") == 0
    wrong = await rows(
        daemon,
        "SELECT l.account, l.seq, l.amount_micros FROM ledger_entries l LEFT JOIN LATERAL ("
        "  SELECT -sum(price_micros) AS sum, count(*) AS n FROM messages WHERE charge_entry = l.id"
        "  UNION ALL SELECT sum(refunded_micros), count(*) FROM messages WHERE refund_entry = l.id"
        ") made ON made.n > 0 WHERE l.kind IN ('charge', 'refund') AND made.sum IS DISTINCT FROM l.amount_micros",
    )
    assert wrong == []
    newest = await ledger.entries(daemon, "acme", limit=2)
    assert [entry.seq for entry in newest] == [heads["acme"].seq, heads["acme"].seq - 1]


async def test_a_changed_dropped_or_inserted_entry_breaks_the_chain(
    record_database: RecordDatabase, daemon: Connection, owner: Connection
) -> None:
    journal = FakeJournal()
    for number in range(4):
        journal.append(b"L", [top_up(100, NOW_MS, f"invoice-{number}")])
    await write_all(record_database.dsn, journal, SMALL)
    head, fault = await ledger.verify(daemon, "demo")
    assert (head.seq, head.balance_micros, fault) == (4, 400, None)
    for crime in (
        "UPDATE ledger_entries SET note = 'x' WHERE seq = 2",
        "UPDATE ledger_entries SET amount_micros = 99 WHERE seq = 2",
        "DELETE FROM ledger_entries WHERE seq = 2",
        "UPDATE ledger_entries SET seq = seq + 1 WHERE seq > 1",
        "UPDATE ledger_entries SET hash = prev_hash WHERE seq = 2",
    ):
        transaction = owner.transaction(isolation="repeatable_read")
        await transaction.start()
        await owner.execute(crime)
        head, fault = await ledger.verify(owner, "demo")
        await transaction.rollback()
        assert fault is not None, crime
        assert head.seq == 1, crime


async def test_a_reference_that_comes_twice_is_booked_and_set_aside(
    record_database: RecordDatabase, daemon: Connection
) -> None:
    journal = FakeJournal()
    journal.append(b"L", [top_up(100, NOW_MS), top_up(5, NOW_MS, account="acme"), top_up(50, NOW_MS)])
    await write_all(record_database.dsn, journal)
    journal.append(b"L", [top_up(25, NOW_MS)])
    await write_all(record_database.dsn, journal)
    assert await ledger.balances(daemon) == {"demo": 175, "acme": 5}
    assert await daemon.fetchval("SELECT count(*) FROM journal_dead_letters WHERE kind = 'L'") == 3
    assert await daemon.fetchval("SELECT count(*) FROM ledger_entries WHERE reference = 'invoice-1'") == 1


async def test_updates_of_earlier_batches_are_hot_and_touch_one_partition(
    record_database: RecordDatabase, daemon: Connection, owner: Connection
) -> None:
    await ensure_partitions(daemon, NOW_MS, "day")
    journal = FakeJournal()
    append_lives(journal, 4_000, gap=40)
    limits = WriterLimits(linger_seconds=0.0, poll_seconds=0.005, batch_records=4_000)
    observed = await write_all(record_database.dsn, journal, limits)
    assert observed.rows["messages_updated"] > 4_000
    await owner.execute("SELECT pg_stat_force_next_flush()")

    async def counted() -> tuple[int, int]:
        row = await owner.fetchrow(
            "SELECT sum(n_tup_upd)::int, sum(n_tup_hot_upd)::int FROM pg_stat_user_tables WHERE relname ~ '^messages'"
        )
        assert row is not None
        return row[0], row[1]

    async def flushed() -> bool:
        return (await counted())[0] == observed.rows["messages_updated"]

    await until(flushed)
    updated, hot = await counted()
    assert hot > 0.95 * updated
