"""Egress with carriers that are not like the first one: pairs, data_sm, alerts, congestion, a peer that does not read.

On a real Redis. The carrier runs in this process, so that a test can get at its sessions.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from protocols.smpp.codec import encode
from protocols.smpp.events import Event, SubmitsReceived
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import AlertNotification, DeliverSm
from protocols.smpp.state import SessionState
from smscd.core.records import Outcome, State
from smscd.egress.binds.links import BindKind, Link, LinkState
from smscd.egress.receipts import parked
from smscd.egress.receipts.forms import SUGGESTED_AFTER
from smscd.transport.connection import Callbacks, CloseReason, SmppConnection, WriteLimits
from smscd.transport.dial import connect
from smscd.transport.listener import Listener
from tests.integration.egress_rig import BALANCE, PRICE, Books, Egress, Esme, directory, until
from tests.integration.local_carrier import local_carrier
from tools.carrier.options import CarrierOptions
from tools.carrier.smsc import Carrier


class Rig:
    """A carrier in this process, an egress, the books, and an ESME."""

    def __init__(self, carrier: Carrier, listener: Listener, egress: Egress, books: Books) -> None:
        self.carrier = carrier
        self.listener = listener
        self.egress = egress
        self.books = books
        self.esme = Esme()

    def binds(self, state: SessionState) -> list[SmppConnection]:
        """The carrier's ends of the sessions in this state."""
        return [connection for connection in self.listener.connections if connection.session.state is state]

    def links(self, kind: BindKind) -> list[Link]:
        """Our binds of this kind."""
        owner = self.egress.upstreams.owner("carrier")
        assert owner is not None and owner.pool is not None
        return [link for link in owner.pool.links if link.kind is kind]

    async def receipts_of(self, ids: list[int]) -> list[Any]:
        """The one receipt of each message, once all have come."""
        await until(lambda: all(message_id in self.esme.receipts() for message_id in ids))
        found = self.esme.receipts()
        assert all(len(found[message_id]) == 1 for message_id in ids)
        return [found[message_id][0] for message_id in ids]

    async def done(self) -> None:
        """Until nothing is left of any message but its place in the journal."""
        async with asyncio.timeout(10):
            while await self.books.leftovers():  # a condition in Redis
                await asyncio.sleep(0.02)

    async def outcomes(self) -> list[int]:
        return [record.outcome for record in await self.books.records(b"T")]


@asynccontextmanager
async def running(
    valkey_url: str,
    options: CarrierOptions | None = None,
    config: SessionConfig | None = None,
    wrap: Callable[[Callbacks], Callbacks] = lambda callbacks: callbacks,
    dial: Any = connect,
    **profile: object,
) -> AsyncIterator[Rig]:
    """wrap: what stands between the carrier and its connections."""
    async with local_carrier(options, config, wrap) as (carrier, listener):
        books = Books(valkey_url)
        await books.open()
        egress = Egress(valkey_url, directory(listener.port, **profile), dial=dial)
        await egress.start()
        rig = Rig(carrier, listener, egress, books)
        try:
            await egress.bound()
            await rig.esme.bind(egress.server.port)
            yield rig
        finally:
            rig.esme.close()
            await egress.stop()
            await books.close()


def numbers(count: int, suffix: int = 100) -> list[bytes]:
    """Destinations that end in these three digits."""
    return [b"44770%07d" % (number * 1000 + suffix) for number in range(count)]


@pytest.mark.parametrize("version", [0x33, 0x34])
async def test_pairs_send_over_transmitters_alone_and_take_receipts_from_any_receiver(
    valkey_url: str, version: int
) -> None:
    submitted_on: set[SessionState] = set()

    def wrap(callbacks: Callbacks) -> Callbacks:
        def on_events(connection: SmppConnection, events: list[Event]) -> None:
            if any(isinstance(event, SubmitsReceived) for event in events):
                submitted_on.add(connection.session.state)
            callbacks.on_events(connection, events)

        return callbacks._replace(on_events=on_events)

    options = CarrierOptions(takes_transceivers=False, receipt_window=5)
    async with running(
        valkey_url, options, wrap=wrap, bind_mode="pair", binds=2, receiver_binds=3, interface_version=version
    ) as rig:
        assert len(rig.binds(SessionState.BOUND_TX)) == 2 and len(rig.binds(SessionState.BOUND_RX)) == 3
        ids = await rig.books.admit(numbers(100))
        await rig.receipts_of(ids)
        await rig.done()
        assert submitted_on == {SessionState.BOUND_TX}
        stats: Any = rig.carrier.stats()
        assert stats["deliveries"]["acknowledged"] == 100


