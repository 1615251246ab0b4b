"""TLS and mutual TLS of both ends over TCP, certificates that change, and handshakes that do not come to an end."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
import uvloop

from protocols.smpp import codec
from protocols.smpp.events import BindAccepted, BindRequested, Event
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import BindTransceiver
from smscd.core.upstream import Upstream
from smscd.egress.binds.links import BindKind, Link, LinkState
from smscd.transport.connection import Callbacks, SmppConnection
from smscd.transport.dial import connect
from smscd.transport.listener import Listener, ListenerLimits, Refusal, listen
from smscd.transport.tls import ClientTls, PeerCertificate, ServerFiles, ServerTls
from smscd.worker.certificates import CertificateWatch
from tests.certificates import Authority, Pair

WAIT_SECONDS = 5.0
BIND = codec.encode(BindTransceiver(system_id=b"esme", interface_version=0x34, sequence_number=1))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server_pair(authority: Authority) -> Pair:
    return authority.sign("smsc.example", alternative="DNS:smsc.example,IP:127.0.0.1")


@pytest.fixture(scope="module")
def esme_pair(authority: Authority) -> Pair:
    return authority.sign("esme.example")


async def until(condition: Any) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


async def ended(reader: asyncio.StreamReader) -> None:
    """Wait for the other side's end of the connection, whichever way it ends it."""
    async with asyncio.timeout(WAIT_SECONDS):
        try:
            await reader.read()
        except ConnectionError:
            pass


async def closed(*writers: asyncio.StreamWriter) -> None:
    """Close our sides, and wait until they are."""
    for writer in writers:
        writer.close()
        try:
            await writer.wait_closed()
        except OSError:
            pass  # the other side was first


class Smsc:
    """Accepts every bind and remembers who came."""

    def __init__(self) -> None:
        self.opened: list[SmppConnection] = []
        self.bound: list[SmppConnection] = []
        self.closed: list[str] = []

    @property
    def callbacks(self) -> Callbacks:
        return Callbacks(self.opened.append, self._on_events, lambda connection, reason: self.closed.append(reason))

    def _on_events(self, connection: SmppConnection, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, BindRequested):
                connection.session.accept_bind(event.pdu.sequence_number, b"smsc", connection.now)
                self.bound.append(connection)


