"""The service of all upstreams: it follows the directory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from smscd.core.directory import Snapshot
from smscd.core.directory_index import DirectoryIndex
from smscd.core.upstream import Upstream
from smscd.egress.binds.upstreams import Upstreams
from tests.unit.smscd.egress.doubles import message, profile
from tests.unit.smscd.egress.pipes import until
from tests.unit.smscd.egress.whole import Whole


@asynccontextmanager
async def running(whole: Whole) -> AsyncIterator[Upstreams]:
    upstreams = Upstreams(whole.around, subscribe=whole.subscribe, unsubscribe=whole.unsubscribe)
    await upstreams.start()
    try:
        yield upstreams
    finally:
        await upstreams.drain()
        await upstreams.stop()
        assert not whole.bells and not whole.smsc.connections and not whole.leases.kept


def changed(whole: Whole, *upstreams: Upstream) -> DirectoryIndex:
    whole.directory = DirectoryIndex(Snapshot(upstreams=upstreams))
    return whole.directory


async def test_every_upstream_of_the_directory_has_an_owner_that_its_bell_wakes() -> None:
    whole = Whole()
    async with running(whole) as upstreams:
        await until(lambda: upstreams.figures["carrier"].binds_bound == 1)
        whole.redis.admit(message(1))
        whole.bells[b"q:carrier"]()
        await until(lambda: len(whole.smsc.submits) == 1, seconds=0.5)
        whole.redis.admit(message(2))
        upstreams.wake("carrier")
        await until(lambda: len(whole.smsc.submits) == 2, seconds=0.5)
        upstreams.wake("unknown")


async def test_a_directory_that_comes_before_the_start_makes_no_owner() -> None:
    whole = Whole()
    upstreams = Upstreams(whole.around, subscribe=whole.subscribe, unsubscribe=whole.unsubscribe)
    upstreams.reconfigure(whole.directory)
    assert upstreams.owner("carrier") is None and not whole.bells


async def test_an_upstream_that_is_new_is_taken_and_one_that_went_is_left() -> None:
    whole = Whole()
    async with running(whole) as upstreams:
        await until(lambda: upstreams.figures["carrier"].binds_bound == 1)
        upstreams.reconfigure(changed(whole))
        assert upstreams.owner("carrier") is None
        await until(lambda: not whole.smsc.connections)
        upstreams.reconfigure(changed(whole, profile(binds=2)))
        await until(lambda: len(whole.smsc.connections) == 2)


async def test_a_changed_profile_reaches_the_owner_without_a_new_session() -> None:
    whole = Whole()
    async with running(whole) as upstreams:
        await until(lambda: upstreams.figures["carrier"].binds_bound == 1)
        upstreams.reconfigure(changed(whole, profile(window_size=7)))
        owner = upstreams.owner("carrier")
        assert owner is not None and owner.pool is not None
        assert owner.pool.links[0].free == 7 and whole.smsc.dialed == 1


async def test_a_disabled_upstream_unbinds_and_comes_back() -> None:
    whole = Whole()
    async with running(whole) as upstreams:
        await until(lambda: whole.smsc.connections)
        upstreams.reconfigure(changed(whole, profile(is_enabled=False)))
        await until(lambda: not whole.smsc.connections)
        upstreams.reconfigure(changed(whole, profile()))
        await until(lambda: whole.smsc.connections)
