"""The storage of an instance that does not run: its directory locked, its embedded servers up while it is worked on."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from smscd.config import Config
from smscd.recovery.recover import Recovery, RecoveryRefused
from smscd.supervision.instance import StateDirectory
from smscd.supervision.startup import Servers
from smscd.supervision.steps import LoggedSteps
from storage.postgres.installation import get_installation
from storage.postgres.migrate import migrate, schema_status
from storage.postgres.pool import Connection, connect
from storage.redis.attestation import check_server
from storage.redis.link import Command, RedisLink
from storage.redis.recovery import LINK_NAME


@contextlib.asynccontextmanager
async def opened(config: Config, state_dir: Path, *, changes_nothing: bool, is_forced: bool) -> AsyncIterator[Recovery]:
    """Everything that a recovery works on; ended and unlocked afterwards.

    changes_nothing: the schema is not brought forward either. Raises RecoveryRefused, StartupError, InstanceError, and
    what Redis and PostgreSQL raise when they are away.
    """
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(_locked(config, state_dir).release)
        servers = Servers(config, state_dir, lambda server: None)
        stack.push_async_callback(servers.stop)
        await servers.start(LoggedSteps())
        config = servers.resolve(config)
        if config.postgres_owner_dsn and not changes_nothing:
            await migrate(config.postgres_owner_dsn)
        database = await connect(config.postgres_dsn, name="smscd recover", command_seconds=None)
        stack.push_async_callback(database.close)
        await _check_schema(database)
        installation = await get_installation(database)
        if installation is None:
            raise RecoveryRefused("PostgreSQL has no record of ours: there is nothing to recover, start smscd.")
        link = RedisLink(config.redis_url, name=LINK_NAME, verify=_verify)
        stack.push_async_callback(link.close)
        yield Recovery(database, link, installation, is_forced=is_forced)


def _locked(config: Config, path: Path) -> StateDirectory:
    """The state directory, locked; with servers of others it is the daemon's alone, and need not be there."""
    state = StateDirectory(path)
    if path.is_dir() or not (config.redis_url and config.postgres_dsn):
        state.prepare()
        if not state.try_lock():
            raise RecoveryRefused(f"smscd is running on {path}. Stop it first.")
    return state


async def _verify(command: Command, run_id: str) -> None:
    """What is unsafe for a daemon is unsafe for its recovery."""
    await check_server(command)


async def _check_schema(database: Connection) -> None:
    if any(line.state == "pending" for line in await schema_status(database)):
        raise RecoveryRefused(
            "The schema of PostgreSQL is of an earlier release: bring it forward with `smscd db migrate`, or run this "
            "without --dry-run and with postgres_owner_dsn."
        )
