"""Carriers that call us: the connection becomes one more bind, or is closed without a word."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from protocols.smpp.codec import encode
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import DeliverSm, EnquireLink, Outbind
from protocols.smpp.state import SessionState
from smscd.transport.outbinds import OutbindLimits
from smscd.transport.tls import ClientTls
from tests.certificates import Authority, Pair
from tests.integration.egress_rig import Books, Egress, Esme, directory, until
from tools.carrier.options import CarrierOptions
from tools.carrier.outbind import OutbindOptions, call
from tools.carrier.smsc import Carrier

LIMITS = OutbindLimits(host="127.0.0.1", networks=(ip_network("127.0.0.0/8"),), open_seconds=0.3, connections_max=3)
CREDENTIALS = {"outbind_system_id": "smsc", "outbind_password": "pw"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Rig:
    """An upstream that is never dialed (it has no binds of ours), and a carrier that calls."""

    def __init__(self, egress: Egress, books: Books, port: int) -> None:
        self.egress = egress
        self.books = books
        self.port = port
        self.carrier = Carrier(CarrierOptions(), asyncio.get_running_loop())
        self.calls: list[asyncio.Task[None]] = []

    def call(self, system_id: str = "smsc", password: str = "pw", tls: ClientTls | None = None) -> asyncio.Task[None]:
        options = OutbindOptions(host="127.0.0.1", port=self.port, system_id=system_id, password=password, tls=tls)
        task = asyncio.create_task(call(self.carrier, options, SessionConfig()))
        self.calls.append(task)
        return task

    @property
    def pool(self) -> Any:
        owner = self.egress.upstreams.owner("carrier")
        return owner.pool if owner is not None else None

    @property
    def is_listening(self) -> bool:
        owner = self.egress.upstreams.owner("carrier")
        return owner is not None and owner.door is not None and owner.door.listener is not None

    async def raw(self, octets: bytes) -> tuple[bytes, float]:
        """Connect, write, and read to the end: what was answered, and how long it took."""
        began = asyncio.get_running_loop().time()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(octets)
        answer = b""
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionError):
                answer = await reader.read()
        writer.close()
        return answer, asyncio.get_running_loop().time() - began


@asynccontextmanager
async def running(valkey_url: str, limits: OutbindLimits = LIMITS, **profile: object) -> AsyncIterator[Rig]:
    port = free_port()
    fields = {"binds": 0, "outbind_port": port, **CREDENTIALS, **profile}
    books = Books(valkey_url)
    await books.open()
    egress = Egress(valkey_url, directory(1, **fields), outbinds=limits)
    await egress.start()
    rig = Rig(egress, books, port)
    try:
        yield rig
    finally:
        await egress.stop()
        await books.close()
        await rig.carrier.close(1.0)
        for task in rig.calls:
            task.cancel()
        await asyncio.gather(*rig.calls, return_exceptions=True)


@pytest.mark.parametrize(("mode", "state"), [("transceiver", SessionState.BOUND_TRX), ("pair", SessionState.BOUND_RX)])
async def test_a_call_becomes_one_more_bind_of_the_pool(valkey_url: str, mode: str, state: SessionState) -> None:
    async with running(valkey_url, bind_mode=mode) as rig:
        await until(lambda: rig.is_listening)
        calling = rig.call()
        await until(lambda: rig.carrier.bound())
        [far] = rig.carrier.bound()
        assert far.session.state is state and len(rig.pool.links) == 1
        esme = Esme()
        await esme.bind(rig.egress.server.port)
        far.session._out.append(encode(DeliverSm(source_addr=b"4477", destination_addr=b"12345", short_message=b"hi")))
        far.flush()
        await until(lambda: esme.received)
        assert esme.received[0].short_message == b"hi"
        if state is SessionState.BOUND_TRX:
            ids = await rig.books.admit([b"44770900100"])
            await until(lambda: ids[0] in esme.receipts())
        esme.close()
        far.abort()
        await calling
        await until(lambda: not rig.pool.links)
        rig.call()
        await until(lambda: rig.carrier.bound())


async def test_the_stop_of_the_owner_unbinds_who_has_called_and_listens_no_more(valkey_url: str) -> None:
    async with running(valkey_url) as rig:
        await until(lambda: rig.is_listening)
        calling = rig.call()
        await until(lambda: rig.carrier.bound())
        await rig.egress.stop()
        async with asyncio.timeout(5):
            await calling
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", rig.port)


@pytest.mark.parametrize(("system_id", "password"), [("smsc", "no"), ("other", "pw"), ("", "")])
async def test_wrong_credentials_are_closed_without_a_word(valkey_url: str, system_id: str, password: str) -> None:
    async with running(valkey_url) as rig:
        await until(lambda: rig.is_listening)
        with capture_logs() as logs:
            pdu = Outbind(sequence_number=1, system_id=system_id.encode(), password=password.encode())
            answer, _ = await rig.raw(encode(pdu))
        assert answer == b"" and not rig.pool.links
        [log] = [log for log in logs if log["event"] == "outbind.refused"]
        assert (log["reason"], log["peer"]) == ("wrong_credentials", "127.0.0.1")
        assert "password" not in log and password not in [value for value in log.values() if value]


async def test_a_caller_that_says_nothing_or_something_else_or_too_much_is_closed(valkey_url: str) -> None:
    async with running(valkey_url) as rig:
        await until(lambda: rig.is_listening)
        with capture_logs() as logs:
            _, seconds = await rig.raw(b"")
            assert LIMITS.open_seconds <= seconds < 3
            _, seconds = await rig.raw(encode(Outbind(sequence_number=1, system_id=b"smsc", password=b"pw"))[:20])
            assert LIMITS.open_seconds <= seconds < 3
            await rig.raw(encode(EnquireLink(sequence_number=1)))
            _, seconds = await rig.raw(b"\0\0\1\1" + bytes(253))
            assert seconds < LIMITS.open_seconds, "257 octets are too many before the bind"
        assert not rig.pool.links
        reasons = [log["reason"] for log in logs if log["event"] == "outbind.refused"]
        assert reasons.count("no_outbind") >= 2


async def test_strangers_and_one_too_many_are_closed(valkey_url: str) -> None:
    stranger = OutbindLimits(host="127.0.0.1", networks=(ip_network("192.0.2.0/24"),))
    good = encode(Outbind(sequence_number=1, system_id=b"smsc", password=b"pw"))
    async with running(valkey_url, stranger) as rig:
        await until(lambda: rig.is_listening)
        assert (await rig.raw(good))[0] == b"" and not rig.pool.links
    async with running(valkey_url) as rig:
        await until(lambda: rig.is_listening)
        for _ in range(LIMITS.connections_max):
            rig.call()
        await until(lambda: len(rig.carrier.bound()) == LIMITS.connections_max)
        assert (await rig.raw(good))[0] == b""
        assert len(rig.pool.links) == LIMITS.connections_max


async def test_a_changed_profile_opens_and_closes_the_door(valkey_url: str) -> None:
    async with running(valkey_url, outbind_password="") as rig:
        await until(lambda: rig.pool is not None)
        assert not rig.is_listening
        for password, expected in (("pw", True), ("", False)):
            changed = directory(1, binds=0, outbind_port=rig.port, outbind_system_id="smsc", outbind_password=password)
            rig.egress.index = changed
            rig.egress.upstreams.reconfigure(changed)
            await until(lambda expected=expected: rig.is_listening is expected)  # type: ignore[misc]


async def test_of_two_processes_only_the_owner_listens_and_the_next_owner_after_it(valkey_url: str) -> None:
    async with running(valkey_url) as rig:
        await until(lambda: rig.is_listening)
        heir = Egress(valkey_url, rig.egress.index, owner="heir/0", outbinds=LIMITS)
        await heir.start()
        other = heir.upstreams.owner("carrier")
        assert other is not None and other.door is None
        await rig.egress.stop()
        await until(lambda: other.door is not None and other.door.listener is not None, seconds=12)
        rig.call()
        await until(lambda: rig.carrier.bound())
        await heir.stop()


# --- TLS ------------------------------------------------------------------------------------------------------------


async def test_an_upstream_with_tls_has_to_call_with_tls_and_with_its_certificate(
    valkey_url: str, tmp_path: Path
) -> None:
    authority, stranger = Authority(tmp_path / "ca"), Authority(tmp_path / "stranger")
    ours, carriers, strangers = authority.sign("smscd"), authority.sign("carrier"), stranger.sign("carrier")
    profile = {
        "uses_tls": True,
        "tls_ca_file": str(authority.ca),
        "tls_certificate_file": str(ours.certificate),
        "tls_key_file": str(ours.key),
    }

    def shown(pair: Pair | None) -> ClientTls:
        files = {"certificate_file": str(pair.certificate), "key_file": str(pair.key)} if pair is not None else {}
        return ClientTls(ca_file=str(authority.ca), **files)

    outbind = encode(Outbind(system_id=b"smsc", password=b"pw"))
    with capture_logs() as logs:
        async with running(valkey_url, **profile) as rig:
            await until(lambda: rig.is_listening)
            answer, _ = await rig.raw(outbind)
            assert b"\0\0\0" not in answer and not rig.pool.links, "a bind, and our password, without TLS"
            for pair in (None, strangers):
                await asyncio.wait([rig.call(tls=shown(pair))], timeout=5)
            await until(lambda: refusals(logs) == ["tls_handshake_failed"] * 3)
            assert not rig.pool.links
            rig.call(tls=shown(carriers))
            await until(lambda: rig.carrier.bound())
            [link] = rig.pool.links
            assert link.connection.certificate.common_name == "carrier"


async def test_strangers_and_one_too_many_are_closed_before_a_handshake(valkey_url: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    ours = authority.sign("smscd")
    profile = {"uses_tls": True, "tls_certificate_file": str(ours.certificate), "tls_key_file": str(ours.key)}
    stranger = OutbindLimits(host="127.0.0.1", networks=(ip_network("192.0.2.0/24"),))
    with capture_logs() as logs:
        async with running(valkey_url, stranger, **profile) as rig:
            await until(lambda: rig.is_listening)
            _, seconds = await rig.raw(b"")
            assert seconds < stranger.open_seconds and refusals(logs) == ["address_not_allowed"]
        logs.clear()
        async with running(valkey_url, **profile) as rig:
            await until(lambda: rig.is_listening)
            silent = [asyncio.create_task(rig.raw(b"")) for _ in range(LIMITS.connections_max + 1)]
            taken = sorted([seconds for _, seconds in await asyncio.gather(*silent)])
            assert taken[0] < LIMITS.open_seconds <= taken[1], "a handshake that does not begin takes a place"
            refused = ["too_many_connections"] + ["tls_handshake_failed"] * LIMITS.connections_max
            await until(lambda: refusals(logs) == refused)
            rig.call(tls=ClientTls(ca_file=str(authority.ca)))
            await until(lambda: rig.carrier.bound())  # the places are free again


async def test_an_upstream_with_tls_but_no_certificate_of_ours_cannot_call_and_the_log_says_why(
    valkey_url: str,
) -> None:
    with capture_logs() as logs:
        async with running(valkey_url, uses_tls=True) as rig:
            await until(lambda: any(line["event"] == "outbind.not_listening" for line in logs))
            assert not rig.is_listening
    assert any("tls_certificate_file" in line.get("error", "") for line in logs)


def refusals(logs: Any) -> list[str]:
    return [line["reason"] for line in logs if line["event"] == "outbind.refused"]
