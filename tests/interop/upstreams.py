"""Changes the upstream of a running demo, as an operator's tool would: in PostgreSQL, then a word to the processes."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from storage.postgres import configuration
from storage.postgres.pool import connect
from storage.redis.bell import CONFIG_CHANNEL
from storage.redis.link import RedisLink
from tools.children import DemoChild


def change_upstream(demo: DemoChild, **changes: Any) -> None:
    """Change fields of the one upstream that the demo uses."""
    asyncio.run(_change(demo, changes))


async def _change(demo: DemoChild, changes: dict[str, Any]) -> None:
    database = await connect(demo.ready.postgres_dsn, name="interop test")
    link = RedisLink(demo.ready.valkey_url, name="interop-test")
    try:
        snapshot = await configuration.load_snapshot(database)
        (upstream,) = [upstream for upstream in snapshot.upstreams if upstream.is_enabled]
        await configuration.add_upstream(database, msgspec.structs.replace(upstream, **changes))
        await link.command("PUBLISH", CONFIG_CHANNEL, "changed")
    finally:
        await link.close()
        await database.close()
