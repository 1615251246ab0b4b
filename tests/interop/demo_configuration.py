"""Changes what a running demo is configured with, as an operator's tool would: PostgreSQL, then a word to all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from smscd.core.directory import MoNumber
from smscd.supervision.seed import ACCOUNT
from storage.postgres import configuration
from storage.postgres.pool import Connection, connect
from storage.redis.bell import CONFIG_CHANNEL
from storage.redis.link import RedisLink
from tools.children import DemoChild


def change_upstream(demo: DemoChild, **changes: Any) -> None:
    """Change fields of the one upstream that the demo uses."""

    async def change() -> None:
        async with _configuring(demo) as database:
            snapshot = await configuration.load_snapshot(database)
            (upstream,) = [upstream for upstream in snapshot.upstreams if upstream.is_enabled]
            await configuration.add_upstream(database, msgspec.structs.replace(upstream, **changes))

    asyncio.run(change())


def add_mo_number(demo: DemoChild, number: str, account: str = ACCOUNT, via: str = "smpp") -> None:
    """Give an account, the demo's own without one, one more number that phones can write to."""

    async def add() -> None:
        async with _configuring(demo) as database:
            await configuration.add_mo_number(database, MoNumber(number=number, account=account, via=via))

    asyncio.run(add())


@asynccontextmanager
async def _configuring(demo: DemoChild) -> AsyncIterator[Connection]:
    database = await connect(demo.ready.postgres_dsn, name="interop test")
    link = RedisLink(demo.ready.valkey_url, name="interop-test")
    try:
        yield database
        await link.command("PUBLISH", CONFIG_CHANNEL, "changed")
    finally:
        await link.close()
        await database.close()
