"""Everything that has to be true before the workers start: servers, schema, partitions, safe settings, seed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import msgspec
import stamina
import structlog

from smscd.config import Config
from smscd.supervision.steps import Steps, step
from storage.embedded.postgres import EmbeddedPostgres
from storage.embedded.process import EmbeddedServerError
from storage.embedded.valkey import EmbeddedValkey
from storage.postgres import pool as postgres
from storage.postgres.installation import InstallationMismatch, install
from storage.postgres.messages import recorded_id
from storage.postgres.migrate import MigrationError, migrate, unsafe_settings
from storage.postgres.partitions import ensure_partitions
from storage.redis.errors import StorageUnavailable, UnsafeStorage
from storage.redis.guard import Guard
from storage.redis.keys import ShardKeys
from storage.redis.link import RedisLink

WAIT_FOR_SERVERS_SECONDS = 60.0
_log = structlog.get_logger(__name__)


class StartupError(Exception):
    """The daemon cannot start as things are; the text says what to do."""


class Servers:
    """The embedded servers of an instance: those for which no URL is given. Empty when both are external."""

    def __init__(self, config: Config, state_dir: Path, on_restart: Callable[[str], None]) -> None:
        self.valkey: EmbeddedValkey | None = None
        self.postgres: EmbeddedPostgres | None = None
        self._on_restart = on_restart
        embedded = config.embedded
        if not config.redis_url:
            self.valkey = EmbeddedValkey(
                state_dir / "valkey",
                embedded.valkey_port,
                memory_max_bytes=embedded.valkey_memory_bytes,
                rewrite_bytes=embedded.valkey_rewrite_bytes,
                on_event=self._log,
            )
        if not config.postgres_dsn:
            self.postgres = EmbeddedPostgres(state_dir / "postgres", embedded.postgres_port, on_event=self._log)

    def _log(self, event: str, fields: dict[str, object]) -> None:
        server, _, what = event.partition(".")
        if what in ("restarted", "rewrite_started", "recovered"):
            _log.info(event, **fields)
        else:
            _log.error(event, **fields)
        if what == "ended":
            self._on_restart(server)

    async def start(self, steps: Steps) -> None:
        """Start both side by side. Raises StartupError."""

        async def valkey(server: EmbeddedValkey) -> None:
            with step(steps, "Valkey") as note:
                await server.start()
                note.detail = f"127.0.0.1:{server.port}, every write synced before its reply"

        async def postgresql(server: EmbeddedPostgres) -> None:
            with step(steps, "PostgreSQL") as note:
                await server.start()
                note.detail = f"127.0.0.1:{server.port}"

        work = [valkey(self.valkey)] if self.valkey is not None else []
        work += [postgresql(self.postgres)] if self.postgres is not None else []
        outcomes = await asyncio.gather(*work, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, EmbeddedServerError | OSError):
                raise StartupError(str(outcome)) from outcome
            if isinstance(outcome, BaseException):
                raise outcome

    async def watch(self) -> None:
        """Until cancelled: restart those that end."""
        watches = [server.watch() for server in (self.valkey, self.postgres) if server is not None]
        if watches:
            await asyncio.gather(*watches)
        else:
            await asyncio.Event().wait()

    async def stop(self) -> None:
        """End both."""
        await asyncio.gather(*(server.stop() for server in (self.valkey, self.postgres) if server is not None))

    def resolve(self, config: Config) -> Config:
        """The configuration with the URLs of the servers that were started."""
        if self.valkey is not None:
            config = msgspec.structs.replace(config, redis_url=self.valkey.url)
        if self.postgres is not None:
            config = msgspec.structs.replace(
                config, postgres_dsn=self.postgres.dsn, postgres_owner_dsn=self.postgres.owner_dsn
            )
        return config


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What the supervisor works with once the storage is fit for use. The caller closes link and pool.

    clock_offset_ms: as WorkerConfig has it.
    """

    installation_id: str
    clock_offset_ms: int
    keys: ShardKeys
    link: RedisLink
    pool: postgres.Pool


