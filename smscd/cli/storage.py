"""Connections of a command to the storage of the instance that it means."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from smscd.supervision.locate import Location
from storage.postgres.pool import Connection, connect
from storage.redis.accounts import Balances
from storage.redis.bell import CONFIG_CHANNEL
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
    """Both storages of an instance, closed at the end. command_seconds: for a query; None: as long as it takes."""
    database = await connect(location.postgres_dsn, name="smscd command", command_seconds=command_seconds)
    link = RedisLink(location.redis_url, name="smscd-command")
    try:
        yield Opened(database=database, link=link, balances=Balances(ShardKeys(0), link))
    finally:
        await link.close()
        await database.close()
