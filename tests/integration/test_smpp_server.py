"""The SMPP server over TCP, with an admitter of the test's own: binds, submits, answers, orderly ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Container
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from protocols.smpp import tlv
from protocols.smpp.codec import HEADER, encode_body
from protocols.smpp.constants import CommandId, CommandStatus
from protocols.smpp.events import (
    BindAccepted,
    BindRefused,
    DeliversReceived,
    Event,
    SubmitAnswers,
    UnbindAnswered,
    UnbindRequested,
)
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import Bind, BindReceiver, BindTransceiver, BindTransmitter, DeliverSm, SubmitSm
from smscd.core.directory import Account, Credential, Price, Route, Snapshot
from smscd.core.directory_index import DirectoryIndex
from smscd.core.esme import BoundEsme
from smscd.core.ids import EPOCH_MS, IdSource
from smscd.core.planning import Planned
from smscd.core.reasons import Reason
from smscd.core.upstream import Upstream
from smscd.core.verdicts import Accepted, Duplicate, Refused, Verdict, VerdictSink
from smscd.ingress.smpp.auth import Authenticator, BindOutcome, password_hmac
from smscd.ingress.smpp.operations import Operations
from smscd.ingress.smpp.server import SmppServer
from smscd.monitoring.samples import smpp_samples
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


# --- binds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "mode"), [(BindTransmitter, "tx"), (BindReceiver, "rx"), (BindTransceiver, "trx")])
async def test_the_right_password_binds_in_every_mode(kind: type[Bind], mode: str) -> None:
    async with running() as rig:
        esme = await rig.esme()
        assert await esme.bind(kind(system_id=b"esme", password=b"s3cret", interface_version=0x34)) == 0
        assert esme.seen(BindAccepted) == [BindAccepted(0x34, b"smscd", 0x34)]
        assert rig.server.session_counts()[mode] == 1
        assert rig.sessions.count("acme") == 1
        assert rig.sessions.can_receive("acme") is (mode != "tx")


async def test_wrong_password_and_unknown_id_get_the_same_answer_and_may_try_again() -> None:
    async with running() as rig:
        esme = await rig.esme()
        for system_id, password in ((b"esme", b"wrong"), (b"nobody", b"s3cret")):
            assert (
                await esme.bind(BindTransceiver(system_id=system_id, password=password)) == CommandStatus.ESME_RINVPASWD
            )
        assert await esme.bind() == 0
        assert rig.server.figures.binds == {BindOutcome.WRONG: 2, BindOutcome.ACCEPTED: 1}


async def test_the_tenth_wrong_guess_locks_even_the_right_password_out() -> None:
    async with running() as rig:
        esme = await rig.esme()
        for _ in range(10):
            await esme.bind(BindTransceiver(system_id=b"esme", password=b"wrong"))
        assert await esme.bind() == CommandStatus.ESME_RINVPASWD
        assert rig.server.figures.binds[BindOutcome.LOCKED] == 1


async def test_a_suspended_account_may_not_bind() -> None:
    async with running() as rig:
        esme = await rig.esme()
        request = BindTransceiver(system_id=b"late", password=b"s3cret")
        assert await esme.bind(request) == CommandStatus.ESME_RBINDFAIL


async def test_one_bind_too_many_is_refused_until_another_ends() -> None:
    async with running() as rig:
        first, _ = await rig.bound(), await rig.bound()
        third = await rig.esme()
        assert await third.bind() == CommandStatus.ESME_RALYBND
        first.unbind()
        await until(lambda: rig.sessions.count("acme") == 1)
        assert await third.bind() == 0


async def test_who_does_not_bind_is_closed() -> None:
    """Quirk 26: peers that connect and never bind."""
    async with running(SessionConfig(session_init_seconds=0.2)) as rig:
        esme = await rig.esme()
        await until(lambda: esme.closed_reason)


async def test_pdus_before_the_bind_are_bounded_and_what_comes_byte_by_byte_is_still_in_time() -> None:
    """5 s and 256 octets in production; here 0.5 s, and a peer that would take longer than that for its bind."""
    async with running(SessionConfig(session_init_seconds=0.5)) as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.server.port)
        writer.write((257).to_bytes(4, "big") + bytes.fromhex("00000009 00000000 00000001"))
        assert await reader.readexactly(16) == bytes.fromhex("00000010 80000000 00000002 00000001")
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        began = asyncio.get_running_loop().time()
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.server.port)
        bind = (256).to_bytes(4, "big") + bytes.fromhex("00000009 00000000 00000001") + bytes(240)
        ended = asyncio.ensure_future(reader.read())
        for octet in bind:
            if ended.done():
                break
            writer.write(bytes([octet]))
            await asyncio.sleep(0.01)  # the slow peer
        # An octet that comes after the end makes a reset of it.
        assert ended.done() and (isinstance(ended.exception(), ConnectionResetError) or ended.result() == b"")
        assert 0.45 < asyncio.get_running_loop().time() - began < 1.0
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
        assert rig.server.figures.closed["session_init_timeout"] == 1


async def test_a_bind_from_a_network_that_is_not_allowed_is_refused_like_a_wrong_password() -> None:
    async with running(allowed_networks=frozenset({"192.0.2.0/24"})) as rig:
        esme = await rig.esme()
        assert await esme.bind() == CommandStatus.ESME_RINVPASWD
        assert rig.server.figures.binds == {BindOutcome.ADDRESS: 1}
    async with running(allowed_networks=frozenset({"127.0.0.0/8"})) as rig:
        await rig.bound()


async def test_a_type_beyond_its_limit_is_already_bound_and_a_forbidden_one_fails() -> None:
    async with running(binds_max=9, binds_tx_max=1, binds_rx_max=0) as rig:
        request = {"system_id": b"esme", "password": b"s3cret"}
        assert await (await rig.esme()).bind(BindTransmitter(**request)) == 0
        assert await (await rig.esme()).bind(BindTransmitter(**request)) == CommandStatus.ESME_RALYBND
        assert await (await rig.esme()).bind(BindReceiver(**request)) == CommandStatus.ESME_RBINDFAIL
        assert rig.server.figures.binds == {
            BindOutcome.ACCEPTED: 1, BindOutcome.TOO_MANY_OF_TYPE: 1, BindOutcome.TYPE_NOT_ALLOWED: 1,
        }  # fmt: skip


async def test_an_esme_that_says_nothing_to_a_whole_window_is_cut_off() -> None:
    async with running(SessionConfig(response_seconds=0.3), window_size=3) as rig:
        esme = await rig.bound()
        esme.delivery_status = None
        deliver(rig, "one", "two", "three")
        await until(lambda: esme.closed_reason)
        assert rig.server.figures.closed["silent"] == 1
        assert rig.sink.late == ["one", "two", "three"]


async def test_an_esme_that_answers_late_but_lives_stays() -> None:
    async with running(SessionConfig(response_seconds=0.3), window_size=3) as rig:
        esme = await rig.bound()
        esme.delivery_status = None
        deliver(rig, "one", "two", "three")
        await asyncio.sleep(0.15)  # half of its time
        await esme.answered(submit_sm())
        await until(lambda: rig.sink.late == ["one", "two", "three"])
        assert not esme.closed_reason


# --- submits --------------------------------------------------------------------------------------------------------


async def test_a_read_becomes_one_call_and_each_answer_carries_its_id() -> None:
    async with running() as rig:
        esme = await rig.bound()
        answers = await esme.answered(*[submit_sm(short_message=b"%d" % number) for number in range(9)])
        assert [planned.record.segments for planned in rig.admitter.planned] == [[b"%d" % n] for n in range(9)]
        ids = [b"%d" % planned.record.id for planned in rig.admitter.planned]
        assert answers == [(number, 0, message_id) for number, message_id in enumerate(ids)]
        assert rig.server.figures.submits == 9


async def test_nothing_is_answered_before_its_verdict() -> None:
    async with running() as rig:
        esme = await rig.bound()
        rig.admitter.is_holding = True
        esme.submit(submit_sm(), submit_sm(destination_addr=b"999"))
        await until(lambda: esme.answers)
        assert esme.answers == [(1, CommandStatus.ESME_RINVDSTADR, b"")]
        rig.admitter.release()
        await until(lambda: len(esme.answers) == 2)
        assert esme.answers[1][:2] == (0, 0)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"esm_class": 0x40, "short_message": b"\x05\x00"}, CommandStatus.ESME_RINVESMCLASS),
        ({"tlvs": tlv.encode([(0x0424, b"x")])}, CommandStatus.ESME_RINVMSGLEN),
        ({"priority_flag": 9}, CommandStatus.ESME_RINVPRTFLG),
        ({"registered_delivery": 0x80}, CommandStatus.ESME_RINVREGDLVFLG),
        ({"replace_if_present_flag": 2}, CommandStatus.ESME_RINVREPFLAG),
    ],
)
async def test_what_the_specification_forbids_is_refused_with_its_status(
    changes: dict[str, Any], status: CommandStatus
) -> None:
    async with running() as rig:
        esme = await rig.bound()
        assert await esme.answered(submit_sm(**changes)) == [(0, status, b"")]
        assert not rig.admitter.planned
        assert rig.server.figures.malformed == 1


async def test_what_the_session_itself_refuses_is_counted_and_stays_counted() -> None:
    async with running() as rig:
        esme = await rig.bound()
        unreadable = HEADER.pack(17, CommandId.SUBMIT_SM, 0, 7) + b"x", HEADER.pack(17, CommandId.QUERY_SM, 0, 8) + b"x"
        esme.connection._transport.write(b"".join(unreadable))  # type: ignore[union-attr]  # what no session writes
        await until(lambda: rig.server.unreadable_counts().total() == 2)
        await esme.answered(submit_sm(priority_flag=9))
        expected = {
            ("smscd_admission_messages_total", ("smpp", "malformed")): 2,
            ("smscd_smpp_pdu_errors_total", ("unreadable",)): 2,
            ("smscd_smpp_pdu_errors_total", ("forbidden",)): 1,
            ("smscd_smpp_pdu_errors_total", ("framing",)): 0,
        }
        assert shown(rig, expected) == expected
        esme.connection._transport.write(HEADER.pack(15, 0, 0, 9))  # type: ignore[union-attr]  # what no session writes
        await until(lambda: esme.closed_reason and not rig.server.connection_count)
        expected["smscd_smpp_pdu_errors_total", ("framing",)] = 1
        assert shown(rig, expected) == expected


def shown(rig: Rig, names: Container[tuple[str, tuple[str, ...]]]) -> dict[tuple[str, tuple[str, ...]], float]:
    samples = smpp_samples(rig.server)
    return {(found.name, found.labels): found.value for found in samples if (found.name, found.labels) in names}


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"destination_addr": b"abc"}, CommandStatus.ESME_RINVDSTADR),
        ({"destination_addr": b"8613800000000"}, CommandStatus.ESME_RINVDSTADR),
        ({"source_addr": b"a@b"}, CommandStatus.ESME_RINVSRCADR),
        ({"schedule_delivery_time": b"tomorrow"}, CommandStatus.ESME_RINVSCHED),
        ({"schedule_delivery_time": b"000100000000000R"}, CommandStatus.ESME_RINVSCHED),
        ({"validity_period": b"never"}, CommandStatus.ESME_RINVEXPIRY),
        ({"short_message": b"", "tlvs": tlv.encode([(0x0424, b"x" * 2_000)])}, CommandStatus.ESME_RINVMSGLEN),
        ({"tlvs": tlv.encode([(0x1500, b"k" * 65)])}, CommandStatus.ESME_RINVOPTPARAMVAL),
    ],
)
async def test_what_cannot_be_sent_is_refused_with_the_status_of_the_table(
    changes: dict[str, Any], status: CommandStatus
) -> None:
    async with running() as rig:
        esme = await rig.bound()
        assert await esme.answered(submit_sm(**changes)) == [(0, status, b"")]
        assert not rig.admitter.planned
        assert sum(rig.server.figures.rejected.values()) == 1


async def test_a_schedule_reaches_the_plan_and_one_that_is_over_means_at_once() -> None:
    async with running() as rig:
        esme = await rig.bound()
        in_an_hour = submit_sm(schedule_delivery_time=b"000000010000000R", validity_period=b"000000000100000R")
        assert [status for _, status, _ in await esme.answered(in_an_hour)] == [0]
        await esme.answered(submit_sm(schedule_delivery_time=b"200101000000000+"))
        later, at_once = (planned.record for planned in rig.admitter.planned)
        assert (
            later.valid_until_ms - later.send_at_ms == 60_000 and later.send_at_ms > at_once.valid_until_ms - 86_400_000
        )
        assert at_once.send_at_ms == 0


@pytest.mark.parametrize(
    ("verdict", "answer"),
    [
        (Duplicate(77, 10_000, 1, 0, True), (0, b"77")),
        (Duplicate(77, 10_000, 1, 0, False), (CommandStatus.ESME_RINVOPTPARAMVAL, b"")),
        (Refused(Reason.INSUFFICIENT_BALANCE), (CommandStatus.ESME_RSUBMITFAIL, b"")),
        (Refused(Reason.RATE_LIMITED, 1.0), (CommandStatus.ESME_RTHROTTLED, b"")),
        (Refused(Reason.PREFIX_VELOCITY, 41.2), (CommandStatus.ESME_RTHROTTLED, b"")),
        (Refused(Reason.SPEND_LIMIT, 7_200.0), (CommandStatus.ESME_RTHROTTLED, b"")),
        (Refused(Reason.QUEUE_FULL), (CommandStatus.ESME_RMSGQFUL, b"")),
        (Refused(Reason.RECORD_BEHIND, 1.0), (CommandStatus.ESME_RSYSERR, b"")),
        (Refused(Reason.STORAGE_UNAVAILABLE), (CommandStatus.ESME_RSYSERR, b"")),
    ],
)
async def test_each_verdict_has_its_answer(verdict: Verdict, answer: tuple[int, bytes]) -> None:
    """Quirks 16 and 17: ESME_RTHROTTLED for the account's own rate, ESME_RMSGQFUL for our back-pressure."""
    async with running() as rig:
        esme = await rig.bound()
        rig.admitter.verdict = lambda planned: verdict
        assert await esme.answered(submit_sm(), submit_sm()) == [(0, *answer), (1, *answer)]