class Esme:
    """Binds as soon as it is connected."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.closed = ""

    async def connect(self, port: int, tls: ClientTls | None) -> SmppConnection:
        callbacks = Callbacks(self._on_open, self._on_events, self._on_closed)
        return await connect("127.0.0.1", port, config=SessionConfig(), callbacks=callbacks, tls=tls, timeout_seconds=5)

    def _on_open(self, connection: SmppConnection) -> None:
        connection.session.bind(BindTransceiver(system_id=b"esme", interface_version=0x34), connection.now)

    def _on_events(self, connection: SmppConnection, events: list[Event]) -> None:
        self.events += events

    def _on_closed(self, connection: SmppConnection, reason: str) -> None:
        self.closed = reason

    @property
    def is_bound(self) -> bool:
        return any(isinstance(event, BindAccepted) for event in self.events)


@asynccontextmanager
async def listening(
    tls: ServerTls, smsc: Smsc, *, port: int | None = None, config: SessionConfig | None = None,
    limits: ListenerLimits | None = None,
) -> AsyncIterator[Listener]:  # fmt: skip
    listener = await listen(
        "127.0.0.1", port, config=config or SessionConfig(), callbacks=smsc.callbacks, tls=tls, limits=limits
    )
    try:
        yield listener
    finally:
        listener.stop_accepting()
        listener.abort_all()
        await until(lambda: not listener.connections and not (listener._tls_door and listener._tls_door.handshakes))


def server(pair: Pair, client_ca: Path | None = None) -> ServerTls:
    return ServerTls(ServerFiles(certificate=pair.certificate, key=pair.key, client_ca=client_ca))


def client(authority: Authority, pair: Pair | None = None, **more: Any) -> ClientTls:
    shown = {"certificate_file": str(pair.certificate), "key_file": str(pair.key)} if pair else {}
    return ClientTls(**({"ca_file": str(authority.ca)} | shown | more))


async def test_both_ends_speak_tls_beside_a_plain_port(authority: Authority, server_pair: Pair) -> None:
    smsc, secret, plain = Smsc(), Esme(), Esme()
    async with listening(server(server_pair), smsc, port=0) as listener:
        assert listener.port and listener.tls_port and listener.port != listener.tls_port
        connection = await secret.connect(listener.tls_port, client(authority))
        await plain.connect(listener.port, None)
        await until(lambda: secret.is_bound and plain.is_bound)
        assert connection.certificate is not None
        assert connection.certificate == PeerCertificate(server_pair.sha256, "smsc.example")
        assert {bound.certificate for bound in smsc.bound} == {None}
        assert listener.half_open_count == 0


async def test_either_port_may_be_off(authority: Authority, server_pair: Pair) -> None:
    async with listening(server(server_pair), Smsc()) as listener:
        assert listener.port == 0 and listener.tls_port


async def test_with_a_client_ca_an_esme_shows_who_it_is(
    authority: Authority, server_pair: Pair, esme_pair: Pair
) -> None:
    smsc, esme = Smsc(), Esme()
    async with listening(server(server_pair, authority.ca), smsc) as listener:
        await esme.connect(listener.tls_port, client(authority, esme_pair))
        await until(lambda: esme.is_bound)
        assert smsc.bound[0].certificate == PeerCertificate(esme_pair.sha256, "esme.example")


async def test_without_the_certificate_that_is_asked_for_nobody_comes_in(
    tmp_path: Path, authority: Authority, server_pair: Pair
) -> None:
    smsc = Smsc()
    stranger = Authority(tmp_path, "stranger").sign("esme.example")
    async with listening(server(server_pair, authority.ca), smsc) as listener:
        for number, pair in enumerate((None, stranger), 1):
            esme = Esme()
            try:
                await esme.connect(listener.tls_port, client(authority, pair))
            except OSError:
                pass  # with TLS 1.2 the client learns of it in its handshake, with 1.3 afterwards
            else:
                await until(lambda esme=esme: esme.closed)  # type: ignore[misc]
            await until(lambda number=number: listener.refused[Refusal.HANDSHAKE] == number)  # type: ignore[misc]
        assert not smsc.opened
        assert listener.half_open_count == 0


@pytest.mark.parametrize(
    "more", [{"ca_file": ""}, {"server_name": "other.example"}], ids=["unknown authority", "another name"]
)
async def test_an_smsc_that_cannot_prove_itself_is_not_bound_to(
    authority: Authority, server_pair: Pair, more: dict[str, Any]
) -> None:
    smsc = Smsc()
    async with listening(server(server_pair), smsc) as listener:
        with pytest.raises(ssl.SSLCertVerificationError):
            await Esme().connect(listener.tls_port, client(authority, **more))
        assert not smsc.bound


async def test_the_name_in_the_certificate_may_be_another_than_the_host(
    authority: Authority, server_pair: Pair
) -> None:
    esme = Esme()
    async with listening(server(server_pair), Smsc()) as listener:
        await esme.connect(listener.tls_port, client(authority, server_name="smsc.example"))
        await until(lambda: esme.is_bound)


async def test_verification_is_off_only_when_it_is_switched_off_and_that_is_logged(server_pair: Pair) -> None:
    esme = Esme()
    async with listening(server(server_pair), Smsc()) as listener:
        with structlog.testing.capture_logs() as logs:
            await esme.connect(listener.tls_port, ClientTls(is_verified=False))
        await until(lambda: esme.is_bound)
        assert [line["event"] for line in logs] == ["tls.not_verified"]


async def test_a_client_file_that_is_not_there_is_an_error_of_the_dial(authority: Authority) -> None:
    with pytest.raises(FileNotFoundError):
        await Esme().connect(1, client(authority, certificate_file="/nonexistent.pem"))


async def test_nothing_older_than_tls_1_2_is_spoken(authority: Authority, server_pair: Pair) -> None:
    async with listening(server(server_pair), Smsc()) as listener:
        context = ssl.create_default_context(cafile=str(authority.ca))
        with pytest.warns(DeprecationWarning):
            context.minimum_version = ssl.TLSVersion.TLSv1
        with pytest.warns(DeprecationWarning):
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await asyncio.open_connection("127.0.0.1", listener.tls_port, ssl=context)


# --- what comes in pieces, or not at all ----------------------------------------------------------------------------


async def test_a_bind_in_the_same_packet_as_the_end_of_the_handshake_is_read(
    authority: Authority, server_pair: Pair
) -> None:
    """The client's last flight and its first PDU go out in one write."""
    smsc = Smsc()
    context = ssl.create_default_context(cafile=str(authority.ca))
    async with listening(server(server_pair), smsc) as listener:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1_2, version
            answer = await asyncio.to_thread(_bind_eagerly, listener.tls_port, context)
            assert answer[4:12] == bytes.fromhex("80000009 00000000")
        assert len(smsc.bound) == 2


