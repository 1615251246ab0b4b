"""The binds of one upstream as a pool."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from smscd.core.directory import Upstream
from smscd.egress.figures import UpstreamFigures
from smscd.egress.upstream import UpstreamPool
from tests.unit.smscd.egress.doubles import profile
from tests.unit.smscd.egress.pipes import Smsc, until
from tests.unit.smscd.egress.test_links import Sink, submits


@asynccontextmanager
async def running(smsc: Smsc, upstream: Upstream, *, bound: int) -> AsyncIterator[UpstreamPool]:
    sink = Sink()
    pool = UpstreamPool(
        upstream, dial=smsc.dial, delivers=sink, figures=UpstreamFigures("carrier"),
        clock=asyncio.get_running_loop().time, chance=lambda: 0.0,
    )  # fmt: skip
    pool.start(sink)
    try:
        await until(lambda: count(pool) == bound)
        yield pool
    finally:
        await pool.stop()
        assert not smsc.connections


def count(pool: UpstreamPool) -> int:
    pool.count()
    return pool._figures.binds_bound


@pytest.mark.parametrize(
    ("mode", "binds", "requests"),
    [
        ("transceiver", 3, ["BindTransceiver"] * 3),
        ("pair", 2, ["BindReceiver", "BindReceiver", "BindTransmitter", "BindTransmitter"]),
    ],
)
async def test_the_profile_says_how_many_binds_of_which_kind(mode: str, binds: int, requests: list[str]) -> None:
    smsc = Smsc()
    async with running(smsc, profile(bind_mode=mode, binds=binds), bound=len(requests)) as pool:
        assert sorted(smsc.binds) == requests
        assert len(pool.senders()) == binds


async def test_another_bind_comes_first_each_time() -> None:
    async with running(Smsc(), profile(binds=3), bound=3) as pool:
        firsts = {id(pool.senders()[0]) for _ in range(3)}
        assert len(firsts) == 3


async def test_the_rate_is_the_upstreams_and_not_the_binds() -> None:
    async with running(Smsc(), profile(binds=2, rate_per_second=50.0), bound=2) as pool:
        now = asyncio.get_running_loop().time()
        assert pool.take_rate(100, now) == 5
        assert pool.take_rate(100, now) == 0
        room_at: Any = pool.next_room_at(now)
        assert 0 < room_at - now <= 0.1
        pool.give_back_rate(2)
        assert pool.take_rate(100, now) == 2


async def test_surplus_binds_end_and_missing_ones_are_made() -> None:
    smsc = Smsc()
    async with running(smsc, profile(binds=1), bound=1) as pool:
        pool.reconfigure(profile(binds=3))
        await until(lambda: count(pool) == 3)
        pool.reconfigure(profile(binds=2))
        await until(lambda: len(smsc.connections) == 2)


async def test_cutting_waits_for_nobody() -> None:
    smsc = Smsc()
    smsc.answers = lambda pdu: None
    async with running(smsc, profile(), bound=1) as pool:
        pool.senders()[0].send(submits(b"a"), asyncio.get_running_loop().time())
        assert pool.pending == 1
        await pool.cut()
        assert pool.links == []


async def test_handshakes_that_failed_are_counted_once() -> None:
    smsc = Smsc()
    smsc.fails = ssl.SSLError("no")
    async with running(smsc, profile(uses_tls=True), bound=0) as pool:
        await until(lambda: pool.links[0].tls_failures)
        pool.count()
        smsc.fails = None
        pool.count()
        assert pool._figures.tls_failures == 1
