"""Connections of a command to the storage of the instance that it means."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from smscd.supervision.locate import Location
from storage.postgres.installation import get_installation
from storage.postgres.messages import recorded_id
from storage.postgres.pool import Connection, connect
from storage.redis.accounts import Balances
from storage.redis.bell import CONFIG_CHANNEL
from storage.redis.guard import Guard
from storage.redis.keys import ShardKeys
from storage.redis.link import RedisLink


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a command works with."""

    database: Connection
    link: RedisLink
    balances: Balances

    async def tell_of_change(self) -> None:
        """Have all processes read the configuration again."""
        await self.link.command("PUBLISH", CONFIG_CHANNEL, "changed")


@asynccontextmanager
async def opened(location: Location, *, command_seconds: float | None = 60.0) -> AsyncIterator[Opened]:
    """Both storages of an instance, closed at the end. command_seconds: for a query; None: as long as it takes.

    A Redis that was lost is refused: money that is paid in there would be lost again with its rebuilding.
    """
    database = await connect(location.postgres_dsn, name="smscd command", command_seconds=command_seconds)
    try:
        keys = ShardKeys(0)
        verify = None
        if (installation := await get_installation(database)) is not None:
            shards = installation.shards
            guard = Guard(keys, str(installation.id), shards, lambda: recorded_id(database, 0), is_patient=True)
            verify = guard.verify
        link = RedisLink(location.redis_url, name="smscd-command", verify=verify)
        try:
            yield Opened(database=database, link=link, balances=Balances(keys, link))
        finally:
            await link.close()
    finally:
        await database.close()
