"""The simulated carrier as other carriers are: pairs, data_sm, outbind, congestion, and whatever PDU a test wants."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from protocols.smpp import events as ev
from protocols.smpp.constants import CommandStatus
from protocols.smpp.events import BindRefused
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import BindReceiver, BindTransceiver, BindTransmitter, DataSm, DataSmResp
from protocols.smpp.receipt import parse_receipt
from protocols.smpp.state import Role
from smscd.transport.connection import Callbacks, SmppConnection
from tests.integration.carrier_esme import RunningCarrier, running_carrier
from tools.carrier.control import start_control
from tools.carrier.options import CarrierOptions
from tools.carrier.outbind import OutbindOptions, keep_calling

BIND = {"system_id": b"tester", "password": b"secret", "interface_version": 0x34}


@asynccontextmanager
async def controlled(running: RunningCarrier) -> AsyncIterator[Callable[..., Any]]:
    """The control interface: call it with a path and a body; gives status and answer."""
    runner, port = await start_control(running.carrier, "127.0.0.1", 0)
    async with aiohttp.ClientSession() as http:

        async def post(path: str, **body: object) -> tuple[int, Any]:
            async with http.post(f"http://127.0.0.1:{port}{path}", json=body) as answer:
                return answer.status, await answer.json()

        try:
            yield post
        finally:
            await runner.cleanup()


async def test_a_carrier_without_transceivers_delivers_on_any_receiver() -> None:
    async with running_carrier(CarrierOptions(takes_transceivers=False)) as carrier:
        refused = await carrier.esme(BindTransceiver(**BIND))
        assert refused.bound == BindRefused(CommandStatus.ESME_RINVCMDID)
        sender = await carrier.esme(BindTransmitter(**BIND))
        receivers = [await carrier.esme(BindReceiver(**BIND)) for _ in range(2)]
        for number in range(4):
            sender.submit((f"x{number}", "447700900123"))
            await sender.until(lambda number=number: len(sender.answers) > number)  # type: ignore[misc]
        await sender.until(lambda: sum(len(esme.receipts) for esme in receivers) == 4)
        assert not sender.delivered and all(esme.receipts for esme in receivers)


async def test_receipts_in_data_sm_are_counted_by_their_answers_and_sent_again_when_refused() -> None:
    statuses = [int(CommandStatus.ESME_RX_T_APPN)]
    got: list[DataSm] = []

    def on_events(connection: SmppConnection, events: list[ev.Event]) -> None:
        for event in events:
            if isinstance(event, ev.DataReceived):
                got.extend(event.pdus)
                connection.session.answer(
                    DataSmResp(sequence_number=pdu.sequence_number, command_status=statuses.pop() if statuses else 0)
                    for pdu in event.pdus
                )

    async with running_carrier(CarrierOptions(as_data_sm=True)) as carrier:
        esme = await carrier.esme()
        inner = esme._on_events
        callbacks = esme.connection._callbacks
        esme.connection._callbacks = callbacks._replace(
            on_events=lambda connection, events: (on_events(connection, events), inner(connection, events))[1]
        )
        esme.submit(("hello", "447700900123"))
        await esme.until(lambda: len(got) == 2)
        receipts = [parse_receipt(pdu) for pdu in got]
        assert [receipt.message_id for receipt in receipts if receipt] == [esme.answers[0][2]] * 2
        await esme.until(lambda: carrier.carrier.stats()["deliveries"]["acknowledged"] == 1)  # type: ignore[index]
        assert not esme.delivered


@pytest.mark.parametrize(("version", "told"), [(0x50, 85), (0x34, None)])
async def test_congestion_is_told_to_peers_of_5_0_alone(version: int, told: int | None) -> None:
    options = CarrierOptions(congestion_state=85)
    async with running_carrier(options, config=SessionConfig(interface_version=0x50)) as carrier:
        esme = await carrier.esme(interface_version=version)
        esme.submit(("x", "447700900123"))
        await esme.until(lambda: esme.answers)
        assert esme.connection.session.peer_congestion_state == told


async def test_an_alert_reaches_receivers_and_nobody_else() -> None:
    alerts: list[bytes] = []
    async with running_carrier() as carrier, controlled(carrier) as post:
        assert (await post("/alert", number="447700900123"))[0] == 409
        await carrier.esme(BindTransmitter(**BIND))
        esme = await carrier.esme(BindReceiver(**BIND))
        inner = esme.connection._callbacks

        def on_events(connection: SmppConnection, events: list[ev.Event]) -> None:
            alerts.extend(
                pdu.source_addr for event in events if isinstance(event, ev.AlertsReceived) for pdu in event.pdus
            )

        esme.connection._callbacks = inner._replace(on_events=on_events)
        assert await post("/alert", number="+447700900123") == (202, {"sessions": 1})
        await esme.until(lambda: alerts)
        assert alerts == [b"447700900123"]
        for bad in ({"number": ""}, {"number": "1" * 21}, {"number": "1", "colour": 1}, {}):
            assert (await post("/alert", **bad))[0] == 422


async def test_any_pdu_can_be_written_to_all_sessions_or_to_one() -> None:
    async with running_carrier() as carrier, controlled(carrier) as post:
        pdu = {"command": "deliver_sm", "fields": {"source_addr": "4477", "short_message": "hi"}}
        assert (await post("/pdu", **pdu))[0] == 409
        esmes = [await carrier.esme(), await carrier.esme()]
        assert await post("/pdu", **pdu) == (202, {"sessions": 2})
        for esme in esmes:
            await esme.until(lambda esme=esme: esme.delivered)  # type: ignore[misc]
        assert await post("/pdu", **pdu, everybody=False) == (202, {"sessions": 1})
        await esmes[0].until(lambda: sum(len(esme.delivered) for esme in esmes) == 3)
        assert (await post("/pdu", **pdu, system_id="stranger"))[0] == 409
        assert (await post("/pdu", command="deliver_sm", fields={"colour": 1}))[0] == 422
        await post("/pdu", hex="ffffffff00000000ffffffff00000000")
        for esme in esmes:
            await esme.until(lambda esme=esme: esme.closed_reason)  # type: ignore[misc]


async def test_outbind_is_said_again_until_the_esme_binds_and_then_it_is_a_session_like_any_other() -> None:
    outbinds: list[tuple[bytes, bytes]] = []
    closed: list[str] = []
    bound: list[SmppConnection] = []

    def on_events(connection: SmppConnection, events: list[ev.Event]) -> None:
        for event in events:
            if isinstance(event, ev.OutbindReceived):
                outbinds.append((event.pdu.system_id, event.pdu.password))
                if len(outbinds) == 1:
                    connection.close()
                else:
                    connection.session.bind(BindReceiver(**BIND), connection.now)
            elif isinstance(event, ev.BindAccepted):
                bound.append(connection)
            elif isinstance(event, ev.DeliversReceived):
                connection.session.answer_delivers([(pdu.sequence_number, 0) for pdu in event.pdus])
                bound.append(connection)

    loop = asyncio.get_running_loop()
    callbacks = Callbacks(lambda _: None, on_events, lambda _, reason: closed.append(reason))
    server = await loop.create_server(
        lambda: SmppConnection(Role.ESME, SessionConfig(), callbacks, loop), "127.0.0.1", 0
    )
    port = server.sockets[0].getsockname()[1]
    async with running_carrier() as carrier, controlled(carrier) as post:
        options = OutbindOptions(host="127.0.0.1", port=port, system_id="smsc", password="pw")
        calling = asyncio.create_task(keep_calling(carrier.carrier, options, SessionConfig()))
        async with asyncio.timeout(10):
            while not bound:
                await asyncio.sleep(0.01)
        assert outbinds == [(b"smsc", b"pw")] * 2
        assert (await post("/mo", **{"from": "447700900999", "to": "12345", "text": "hi"}))[0] == 202
        async with asyncio.timeout(10):
            while len(bound) < 2:
                await asyncio.sleep(0.01)
        calling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await calling
        bound[0].abort()
    server.close()
    await server.wait_closed()