async def test_quirk_4_a_receipt_on_a_sibling_bind_before_the_answer_finds_its_message(valkey_url: str) -> None:
    options = CarrierOptions(latency_seconds=0.1)
    async with running(valkey_url, options, bind_mode="pair", binds=1, receiver_binds=2) as rig:
        ids = await rig.books.admit(numbers(10, 777))
        receipts = await rig.receipts_of(ids)
        assert {receipt.stat for receipt in receipts} == {b"DELIVRD"}
        assert rig.egress.figures.receipts_parked == 10
        await rig.done()
        assert not await rig.books.link.command("HLEN", "{u:carrier:0}:park")


@pytest.mark.parametrize(
    ("lost", "kind"), [(SessionState.BOUND_TX, BindKind.TRANSMITTER), (SessionState.BOUND_RX, BindKind.RECEIVER)]
)
async def test_a_lost_side_of_a_pair_is_bound_again_by_itself(
    valkey_url: str, lost: SessionState, kind: BindKind
) -> None:
    async with running(valkey_url, bind_mode="pair") as rig:
        [link] = rig.links(kind)
        [other] = rig.links(BindKind.RECEIVER if kind is BindKind.TRANSMITTER else BindKind.TRANSMITTER)
        kept = other.connection
        [far] = rig.binds(lost)
        far.abort()
        await until(lambda: link.state is not LinkState.BOUND)
        ids = await rig.books.admit(numbers(10))
        await rig.receipts_of(ids)
        assert link.state is LinkState.BOUND and other.connection is kept
        assert rig.carrier.binds == 3
        await rig.done()


async def test_both_sides_of_a_pair_are_unbound_on_stop(valkey_url: str) -> None:
    ends: list[str] = []

    def wrap(callbacks: Callbacks) -> Callbacks:
        def on_closed(connection: SmppConnection, reason: str) -> None:
            ends.append(reason)
            callbacks.on_closed(connection, reason)

        return callbacks._replace(on_closed=on_closed)

    async with running(valkey_url, wrap=wrap, bind_mode="pair", binds=2) as rig:
        await rig.books.admit(numbers(20), registered_delivery=0)
        await rig.done()
        await rig.egress.stop()
        await until(lambda: len(ends) == 4)
        assert ends == [CloseReason.UNBOUND] * 4
        assert await rig.outcomes() == [Outcome.ACCEPTED] * 20


async def test_quirk_5_receipts_and_messages_in_data_sm_come_through(valkey_url: str) -> None:
    async with running(valkey_url, CarrierOptions(as_data_sm=True)) as rig:
        ids = await rig.books.admit([*numbers(20), b"44770900001"])
        receipts = await rig.receipts_of(ids)
        assert [receipt.stat for receipt in receipts] == [b"DELIVRD"] * 20 + [b"UNDELIV"]
        await rig.done()
        stats: Any = rig.carrier.stats()
        assert (stats["deliveries"]["acknowledged"], stats["deliveries"]["refused"]) == (21, 0)


async def test_an_alert_does_not_touch_a_retry_that_waits(valkey_url: str) -> None:
    async with running(valkey_url) as rig:
        await rig.books.admit([b"44770900008"])
        async with asyncio.timeout(10):
            while "{s00}:later:carrier" not in await rig.books.leftovers():
                await asyncio.sleep(0.02)
        before = await rig.books.link.command("ZRANGE", "{s00}:later:carrier", 0, -1, "WITHSCORES")
        [far] = rig.binds(SessionState.BOUND_TRX)
        far.session.send_alerts([AlertNotification(source_addr=b"44770900008")], far.now)
        far.flush()
        await until(lambda: rig.egress.figures.alerts == 1)
        assert await rig.books.link.command("ZRANGE", "{s00}:later:carrier", 0, -1, "WITHSCORES") == before
        assert far.session.state is SessionState.BOUND_TRX


async def test_quirk_7_a_message_that_the_carrier_repeats_after_a_lost_connection_is_told_once(valkey_url: str) -> None:
    async with running(valkey_url) as rig:
        ids = await rig.books.admit(numbers(1))
        await rig.receipts_of(ids)
        pdu = DeliverSm(source_addr=b"447700900999", destination_addr=b"12345", short_message=b"hello")
        for expected in (1, 2):
            [far] = rig.binds(SessionState.BOUND_TRX)
            far.session._out.append(encode(pdu))
            far.flush()
            await until(
                lambda expected=expected: (  # type: ignore[misc]
                    rig.egress.figures.inbound + rig.egress.figures.inbound_repeated == expected
                )
            )
            far.abort()
            await until(lambda far=far: rig.binds(SessionState.BOUND_TRX) not in ([], [far]))  # type: ignore[misc]
        await until(lambda: len(rig.esme.received) >= 2)
        await rig.done()
        assert [pdu.short_message for pdu in rig.esme.received][1:] == [b"hello"]
        assert rig.egress.figures.inbound_repeated == 1


