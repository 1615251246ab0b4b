"""Both doors, egress, the writer and a carrier in one process, on a real Redis and PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from protocols.smpp import events as ev
from protocols.smpp.codec import encode_body
from protocols.smpp.pdu import SubmitSm
from smscd.core.directory import Account, ApiKey, Credential, MoNumber, Price, Route, Snapshot
from smscd.core.directory_index import DirectoryIndex
from smscd.core.upstream import Upstream
from smscd.ingress.smpp.auth import password_hmac
from smscd.transport.connection import Callbacks, SmppConnection
from storage.postgres.messages import StoredMessage, get_message
from storage.postgres.pool import connect
from tests.integration.egress_rig import PEPPER, Egress, Esme, until
from tests.integration.http_rig import HttpRig
from tests.integration.local_carrier import local_carrier
from tests.integration.writer_fixture import until as until_true
from tools.carrier.smsc import Carrier

PRICE = 10_000
BALANCE = 1_000_000


class SendingEsme(Esme):
    """An ESME that also submits. answers: command_status and message_id, in the order of the submits."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[int, tuple[int, bytes]] = {}

    async def submit(self, *pdus: SubmitSm) -> list[int]:
        """Send them; the ids that they got, all with ESME_ROK."""
        assert self.connection is not None
        first = len(self.answers)
        refs = range(first, first + len(pdus))
        self.connection.session.send_submits([(encode_body(pdu), ref) for pdu, ref in zip(pdus, refs, strict=True)], 0)
        self.connection.flush()
        await until(lambda: len(self.answers) == first + len(pdus))
        assert [self.answers[ref][0] for ref in refs] == [0] * len(pdus)
        return [int(self.answers[ref][1]) for ref in refs]

    def _on_events(self, connection: SmppConnection, events: list[ev.Event]) -> None:
        for event in events:
            if isinstance(event, ev.SubmitAnswers):
                self.answers |= {ref: (status, message_id) for ref, status, message_id in event.answers}  # type: ignore[misc]  # our refs
        super()._on_events(connection, events)


class Gateway:
    """The account "acme" with an ESME and an HTTP key, and one upstream. taken: what the carrier was sent, in order."""

    def __init__(self, http: HttpRig, egress: Egress, carrier: Carrier, taken: list[SubmitSm]) -> None:
        self.http = http
        self.carrier = carrier
        self.egress = egress
        self.taken = taken
        self.esme = SendingEsme()

    async def recorded(self, message_id: int) -> StoredMessage:
        """The message with its timeline, once it has ended and PostgreSQL knows."""
        connection = await connect(self.http.dsn, name="test")
        found: list[StoredMessage] = []

        async def is_final() -> bool:
            stored = await get_message(connection, message_id, with_timeline=True)
            found[:] = [stored] if stored is not None and stored.state.is_final else []
            return bool(found)

        try:
            await until_true(is_final, 10)
        finally:
            await connection.close()
        return found[0]

    async def spent(self) -> int:
        """Micro-units that the account has paid."""
        held = await self.http.balances.balance("acme")
        assert held is not None
        return BALANCE - held


def directory(
    carrier_port: int, account: dict[str, Any], upstream: dict[str, Any], numbers: tuple[MoNumber, ...] = ()
) -> DirectoryIndex:
    """The account and the upstream with these profiles, and numbers of ours."""
    key = ApiKey(key_hash=sha256(b"key-of-acme").digest(), account="acme")
    credential = Credential(system_id="esme", account="acme", password_hmac=password_hmac(PEPPER, b"password"))
    carrier: dict[str, Any] = {
        "id": "carrier", "host": "127.0.0.1", "port": carrier_port, "system_id": "us", "password": "p", **upstream,
    }  # fmt: skip
    return DirectoryIndex(
        Snapshot(
            accounts=(Account(id="acme", any_sender=True, webhook_url="https://app.example/dlr", **account),),
            credentials=(credential,),
            api_keys=(key,),
            upstreams=(Upstream(**carrier),),
            routes=(Route(prefix="", upstreams=("carrier",)),),
            prices=(Price(plan="default", prefix="", price_micros=PRICE),),
            mo_numbers=numbers,
        )
    )


@asynccontextmanager
async def gateway(
    redis_url: str,
    dsn: str,
    *,
    account: dict[str, Any] | None = None,
    upstream: dict[str, Any] | None = None,
    numbers: tuple[MoNumber, ...] = (),
) -> AsyncIterator[Gateway]:
    """Run it for a test, bound on both sides, with money for a hundred messages."""
    taken: list[SubmitSm] = []

    def wrap(callbacks: Callbacks) -> Callbacks:
        def on_events(connection: SmppConnection, events: list[ev.Event]) -> None:
            for event in events:
                if isinstance(event, ev.SubmitsReceived):
                    taken.extend(event.pdus)
            callbacks.on_events(connection, events)

        return callbacks._replace(on_events=on_events)

    with TemporaryDirectory() as folder:
        async with local_carrier(wrap=wrap) as (carrier, listener):
            index = directory(listener.port, account or {}, upstream or {}, numbers)
            http = HttpRig(redis_url, dsn, Path(folder), index=index)
            try:
                await http.start()
                await http.write()
                await http.top_up("acme", BALANCE)
                egress = Egress(redis_url, index, admitter=http.admitter, node=2)
                await egress.start()
                rig = Gateway(http, egress, carrier, taken)
                try:
                    await egress.bound()
                    await rig.esme.bind(egress.server.port)
                    yield rig
                finally:
                    rig.esme.close()
                    await egress.stop()
            finally:
                await http.close()
