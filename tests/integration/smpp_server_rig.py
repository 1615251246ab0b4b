"""The SMPP server over TCP, with an admitter and a sink of the test's own, and the ESMEs that call it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from protocols.smpp.codec import encode_body
from protocols.smpp.events import BindAccepted, BindRefused, DeliversReceived, Event, SubmitAnswers, UnbindRequested
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import Bind, BindTransceiver, DeliverSm, SubmitSm
from smscd.core.directory import Account, Credential, Price, Route, Snapshot
from smscd.core.directory_index import DirectoryIndex
from smscd.core.ids import EPOCH_MS, IdSource
from smscd.core.planning import Planned
from smscd.core.upstream import Upstream
from smscd.core.verdicts import Accepted, Verdict, VerdictSink
from smscd.ingress.smpp.auth import Authenticator, password_hmac
from smscd.ingress.smpp.operations import Operations
from smscd.ingress.smpp.server import SmppServer
from smscd.transport.connection import Callbacks, SmppConnection
from smscd.transport.dial import connect
from smscd.transport.registry import BoundSessions
from tests.integration.changes_fake import FakeChanges

PEPPER = b"pepper"
NOW = EPOCH_MS + 217_000_000_000
WAIT_SECONDS = 5.0
CONFIG = SessionConfig(session_init_seconds=2.0, response_seconds=2.0)


class FakeAdmitter:
    """Keeps what it was given; verdict(planned) says what becomes of each, at release() or at once."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[Planned], VerdictSink]] = []
        self.planned: list[Planned] = []
        self.verdict: Callable[[Planned], Verdict] = lambda planned: Accepted(planned.record.id, 1, 1)
        self.is_holding = False

    def submit(self, planned: list[Planned], on_verdicts: VerdictSink) -> None:
        self.calls.append((planned, on_verdicts))
        self.planned += planned
        if not self.is_holding:
            self.release()

    def release(self) -> None:
        """Hand out all verdicts that were held back, the first of each call by itself."""
        calls, self.calls = self.calls, []
        for planned, on_verdicts in calls:
            verdicts = [self.verdict(message) for message in planned]
            on_verdicts(0, verdicts[:1])
            if verdicts[1:]:
                on_verdicts(1, verdicts[1:])


class RecordingSink:
    """What an outbox would hear."""

    def __init__(self) -> None:
        self.answers: list[tuple[object, int]] = []
        self.late: list[object] = []
        self.unanswered: list[object] = []

    def answered(self, session: object, answers: list[tuple[object, int]]) -> None:
        self.answers += answers

    def timed_out(self, session: object, refs: list[object]) -> None:
        self.late += refs

    def lost(self, session: object, refs: list[object]) -> None:
        self.unanswered += refs


