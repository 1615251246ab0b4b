"""Kannel's and Jasmin's doors on one free port, with everything behind them played by the test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlencode

import msgspec

from smscd.core.directory import Credential, Snapshot
from smscd.core.directory_index import DirectoryIndex
from smscd.core.ids import IdSource
from smscd.core.records import MessageRecord
from smscd.ingress.dropin.gatekeeper import Gatekeeper
from smscd.ingress.dropin.routes import JasminDoor, KannelDoor
from smscd.ingress.dropin.sending import Sender
from smscd.ingress.http.client_addresses import ClientAddresses
from smscd.ingress.http.figures import HttpFigures
from smscd.ingress.http.keys import KeyUses
from smscd.ingress.http.server import HttpServer
from smscd.ingress.smpp.auth import Authenticator, password_hmac
from tests.unit.smscd.ingress.http_fixture import Connection, FakeAdmitter, Reply, snapshot

PEPPER = b"pepper"
USER, PASSWORD = "acme-1", "s3cret"
GUESSES_MAX = 3
SENDSMS = "/cgi-bin/sendsms"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def directory() -> Snapshot:
    """The accounts of http_fixture, each with SMPP credentials, and one that may send from anything."""

    def credential(system_id: str, account: str, certificate: str = "") -> Credential:
        hmac = password_hmac(PEPPER, PASSWORD.encode())
        return Credential(system_id=system_id, account=account, password_hmac=hmac, client_certificate=certificate)

    found = snapshot()
    acme, other, sleepy, walled = found.accounts
    one_sender = msgspec.structs.replace(acme, id="single", senders=frozenset({"SHOP"}))
    far = msgspec.structs.replace(other, id="far", allowed_networks=frozenset({"192.0.2.0/24"}))
    little = msgspec.structs.replace(other, id="little", is_little_endian=True, default_alphabet="latin1")
    return msgspec.structs.replace(
        found,
        accounts=(acme, other, sleepy, walled, one_sender, far, little),
        credentials=(
            credential(USER, "acme"),
            credential("other", "other"),
            credential("sleepy", "sleepy"),
            credential("walled", "walled"),
            credential("single", "single"),
            credential("far", "far"),
            credential("shown", "other", "CN=esme"),
            credential("little", "little"),
        ),
    )


@dataclass(slots=True)
class Doors:
    """The running doors."""

    admitter: FakeAdmitter
    figures: HttpFigures
    port: int
    up: set[str] = field(default_factory=lambda: {"carrier"})
    balances: dict[str, int | None] = field(default_factory=dict)
    now: float = 0.0
    connections: list[Connection] = field(default_factory=list)

    async def ask(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Reply:
        connection = Connection(*await asyncio.open_connection("127.0.0.1", self.port))
        self.connections.append(connection)
        return await connection.ask(method, path, headers, body)

    async def sendsms(self, query: str = "", headers: dict[str, str] | None = None, /, **fields: str) -> Reply:
        """GET /cgi-bin/sendsms of the usual message with these fields changed, "-" left out. query: raw, first."""
        given = {"username": USER, "password": PASSWORD, "from": "ACME", "to": "+447700900123", "text": "hello"}
        given |= {name.rstrip("_").replace("_", "-"): value for name, value in fields.items()}
        raw = [query] if query else []
        named = {name: value for name, value in given.items() if value != "-"}
        return await self.ask("GET", SENDSMS + "?" + "&".join([*raw, urlencode(named)]), headers)

    async def jasmin(self, path: str = "/send", headers: dict[str, str] | None = None, /, **fields: str) -> Reply:
        """GET of one of Jasmin's paths, of the usual message with these fields changed; "-" leaves one out."""
        given = {"username": USER, "password": PASSWORD}
        if path == "/send":
            given |= {"from": "ACME", "to": "+447700900123", "content": "hello"}
        given |= {name.rstrip("_").replace("_", "-"): value for name, value in fields.items()}
        return await self.ask(
            "GET", f"{path}?{urlencode({name: value for name, value in given.items() if value != '-'})}", headers
        )

    @property
    def record(self) -> MessageRecord:
        """The one message that was admitted."""
        (planned,) = self.admitter.admitted
        return planned.record


@asynccontextmanager
async def dropin_doors() -> AsyncIterator[Doors]:
    """Serve both doors for a test."""
    admitter, figures, index = FakeAdmitter(), HttpFigures(), DirectoryIndex(directory())
    sender = Sender(
        admitter=admitter,
        directory=lambda: index,
        ids=IdSource(1),
        clock_ms=lambda: time.time_ns() // 1_000_000,
        seconds=1.0,
    )
    gatekeeper = Gatekeeper(
        Authenticator(PEPPER),
        lambda: index,
        lambda: found.now,
        guesses_max=GUESSES_MAX,
        window_seconds=900.0,
        now_ms=lambda: time.time_ns() // 1_000_000,
        uses=KeyUses(),
    )
    addresses = ClientAddresses(("127.0.0.1",))

    async def is_up(upstream: str) -> bool:
        return upstream in found.up

    async def balance(account: str) -> int | None:
        return found.balances.get(account)

    kannel = KannelDoor(sender, gatekeeper, addresses, is_up, request_seconds=1.0)
    jasmin = JasminDoor(sender, gatekeeper, addresses, balance, request_seconds=1.0)
    server = HttpServer([*kannel.routes(), *jasmin.routes()], figures=figures)
    found = Doors(admitter, figures, await server.start("127.0.0.1", 0))
    try:
        yield found
    finally:
        for connection in found.connections:
            connection.writer.close()
        await server.stop()