async def test_the_last_octets_of_a_record_are_heard_however_few(authority: Authority, server_pair: Pair) -> None:
    """Without TLS an ESME is not heard before it has sent a header; of a record any octet may be the one that lacks."""
    smsc = Smsc()
    context = ssl.create_default_context(cafile=str(authority.ca))
    async with listening(server(server_pair), smsc) as listener:

        def others_are_served() -> None:
            _bind_eagerly(listener.tls_port, context)

        answer = await asyncio.to_thread(_bind_eagerly, listener.tls_port, context, others_are_served)
        assert answer[4:12] == bytes.fromhex("80000009 00000000")


def _bind_eagerly(
    port: int, context: ssl.SSLContext, before_the_last_octets: Callable[[], None] | None = None
) -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS) as tcp:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                tcp.sendall(outgoing.read())
                incoming.write(tcp.recv(65_536))
        tls.write(BIND)
        octets = outgoing.read()
        if before_the_last_octets is not None:
            tcp.sendall(octets[:-5])
            before_the_last_octets()
            octets = octets[-5:]
        tcp.sendall(octets)
        while True:
            try:
                return tls.read(1_000)
            except ssl.SSLWantReadError:
                incoming.write(tcp.recv(65_536))


def test_every_handshake_comes_to_its_end_on_the_loop_that_workers_run(authority: Authority, server_pair: Pair) -> None:
    """uvloop begins to read a connection when asyncio does not: what the peer sends first must not be lost to that."""

    async def shake_hands() -> int:
        smsc = Smsc()
        context = ssl.create_default_context(cafile=str(authority.ca))
        async with listening(server(server_pair), smsc) as listener:
            answers = [await asyncio.to_thread(_bind_eagerly, listener.tls_port, context) for _ in range(50)]
            assert {answer[4:12] for answer in answers} == {bytes.fromhex("80000009 00000000")}
            assert not listener.refused
        return len(smsc.bound)

    assert uvloop.run(shake_hands()) == 50


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01", bytes(64), BIND], ids=["nothing", "a start", "noise", "plain"])
async def test_a_handshake_that_does_not_come_to_an_end_is_cut_off_in_time(server_pair: Pair, sent: bytes) -> None:
    smsc = Smsc()
    async with listening(server(server_pair), smsc, config=SessionConfig(session_init_seconds=0.3)) as listener:
        began = asyncio.get_running_loop().time()
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.tls_port)
        writer.write(sent)
        await ended(reader)
        assert asyncio.get_running_loop().time() - began < 2.0
        await until(lambda: listener.refused[Refusal.HANDSHAKE] == 1)
        assert listener.half_open_count == 0
        assert not smsc.opened
        await closed(writer)


async def test_the_time_for_the_bind_runs_from_the_connection_and_not_from_the_end_of_the_handshake(
    authority: Authority, server_pair: Pair
) -> None:
    smsc = Smsc()
    async with listening(server(server_pair), smsc, config=SessionConfig(session_init_seconds=0.6)) as listener:
        loop = asyncio.get_running_loop()
        began = loop.time()
        context = ssl.create_default_context(cafile=str(authority.ca))
        raw = socket.create_connection(("127.0.0.1", listener.tls_port))
        raw.setblocking(False)
        await until(lambda: listener.half_open_count == 1)
        await asyncio.sleep(0.3)  # the peer takes half of its time for the handshake
        reader, writer = await asyncio.open_connection(sock=raw, ssl=context, server_hostname="127.0.0.1")
        async with asyncio.timeout(WAIT_SECONDS):
            await reader.read()
        assert 0.5 < loop.time() - began < 0.85
        await until(lambda: smsc.closed == ["session_init_timeout"])
        await closed(writer)


async def test_handshakes_count_as_half_open_connections(server_pair: Pair) -> None:
    async with listening(server(server_pair), Smsc(), limits=ListenerLimits(half_open_max=1)) as listener:
        _, first = await asyncio.open_connection("127.0.0.1", listener.tls_port)
        await until(lambda: listener.half_open_count == 1)
        reader, second = await asyncio.open_connection("127.0.0.1", listener.tls_port)
        await ended(reader)
        assert listener.refused == {Refusal.HALF_OPEN: 1}
        await closed(first, second)
        await until(lambda: listener.half_open_count == 0)


# --- certificates that change ---------------------------------------------------------------------------------------