@dataclass
class Esme:
    """One connection of an ESME and what it saw."""

    events: list[Event] = field(default_factory=list)
    answers: list[tuple[object, int, bytes]] = field(default_factory=list)
    delivered: list[DeliverSm] = field(default_factory=list)
    delivery_status: int | None = 0
    closed_reason: str = ""
    connection: SmppConnection = field(init=False)

    def on_events(self, connection: SmppConnection, events: list[Event]) -> None:
        for event in events:
            self.events.append(event)
            if isinstance(event, SubmitAnswers):
                self.answers += event.answers
            elif isinstance(event, DeliversReceived):
                self.delivered += event.pdus
                if self.delivery_status is not None:
                    status = self.delivery_status
                    connection.session.answer_delivers([(pdu.sequence_number, status) for pdu in event.pdus])
            elif isinstance(event, UnbindRequested):
                connection.session.finish_unbind()

    def on_closed(self, connection: SmppConnection, reason: str) -> None:
        self.closed_reason = reason

    def seen(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    async def bind(self, pdu: Bind | None = None) -> int:
        """Bind and return the status."""
        before = len(self.events)
        request = pdu or BindTransceiver(system_id=b"esme", password=b"s3cret", interface_version=0x34)
        self.connection.session.bind(request, asyncio.get_running_loop().time())
        self.connection.flush()
        await until(lambda: len(self.events) > before)
        event = self.events[before]
        if isinstance(event, BindRefused):
            return event.command_status
        assert isinstance(event, BindAccepted)
        return 0

    def submit(self, *pdus: SubmitSm) -> None:
        items = [(encode_body(pdu), number) for number, pdu in enumerate(pdus)]
        self.connection.session.send_submits(items, asyncio.get_running_loop().time())
        self.connection.flush()

    async def answered(self, *pdus: SubmitSm) -> list[tuple[object, int, bytes]]:
        """Submit, wait for as many answers, return them by number."""
        self.answers.clear()
        self.submit(*pdus)
        await until(lambda: len(self.answers) >= len(pdus))
        return sorted(self.answers, key=lambda answer: str(answer[0]))

    def unbind(self) -> None:
        self.connection.session.unbind(asyncio.get_running_loop().time())
        self.connection.flush()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


def submit_sm(**changes: Any) -> SubmitSm:
    given: dict[str, Any] = {
        "source_addr_ton": 5,
        "source_addr": b"ACME",
        "dest_addr_ton": 1,
        "dest_addr_npi": 1,
        "destination_addr": b"447700900123",
        "registered_delivery": 1,
        "short_message": b"hello",
    }
    return SubmitSm(**(given | changes))


def snapshot(**account: Any) -> Snapshot:
    fields: dict[str, Any] = {"id": "acme", "any_sender": True, "binds_max": 2}
    hashed = password_hmac(PEPPER, b"s3cret")
    return Snapshot(
        accounts=(
            Account(**(fields | account)),
            Account(id="late", is_suspended=True),
        ),
        credentials=(
            Credential(system_id="esme", account="acme", password_hmac=hashed),
            Credential(system_id="late", account="late", password_hmac=hashed),
        ),
        upstreams=(Upstream(id="up", host="h", port=1, system_id="s", password="p"),),
        routes=(Route(prefix="44", upstreams=("up",)),),
        prices=(Price(plan="default", prefix="", price_micros=10_000),),
    )


class Rig:
    """A server, its admitter, its sink, and as many ESMEs as a test wants."""

    def __init__(self, config: SessionConfig, **account: Any) -> None:
        self.directory = DirectoryIndex(snapshot(**account))
        self.admitter = FakeAdmitter()
        self.sink = RecordingSink()
        self.sessions = BoundSessions()
        self.now_ms = NOW
        self.changes = FakeChanges()
        self.server = SmppServer(
            config=config,
            directory=lambda: self.directory,
            admitter=self.admitter,
            ids=IdSource(node=1),
            authenticator=Authenticator(PEPPER),
            operations=Operations(self.changes, lambda: self.directory, lambda: self.now_ms),  # type: ignore[arg-type]  # the double
            sessions=self.sessions,
            now_ms=lambda: self.now_ms,
            sink=self.sink,
        )
        self.esmes: list[Esme] = []

    async def esme(self) -> Esme:
        """An open connection."""
        esme = Esme()
        esme.connection = await connect(
            "127.0.0.1",
            self.server.port,
            config=SessionConfig(),
            callbacks=Callbacks(lambda _: None, esme.on_events, esme.on_closed),
        )
        self.esmes.append(esme)
        return esme

    async def bound(self) -> Esme:
        """A bound transceiver."""
        esme = await self.esme()
        assert await esme.bind() == 0
        return esme


@asynccontextmanager
async def running(config: SessionConfig = CONFIG, **account: Any) -> AsyncIterator[Rig]:
    rig = Rig(config, **account)
    await rig.server.start("127.0.0.1", 0)
    try:
        yield rig
    finally:
        for esme in rig.esmes:
            esme.connection.abort()
        rig.server.stop()
        await until(lambda: rig.server.connection_count == 0 and all(esme.closed_reason for esme in rig.esmes))


def deliver(rig: Rig, *refs: str) -> None:
    """Send a deliver_sm for each ref to the next receiver of acme."""
    connection = rig.sessions.next_receiver("acme")
    assert connection is not None
    body = encode_body(DeliverSm(source_addr=b"447700900123", destination_addr=b"ACME", short_message=b"hi"))
    connection.session.send_delivers([(body, ref) for ref in refs], asyncio.get_running_loop().time())
    connection.flush()
