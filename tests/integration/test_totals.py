"""Totals of days: exact to the micro-unit, equal to the ledger, and kept up to date while anything may still change."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta

import pytest

from smscd.archive.day_totals import add_up_day, day_begins_ms, day_of
from smscd.archive.totals_task import TOTALS_SETTINGS, TotalsTask
from smscd.core.countries import PREFIXES, country_of
from smscd.core.records import Conversion, MessageRecord, Outcome, State
from smscd.core.totals import FINAL_AFTER_MS, Counts, Key, Totals
from storage.postgres.partitions import ensure_partitions, id_at
from storage.postgres.pool import Connection, connect
from storage.postgres.totals import computed_days, stored_totals
from tests.integration.journal_fake import (
    NOW_MS,
    FakeJournal,
    append_lives,
    append_money,
    inbound,
    message,
    message_id,
    receipt,
    sent,
)
from tests.integration.postgres_databases import RecordDatabase
from tests.integration.writer_fixture import QUICK, write_all

pytest_plugins = ("tests.integration.postgres_fixture",)

DAY_MS = 86_400_000
TODAY = day_of(NOW_MS)
YESTERDAY = TODAY - timedelta(days=1)


def summed(totals: Totals) -> Counts:
    found = Counts()
    for counts in totals.values():
        found = found.plus(counts)
    return found


async def of_one(database: RecordDatabase, journal: FakeJournal, daemon: Connection) -> Counts:
    """What the only message of the day came to."""
    await write_all(database.dsn, journal, QUICK)
    [(_, counts)] = (await add_up_day(daemon, TODAY)).items()
    assert counts.messages == 1
    return counts


async def test_each_message_counts_where_it_belongs(record_database: RecordDatabase, daemon: Connection) -> None:
    journal = FakeJournal()
    messages = [
        message(message_id(NOW_MS, 1), dest=b"447700900123", cost_micros=4_000),
        message(message_id(NOW_MS, 2), dest=b"447797123456", price_micros=30_000, segments=[b"a", b"b", b"c"]),
        message(message_id(NOW_MS, 3), dest=b"12345", dest_ton=3),
        message(message_id(NOW_MS, 4), dest=b"12125550123", account="acme", upstream="other"),
        message(message_id(NOW_MS, 5), dest=b"881612345678"),
        message(message_id(NOW_MS - DAY_MS, 6), dest=b"447700900123"),
    ]
    journal.append(b"A", messages)
    journal.append(b"M", [inbound(message_id(NOW_MS, 7), NOW_MS)])
    await write_all(record_database.dsn, journal, QUICK)
    assert await add_up_day(daemon, TODAY) == {
        Key("demo", "GB", "carrier"): Counts(1, 1, 10_000),
        Key("demo", "JE", "carrier"): Counts(1, 3, 30_000),
        Key("demo", "", "carrier"): Counts(2, 2, 20_000),
        Key("acme", "US", "other"): Counts(1, 1, 10_000),
    }
    assert await add_up_day(daemon, TODAY, account="acme") == {Key("acme", "US", "other"): Counts(1, 1, 10_000)}
    assert await add_up_day(daemon, YESTERDAY) == {Key("demo", "GB", "carrier"): Counts(1, 1, 10_000)}
    assert await add_up_day(daemon, TODAY + timedelta(days=1)) == {}


async def test_postgres_finds_the_same_countries(record_database: RecordDatabase, daemon: Connection) -> None:
    numbers = [f"{prefix}{tail}" for prefix in PREFIXES for tail in ("", "0", "5050505", "9999999999")]
    numbers += [prefix[:-1] for prefix in PREFIXES if len(prefix) > 1] + ["210123456", "881612345678", "ACME", "+44"]
    journal = FakeJournal()
    journal.append(b"A", [message(message_id(NOW_MS, n), dest=number.encode()) for n, number in enumerate(numbers)])
    await write_all(record_database.dsn, journal, QUICK)
    found = {key.country: counts.messages for key, counts in (await add_up_day(daemon, TODAY)).items()}
    assert found == Counter(map(country_of, numbers))


@pytest.mark.parametrize("parts", [1, 2, 127, 128, 200])
async def test_the_segments_of_a_rewritten_message_are_those_in_its_price(
    record_database: RecordDatabase, daemon: Connection, parts: int
) -> None:
    conversion = Conversion(2, parts, b"text", 8, 0, b"", b"text")
    journal = FakeJournal()
    journal.append(b"A", [message(message_id(NOW_MS, 1), conversion=conversion)])
    assert (await of_one(record_database, journal, daemon)).segments == parts


def three(**changed: object) -> MessageRecord:
    """A message of three segments, for which its upstream asks 12,000."""
    return message(message_id(NOW_MS, 1), segments=[b"a", b"b", b"c"], cost_micros=12_000, **changed)


@pytest.mark.parametrize(
    ("accepted", "ends", "cost"),
    [
        (0, None, 0),
        (1, None, 4_000),
        (3, None, 12_000),
        (0, State.FAILED, 0),
        (2, State.FAILED, 8_000),
        (3, State.DELIVERED, 12_000),
        (3, State.UNDELIVERED, 12_000),
        (3, State.REJECTED, 12_000),
        (3, State.EXPIRED, 12_000),
        (0, State.EXPIRED, 0),
    ],
)
async def test_what_an_upstream_accepted_costs_whatever_became_of_it(
    record_database: RecordDatabase, daemon: Connection, accepted: int, ends: State | None, cost: int
) -> None:
    journal, record = FakeJournal(), three()
    journal.append(b"A", [record])
    for segment in range(accepted):
        state = State.SENT if accepted == 3 and segment == 2 else State.SENDING
        journal.append(b"T", [sent(record, NOW_MS, segment, state=state)])
    if ends is not None and accepted == 3:
        journal.append(b"R", [receipt(record, NOW_MS, state=ends)], b"2")
    elif ends is not None:
        outcome = Outcome.EXPIRED if ends is State.EXPIRED else Outcome.FAILED
        journal.append(b"T", [sent(record, NOW_MS, accepted, outcome=outcome, state=ends, upstream_message_id=b"")])
    counts = await of_one(record_database, journal, daemon)
    assert (counts.cost_micros, counts.without_cost) == (cost, 0)


async def test_a_message_that_was_accepted_at_an_unknown_cost_is_counted(
    record_database: RecordDatabase, daemon: Connection
) -> None:
    journal, record = FakeJournal(), message(message_id(NOW_MS, 1))
    journal.append(b"A", [record])
    assert (await of_one(record_database, journal, daemon)).without_cost == 0
    journal.append(b"T", [sent(record, NOW_MS)])
    counts = await of_one(record_database, journal, daemon)
    assert (counts.cost_micros, counts.without_cost) == (0, 1)


async def ledger_sums(connection: Connection) -> Counter[tuple[str, str]]:
    rows = await connection.fetch("SELECT account, kind, sum(amount_micros)::bigint FROM ledger_entries GROUP BY 1, 2")
    return Counter({(row["account"], row["kind"]): row["sum"] for row in rows})


async def test_days_add_up_to_the_ledger_and_to_every_single_message(
    record_database: RecordDatabase, owner: Connection, daemon: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smscd.core.totals.ROWS_A_SLICE", 50)
    await ensure_partitions(owner, NOW_MS, "day", 1)
    journal = FakeJournal(now_ms=day_begins_ms(TODAY) - 20_000)
    append_lives(journal, 4_000, step_ms=2_000)
    append_money(journal)
    lost = message(message_id(NOW_MS, 4_000), request_key="\0", dest=b"12125550123", upstream="other")
    twice = message(message_id(NOW_MS, 4_001))
    journal.append(b"A", [lost, twice, twice])
    refund = {"outcome": Outcome.FAILED, "state": State.FAILED, "refund_micros": 10_000, "account": "demo"}
    journal.append(b"T", [sent(lost, NOW_MS, **refund)], b"1")
    await write_all(record_database.dsn, journal, QUICK)
    days = [await add_up_day(daemon, day) for day in (YESTERDAY, TODAY)]
    assert all(days) and summed(days[0]).messages < 3_000, "the traffic goes over midnight"
    booked = await ledger_sums(daemon)
    for account in ("demo", "acme"):
        mine = [summed({key: counts for key, counts in day.items() if key.account == account}) for day in days]
        counts = mine[0].plus(mine[1])
        assert counts.charged_micros == -booked[account, "charge"]
        assert counts.refunded_micros == booked[account, "refund"]
    assert booked["demo", "refund"] > 10_000
    single: Counter[tuple[date, Key]] = Counter()
    for row in await daemon.fetch("SELECT id, account, upstream, dest, price_micros FROM messages"):
        day = day_of((row["id"] >> 22) + 1_577_836_800_000)
        single[day, Key(row["account"], country_of(row["dest"]), row["upstream"])] += row["price_micros"]
    single[TODAY, Key("demo", "US", "other")] += lost.price_micros
    single[TODAY, Key("demo", "GB", "carrier")] += twice.price_micros
    found = {
        (day, key): counts.charged_micros
        for day, sums in zip((YESTERDAY, TODAY), days, strict=True)
        for key, counts in sums.items()
    }
    assert found == dict(single)


async def test_a_refund_that_could_not_be_stored_is_not_missed(
    record_database: RecordDatabase, daemon: Connection
) -> None:
    journal, record = FakeJournal(), message(message_id(NOW_MS, 1))
    journal.append(b"A", [record])
    await write_all(record_database.dsn, journal, QUICK)
    await daemon.executemany(
        "INSERT INTO journal_dead_letters (shard, journal_from, journal_to, kind, message_id, refunded_micros, record,"
        " error) VALUES (0, '1-0', '2-0', 'U', $1, 10000, '', 'refused')",
        [(record.id,), (message_id(NOW_MS, 2),), (message_id(NOW_MS - DAY_MS, 1),)],
    )
    assert await add_up_day(daemon, TODAY) == {Key("demo", "GB", "carrier"): Counts(1, 1, 10_000, 10_000)}
    assert await add_up_day(daemon, TODAY, account="acme") == {}


class Clock:
    """The time of a task."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms


