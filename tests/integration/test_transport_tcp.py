"""SMPP connections over real TCP, on asyncio's own loop and on uvloop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
import uvloop

from protocols.smpp import codec
from protocols.smpp.constants import CommandId, CommandStatus
from protocols.smpp.events import (
    BindAccepted,
    BindRequested,
    DeliverAnswers,
    DeliversReceived,
    Event,
    SubmitAnswers,
    SubmitsReceived,
    UnbindRequested,
)
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import BindTransceiver, DeliverSm, EnquireLink, SubmitSm
from smscd.transport.connection import Callbacks, CloseReason, SmppConnection, WriteLimits
from smscd.transport.dial import connect
from smscd.transport.listener import Listener, ListenerLimits, listen

HOST = "127.0.0.1"
SUBMIT = codec.encode_body(SubmitSm(destination_addr=b"447700900123", short_message=b"hello"))
DELIVER = codec.encode_body(DeliverSm(source_addr=b"447700900123", short_message=b"x" * 200))
BIND = codec.encode(BindTransceiver(system_id=b"esme", interface_version=0x34, sequence_number=1))

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine on a loop of either kind."""
    factory = asyncio.new_event_loop if request.param == "asyncio" else uvloop.new_event_loop

    def run_on_loop(coroutine: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(asyncio.wait_for(coroutine, 60))

    return run_on_loop


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for a condition, with a deadline."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it did not come to that"
        await asyncio.sleep(0.005)


class Smsc:
    """Accepts every bind; answers submits at once unless `is_patient`."""

    def __init__(self) -> None:
        self.connections: list[SmppConnection] = []
        self.closed: list[str] = []
        self.waiting: list[int] = []
        self.is_patient = False
        self.answered: list[tuple[object, int]] = []
        self.unanswered: list[object] = []

    def on_events(self, connection: SmppConnection, events: list[Event]) -> None:
        for event in events:
            match event:
                case BindRequested(pdu):
                    connection.session.accept_bind(pdu.sequence_number, b"smsc", connection.now)
                case SubmitsReceived(pdus) if self.is_patient:
                    self.waiting += [pdu.sequence_number for pdu in pdus]
                case SubmitsReceived(pdus):
                    connection.session.answer_submits([(pdu.sequence_number, 0, b"id") for pdu in pdus])
                case DeliverAnswers(answers):
                    self.answered += answers
                case UnbindRequested():
                    connection.session.finish_unbind()

    @property
    def callbacks(self) -> Callbacks:
        return Callbacks(self.connections.append, self.on_events, self.on_closed)

    def on_closed(self, connection: SmppConnection, reason: str) -> None:
        self.closed.append(reason)
        self.unanswered += connection.session.close(reason)


class Esme:
    """Binds, sends `count` submits with a window, answers delivers, unbinds when all is done."""

    def __init__(self, count: int, window: int) -> None:
        self.count = count
        self.window = window
        self.sent = 0
        self.answers: list[tuple[object, int, bytes]] = []
        self.received = 0
        self.closed: list[str] = []

    def on_open(self, connection: SmppConnection) -> None:
        connection.session.bind(BindTransceiver(system_id=b"esme", interface_version=0x34), connection.now)

    def on_events(self, connection: SmppConnection, events: list[Event]) -> None:
        for event in events:
            match event:
                case BindAccepted():
                    self.send(connection)
                case SubmitAnswers(answers):
                    self.answers += answers
                    self.send(connection)
                case DeliversReceived(pdus):
                    self.received += len(pdus)
                    connection.session.answer_delivers([(pdu.sequence_number, 0) for pdu in pdus])

    def send(self, connection: SmppConnection) -> None:
        free = min(self.window - connection.session.pending_count, self.count - self.sent)
        if free:
            items = [(SUBMIT, self.sent + index) for index in range(free)]
            connection.session.send_submits(items, connection.now)
            self.sent += free

    @property
    def callbacks(self) -> Callbacks:
        return Callbacks(self.on_open, self.on_events, lambda connection, reason: self.closed.append(reason))


@contextlib.asynccontextmanager
async def listening(smsc: Smsc, **more: Any) -> AsyncIterator[Listener]:
    """A listener on a free port, with everything cut at the end."""
    listener = await listen(HOST, 0, callbacks=smsc.callbacks, **({"config": SessionConfig()} | more))
    try:
        yield listener
    finally:
        listener.stop_accepting()
        listener.abort_all()
        await until(lambda: not listener.connections)


@contextlib.asynccontextmanager
async def plain_peer(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A peer made of bare octets."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def read_pdu(reader: asyncio.StreamReader) -> Any:
    head = await reader.readexactly(4)
    return codec.decode(head + await reader.readexactly(struct.unpack(">I", head)[0] - 4))


def test_5000_submits_and_as_many_delivers_cross_and_both_ends_close_unbound(run: Run) -> None:
    async def main() -> None:
        smsc, esme = Smsc(), Esme(5_000, 100)
        async with listening(smsc) as listener:
            connection = await connect(HOST, listener.port, config=SessionConfig(), callbacks=esme.callbacks)
            await until(lambda: connection.session.can_submit)
            (server,) = smsc.connections
            for first in range(0, 5_000, 500):
                items = [(DELIVER, first + index) for index in range(500)]
                server.session.send_delivers(items, server.now)
                server.flush()
                await asyncio.sleep(0)
            await until(lambda: len(esme.answers) == 5_000 and len(smsc.answered) == 5_000)
            assert esme.answers == [(ref, 0, b"id") for ref in range(5_000)]
            assert smsc.answered == [(ref, 0) for ref in range(5_000)]
            assert esme.received == 5_000
            connection.session.unbind(connection.now)
            connection.flush()
            await until(lambda: bool(smsc.closed and esme.closed))
            assert smsc.closed == esme.closed == [CloseReason.UNBOUND]

    run(main())


def test_a_burst_far_beyond_the_window_is_all_answered_in_the_end(run: Run) -> None:
    """1,000 outstanding at a window of 10: a part is throttled, the rest waits in the socket."""

    async def main() -> None:
        smsc, esme = Smsc(), Esme(1_000, 1_000)
        smsc.is_patient = True
        async with listening(smsc, config=SessionConfig(window_size=10)) as listener:
            await connect(HOST, listener.port, config=SessionConfig(), callbacks=esme.callbacks)
            accepted = 0
            while len(esme.answers) < 1_000:
                await until(lambda: bool(smsc.waiting) or len(esme.answers) == 1_000)
                (server,) = smsc.connections
                assert server.session.unanswered_count <= 10
                numbers, smsc.waiting = smsc.waiting, []
                accepted += len(numbers)
                server.session.answer_submits([(number, 0, b"id") for number in numbers])
                server.flush()
            throttled = [answer for answer in esme.answers if answer[1] == CommandStatus.ESME_RTHROTTLED]
            assert len(throttled) == 1_000 - accepted
            assert 0 < len(throttled) <= accepted

    run(main())


def test_a_peer_that_never_reads_is_bounded_and_cut_off(run: Run) -> None:
    async def main() -> None:
        smsc = Smsc()
        limits = WriteLimits(write_buffer_max=1 << 20, stall_seconds=0.3)
        async with listening(smsc, write_limits=limits) as listener:
            with socket.create_connection((HOST, listener.port)) as peer:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
                peer.sendall(BIND)
                await until(lambda: bool(smsc.connections) and smsc.connections[0].session.can_deliver)
                (server,) = smsc.connections
                for batch in range(1_000):
                    if not server.is_writable:
                        break
                    items = [(DELIVER, batch) for _ in range(500)]
                    server.session.send_delivers(items, server.now)
                    server.flush()
                    await asyncio.sleep(0)
                assert not server.is_writable
                assert server.write_buffer_size <= 1 << 20
                await until(lambda: bool(smsc.closed))
                assert smsc.closed == [CloseReason.WRITE_STALLED]

    run(main())


def test_a_peer_that_sends_an_octet_at_a_time_and_never_binds_is_closed(run: Run) -> None:
    async def main() -> None:
        smsc = Smsc()
        async with (
            listening(smsc, config=SessionConfig(session_init_seconds=0.2)) as listener,
            plain_peer(listener.port) as (_, writer),
        ):
            for octet in BIND[:-1]:
                if smsc.closed:
                    break
                writer.write(bytes((octet,)))
                await asyncio.sleep(0.02)
            await until(lambda: bool(smsc.closed))
            assert smsc.closed == ["session_init_timeout"]
            assert listener.half_open_count == 0

    run(main())


async def bind_another(port: int) -> None:
    """Whoever was there before has been looked after when this returns."""
    async with plain_peer(port) as (reader, writer):
        writer.write(BIND)
        assert (await read_pdu(reader)).command_status == CommandStatus.ESME_ROK


def test_a_peer_that_has_to_bind_is_heard_once_it_has_sent_a_header(run: Run) -> None:
    """Then every octet is heard: the kernel does not know how many the next PDU lacks."""

    async def main() -> None:
        smsc, heard = Smsc(), []
        async with listening(smsc) as listener, plain_peer(listener.port) as (reader, writer):
            await until(lambda: bool(smsc.connections))
            smsc.connections[0].tap = lambda is_ours, octets: None if is_ours else heard.append(octets)
            for at in range(15):
                writer.write(BIND[at : at + 1])
                await bind_another(listener.port)
            assert heard == []
            writer.write(BIND[15:20])
            await until(lambda: heard == [BIND[:20]])
            writer.write(BIND[20:-1])
            await until(lambda: heard == [BIND[:20], BIND[20:-1]])
            writer.write(BIND[-1:])
            assert (await read_pdu(reader)).command_status == CommandStatus.ESME_ROK

    run(main())


@pytest.mark.parametrize("octets", [b"", BIND[:3]])
def test_the_end_of_a_peer_that_has_to_bind_is_noticed_at_once(run: Run, octets: bytes) -> None:
    async def main() -> None:
        smsc = Smsc()
        config = SessionConfig(session_init_seconds=60.0)
        async with listening(smsc, config=config) as listener, plain_peer(listener.port) as (_, writer):
            writer.write(octets)
            await bind_another(listener.port)
            await until(lambda: len(smsc.closed) == 1)
            writer.write_eof()
            await until(lambda: len(smsc.closed) == 2)
            assert smsc.closed == [CloseReason.PEER] * 2

    run(main())


def test_noise_is_answered_with_generic_nack_and_the_connection_closed(run: Run) -> None:
    async def main() -> None:
        smsc = Smsc()
        async with listening(smsc) as listener, plain_peer(listener.port) as (reader, writer):
            writer.write(codec.encode(EnquireLink(sequence_number=3)) + b"GET / HTTP/1.1\r\n")
            assert (await read_pdu(reader)).command_id == CommandId.ENQUIRE_LINK_RESP
            assert (await read_pdu(reader)).command_status == CommandStatus.ESME_RINVCMDLEN
            assert await reader.read() == b""
            await until(lambda: bool(smsc.closed))
            assert smsc.closed == [CloseReason.FRAMING]

    run(main())


def test_one_half_open_connection_too_many_is_closed_at_once(run: Run) -> None:
    async def main() -> None:
        smsc = Smsc()
        async with (
            listening(smsc, limits=ListenerLimits(half_open_max=1)) as listener,
            plain_peer(listener.port) as (first, writer),
            plain_peer(listener.port) as (second, _),
        ):
            with contextlib.suppress(ConnectionError):
                assert await second.read() == b""
            writer.write(BIND)
            assert (await read_pdu(first)).command_status == CommandStatus.ESME_ROK
            assert listener.refused_count == 1
            async with plain_peer(listener.port) as (third, third_writer):
                third_writer.write(BIND)
                assert (await read_pdu(third)).command_status == CommandStatus.ESME_ROK

    run(main())


def test_quirk_26_the_kernel_looks_for_peers_that_vanished_at_both_ends(run: Run) -> None:
    """Within 90 s of silence, whatever the session asks: a half-open connection is found before the bind too."""

    async def main() -> None:
        smsc, esme = Smsc(), Esme(0, 1)
        async with listening(smsc) as listener:
            near = await connect(HOST, listener.port, config=SessionConfig(), callbacks=esme.callbacks)
            await until(lambda: bool(smsc.connections))
            for connection in (near, *smsc.connections):
                assert connection._transport is not None
                tcp = connection._transport.get_extra_info("socket")
                assert tcp.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
                names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
                idle, interval, probes = (tcp.getsockopt(socket.IPPROTO_TCP, name) for name in names)
                assert idle + interval * probes == 90
            near.abort()

    run(main())


def test_a_peer_that_vanishes_leaves_the_refs_of_its_requests(run: Run) -> None:
    async def main() -> None:
        smsc = Smsc()
        async with listening(smsc) as listener:
            async with plain_peer(listener.port) as (reader, writer):
                writer.write(BIND)
                await read_pdu(reader)
                (server,) = smsc.connections
                server.session.send_delivers([(DELIVER, "a"), (DELIVER, "b")], server.now)
                server.flush()
                await read_pdu(reader)
            await until(lambda: bool(smsc.closed))
            assert smsc.unanswered == ["a", "b"]

    run(main())


def test_no_one_listening_is_an_os_error_in_time(run: Run) -> None:
    async def main() -> None:
        with socket.socket() as unused:
            unused.bind((HOST, 0))
            port = unused.getsockname()[1]
            with pytest.raises(OSError):  # refused or timed out, by the system
                await connect(HOST, port, config=SessionConfig(), callbacks=Esme(0, 0).callbacks, timeout_seconds=2)

    run(main())
