"""The migrations: applied once, one at a time, unchanged, and equal to schema.sql."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import asyncpg
import msgspec
import pytest

from smscd.core.upstream import VendorTlv
from storage.embedded.postgres import CONFIGURATION, EmbeddedPostgres
from storage.embedded.process import unprivileged_user
from storage.postgres import migrate as runner
from storage.postgres.configuration import load_snapshot
from storage.postgres.migrate import LOCK_KEY, MigrationError, migrate, migrations, status, unsafe_settings
from storage.postgres.pool import Connection, connect
from tests.integration.postgres_databases import RecordDatabase, create_database, drop_database

pytest_plugins = ("tests.integration.postgres_fixture",)

# Everything that a schema is made of, as text; what differs between two databases shows as a line.
CATALOG = """
SELECT format('%s %s %s %s options %s acl %s', c.relkind, c.relname, c.relpersistence,
              pg_get_expr(c.relpartbound, c.oid), c.reloptions, c.relacl) FROM pg_class c
 WHERE c.relnamespace = 'public'::regnamespace
UNION ALL
SELECT format('column %s.%s %s %s null %s default %s identity %s', c.relname, a.attname, a.attnum,
              format_type(a.atttypid, a.atttypmod), NOT a.attnotnull, pg_get_expr(d.adbin, d.adrelid), a.attidentity)
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT format('constraint %s on %s: %s', conname, conrelid::regclass, pg_get_constraintdef(oid)) FROM pg_constraint
 WHERE connamespace = 'public'::regnamespace
UNION ALL
SELECT format('index %s: %s', indexrelid::regclass, pg_get_indexdef(indexrelid)) FROM pg_index
  JOIN pg_class c ON c.oid = indexrelid WHERE c.relnamespace = 'public'::regnamespace
UNION ALL
SELECT format('partitioned %s by %s', partrelid::regclass, pg_get_partkeydef(partrelid)) FROM pg_partitioned_table
UNION ALL
SELECT format('function %s definer %s settings %s acl %s: %s', p.oid::regprocedure, prosecdef, proconfig, proacl,
              pg_get_functiondef(p.oid)) FROM pg_proc p WHERE pronamespace = 'public'::regnamespace
UNION ALL
SELECT format('view %s: %s', viewname, definition) FROM pg_views WHERE schemaname = 'public'
UNION ALL
SELECT format('trigger %s on %s', tgname, tgrelid::regclass) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL
SELECT format('row of price_plans %s', p) FROM price_plans p
"""


async def catalog(dsn: str) -> set[str]:
    connection = await connect(dsn)
    try:
        return {row[0] for row in await connection.fetch(CATALOG)}
    finally:
        await connection.close()


async def test_the_migrations_produce_what_schema_sql_says(
    postgres_server: EmbeddedPostgres, empty_database: RecordDatabase, record_database: RecordDatabase
) -> None:
    connection = await connect(empty_database.owner_dsn)
    await connection.execute("GRANT USAGE, CREATE ON SCHEMA public TO smscd_tables")
    await connection.execute("SET ROLE smscd_tables")
    await connection.execute((files("storage.postgres") / "schema.sql").read_text())
    await connection.close()
    by_file, by_migrations = await catalog(empty_database.owner_dsn), await catalog(record_database.owner_dsn)
    assert len(by_file) > 200
    assert sorted(by_file ^ by_migrations) == []


async def test_migrating_twice_applies_each_migration_once(empty_database: RecordDatabase) -> None:
    names = [f"{migration.version:04d}_{migration.name}" for migration in migrations()]
    assert await migrate(empty_database.owner_dsn) == names
    assert await migrate(empty_database.owner_dsn) == []
    assert {line.state for line in await status(empty_database.dsn)} == {"applied"}


async def test_upstreams_of_before_get_the_profile_that_the_constraints_want(
    empty_database: RecordDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0011: what needs TLVs needs a bind of 3.4. 0012: an integer of more than 64 bits is octets."""
    known = migrations()
    with monkeypatch.context() as patch:
        patch.setattr(runner, "migrations", lambda: known[:10])
        await migrate(empty_database.owner_dsn)
    owner = await connect(empty_database.owner_dsn)
    daemon = await connect(empty_database.dsn)
    needed = VendorTlv(tag=0x1400, name="entity", kind="octets", size_min=1, size_max=9, is_required=True)
    number = VendorTlv(tag=0x1401, name="number", kind="integer", size_min=1, size_max=8)
    before: dict[str, tuple[str, tuple[VendorTlv, ...]]] = {
        "sar": ("sar", ()),
        "payload": ("payload", (number,)),
        "required": ("as_is", (number, needed)),
        "optional": ("udh8", (number,)),
    }
    for name, (form, rows) in before.items():
        await owner.execute(
            "INSERT INTO upstreams (id, host, port, system_id, password, interface_version, long_message, vendor_tlvs)"
            " VALUES ($1, 'h', 1, 's', 'p', 51, $2, $3)",
            name, form, msgspec.json.encode(rows).decode(),
        )  # fmt: skip
    await owner.execute(
        """UPDATE upstreams SET vendor_tlvs = jsonb_set(vendor_tlvs, '{0,max}', '16') WHERE id = 'required'"""
    )
    try:
        assert await migrate(empty_database.owner_dsn) == [f"{new.version:04d}_{new.name}" for new in known[10:]]
        found = {row.id: row for row in (await load_snapshot(daemon)).upstreams}
    finally:
        await daemon.close()
        await owner.close()
    assert {name: row.interface_version for name, row in found.items()} == {
        "sar": 52, "payload": 52, "required": 52, "optional": 51
    }  # fmt: skip
    octets = msgspec.structs.replace(number, kind="octets", size_max=16)
    assert found["required"].vendor_tlvs == (octets, needed)
    assert {name: row.vendor_tlvs for name, row in found.items() if name != "required"} == {
        "sar": (), "payload": (number,), "optional": (number,)
    }  # fmt: skip