def task_on(database: RecordDatabase, clock: Clock) -> TotalsTask:
    async def no_sleep(seconds: float) -> None:
        assert seconds >= 0

    return TotalsTask(
        connect=lambda: connect(database.dsn, settings=TOTALS_SETTINGS),
        now_ms=lambda: clock.now_ms,
        every_seconds=1.0,
        sleep=no_sleep,
    )


async def test_days_that_are_over_are_stored_and_a_late_refund_reaches_them(
    record_database: RecordDatabase, owner: Connection, daemon: Connection
) -> None:
    await owner.execute("INSERT INTO accounts (id, currency) VALUES ('demo', 'USD')")
    journal, record = FakeJournal(), message(message_id(NOW_MS - 3 * DAY_MS, 1))
    journal.append(b"A", [record, message(message_id(NOW_MS, 1))])
    journal.append(b"T", [sent(record, NOW_MS, state=State.SENT)])
    await write_all(record_database.dsn, journal, QUICK)
    clock, day = Clock(NOW_MS), TODAY - timedelta(days=3)
    task = task_on(record_database, clock)
    assert await task.run_once() == [YESTERDAY, TODAY - timedelta(days=2), day], "today is not over"
    assert await task.run_once() == []
    [row] = await stored_totals(daemon, day, TODAY)
    assert (row.day, row.key, row.currency) == (day, Key("demo", "GB", "carrier"), "USD")
    assert row.counts == Counts(1, 1, 10_000, 0, 0, 1)
    late = receipt(record, NOW_MS, state=State.UNDELIVERED, refund_micros=10_000)
    journal.append(b"R", [late], b"2", b"1")
    await write_all(record_database.dsn, journal, QUICK)
    clock.now_ms = day_begins_ms(day) + DAY_MS + FINAL_AFTER_MS
    assert day in await task.run_once()
    [row] = await stored_totals(daemon, day, day + timedelta(days=1))
    assert row.counts == Counts(1, 1, 10_000, 10_000, 0, 1)
    assert set(await computed_days(daemon, day, day + timedelta(days=1))) == {day}
    clock.now_ms += 30 * DAY_MS
    assert day not in await task.run_once(), "nothing of it changes any more"


async def test_the_totals_of_a_day_outlive_its_messages(
    record_database: RecordDatabase, owner: Connection, daemon: Connection
) -> None:
    journal = FakeJournal()
    journal.append(b"A", [message(message_id(NOW_MS - 2 * DAY_MS, 1)), message(message_id(NOW_MS, 1))])
    await write_all(record_database.dsn, journal, QUICK)
    clock = Clock(NOW_MS)
    task = task_on(record_database, clock)
    await task.run_once()
    before = await stored_totals(daemon, TODAY - timedelta(days=2), TODAY)
    await owner.execute("DELETE FROM messages WHERE id < $1", id_at(day_begins_ms(TODAY)))
    clock.now_ms += 40 * DAY_MS
    await task.run_once()
    assert before and await stored_totals(daemon, TODAY - timedelta(days=2), TODAY) == before


async def test_an_empty_record_has_no_day_to_add_up(record_database: RecordDatabase, daemon: Connection) -> None:
    assert await task_on(record_database, Clock(NOW_MS)).run_once() == []
    assert await add_up_day(daemon, TODAY) == {}