async def test_a_changed_certificate_is_for_new_handshakes_and_ends_no_session(
    tmp_path: Path, authority: Authority, server_pair: Pair
) -> None:
    live = Pair(tmp_path / "live.pem", tmp_path / "live.key")
    shutil.copy(server_pair.certificate, live.certificate)
    shutil.copy(server_pair.key, live.key)
    tls, smsc, before, after = server(live), Smsc(), Esme(), Esme()
    watch = CertificateWatch(tls, look_seconds=60.0)
    task = asyncio.create_task(watch.run())
    async with listening(tls, smsc) as listener:
        old = await before.connect(listener.tls_port, client(authority))
        renewed = authority.sign("renewed.example", file="renewed")
        shutil.copy(renewed.certificate, live.certificate)
        shutil.copy(renewed.key, live.key)
        watch.look_soon()
        await until(lambda: tls.reloads == 1)
        new = await after.connect(listener.tls_port, client(authority))
        await until(lambda: before.is_bound and after.is_bound)
        assert old.certificate is not None and new.certificate is not None
        assert (old.certificate.sha256, new.certificate.sha256) == (server_pair.sha256, renewed.sha256)
        old.session.unbind(old.now)
        old.flush()
        await until(lambda: any("Unbind" in type(event).__name__ for event in before.events) or smsc.bound)
        assert before.closed == ""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_watch_looks_by_itself(tmp_path: Path, authority: Authority, server_pair: Pair) -> None:
    live = Pair(tmp_path / "live.pem", tmp_path / "live.key")
    shutil.copy(server_pair.certificate, live.certificate)
    shutil.copy(server_pair.key, live.key)
    tls = server(live)
    task = asyncio.create_task(CertificateWatch(tls, look_seconds=0.02).run())
    renewed = authority.sign("renewed2.example")
    shutil.copy(renewed.key, live.key)
    shutil.copy(renewed.certificate, live.certificate)
    await until(lambda: tls.reloads >= 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_files_that_cannot_be_used_leave_the_old_ones_in_use(tmp_path: Path, server_pair: Pair) -> None:
    live = Pair(tmp_path / "live.pem", tmp_path / "live.key")
    shutil.copy(server_pair.certificate, live.certificate)
    shutil.copy(server_pair.key, live.key)
    tls = server(live)
    context = tls.context
    assert not tls.refresh()
    live.key.write_text("no key")
    with structlog.testing.capture_logs() as logs:
        assert not tls.refresh()
        assert not tls.refresh()
    assert [line["event"] for line in logs] == ["tls.kept"]
    assert tls.context is context
    live.key.unlink()
    assert not tls.refresh()
    assert (tls.reloads, tls.failures) == (0, 2)
    shutil.copy(server_pair.key, live.key)
    assert tls.refresh()
    assert (tls.reloads, tls.context is context) == (1, False)


def test_a_server_does_not_start_on_files_that_cannot_be_used(tmp_path: Path, server_pair: Pair) -> None:
    with pytest.raises(OSError, match=r"."):
        server(Pair(tmp_path / "none.pem", server_pair.key))


# --- a bind to an upstream ------------------------------------------------------------------------------------------


class Nobody:
    """The dispatcher and the receipts' side of a link that sends nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: None


@pytest.mark.parametrize("is_trusted", [True, False])
async def test_an_upstream_is_bound_to_over_tls_and_only_when_it_proves_itself(
    authority: Authority, server_pair: Pair, esme_pair: Pair, is_trusted: bool
) -> None:
    smsc = Smsc()
    async with listening(server(server_pair, authority.ca), smsc) as listener:
        profile = Upstream(
            id="carrier", host="127.0.0.1", port=listener.tls_port, system_id="s", password="p", uses_tls=True,
            tls_ca_file=str(authority.ca) if is_trusted else "", tls_server_name="smsc.example",
            tls_certificate_file=str(esme_pair.certificate), tls_key_file=str(esme_pair.key),
        )  # fmt: skip
        clock = asyncio.get_running_loop().time
        link = Link(
            profile, BindKind.TRANSCEIVER, dial=connect, sink=Nobody(), delivers=Nobody(), on_held=Nobody().held,
            clock=clock, chance=clock,
        )  # fmt: skip
        task = asyncio.create_task(link.run())
        try:
            if is_trusted:
                await until(lambda: link.state is LinkState.BOUND)
                assert smsc.bound[0].certificate == PeerCertificate(esme_pair.sha256, "esme.example")
            else:
                await until(lambda: link.tls_failures)
                assert not smsc.opened
        finally:
            link.cut()
            await task