async def test_two_at_once_apply_each_migration_once(empty_database: RecordDatabase) -> None:
    done = await asyncio.gather(migrate(empty_database.owner_dsn), migrate(empty_database.owner_dsn))
    assert sorted(len(names) for names in done) == [0, len(migrations())]


async def test_an_empty_database_shows_all_migrations_as_pending(empty_database: RecordDatabase) -> None:
    assert {line.state for line in await status(empty_database.dsn)} == {"pending"}


async def test_a_lock_that_is_never_released_ends_the_wait_with_a_sentence(empty_database: RecordDatabase) -> None:
    holder = await connect(empty_database.owner_dsn)
    await holder.fetchval("SELECT pg_advisory_lock($1)", LOCK_KEY)
    with pytest.raises(MigrationError, match="Another migration"):
        await migrate(empty_database.owner_dsn, lock_seconds=0.2)
    await holder.close()


async def test_a_migration_that_was_changed_afterwards_is_refused(
    record_database: RecordDatabase, daemon: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *others = migrations()
    monkeypatch.setattr(runner, "migrations", lambda: [replace(first, checksum="0" * 64), *others])
    with pytest.raises(MigrationError, match="0001_record was changed"):
        await migrate(record_database.owner_dsn)
    assert any("not those of this release" in reason for reason in await unsafe_settings(daemon))


async def test_a_migration_that_fails_leaves_nothing_behind(
    empty_database: RecordDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = replace(migrations()[0], sql="CREATE TABLE half (a int); SELECT 1/0")
    monkeypatch.setattr(runner, "migrations", lambda: [broken])
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(empty_database.owner_dsn)
    connection = await connect(empty_database.owner_dsn)
    assert await connection.fetchval("SELECT to_regclass('half')") is None
    assert await connection.fetchval("SELECT count(*) FROM schema_migrations") == 0
    await connection.close()


async def test_what_a_newer_release_applied_is_shown_as_unknown(
    record_database: RecordDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = migrations()
    monkeypatch.setattr(runner, "migrations", lambda: known[:-1])
    assert [line.state for line in await status(record_database.dsn)] == ["applied"] * (len(known) - 1) + ["unknown"]


async def test_the_password_of_the_daemon_can_be_set(
    postgres_server: EmbeddedPostgres, empty_database: RecordDatabase
) -> None:
    before = postgres_server.dsn.split(":")[2].split("@")[0]
    try:
        await migrate(empty_database.owner_dsn, daemon_password="it's \\new")
        connection = await asyncpg.connect(empty_database.dsn, password="it's \\new")
        await connection.close()
    finally:
        await migrate(empty_database.owner_dsn, daemon_password=before)


async def test_an_owner_without_superuser_rights_migrates_its_own_database(postgres_server: EmbeddedPostgres) -> None:
    superuser = await asyncpg.connect(postgres_server.owner_dsn)
    await superuser.execute("CREATE ROLE plain_owner LOGIN PASSWORD 'plain'")
    database = await create_database(postgres_server, "plainly")
    await superuser.execute("ALTER DATABASE plainly OWNER TO plain_owner")
    dsn = database.owner_dsn.replace(database.owner_dsn.split("//")[1].split("@")[0], "plain_owner:plain")
    try:
        assert len(await migrate(dsn)) == len(migrations())
        assert await migrate(database.owner_dsn) == []  # and a superuser leaves the ownership as it is
        daemon = await connect(database.dsn)
        assert await unsafe_settings(daemon) == []
        await daemon.close()
    finally:
        await drop_database(postgres_server, "plainly")
        await superuser.execute("DROP ROLE plain_owner")
        await superuser.close()


async def test_the_daemons_role_may_not_migrate(empty_database: RecordDatabase) -> None:
    with pytest.raises(MigrationError, match="not as the daemon's role"):
        await migrate(empty_database.dsn)


async def test_a_migrated_database_and_the_daemons_role_are_safe(daemon: Connection) -> None:
    assert await unsafe_settings(daemon) == []


async def test_unsafe_settings_and_roles_are_named(
    owner: Connection, daemon: Connection, empty_database: RecordDatabase
) -> None:
    assert any("superuser" in reason for reason in await unsafe_settings(owner))
    await daemon.execute("SET synchronous_commit = off")
    await daemon.execute("SET default_transaction_read_only = on")
    reasons = await unsafe_settings(daemon)
    assert any("synchronous_commit" in reason for reason in reasons)
    assert any("replica" in reason for reason in reasons)
    empty = await connect(empty_database.dsn)
    assert any("smscd db migrate" in reason for reason in await unsafe_settings(empty))
    await empty.close()


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ("GRANT UPDATE ON ledger_entries TO smscd", "may change the ledger"),
        ("GRANT DELETE ON ledger_entries_default TO smscd", "may change the ledger"),
        ("GRANT UPDATE (note) ON ledger_entries TO smscd", "may change the ledger"),
        ("GRANT TRUNCATE ON ledger_references TO smscd", "may change the ledger"),
        ("GRANT smscd_tables TO smscd", "may become their owner"),
        ("ALTER TABLE journal_offsets SET UNLOGGED", r"would be empty after a crash \(journal_offsets\)"),
    ],
)
async def test_a_power_too_much_and_a_table_that_may_vanish_are_named(
    owner: Connection, daemon: Connection, statement: str, complaint: str
) -> None:
    await owner.execute(statement)
    try:
        reasons = await unsafe_settings(daemon)
    finally:
        if "smscd_tables" in statement:  # a membership is not the database's: it would outlive the test
            await owner.execute("REVOKE smscd_tables FROM smscd")
    assert len(reasons) == 1
    assert re.search(complaint, reasons[0])


async def test_each_setting_that_can_lose_rows_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unsafe = "fsync = off\nfull_page_writes = off\nsynchronous_commit = off\ndata_sync_retry = on\n"
    monkeypatch.setattr("storage.embedded.postgres.CONFIGURATION", CONFIGURATION + unsafe)
    if unprivileged_user() is not None:
        tmp_path.chmod(0o711)
    server = EmbeddedPostgres(tmp_path / "postgres")
    await server.start()
    try:
        await migrate(server.owner_dsn)
        connection = await connect(server.dsn)
        reasons = await unsafe_settings(connection)
        await connection.close()
    finally:
        await server.stop()
    named = ("fsync = off: set", "full_page_writes = off: set", "synchronous_commit = off: set", "data_sync_retry = on")
    assert len(reasons) == len(named)
    for reason, name in zip(reasons, named, strict=True):
        assert name in reason