async def prepare(config: Config, steps: Steps, stack: contextlib.AsyncExitStack, *, redis_is_ours: bool) -> Prepared:
    """Bring the schema forward, make the first partitions, and check both storages. Raises StartupError.

    config: with both URLs. stack: takes over what is opened. redis_is_ours: embedded, so its file is fit already.
    """
    try:
        await _wait_for_postgres(config.postgres_owner_dsn or config.postgres_dsn)
        if config.postgres_owner_dsn:
            with step(steps, "Schema") as note:
                applied = await migrate(config.postgres_owner_dsn)
                note.detail = f"{len(applied)} migrations applied" if applied else "up to date"
        pool = await postgres.open_pool(config.postgres_dsn, name="smscd supervisor", size_max=2)
        stack.push_async_callback(_close_pool, pool)
        await _check_postgres(pool)
        with step(steps, "Partitions") as note:
            installation = await install(pool, shards=config.shards, granularity=config.writer.partition)
            made = await _make_partitions(pool, installation.granularity)
            note.detail = f"by {installation.granularity}" + (f", {made} made" if made else "")
    except (MigrationError, InstallationMismatch) as error:
        raise StartupError(str(error)) from error
    except postgres.UNAVAILABLE as error:
        raise StartupError(f"PostgreSQL does not answer: {error}. Check postgres_dsn and the server.") from error
    except asyncpg.PostgresError as error:
        raise StartupError(f"PostgreSQL refuses: {error}. Check postgres_dsn, its role and its password.") from error
    keys = ShardKeys(0)
    guard = Guard(
        keys,
        str(installation.id),
        config.shards,
        lambda: recorded_offset(pool),
        is_settled=redis_is_ours,
        is_patient=True,
    )
    link = RedisLink(config.redis_url, name="smscd-supervisor", verify=guard.verify)
    stack.push_async_callback(link.close)
    with step(steps, "Settings") as note:
        clock_offset_ms = await _check_redis(link)
        note.detail = "safe: appendfsync always, noeviction, fsync on"
    return Prepared(
        installation_id=str(installation.id), clock_offset_ms=clock_offset_ms, keys=keys, link=link, pool=pool
    )


async def recorded_offset(pool: postgres.Pool) -> str | None:
    """How far PostgreSQL has the journal of shard 0; None while it cannot be asked."""
    try:
        return await recorded_id(pool, 0)
    except postgres.UNAVAILABLE:
        return None


async def _make_partitions(pool: postgres.Pool, granularity: str) -> int:
    """The first run of what the workers' leader repeats daily: no row may ever find no partition."""
    async for attempt in stamina.retry_context(on=asyncpg.LockNotAvailableError, attempts=10, wait_max=1.0):
        with attempt:
            return len(await ensure_partitions(pool, int(time.time() * 1000), granularity))
    raise AssertionError("the last attempt returns or raises")


async def _wait_for_postgres(dsn: str) -> None:
    """A server that is only starting is waited for; a wrong password or database is not."""
    async for attempt in stamina.retry_context(
        on=lambda error: isinstance(error, postgres.UNAVAILABLE), timeout=WAIT_FOR_SERVERS_SECONDS, wait_max=2.0
    ):
        with attempt:
            connection = await postgres.connect(dsn, name="smscd start")
            await connection.close()


async def _check_postgres(pool: postgres.Pool) -> None:
    async with postgres.acquired(pool) as connection:
        reasons = await unsafe_settings(connection)
    if reasons:
        raise StartupError("PostgreSQL is not safe to work on. " + " ".join(reasons))


async def _check_redis(link: RedisLink) -> int:
    """Wait until it answers; its TIME less our monotonic clock, in ms. Raises StartupError."""
    try:
        async for attempt in stamina.retry_context(on=_may_pass, timeout=WAIT_FOR_SERVERS_SECONDS, wait_max=2.0):
            with attempt:
                seconds, micros = await link.command("TIME")
                return int(seconds) * 1000 + int(micros) // 1000 - int(time.monotonic() * 1000)
    except UnsafeStorage as error:
        raise StartupError(str(error)) from error
    except StorageUnavailable as error:
        raise StartupError(f"{error}. Check redis_url and the server.") from error
    raise AssertionError("the last attempt returns or raises")


def _may_pass(error: Exception) -> bool:
    """A server that is starting is worth waiting for; one with unsafe settings is not."""
    return isinstance(error, StorageUnavailable) and not isinstance(error, UnsafeStorage)


async def _close_pool(pool: postgres.Pool) -> None:
    try:
        async with asyncio.timeout(2.0):
            await pool.close()
    except postgres.UNAVAILABLE:
        pool.terminate()
