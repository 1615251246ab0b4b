"""Brings a database to the schema of this release, and says whether one is there: numbered SQL files, forward only.

The owner's role runs this and owns everything; the daemon's role `smscd` owns nothing. When the DSN is a superuser's,
the objects are made as the role `smscd_tables`, which nobody can log in as, so that no function of ours runs with a
superuser's power.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files

import asyncpg

from storage.postgres.pool import Connection, connect
from storage.postgres.statements import load

DAEMON_ROLE = "smscd"
TABLES_ROLE = "smscd_tables"
SERVER_VERSION_MIN = 15
LOCK_KEY = int.from_bytes(b"smscd\0\0m", "big")
LOCK_POLL_SECONDS = 0.1

_SQL = load("migrate")
_FILE = re.compile(r"^(\d{4})_(\w+)\.sql$")


class MigrationError(Exception):
    """The schema cannot be brought forward; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One file of migrations/. checksum: SHA-256 of its text, hexadecimal."""

    version: int
    name: str
    sql: str
    checksum: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationStatus:
    """One line of `smscd db status`. state: "applied", "pending", "changed" (the file is not what was applied) or
    "unknown" (a newer release applied it)."""

    version: int
    name: str
    state: str
    applied_at: datetime | None


def migrations() -> list[Migration]:
    """The migrations of this release, oldest first. Raises MigrationError when the numbers have a gap."""
    found = []
    for file in (files(__package__) / "migrations").iterdir():
        if match := _FILE.match(file.name):
            sql = file.read_text("utf-8")
            checksum = hashlib.sha256(sql.encode()).hexdigest()
            found.append(Migration(version=int(match[1]), name=match[2], sql=sql, checksum=checksum))
    found.sort(key=lambda migration: migration.version)
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise MigrationError("The numbers of the migration files have a gap or a double.")
    return found


async def migrate(owner_dsn: str, *, daemon_password: str | None = None, lock_seconds: float = 60.0) -> list[str]:
    """Apply what is pending, each file in a transaction of its own; returns the names of what was applied now.

    owner_dsn: a superuser, or the database's owner. daemon_password: if given, the password of the role `smscd`.
    Only one runs at a time; another waits up to lock_seconds. Raises MigrationError.
    """
    connection = await connect(owner_dsn, name="smscd migrate", command_seconds=None)
    try:
        await _lock(connection, lock_seconds)
        try:
            await _prepare_roles(connection, daemon_password)
            return await _apply(connection)
        finally:
            await connection.fetchval(_SQL["unlock"], LOCK_KEY)
    finally:
        await connection.close()


async def status(dsn: str) -> list[MigrationStatus]:
    """What was applied and what is pending; any role of ours may ask."""
    connection = await connect(dsn, name="smscd status")
    try:
        return await schema_status(connection)
    finally:
        await connection.close()


async def schema_status(connection: Connection) -> list[MigrationStatus]:
    """The same on a connection that is open already."""
    applied = {}
    if await connection.fetchval(_SQL["table_exists"]):
        applied = {row["version"]: row for row in await connection.fetch(_SQL["applied"])}
    lines = []
    for migration in migrations():
        row = applied.pop(migration.version, None)
        state = "pending" if row is None else "applied" if row["checksum"] == migration.checksum else "changed"
        applied_at = None if row is None else row["applied_at"]
        lines.append(
            MigrationStatus(version=migration.version, name=migration.name, state=state, applied_at=applied_at)
        )
    for version, row in sorted(applied.items()):
        lines.append(MigrationStatus(version=version, name=row["name"], state="unknown", applied_at=row["applied_at"]))
    return lines


async def unsafe_settings(connection: Connection) -> list[str]:
    """Why the daemon must not work on this database with this role: a sentence for each reason, or nothing."""
    reasons = []
    settings = await connection.fetchrow(_SQL["settings"])
    assert settings is not None  # it selects no table
    if settings["version"] < SERVER_VERSION_MIN * 10_000:
        reasons.append(f"PostgreSQL is older than {SERVER_VERSION_MIN}: upgrade the server.")
    for name in ("fsync", "full_page_writes"):
        if settings[name] != "on":
            reasons.append(f"PostgreSQL has {name} = {settings[name]}: set it to on, or committed rows can be lost.")
    if settings["synchronous_commit"] == "off":
        reasons.append("PostgreSQL has synchronous_commit = off: set it to on, or committed rows can be lost.")
    if settings["data_sync_retry"] != "off":
        reasons.append("PostgreSQL has data_sync_retry = on: set it to off, or a failed sync loses rows.")
    if settings["unlogged"]:
        reasons.append(
            f"Tables would be empty after a crash ({settings['unlogged']}): ALTER TABLE ... SET LOGGED for each."
        )
    if settings["server_encoding"] != "UTF8":
        reasons.append(f"The database's encoding is {settings['server_encoding']}: make it with ENCODING 'UTF8'.")
    if settings["is_replica"] or settings["read_only"] == "on":
        reasons.append("This PostgreSQL is a read-only replica: give the address of the primary.")
    lines = await schema_status(connection)
    if missing := [line.name for line in lines if line.state == "pending"]:
        reasons.append(f"Migrations are pending ({', '.join(missing)}): run `smscd db migrate`.")
    else:
        powers = await connection.fetchrow(_SQL["powers"])
        assert powers is not None  # our own role is in pg_roles
        if powers["is_superuser"] or powers["owns_tables"] or powers["may_change_ledger"]:
            reasons.append(
                "The daemon's role is a superuser, owns tables (or may become their owner) or may change the ledger: "
                "connect as `smscd`, and keep the owner's role for `smscd db migrate`."
            )
    if changed := [line.name for line in lines if line.state == "changed"]:
        reasons.append(f"Applied migrations are not those of this release ({', '.join(changed)}): restore the files.")
    return reasons


async def _lock(connection: Connection, seconds: float) -> None:
    """Polls: waiters in pg_advisory_lock() deadlock with CREATE INDEX CONCURRENTLY."""
    for _ in range(max(1, int(seconds / LOCK_POLL_SECONDS))):
        if await connection.fetchval(_SQL["lock"], LOCK_KEY):
            return
        await asyncio.sleep(LOCK_POLL_SECONDS)
    raise MigrationError(f"Another migration has been running for {seconds:.0f} s: wait for it, or end its session.")


async def _prepare_roles(connection: Connection, daemon_password: str | None) -> None:
    """The owner's and the daemon's role, and a schema in which only the owner may create."""
    me = await connection.fetchrow(_SQL["who_am_i"])
    assert me is not None  # our own role is in pg_roles
    may_create_roles = me["rolsuper"] or me["rolcreaterole"]
    if me["rolname"] == DAEMON_ROLE:
        raise MigrationError(f"Migrations run as the owner of the database, not as the daemon's role {DAEMON_ROLE}.")
    await _ensure_role(connection, DAEMON_ROLE, "LOGIN", may_create=may_create_roles, me=me["rolname"])
    if daemon_password is not None:
        statement = await connection.fetchval(_SQL["set_password_statement"], DAEMON_ROLE, daemon_password)
        await connection.execute(statement)
    if await connection.fetchval(_SQL["may_create_in_public"], DAEMON_ROLE):
        await connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        if await connection.fetchval(_SQL["may_create_in_public"], DAEMON_ROLE):
            raise MigrationError(f"{DAEMON_ROLE} may create in the schema public: revoke that as its owner.")
    if me["rolsuper"]:
        # Who migrated before goes on owning everything.
        if (owner := await connection.fetchval(_SQL["owner"])) is None:
            owner = TABLES_ROLE
            await _ensure_role(connection, TABLES_ROLE, "NOLOGIN", may_create=True, me=me["rolname"])
            await connection.execute(f"GRANT USAGE, CREATE ON SCHEMA public TO {TABLES_ROLE}")
        await connection.execute(await connection.fetchval(_SQL["set_role_statement"], owner))


async def _ensure_role(connection: Connection, role: str, login: str, *, may_create: bool, me: str) -> None:
    if await connection.fetchval(_SQL["role_exists"], role):
        return
    if not may_create:
        raise MigrationError(
            f"There is no role {role} and {me} may not create one: as superuser, "
            f"CREATE ROLE {role} LOGIN PASSWORD '...'."
        )
    try:
        await connection.execute(f"CREATE ROLE {role} {login}")
    except (asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):
        pass  # roles belong to the whole server: the migration of another database has just made it


async def _apply(connection: Connection) -> list[str]:
    await connection.execute(_SQL["create_table"])
    await connection.execute(f"GRANT SELECT ON schema_migrations TO {DAEMON_ROLE}")
    states = {line.version: line for line in await schema_status(connection)}
    for line in states.values():
        if line.state == "changed":
            raise MigrationError(
                f"Migration {line.version:04d}_{line.name} was changed after it was applied: restore it."
            )
    done = []
    for migration in migrations():
        if states[migration.version].state == "applied":
            continue
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(_SQL["record"], migration.version, migration.name, migration.checksum)
        done.append(f"{migration.version:04d}_{migration.name}")
    return done
