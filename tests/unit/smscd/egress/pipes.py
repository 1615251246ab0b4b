"""SMPP over memory: two real connections whose transports hand each other what they write, and a small SMSC."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from protocols.smpp import events as ev
from protocols.smpp.codec import encode_body
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import DeliverSm, Response, SubmitSm
from protocols.smpp.state import Role
from smscd.transport.connection import Callbacks, SmppConnection
from smscd.transport.tls import ClientTls


class MemoryTransport(asyncio.Transport):
    """One end; what is written arrives at the other end's protocol in the next turn of the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        self.protocol: SmppConnection | None = None
        self.other: MemoryTransport | None = None
        self.is_over = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("memory", 1) if name == "peername" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.is_over

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def write(self, data: bytes | bytearray | memoryview) -> None:
        other = self.other
        if not self.is_over and other is not None:
            self._loop.call_soon(other.take, bytes(data))

    def take(self, data: bytes) -> None:
        if not self.is_over and self.protocol is not None:
            self.protocol.data_received(data)

    def close(self) -> None:
        self._end(None)

    def abort(self) -> None:
        self._end(None)

    def _end(self, error: Exception | None) -> None:
        if self.is_over:
            return
        self.is_over = True
        self._loop.call_soon(self._lost, error)
        if self.other is not None:
            self._loop.call_soon(self.other._end, error)

    def _lost(self, error: Exception | None) -> None:
        if self.protocol is not None:
            self.protocol.connection_lost(error)


class Smsc:
    """An SMSC in memory. dial() is what transport.dial.connect is to egress.

    refuses: the status with which binds are refused. answers: what is said to a submit_sm, None to say nothing.
    tells_version: whether a bind is answered with sc_interface_version.
    """

    def __init__(self, config: SessionConfig | None = None) -> None:
        self.config = config
        self.refuses = 0
        self.tells_version = True
        self.is_down = False
        self.answers: Callable[[SubmitSm], tuple[int, bytes] | None] = lambda pdu: (0, b"id-" + pdu.short_message)
        self.submits: list[SubmitSm] = []
        self.binds: list[str] = []
        self.deliver_answers: list[tuple[object, int]] = []
        self.request_answers: list[tuple[object, Response]] = []
        self.connections: list[SmppConnection] = []
        self.dialed = 0
        self.tls: list[ClientTls | None] = []
        self.fails: OSError | None = None

    async def dial(
        self, host: str, port: int, *, config: SessionConfig, callbacks: Callbacks, tls: ClientTls | None = None
    ) -> SmppConnection:
        self.dialed += 1
        self.tls.append(tls)
        await asyncio.sleep(0)
        if self.fails is not None:
            raise self.fails
        if self.is_down:
            raise ConnectionRefusedError("down")
        own = Callbacks(lambda connection: None, self._on_events, self._on_closed)
        near, far = connect(callbacks, config, own, self.config)
        self.connections.append(far)
        return near

    def deliver(self, pdu: DeliverSm, ref: object = None) -> None:
        """Send one deliver_sm over the newest bind."""
        connection = self.connections[-1]
        connection.session.send_delivers([(encode_body(pdu), ref)], asyncio.get_running_loop().time())
        connection.flush()

    def _on_events(self, connection: SmppConnection, events: list[ev.Event]) -> None:
        session = connection.session
        for event in events:
            if isinstance(event, ev.BindRequested):
                self.binds.append(type(event.pdu).__name__)
                if self.refuses:
                    session.refuse_bind(event.pdu.sequence_number, self.refuses)
                else:
                    if not self.tells_version:
                        event.pdu.interface_version = 0x33  # as if asked by an ESME that takes no TLV
                    session.accept_bind(event.pdu.sequence_number, b"smsc", asyncio.get_running_loop().time())
            elif isinstance(event, ev.SubmitsReceived):
                self.submits += event.pdus
                answered = [(pdu.sequence_number, self.answers(pdu)) for pdu in event.pdus]
                session.answer_submits([(number, *answer) for number, answer in answered if answer is not None])
            elif isinstance(event, ev.DeliverAnswers):
                self.deliver_answers += event.answers
            elif isinstance(event, ev.RequestAnswers):
                self.request_answers += event.answers
            elif isinstance(event, ev.UnbindRequested):
                session.finish_unbind()
        connection.flush()

    def _on_closed(self, connection: SmppConnection, reason: str) -> None:
        self.connections.remove(connection)


def connect(
    esme: Callbacks, esme_config: SessionConfig, smsc: Callbacks, smsc_config: SessionConfig | None = None
) -> tuple[SmppConnection, SmppConnection]:
    """Two connected ends: the ESME's and the SMSC's."""
    loop = asyncio.get_running_loop()
    near = SmppConnection(Role.ESME, esme_config, esme, loop)
    far = SmppConnection(Role.SMSC, smsc_config or SessionConfig(), smsc, loop)
    one, other = MemoryTransport(loop), MemoryTransport(loop)
    one.protocol, other.protocol = near, far
    one.other, other.other = other, one
    far.connection_made(other)
    near.connection_made(one)
    return near, far


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait for a condition, with a deadline."""
    async with asyncio.timeout(seconds):
        while not condition():  # a condition of the outside, not an event of ours
            await asyncio.sleep(0.002)