async def test_a_long_payload_is_cut_and_paid_by_segment() -> None:
    async with running() as rig:
        esme = await rig.bound()
        await esme.answered(submit_sm(short_message=b"", tlvs=tlv.encode([(0x0424, b"x" * 400), (0x1500, b"key")])))
        record = rig.admitter.planned[0].record
        assert (len(record.segments), record.price_micros, record.esm_class) == (3, 30_000, 0x40)
        assert rig.admitter.planned[0].idem_key == b"key"


async def test_an_account_that_is_suspended_while_bound_is_refused() -> None:
    async with running() as rig:
        esme = await rig.bound()
        rig.directory = DirectoryIndex(snapshot(is_suspended=True))
        assert await esme.answered(submit_sm()) == [(0, CommandStatus.ESME_RSUBMITFAIL, b"")]
        rig.directory = DirectoryIndex(Snapshot())
        assert await esme.answered(submit_sm()) == [(0, CommandStatus.ESME_RSUBMITFAIL, b"")]


async def test_a_clock_that_stepped_far_back_refuses_rather_than_inventing_times() -> None:
    async with running() as rig:
        esme = await rig.bound()
        await esme.answered(submit_sm())
        rig.now_ms = NOW - 60_000
        assert await esme.answered(submit_sm()) == [(0, CommandStatus.ESME_RSYSERR, b"")]
        rig.now_ms = NOW + 1
        assert (await esme.answered(submit_sm()))[0][1] == 0


