"""The migration files as the runner finds them."""

from __future__ import annotations

import hashlib
from importlib.resources import files

from storage.postgres.migrate import migrations
from storage.postgres.pool import UNAVAILABLE, WRITER_SETTINGS


def test_migrations_are_numbered_without_a_gap_and_carry_their_checksum() -> None:
    found = migrations()
    assert [migration.version for migration in found] == list(range(1, len(found) + 1))
    for migration in found:
        text = (files("storage.postgres") / "migrations" / f"{migration.version:04d}_{migration.name}.sql").read_bytes()
        assert migration.checksum == hashlib.sha256(text).hexdigest()


def test_schema_sql_holds_every_statement_of_the_first_migrations() -> None:
    schema = (files("storage.postgres") / "schema.sql").read_text()
    for table in ("messages", "segments", "message_events", "ledger_entries", "accounts", "prices", "journal_offsets"):
        assert f"CREATE TABLE {table} (" in schema


def test_a_lost_connection_is_unavailable_and_a_refused_row_is_not() -> None:
    import asyncpg

    assert issubclass(asyncpg.ConnectionDoesNotExistError, UNAVAILABLE)
    assert issubclass(asyncpg.AdminShutdownError, UNAVAILABLE)
    assert issubclass(asyncpg.CannotConnectNowError, UNAVAILABLE)
    assert issubclass(asyncpg.DiskFullError, UNAVAILABLE)
    assert issubclass(ConnectionRefusedError, UNAVAILABLE)
    assert not issubclass(asyncpg.UniqueViolationError, UNAVAILABLE)
    assert not issubclass(asyncpg.DataError, UNAVAILABLE)
    assert WRITER_SETTINGS["enable_nestloop"] == "off"
