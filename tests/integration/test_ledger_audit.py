"""The audit of the ledger: silent while everything adds up, and it finds what was altered by hand, with its cause."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from smscd.archive.audit import Audit, Difference, audit
from smscd.archive.audit_task import AuditTask
from smscd.archive.merge import Batch
from smscd.archive.writer import WriterLimits
from smscd.core.records import Outcome, State
from storage.postgres.audit import snapshot
from storage.postgres.partitions import ensure_partitions
from storage.postgres.pool import Connection, connect
from tests.integration.journal_fake import (
    NOW_MS,
    FakeJournal,
    append_lives,
    append_money,
    message,
    message_id,
    sent,
    top_up,
)
from tests.integration.postgres_databases import RecordDatabase
from tests.integration.writer_fixture import QUICK, write_all

pytest_plugins = ("tests.integration.postgres_fixture",)

SMALL = WriterLimits(linger_seconds=0.0, poll_seconds=0.005, batch_records=500)


@dataclass
class FakeBalances:
    """Balances as the scripts would have made them of the journal. altered: what was done to them by hand."""

    journal: FakeJournal
    altered: Counter[str] = field(default_factory=Counter)

    async def at_once(self, accounts: Sequence[str]) -> tuple[str, list[int]]:
        batch = Batch()
        for entry in self.journal.entries:
            batch.add(entry)
        held = Counter(self.altered)
        for account, (micros, _) in batch.charges.items():
            held[account] -= micros
        for account, (micros, _) in batch.refunds.items():
            held[account] += micros
        for _, order in batch.orders:
            held[order.account] += order.amount_micros
        return self.journal.top, [held[account] for account in accounts]


def fill(journal: FakeJournal) -> None:
    """Charges, refunds, a top-up and a correction of two accounts, over some minutes."""
    journal.append(b"L", [top_up(50_000_000, NOW_MS), top_up(900_000, NOW_MS, account="acme")])
    append_lives(journal, 2_000, step_ms=10_000)
    append_money(journal)


async def audited(connection: Connection, journal: FakeJournal, balances: FakeBalances | None = None) -> Audit:
    async with snapshot(connection) as record:
        return await audit(record, balances or FakeBalances(journal), journal)


@pytest.fixture
async def journal(record_database: RecordDatabase, owner: Connection) -> FakeJournal:
    await ensure_partitions(owner, NOW_MS, "day", 1)
    await owner.execute("INSERT INTO accounts (id) VALUES ('demo'), ('acme')")
    filled = FakeJournal()
    fill(filled)
    await write_all(record_database.dsn, filled, SMALL)
    return filled


async def test_everything_adds_up_at_the_offset_and_behind_it(journal: FakeJournal, daemon: Connection) -> None:
    found = await audited(daemon, journal)
    assert found.differences == [] and found.tail_entries == 0
    assert found.accounts == 2 and found.entries == await daemon.fetchval("SELECT count(*) FROM ledger_entries")
    fill(journal)
    found = await audited(daemon, journal)
    assert found.differences == [] and found.tail_entries > 40, "what the writer has not written yet counts as well"


async def test_a_message_that_could_not_be_stored_is_not_missed(
    record_database: RecordDatabase, daemon: Connection
) -> None:
    journal = FakeJournal()
    poison, good = message(message_id(NOW_MS, 1), request_key="\0"), message(message_id(NOW_MS, 2))
    twice = message(good.id)
    journal.append(b"A", [poison, good, twice])
    failed = sent(poison, NOW_MS, outcome=Outcome.FAILED, state=State.FAILED, refund_micros=10_000, account="demo")
    journal.append(b"T", [failed], b"1")
    await write_all(record_database.dsn, journal, QUICK)
    assert await daemon.fetchval("SELECT count(*) FROM journal_dead_letters") == 2
    assert (await audited(daemon, journal)).differences == []


async def test_a_balance_that_was_altered_is_found_with_the_amount(journal: FakeJournal, daemon: Connection) -> None:
    found = await audited(daemon, journal, FakeBalances(journal, Counter(acme=1)))
    [difference] = found.differences
    assert (difference.kind, difference.account, difference.micros) == ("balance", "acme", 1)
    assert "changed past the scripts" in difference.what


@pytest.mark.parametrize(
    ("crime", "kinds"),
    [
        ("UPDATE messages SET price_micros = price_micros + 5 WHERE id = (SELECT min(id) FROM messages)", {"entry"}),
        ("UPDATE messages SET price_micros = 5 WHERE account = 'free'", {"entry"}),
        ("DELETE FROM messages WHERE id = (SELECT min(id) FROM messages)", {"entry"}),
        ("UPDATE messages SET account = 'acme' WHERE id = (SELECT min(id) FROM messages)", {"entry"}),
        ("UPDATE messages SET refunded_micros = 0 WHERE refunded_micros > 0", {"entry"}),
        ("UPDATE messages SET charge_entry = 1 WHERE id = (SELECT min(id) FROM messages)", {"entry"}),
        ("UPDATE ledger_entries SET note = 'x' WHERE account = 'demo' AND seq = 2", {"chain"}),
        ("UPDATE ledger_entries SET hash = prev_hash WHERE account = 'acme' AND seq = 2", {"chain"}),
        ("UPDATE ledger_entries SET amount_micros = amount_micros - 1 WHERE account = 'demo' AND kind = 'charge' "
         "AND seq = 2", {"chain", "entry"}),
        ("DELETE FROM ledger_entries WHERE account = 'demo' AND seq = 2", {"chain", "entry"}),
        ("DELETE FROM ledger_entries WHERE account = 'acme'", {"balance", "entry"}),
    ],
)  # fmt: skip
async def test_a_row_that_was_altered_by_hand_is_found(
    journal: FakeJournal, owner: Connection, crime: str, kinds: set[str]
) -> None:
    transaction = owner.transaction(isolation="repeatable_read")
    await transaction.start()
    done = await owner.execute(crime)
    found = Audit()
    try:
        async with snapshot(owner) as record:
            found = await audit(record, FakeBalances(journal), journal)
    finally:
        await transaction.rollback()
    assert not done.endswith(" 0"), "nothing was altered"
    assert {difference.kind for difference in found.differences} == kinds, found.differences
    assert all(difference.account in crime or difference.account == "demo" for difference in found.differences)


async def test_an_audit_of_one_account_looks_at_that_alone(journal: FakeJournal, daemon: Connection) -> None:
    async with snapshot(daemon) as record:
        balances = FakeBalances(journal, Counter(acme=1, demo=1))
        found = await audit(record, balances, journal, accounts=["demo"])
    assert [difference.account for difference in found.differences] == ["demo"] and found.accounts == 1


async def test_a_dropped_partition_leaves_its_entries_to_their_chain(
    journal: FakeJournal, owner: Connection, record_database: RecordDatabase
) -> None:
    names = await owner.fetch(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'messages'::regclass"
        " AND inhrelid::regclass::text <> 'messages_default' ORDER BY 1"
    )
    entries = await owner.fetchval("SELECT count(*) FROM ledger_entries WHERE kind IN ('charge', 'refund')")
    transaction = owner.transaction(isolation="repeatable_read")
    await transaction.start()
    try:
        for name in names[:-1]:
            await owner.execute(f"DROP TABLE {name['name']}")
        async with snapshot(owner) as record:
            found = await audit(record, FakeBalances(journal), journal)
    finally:
        await transaction.rollback()
    assert found.differences == [] and found.old_entries == entries > 0


# --- a sample in the background -------------------------------------------------------------------------------------


@dataclass
class Told:
    """What an audit task told."""

    audits: list[list[Difference]] = field(default_factory=list)

    def audited(self, entries: int, differences: Sequence[Difference]) -> None:
        assert entries
        self.audits.append(list(differences))


def task_on(database: RecordDatabase, journal: FakeJournal, told: Told, chance: Callable[[], float]) -> AuditTask:
    return AuditTask(
        connect=lambda: connect(database.dsn),
        balances=FakeBalances(journal),
        journal=journal,
        observer=told,
        chance=chance,
        every_seconds=1.0,
    )


async def test_a_sample_is_silent_while_everything_adds_up_wherever_it_looks(
    journal: FakeJournal, record_database: RecordDatabase
) -> None:
    told, chance = Told(), random.Random(7)
    task = task_on(record_database, journal, told, chance.random)
    for _ in range(30):
        await task.run_once()
    assert told.audits == [[]] * 30


@pytest.mark.parametrize(
    ("crime", "kind"),
    [
        ("UPDATE messages SET price_micros = price_micros + 1", "entry"),
        ("UPDATE ledger_entries SET note = 'x' WHERE account = 'demo' AND seq = 2", "chain"),
    ],
)
async def test_a_sample_finds_what_lies_in_it(
    journal: FakeJournal, record_database: RecordDatabase, owner: Connection, crime: str, kind: str
) -> None:
    told = Told()
    await owner.execute(crime)
    await task_on(record_database, journal, told, lambda: 0.0).run_once()
    assert {difference.kind for difference in told.audits[0]} == {kind}


async def test_a_task_goes_on_after_a_postgres_that_was_away(
    journal: FakeJournal, record_database: RecordDatabase
) -> None:
    told, pauses = Told(), 0

    async def sleep(seconds: float) -> None:
        nonlocal pauses
        pauses += 1
        if pauses == 3:
            raise asyncio.CancelledError

    async def away() -> Connection:
        if pauses == 1:
            raise ConnectionRefusedError
        return await connect(record_database.dsn)

    task = AuditTask(
        connect=away, balances=FakeBalances(journal), journal=journal, observer=told, chance=lambda: 0.0,
        every_seconds=1.0, sleep=sleep,
    )  # fmt: skip
    with pytest.raises(asyncio.CancelledError):
        await task.run()
    assert told.audits == [[]]