async def test_congestion_of_the_carrier_slows_the_sending_and_loses_nothing(valkey_url: str) -> None:
    config = SessionConfig(window_size=10_000, interface_version=0x50)
    options = CarrierOptions(congestion_state=100)
    async with running(valkey_url, options, config, interface_version=0x50, window_size=10) as rig:
        ids = await rig.books.admit(numbers(60), registered_delivery=0)
        await until(lambda: rig.egress.figures.sent >= 20)
        [link] = rig.links(BindKind.TRANSCEIVER)
        assert 0 < link._pace.bucket.rate <= 20
        rig.carrier.options = CarrierOptions(congestion_state=0)
        for far in rig.binds(SessionState.BOUND_TRX):
            far.session.congestion_state = 0
        await until(lambda: rig.egress.figures.sent == 60, seconds=20)
        await rig.done()
        assert sorted(record.id for record in await rig.books.records(b"T")) == ids
        assert await rig.outcomes() == [Outcome.ACCEPTED] * 60


async def test_a_carrier_that_does_not_read_is_closed_and_its_messages_are_kept(valkey_url: str) -> None:
    """The first bind reads nothing once it is bound. What we hold for it is bounded, and goes out over the next."""
    stuck: list[SmppConnection] = []
    ours: list[SmppConnection] = []
    limits = WriteLimits(write_buffer_max=64 * 1024, stall_seconds=0.5, close_seconds=0.5)

    def wrap(callbacks: Callbacks) -> Callbacks:
        def on_events(connection: SmppConnection, events: list[Event]) -> None:
            callbacks.on_events(connection, events)
            if not stuck and connection.session.state is SessionState.BOUND_TRX:
                stuck.append(connection)
                shrink(connection, socket.SO_RCVBUF)
                connection.hold_reading(True)

        return callbacks._replace(on_events=on_events)

    async def dial(host: str, port: int, *, config: SessionConfig, callbacks: Callbacks, **_: object) -> SmppConnection:
        connection = await connect(host, port, config=config, callbacks=callbacks, write_limits=limits)
        shrink(connection, socket.SO_SNDBUF)
        ours.append(connection)
        return connection

    async with running(valkey_url, wrap=wrap, dial=dial, window_size=20_000, response_timeout_seconds=60.0) as rig:
        text = b"x" * 140
        ids = await rig.books.admit(numbers(4000), segments=[text], registered_delivery=0)
        await until(lambda: not ours[0].is_writable)
        assert ours[0].write_buffer_size <= 4 * limits.write_buffer_max
        await until(lambda: len(ours) == 2)
        await until(lambda: rig.egress.figures.tally.accepted == 4000, seconds=30)
        await rig.done()
        results = await rig.books.records(b"T")
        accepted = [record.id for record in results if record.outcome == Outcome.ACCEPTED]
        assert sorted(accepted) == ids
        assert all(record.state in (State.SENT, State.SENDING) for record in results)
        assert await rig.books.balance() == BALANCE - 4000 * PRICE
        stuck[0].abort()


def shrink(connection: SmppConnection, option: int) -> None:
    """Have the kernel hold little, so that a peer that does not read is felt at once."""
    transport = connection._transport
    assert transport is not None
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, option, 8192)


async def test_quirk_2_receipts_of_a_form_that_nobody_pinned_arrive_and_the_log_says_what_to_pin(
    valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Responses in hexadecimal, receipts in decimal, and a profile that says nothing of it."""
    monkeypatch.setattr(parked, "RIPE_MS", 200)
    monkeypatch.setattr(parked, "SWEEP_SECONDS", 0.1)
    count = SUGGESTED_AFTER + 5
    with capture_logs() as logs:
        async with running(valkey_url, CarrierOptions(response_ids="hex", receipt_ids="decimal")) as rig:
            ids = await rig.books.admit([b"44770900%03d" % (500 + number) for number in range(count)])
            await rig.receipts_of(ids)
            await rig.done()
            figures = rig.egress.figures
            assert figures.receipts_by_form == {"decimal": count} and not figures.receipts_ambiguous
            assert figures.receipts == figures.receipts_parked == count
    [line] = [line for line in logs if line["event"] == "upstream.receipt_id_suggested"]
    assert line["receipt_id"] == "decimal"
    async with running(
        valkey_url, CarrierOptions(response_ids="hex", receipt_ids="decimal"), receipt_id="decimal"
    ) as rig:
        ids = await rig.books.admit([b"44770900%03d" % (500 + number) for number in range(count)])
        await rig.receipts_of(ids)
        figures = rig.egress.figures
        assert not figures.receipts_parked and not figures.receipts_by_form, "what was pinned is matched at once"
