"""Links to Redis and PostgreSQL that are reset, or that swallow everything: who only waits notices too."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvloop
from redis import Redis

from storage.postgres.pool import open_pool
from storage.redis.bell import Bells
from storage.redis.errors import StorageUnavailable
from storage.redis.link import RedisLink
from tests.faults.proxy import Proxy
from tests.integration.conftest import TestDatabase
from tests.integration.egress_rig import until

SILENT_SECONDS = 0.2


@contextmanager
def detour(url: str) -> Iterator[tuple[Proxy, str]]:
    """A proxy at a server, and the URL that leads through it."""
    port = url.rpartition(":")[2].partition("/")[0]
    with Proxy(int(port), is_smpp=False).running() as proxy:
        yield proxy, url.replace(f":{port}/", f":{proxy.port}/")


def test_a_connection_that_was_reset_while_nothing_was_asked_is_made_anew(valkey_url: str) -> None:
    """On uvloop, as in a worker: there what is written to a connection that was reset raises a RuntimeError."""

    async def ask() -> None:
        with detour(valkey_url) as (proxy, url):
            link = RedisLink(url, name="test")
            for _ in range(5):
                assert await link.command("PING") == b"PONG"
                proxy.cut()
                await until(lambda: link._connection is not None and _is_reset(link._connection))
                with pytest.raises(StorageUnavailable, match="cannot be reached"):
                    await link.command("PING")
                proxy.heal()
            await link.close()

    uvloop.run(ask())


def _is_reset(connection: Any) -> bool:
    return bool(connection._writer.transport.is_closing())


async def test_who_listens_for_bells_hears_them_again_after_a_link_was_lost(valkey_url: str) -> None:
    rung: list[float] = []
    with detour(valkey_url) as (proxy, url), Redis.from_url(valkey_url) as store:
        bells = Bells(url, ["bell"], silent_seconds=SILENT_SECONDS)
        bells.subscribe(b"q:one", lambda: rung.append(time.monotonic()))
        listening = asyncio.create_task(bells.run())

        def ring() -> bool:
            store.publish("bell", "q:one")
            return bool(rung)

        await until(ring)
        await asyncio.sleep(3 * SILENT_SECONDS)  # it is asked, and answers
        assert store.pubsub_numsub("bell") == [(b"bell", 1)] and not proxy.noticed
        proxy.darken()
        await until(lambda: proxy.noticed, seconds=2.0)
        proxy.heal()
        rung.clear()
        await until(ring)
        listening.cancel()
        await asyncio.wait((listening,))
    assert listening.cancelled() and proxy.noticed[0][0] == "near"


async def test_idle_connections_that_were_lost_are_made_anew(postgres: TestDatabase) -> None:
    with detour(postgres.dsn) as (proxy, dsn):
        pool = await open_pool(dsn)
        await asyncio.gather(*(pool.fetchval("SELECT pg_sleep(0.2)") for _ in range(3)))
        assert pool.get_size() == 3
        proxy.darken()
        proxy.heal()
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            await pool.fetchval("SELECT 1")
        assert await asyncio.gather(*(pool.fetchval("SELECT 1") for _ in range(4))) == [1, 1, 1, 1]
        assert time.monotonic() - began < 3.0, "it asks before it uses"
        await pool.close()