async def test_beyond_the_accounts_window_submits_are_throttled_and_none_is_admitted() -> None:
    """Quirk 15: as a server ours is enforced."""
    async with running(window_size=3) as rig:
        esme = await rig.bound()
        rig.admitter.is_holding = True
        esme.submit(*[submit_sm() for _ in range(6)])
        await until(lambda: len(esme.answers) == 3)
        assert [status for _, status, _ in esme.answers] == [CommandStatus.ESME_RTHROTTLED] * 3
        assert len(rig.admitter.planned) == 3
        rig.admitter.release()
        await until(lambda: len(esme.answers) == 6)
        assert [status for _, status, _ in esme.answers[3:]] == [0] * 3


async def test_verdicts_for_a_connection_that_is_gone_do_no_harm() -> None:
    async with running() as rig:
        esme = await rig.bound()
        rig.admitter.is_holding = True
        esme.submit(submit_sm(), submit_sm())
        await until(lambda: rig.admitter.calls)
        esme.connection.abort()
        await until(lambda: not rig.sessions.count("acme"))
        rig.admitter.release()
        assert (await (await rig.bound()).answered()) == []


# --- deliver_sm -----------------------------------------------------------------------------------------------------


def deliver(rig: Rig, *refs: str) -> None:
    connection = rig.sessions.next_receiver("acme")
    assert connection is not None
    body = encode_body(DeliverSm(source_addr=b"447700900123", destination_addr=b"ACME", short_message=b"hi"))
    connection.session.send_delivers([(body, ref) for ref in refs], asyncio.get_running_loop().time())
    connection.flush()


