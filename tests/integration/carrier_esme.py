"""An ESME for the tests of the simulated carrier: binds, submits, keeps what comes back in the order it came."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

from protocols.smpp.codec import encode_body
from protocols.smpp.constants import InterfaceVersion
from protocols.smpp.events import (
    BindAccepted,
    BindRefused,
    DeliversReceived,
    Event,
    SubmitAnswers,
    UnbindRequested,
)
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import Bind, BindTransceiver, DeliverSm, SubmitSm
from protocols.smpp.receipt import Receipt, parse_receipt
from smscd.transport.connection import Callbacks, SmppConnection
from smscd.transport.dial import connect
from smscd.transport.listener import listen
from tools.carrier.options import CarrierOptions
from tools.carrier.smsc import Carrier
from tools.record import RecordWriter

WAIT_SECONDS = 10.0
POLL_SECONDS = 0.02


class TestEsme:
    """What one connection saw. delivery_statuses: how the next deliver_sm are answered; None leaves one unanswered."""

    __test__ = False

    def __init__(self) -> None:
        self.bound: BindAccepted | BindRefused | None = None
        self.answers: list[tuple[str, int, bytes]] = []
        self.delivered: list[DeliverSm] = []
        self.sequence: list[str] = []
        self.delivery_statuses: list[int | None] = []
        self.closed_reason: str | None = None
        self.connection: SmppConnection
        self._changed = asyncio.Event()

    @property
    def receipts(self) -> list[Receipt]:
        """The deliver_sm that are receipts, parsed."""
        parsed = [parse_receipt(pdu) for pdu in self.delivered]
        return [receipt for receipt in parsed if receipt is not None]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until the condition is true, looked at after every event and every few milliseconds; at most 10 s."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not condition():
                self._changed.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), POLL_SECONDS)

    async def connect(self, port: int, bind: Bind | None = None, interface_version: int = 0x34) -> TestEsme:
        """Connect and bind; returns when the bind is answered."""
        config = SessionConfig(assumed_interface_version=InterfaceVersion.V3_4)
        callbacks = Callbacks(lambda _: None, self._on_events, self._on_closed)
        self.connection = await connect("127.0.0.1", port, config=config, callbacks=callbacks)
        request = bind or BindTransceiver(
            system_id=b"tester", password=b"secret", interface_version=InterfaceVersion(interface_version)
        )
        self.connection.session.bind(request, asyncio.get_running_loop().time())
        self.connection.flush()
        await self.until(lambda: self.bound)
        return self

    def submit(self, *texts_and_numbers: tuple[str, str], registered_delivery: int = 1) -> None:
        """Submit (text, destination) each, in one write."""
        items = [
            (
                encode_body(
                    SubmitSm(
                        source_addr=b"TESTER",
                        destination_addr=number.encode(),
                        registered_delivery=registered_delivery,
                        short_message=text.encode(),
                    )
                ),
                text,
            )
            for text, number in texts_and_numbers
        ]
        self.connection.session.send_submits(items, asyncio.get_running_loop().time())
        self.connection.flush()

    def _on_events(self, connection: SmppConnection, events: list[Event]) -> None:
        for event in events:
            match event:
                case BindAccepted() | BindRefused():
                    self.bound = event
                case SubmitAnswers(answers):
                    self.answers += cast("list[tuple[str, int, bytes]]", answers)
                    self.sequence += [f"answer {ref}" for ref, _, _ in answers]
                case DeliversReceived(pdus):
                    self._acknowledge(connection, pdus)
                case UnbindRequested():
                    connection.session.finish_unbind()
                case _:
                    pass
        self._changed.set()

    def _acknowledge(self, connection: SmppConnection, pdus: list[DeliverSm]) -> None:
        for pdu in pdus:
            status = self.delivery_statuses.pop(0) if self.delivery_statuses else 0
            if status is not None:
                connection.session.answer_delivers([(pdu.sequence_number, status)])
            self.delivered.append(pdu)
            self.sequence.append("deliver")

    def _on_closed(self, connection: SmppConnection, reason: str) -> None:
        connection.session.close(reason)
        self.closed_reason = reason
        self._changed.set()


class RunningCarrier:
    """A carrier on a free port, and the ESMEs of a test; `async with running_carrier(...)` ends them."""

    def __init__(self, carrier: Carrier, port: int) -> None:
        self.carrier = carrier
        self.port = port
        self.esmes: list[TestEsme] = []

    async def esme(self, bind: Bind | None = None, interface_version: int = 0x34) -> TestEsme:
        """One more ESME, bound or refused."""
        esme = TestEsme()
        self.esmes.append(esme)
        return await esme.connect(self.port, bind, interface_version)


@asynccontextmanager
async def running_carrier(
    options: CarrierOptions | None = None,
    record: RecordWriter | None = None,
    window_size: int = 1000,
    config: SessionConfig | None = None,
) -> AsyncIterator[RunningCarrier]:
    """Run a carrier in this process."""
    carrier = Carrier(options or CarrierOptions(), asyncio.get_running_loop(), record)
    callbacks = Callbacks(carrier.on_open, carrier.on_events, carrier.on_closed)
    config = config or SessionConfig(window_size=window_size)
    listener = await listen("127.0.0.1", 0, config=config, callbacks=callbacks)
    running = RunningCarrier(carrier, listener.port)
    try:
        yield running
    finally:
        for esme in running.esmes:
            esme.connection.abort()
        listener.stop_accepting()
        await carrier.close(2.0)
        listener.abort_all()
        for esme in running.esmes:
            await esme.until(lambda esme=esme: esme.closed_reason)  # type: ignore[misc]
