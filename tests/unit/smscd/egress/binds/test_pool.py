"""The binds of one upstream as a pool."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from protocols.smpp.codec import HEADER
from protocols.smpp.constants import HEADER_SIZE, CommandId, CommandStatus
from smscd.core.upstream import Upstream
from smscd.egress.binds.links import BindKind, LinkState
from smscd.egress.binds.pool import UpstreamPool
from smscd.egress.figures import UpstreamFigures
from smscd.transport.connection import SmppConnection
from tests.unit.smscd.egress.binds.test_links import Sink, submits
from tests.unit.smscd.egress.doubles import profile
from tests.unit.smscd.egress.pipes import Smsc, until


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
        ("transmitter", 2, ["BindTransmitter"] * 2),
    ],
)
async def test_the_profile_says_how_many_binds_of_which_kind(mode: str, binds: int, requests: list[str]) -> None:
    smsc = Smsc()
    async with running(smsc, profile(bind_mode=mode, binds=binds), bound=len(requests)) as pool:
        assert sorted(smsc.binds) == requests
        assert len(pool.senders()) == binds


async def test_a_pool_of_pairs_may_have_more_or_fewer_receivers_than_transmitters() -> None:
    smsc = Smsc()
    async with running(smsc, profile(bind_mode="pair", binds=1, receiver_binds=3), bound=4) as pool:
        assert sorted(smsc.binds) == ["BindReceiver"] * 3 + ["BindTransmitter"]
        assert [link.kind for link in pool.senders()] == [BindKind.TRANSMITTER]
        pool.reconfigure(profile(bind_mode="pair", binds=2, receiver_binds=1))
        await until(lambda: count(pool) == 3 and len(smsc.connections) == 3)
        assert len(pool.senders()) == 2


async def test_of_a_pair_the_side_that_was_lost_is_bound_again_and_the_other_stays() -> None:
    smsc = Smsc()
    async with running(smsc, profile(bind_mode="pair"), bound=2) as pool:
        receiver = next(link for link in pool.links if link.kind is BindKind.RECEIVER)
        [transmitter] = pool.senders()
        kept = transmitter.connection
        far = next(far for far in smsc.connections if far.session.state.value == "bound_rx")
        far.abort()
        await until(lambda: receiver.state is not LinkState.BOUND)
        assert transmitter.can_send
        await until(lambda: receiver.state is LinkState.BOUND)
        assert smsc.binds.count("BindReceiver") == 2 and smsc.binds.count("BindTransmitter") == 1
        assert transmitter.connection is kept


async def test_quirk_21_several_binds_with_bad_credentials_are_one_alert_until_something_changes() -> None:
    smsc = Smsc()
    smsc.refuses = int(CommandStatus.ESME_RINVPASWD)

    def is_held(pool: UpstreamPool) -> bool:
        return all(link.state is LinkState.HELD for link in pool.links)

    with capture_logs() as logs:
        async with running(smsc, profile(binds=3), bound=0) as pool:
            await until(lambda: is_held(pool))
            assert [log["log_level"] for log in logs if log["event"] == "upstream.held"] == ["error"]
            assert smsc.dialed == 3
            pool.reconfigure(profile(binds=3, password="other"))
            await until(lambda: smsc.dialed == 6 and is_held(pool))
            assert sum(log["event"] == "upstream.held" for log in logs) == 2
            smsc.refuses = 0
            pool.reconfigure(profile(binds=3, password="right"))
            await until(lambda: count(pool) == 3)


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


async def test_what_is_under_way_is_answered_before_another_address_is_bound() -> None:
    smsc = Smsc()
    smsc.answers = lambda pdu: None
    async with running(smsc, profile(), bound=1) as pool:
        sink: Any = pool._sink
        [old] = smsc.connections
        pool.senders()[0].send(submits(b"a"), asyncio.get_running_loop().time())
        await until(lambda: smsc.submits)
        pool.reconfigure(profile(host="elsewhere", password="other"))
        assert not pool.senders() and smsc.connections == [old]
        old.session.answer_submits([(smsc.submits[0].sequence_number, 0, b"late")])
        old.flush()
        await until(lambda: count(pool) == 1 and old not in smsc.connections)
        assert [answer[2] for answer in sink.answers] == [b"late"] and not sink.unanswered
        assert smsc.dialed == 2


async def test_a_bind_that_is_given_up_is_drained_too_and_only_then_another_kind_is_bound() -> None:
    smsc = Smsc()
    smsc.answers = lambda pdu: None
    async with running(smsc, profile(), bound=1) as pool:
        sink: Any = pool._sink
        [old] = smsc.connections
        pool.senders()[0].send(submits(b"a"), asyncio.get_running_loop().time())
        await until(lambda: smsc.submits)
        pool.reconfigure(profile(bind_mode="transmitter"))
        assert pool.pending == 1 and not pool.senders() and smsc.binds == ["BindTransceiver"]
        old.session.answer_submits([(smsc.submits[0].sequence_number, 0, b"late")])
        old.flush()
        await until(lambda: count(pool) == 1)
        assert smsc.binds == ["BindTransceiver", "BindTransmitter"] and len(smsc.connections) == 1
        assert [answer[2] for answer in sink.answers] == [b"late"] and not sink.unanswered


async def test_a_bind_that_was_begun_before_the_change_is_not_used() -> None:
    smsc = Smsc()
    async with running(smsc, profile(), bound=1) as pool:
        smsc.connections[0].abort()
        await until(lambda: smsc.dialed == 2)
        pool.reconfigure(profile(host="elsewhere"))
        await until(lambda: count(pool) == 1 and smsc.dialed == 3)
        assert len(smsc.connections) == 1


async def test_a_bind_that_is_given_up_while_it_dials_never_binds() -> None:
    smsc = Smsc()
    async with running(smsc, profile(), bound=1) as pool:
        pool.reconfigure(profile(binds=2))
        pool.reconfigure(profile(binds=1, is_enabled=False))
        await until(lambda: smsc.dialed == 2 and not smsc.connections and not pool._leaving)
        assert len(smsc.binds) == 1


async def test_refused_binds_are_counted_by_status() -> None:
    smsc = Smsc()
    smsc.refuses = int(CommandStatus.ESME_RINVPASWD)
    async with running(smsc, profile(binds=2), bound=0) as pool:
        await until(lambda: smsc.dialed == 2 and not smsc.connections)
        count(pool)
        smsc.refuses = 0x4FF
        pool.reconfigure(profile(binds=2, password="other"))
        await until(lambda: smsc.dialed == 4 and not smsc.connections)
        count(pool)
        assert pool._figures.binds_refused == {"ESME_RINVPASWD": 2, "other": 2}


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


@pytest.mark.parametrize("is_adopted", [False, True])
async def test_what_an_upstream_sends_and_nobody_can_read_is_counted_once(is_adopted: bool) -> None:
    smsc = Smsc()
    unreadable = pdu_of(CommandId.DELIVER_SM, b"no deliver_sm")
    async with running(smsc, profile(), bound=1) as pool:
        figures = pool._figures
        if is_adopted:
            assert pool.adopt(smsc.dial)
            await until(lambda: count(pool) == 2)
        far = smsc.connections[-1]
        send(far, unreadable * 2)
        await until(lambda: pool.links[-1].connection.session.malformed)  # type: ignore[union-attr]
        pool.count()
        pool.count()
        assert (figures.unreadable, figures.framing_errors) == (2, 0), "while the session lives"
        send(far, unreadable + b"\0\0\0\0" * 4)
        await until(lambda: far not in smsc.connections and (not is_adopted or len(pool.links) == 1))
        pool.count()
        pool.count()
        assert (figures.unreadable, figures.framing_errors) == (3, 1), "and when it has ended"


def pdu_of(command_id: int, body: bytes) -> bytes:
    return HEADER.pack(HEADER_SIZE + len(body), command_id, 0, 9) + body


def send(connection: SmppConnection, octets: bytes) -> None:
    """Write octets that no session would."""
    assert connection._transport is not None
    connection._transport.write(octets)