async def test_answers_to_deliver_sm_go_to_the_sink() -> None:
    async with running() as rig:
        esme = await rig.bound()
        esme.delivery_status = 0x64
        deliver(rig, "one", "two")
        await until(lambda: len(rig.sink.answers) == 2)
        assert rig.sink.answers == [("one", 0x64), ("two", 0x64)]


async def test_deliver_sm_that_nobody_answers_is_late_and_then_lost() -> None:
    async with running(SessionConfig(response_seconds=0.2)) as rig:
        esme = await rig.bound()
        esme.delivery_status = None
        deliver(rig, "one")
        await until(lambda: rig.sink.late == ["one"])
        deliver(rig, "two")
        await until(lambda: len(esme.delivered) == 2)
        esme.connection.abort()
        await until(lambda: "two" in rig.sink.unanswered)


async def test_a_sender_of_deliver_sm_may_put_itself_in_the_sinks_place() -> None:
    async with running() as rig:
        await rig.bound()
        other = RecordingSink()
        (connection,) = rig.sessions.sessions("acme")
        context = connection.context
        assert isinstance(context, BoundEsme) and (context.account, context.system_id) == ("acme", b"esme")
        context.sink = other
        deliver(rig, "one")
        await until(lambda: other.answers)
        assert not rig.sink.answers
        context.sink = None
        deliver(rig, "two")
        await until(lambda: connection.session.pending_count == 0)


