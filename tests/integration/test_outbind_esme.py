"""ESMEs that are called with outbind because something waits for them; on a real Redis and over TCP."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from structlog.testing import capture_logs

from protocols.smpp.events import DeliversReceived, Event, OutbindReceived
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import BindReceiver, DeliverSm, Outbind
from protocols.smpp.state import Role
from smscd.core.directory_index import DirectoryIndex
from smscd.ingress.smpp.outbinds import Outbinds
from smscd.transport.connection import Callbacks, SmppConnection
from smscd.transport.tls import ServerFiles, server_context
from storage.redis.errors import StorageUnavailable
from storage.redis.outbox import unserved
from tests.certificates import Authority
from tests.integration.egress_rig import KEYS, Books, Egress, Esme, directory, until, wall_ms
from tools.carrier.options import CarrierOptions
from tools.carrier.smsc import Carrier


class ListeningEsme:
    """An ESME that waits to be called. binds: what it does when it is; else it hangs up."""

    def __init__(self, *, binds: bool = True, password: bytes = b"password", tls: ssl.SSLContext | None = None) -> None:
        self.binds = binds
        self.password = password
        self.tls = tls
        self.outbinds: list[Outbind] = []
        self.received: list[DeliverSm] = []
        self.connections: list[SmppConnection] = []
        self.closed: list[str] = []
        self.port = 0

    async def listen(self) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        callbacks = Callbacks(self.connections.append, self._on_events, lambda _, reason: self.closed.append(reason))
        server = await loop.create_server(
            lambda: SmppConnection(Role.ESME, SessionConfig(), callbacks, loop), "127.0.0.1", self.port, ssl=self.tls
        )
        self.port = server.sockets[0].getsockname()[1]
        return server

    def _on_events(self, connection: SmppConnection, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, OutbindReceived):
                self.outbinds.append(event.pdu)
                if not self.binds:
                    connection.close()
                    continue
                connection.session.bind(
                    BindReceiver(system_id=b"esme", password=self.password, interface_version=0x34), connection.now
                )
            elif isinstance(event, DeliversReceived):
                self.received += event.pdus
                connection.session.answer_delivers([(pdu.sequence_number, 0) for pdu in event.pdus])


class Rig:
    """Egress and the server, who calls, and a message with a receipt that waits."""

    def __init__(self, egress: Egress, books: Books, outbinds: Outbinds) -> None:
        self.egress = egress
        self.books = books
        self.outbinds = outbinds

    async def waiting(self) -> set[str]:
        return await unserved(self.books.link, KEYS, ["acme"], wall_ms())

    async def until_waiting(self) -> None:
        async with asyncio.timeout(10):
            while await self.waiting() != {"acme"}:
                await asyncio.sleep(0.02)


def with_outbind(index: DirectoryIndex, port: int, ca_file: str = "") -> DirectoryIndex:
    snapshot = index.snapshot
    account = msgspec.structs.replace(
        snapshot.accounts[0], outbind_host="127.0.0.1", outbind_port=port, outbind_system_id="smscd",
        outbind_password="pw", outbind_uses_tls=bool(ca_file), outbind_tls_ca_file=ca_file,
    )  # fmt: skip
    return DirectoryIndex(msgspec.structs.replace(snapshot, accounts=(account,)))


@asynccontextmanager
async def running(
    valkey_url: str,
    port: int,
    clock: Callable[[], float] = time.monotonic,
    ca_file: str = "",
    certificate: ServerFiles | None = None,
) -> AsyncIterator[Rig]:
    loop = asyncio.get_running_loop()
    carrier = Carrier(CarrierOptions(), loop)
    callbacks = Callbacks(carrier.on_open, carrier.on_events, carrier.on_closed)
    smsc = await loop.create_server(lambda: SmppConnection(Role.SMSC, SessionConfig(), callbacks, loop), "127.0.0.1", 0)
    books = Books(valkey_url)
    await books.open()
    index = with_outbind(directory(smsc.sockets[0].getsockname()[1]), port, ca_file)
    egress = Egress(valkey_url, index)
    await egress.start()
    outbinds = Outbinds(
        server=egress.server,
        directory=lambda: egress.index,
        waiting=lambda accounts: unserved(books.link, KEYS, accounts, wall_ms()),
        clock=clock,
        chance=lambda: 0.0,
        look_seconds=0.05,
        certificate=certificate,
    )
    task = asyncio.create_task(outbinds.run())
    try:
        await egress.bound()
        yield Rig(egress, books, outbinds)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await egress.stop()
        await books.close()
        smsc.close()
        await carrier.close(1.0)


async def test_an_esme_is_called_when_something_waits_and_gets_it_over_its_bind(valkey_url: str) -> None:
    esme = ListeningEsme()
    server = await esme.listen()
    async with running(valkey_url, esme.port) as rig:
        ids = await rig.books.admit([b"44770900100"])
        await until(lambda: esme.received)
        [outbind] = esme.outbinds
        assert (outbind.system_id, outbind.password) == (b"smscd", b"pw")
        assert b"id:%d " % ids[0] in esme.received[0].short_message
        assert rig.egress.sessions.count("acme") == 1 and rig.egress.server.connection_count == 1
        await rig.books.admit([b"44770901100"])
        await until(lambda: len(esme.received) == 2)
        assert len(esme.outbinds) == 1 and rig.egress.server.figures.outbinds == {"sent": 1}
    server.close()


async def test_an_esme_that_is_bound_or_has_nothing_waiting_is_not_called(valkey_url: str) -> None:
    listening, bound = ListeningEsme(), Esme()
    server = await listening.listen()
    async with running(valkey_url, listening.port) as rig:
        await bound.bind(rig.egress.server.port)
        await rig.books.admit([b"44770900100"])
        await until(lambda: bound.received)
        await rig.outbinds.look()
        assert await rig.waiting() == set() and not listening.connections
        bound.close()
    server.close()


async def test_an_esme_that_hangs_up_is_called_again_after_a_pause_and_never_in_a_loop(valkey_url: str) -> None:
    esme = ListeningEsme(binds=False)
    server = await esme.listen()
    now = 1000.0
    async with running(valkey_url, esme.port, clock=lambda: now) as rig:
        await rig.books.admit([b"44770900100"])
        await until(lambda: len(esme.closed) == 1)
        for _ in range(20):
            await rig.outbinds.look()
        assert len(esme.connections) == 1
        now += 10.0
        await until(lambda: len(esme.closed) == 2)
        now += 19.0
        await rig.outbinds.look()
        assert len(esme.connections) == 2
        esme.binds = True
        now += 1.0
        await until(lambda: esme.received)
        assert len(esme.outbinds) == 3
    server.close()


async def test_an_esme_that_nobody_answers_for_is_counted_and_tried_later(valkey_url: str) -> None:
    esme = ListeningEsme()
    server = await esme.listen()
    server.close()
    await server.wait_closed()
    now = 1000.0
    with capture_logs() as logs:
        async with running(valkey_url, esme.port, clock=lambda: now) as rig:
            await rig.books.admit([b"44770900100"])
            await until(lambda: rig.egress.server.figures.outbinds["failed"] == 1)
            again = await esme.listen()
            now += 10.0
            await until(lambda: esme.received)
            again.close()
    events = [log["event"] for log in logs if log["event"].startswith("outbind.")]
    assert events == ["outbind.failed", "outbind.sent"]
    assert not any("pw" in str(log.values()) for log in logs if log["event"].startswith("outbind."))


async def test_the_bind_after_an_outbind_needs_the_password_like_any_other(valkey_url: str) -> None:
    esme = ListeningEsme(password=b"guess")
    server = await esme.listen()
    async with running(valkey_url, esme.port) as rig:
        await rig.books.admit([b"44770900100"])
        await until(lambda: any(rig.egress.server.figures.binds.values()))
        assert rig.egress.sessions.count("acme") == 0 and not esme.received
    server.close()


async def test_a_storage_that_is_away_and_a_server_that_drains_call_nobody(valkey_url: str) -> None:
    esme = ListeningEsme()
    server = await esme.listen()
    async with running(valkey_url, esme.port) as rig:

        async def away(accounts: object) -> set[str]:
            raise StorageUnavailable("away")

        rig.outbinds._waiting = away
        await rig.outbinds.look()

        async def all_of_them(accounts: object) -> set[str]:
            return {"acme"}

        rig.outbinds._waiting = all_of_them
        draining = asyncio.create_task(rig.egress.server.drain())
        await asyncio.sleep(0)
        await until(lambda: rig.egress.server.figures.outbinds["failed"] >= 1)
        await draining
        assert not esme.connections
    server.close()


async def test_an_esme_with_tls_is_called_with_tls_sees_our_certificate_and_has_to_show_its_own(
    valkey_url: str, tmp_path: Path
) -> None:
    authority, stranger = Authority(tmp_path / "ca"), Authority(tmp_path / "stranger")
    ours, esmes = authority.sign("smscd"), authority.sign("esme")
    certificate = ServerFiles(certificate=ours.certificate, key=ours.key)
    asks = ServerFiles(certificate=esmes.certificate, key=esmes.key, client_ca=authority.ca)
    esme = ListeningEsme(tls=server_context(asks))
    server = await esme.listen()
    async with running(valkey_url, esme.port, ca_file=str(stranger.ca), certificate=certificate) as rig:
        await rig.books.admit([b"44770900100"])
        await until(lambda: rig.egress.server.figures.outbinds["failed"])
        assert not esme.outbinds, "the password went to somebody whom nobody vouches for"
    async with running(valkey_url, esme.port, ca_file=str(authority.ca), certificate=certificate) as rig:
        await rig.books.admit([b"44770901100"])
        await until(lambda: esme.received)
        [connection] = [connection for connection in esme.connections if connection.is_open]
        assert connection.certificate is not None and connection.certificate.common_name == "smscd"
        [session] = rig.egress.server._listener.connections
        assert session.certificate is not None and session.certificate.common_name == "esme"
    server.close()
