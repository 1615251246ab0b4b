"""What the daemon's role may not do, each tried."""

from __future__ import annotations

import asyncpg
import pytest

from storage.postgres.migrate import unsafe_settings
from storage.postgres.partitions import TABLES, ensure_partitions
from storage.postgres.pool import Connection
from tests.integration.journal_fake import NOW_MS

pytest_plugins = ("tests.integration.postgres_fixture",)

FORBIDDEN = [
    "UPDATE ledger_entries SET amount_micros = 0",
    "DELETE FROM ledger_entries",
    "TRUNCATE ledger_entries",
    "UPDATE ledger_entries_default SET amount_micros = 0",
    "DELETE FROM ledger_entries_default",
    "UPDATE ledger_entries_y2026 SET amount_micros = 0",
    "DELETE FROM ledger_entries_y2026",
    "TRUNCATE ledger_entries_y2026",
    "SELECT FROM ledger_entries FOR UPDATE",
    "TRUNCATE ledger_entries_default",
    "MERGE INTO ledger_entries l USING (SELECT 1) x ON true WHEN MATCHED THEN DELETE",
    "INSERT INTO ledger_references VALUES ('a', 'r', 1) ON CONFLICT (reference) DO UPDATE SET entry = 2",
    "DELETE FROM ledger_references",
    "UPDATE ledger_references SET entry = 0",
    "TRUNCATE ledger_references",
    "UPDATE audit_log SET operator = 'nobody'",
    "DELETE FROM audit_log",
    "TRUNCATE audit_log",
    "SELECT FROM audit_log FOR UPDATE",
    "INSERT INTO audit_log (operator, action, subject) VALUES ('', '', '') ON CONFLICT (id) DO UPDATE SET old = '0'",
    "UPDATE operators SET role = 'admin'",
    "UPDATE operators SET token_hash = ''",
    "DELETE FROM operators",
    "UPDATE account_warnings SET balance_micros = 0",
    "DELETE FROM account_warnings",
    "DELETE FROM messages",
    "TRUNCATE messages",
    "DELETE FROM segments",
    "UPDATE message_events SET kind = 1",
    "DELETE FROM message_events",
    "DELETE FROM journal_offsets",
    "DELETE FROM journal_dead_letters",
    "UPDATE installation SET shards = 2",
    "DELETE FROM installation",
    "UPDATE schema_migrations SET checksum = ''",
    "DROP TABLE messages",
    "DROP TABLE ledger_entries_y2026",
    "ALTER TABLE ledger_entries ADD COLUMN x int",
    "ALTER TABLE ledger_entries DETACH PARTITION ledger_entries_y2026",
    "CREATE INDEX ON ledger_entries (at)",
    "ALTER TABLE ledger_entries DISABLE TRIGGER ALL",
    "CREATE TABLE mine (a int)",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql RETURN 1",
    "CREATE SCHEMA mine",
    "SET ROLE smscd_tables",
    "ALTER FUNCTION make_partition(text, text, bigint, bigint) SECURITY INVOKER",
    "COPY ledger_entries TO PROGRAM 'cat'",
]


async def test_the_daemon_is_refused_everything_that_could_change_the_record(daemon: Connection) -> None:
    await ensure_partitions(daemon, NOW_MS, "year")
    accepted = []
    for statement in FORBIDDEN:
        try:
            await daemon.execute(statement)
        except asyncpg.InsufficientPrivilegeError:
            continue
        accepted.append(statement)
    assert accepted == []


async def test_the_daemon_cannot_change_any_partition_of_the_ledger(daemon: Connection) -> None:
    await ensure_partitions(daemon, NOW_MS, "day")
    parts = [row[0] for row in await daemon.fetch("SELECT name FROM record_partitions WHERE parent = 'ledger_entries'")]
    assert len(parts) > 5
    for part in parts:
        for statement in (
            f"UPDATE {part} SET note = 'x'",
            f"DELETE FROM {part}",
            f"TRUNCATE {part}",
            f"INSERT INTO {part} SELECT * FROM ledger_entries",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await daemon.execute(statement)


@pytest.mark.parametrize(
    "right",
    [
        "UPDATE ON ledger_entries",
        "DELETE ON ledger_entries_y2026",
        "TRUNCATE ON ledger_entries_y2026",
        "UPDATE (amount_micros) ON ledger_entries",
        "UPDATE ON ledger_references",
        "DELETE ON audit_log",
    ],
)
async def test_it_does_not_start_with_a_role_that_somebody_gave_more(
    daemon: Connection, owner: Connection, right: str
) -> None:
    await ensure_partitions(daemon, NOW_MS, "year")
    assert await unsafe_settings(daemon) == []
    await owner.execute(f"GRANT {right} TO smscd")
    (reason,) = await unsafe_settings(daemon)
    assert "may change the ledger" in reason and "connect as `smscd`" in reason


async def test_the_daemon_cannot_grant_itself_more(daemon: Connection) -> None:
    await daemon.execute("GRANT UPDATE ON ledger_entries TO smscd")  # PostgreSQL answers this with a warning only
    assert not await daemon.fetchval("SELECT has_table_privilege('ledger_entries', 'UPDATE')")


async def test_the_daemon_owns_nothing(daemon: Connection) -> None:
    owned = await daemon.fetchval(
        "SELECT (SELECT count(*) FROM pg_class WHERE relowner = 'smscd'::regrole)"
        " + (SELECT count(*) FROM pg_proc WHERE proowner = 'smscd'::regrole)"
    )
    assert owned == 0


async def test_new_partitions_belong_to_the_owner_who_is_no_superuser(daemon: Connection) -> None:
    made = await ensure_partitions(daemon, NOW_MS, "year")
    assert len(made) == 3 * len(TABLES)
    owners = await daemon.fetch(
        "SELECT DISTINCT r.rolname, r.rolsuper, r.rolcanlogin FROM record_partitions p"
        " JOIN pg_class c ON c.oid = p.name::regclass JOIN pg_roles r ON r.oid = c.relowner"
    )
    assert [tuple(row) for row in owners] == [("smscd_tables", False, False)]


@pytest.mark.parametrize(
    ("parent", "suffix", "lower", "upper"),
    [
        ("accounts", "y2030", 1, 2),
        ("messages; DROP TABLE messages", "y2030", 1, 2),
        ("messages", "y2030; DROP TABLE messages", 1, 2),
        ("messages", "x2030", 1, 2),
        ("messages", "y2030", 2, 2),
        ("pg_catalog.pg_class", "y2030", 1, 2),
    ],
)
async def test_the_function_for_partitions_makes_nothing_else(
    daemon: Connection, parent: str, suffix: str, lower: int, upper: int
) -> None:
    before = await daemon.fetchval("SELECT count(*) FROM pg_class")
    with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.InvalidParameterValueError)):
        await daemon.fetchval("SELECT make_partition($1, $2, $3, $4)", parent, suffix, lower, upper)
    assert await daemon.fetchval("SELECT count(*) FROM pg_class") == before


async def test_the_daemon_may_read_and_append_to_the_ledger(daemon: Connection) -> None:
    await daemon.execute(
        "INSERT INTO ledger_entries VALUES (1, 'a', 1, 'topup', 5, 5, 0, '1-1', '1-1', NULL, NULL, NULL, now(),"
        " decode(repeat('00', 32), 'hex'), decode(repeat('00', 32), 'hex'))"
    )
    assert await daemon.fetchval("SELECT sum(amount_micros) FROM ledger_entries") == 5