# --- ends -----------------------------------------------------------------------------------------------------------


async def test_an_unbind_waits_for_the_answers_that_are_owed() -> None:
    """Quirk 20: an unbind with work in flight."""
    async with running() as rig:
        esme = await rig.bound()
        rig.admitter.is_holding = True
        esme.submit(submit_sm(), submit_sm())
        esme.unbind()
        await until(lambda: not rig.sessions.count("acme"))
        assert not esme.seen(UnbindAnswered)
        rig.admitter.release()
        await until(lambda: esme.closed_reason)
        assert [status for _, status, _ in esme.answers] == [0, 0]
        assert esme.seen(UnbindAnswered)


async def test_an_unbind_before_the_bind_is_agreed_to() -> None:
    async with running() as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.server.port)
        writer.write(bytes.fromhex("00000010 00000006 00000000 00000007"))
        assert await reader.readexactly(16) == bytes.fromhex("00000010 80000006 00000000 00000007")
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_a_drain_answers_what_is_open_and_unbinds_everybody() -> None:
    async with running() as rig:
        busy, idle, unbound = await rig.bound(), await rig.bound(), await rig.esme()
        rig.admitter.is_holding = True
        busy.submit(submit_sm())
        await until(lambda: rig.admitter.calls)
        draining = asyncio.create_task(rig.server.drain())
        await until(lambda: idle.closed_reason and unbound.closed_reason)
        assert not draining.done() and not busy.closed_reason
        rig.admitter.release()
        async with asyncio.timeout(WAIT_SECONDS):
            await draining
        await until(lambda: busy.closed_reason)
        assert busy.answers[0][1] == 0
        assert busy.seen(UnbindRequested) and idle.seen(UnbindRequested)
        with pytest.raises(OSError, match=r"."):
            await rig.esme()


async def test_a_drain_with_nobody_there_is_done_at_once() -> None:
    async with running() as rig:
        async with asyncio.timeout(WAIT_SECONDS):
            await rig.server.drain()


async def test_a_submit_after_our_unbind_is_refused_for_now() -> None:
    async with running() as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.server.port)
        bind = bytes.fromhex("00000009 00000000 00000001") + b"esme\0s3cret\0\0\x34\0\0\0"
        writer.write((len(bind) + 4).to_bytes(4, "big") + bind)
        await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big") - 4)
        draining = asyncio.create_task(rig.server.drain())
        unbind = await reader.readexactly(16)
        assert unbind[4:8] == bytes.fromhex("00000006")
        submit = bytes.fromhex("00000004 00000000 00000002") + encode_body(submit_sm())
        writer.write((len(submit) + 4).to_bytes(4, "big") + submit)
        assert await reader.readexactly(16) == bytes.fromhex("00000010 80000004 00000014 00000002")
        writer.write(bytes.fromhex("00000010 80000006 00000000") + unbind[12:])
        async with asyncio.timeout(WAIT_SECONDS):
            await draining
        assert not rig.admitter.planned
        writer.close()
        await writer.wait_closed()


async def test_congestion_is_told_to_esmes_of_5_0_in_their_answers() -> None:
    config = SessionConfig(session_init_seconds=2.0, response_seconds=2.0, interface_version=0x50)
    async with running(config) as rig:
        early, old = await rig.esme(), await rig.esme()
        assert await early.bind(BindTransceiver(system_id=b"esme", password=b"s3cret", interface_version=0x50)) == 0
        assert await old.bind() == 0
        rig.server.tell_congestion(85)
        for esme in (early, old):
            [(_, status, _)] = await esme.answered(submit_sm())
            assert status == 0
        assert early.connection.session.peer_congestion_state == 85
        assert old.connection.session.peer_congestion_state is None
        old.unbind()
        await until(lambda: old.closed_reason)
        later = await rig.esme()
        assert await later.bind(BindTransceiver(system_id=b"esme", password=b"s3cret", interface_version=0x50)) == 0
        await later.answered(submit_sm())
        assert later.connection.session.peer_congestion_state == 85
