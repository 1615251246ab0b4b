"""Callbacks to bound ESMEs over sessions in memory, with a played outbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from protocols.smpp import events as ev
from protocols.smpp import tlv
from protocols.smpp.constants import CommandStatus, TlvTag
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import BindReceiver, BindTransmitter, DeliverSm
from smscd.core.callback_records import CallbackKind, CallbackOutcome, CallbackResult
from smscd.core.directory import Account, Snapshot
from smscd.core.directory_index import DirectoryIndex
from smscd.core.esme import BoundEsme
from smscd.core.upstream import AlphabetName
from smscd.egress.esme.outbox import Outbox
from smscd.egress.figures import OutboxFigures
from smscd.transport.connection import Callbacks, SmppConnection
from smscd.transport.registry import BoundSessions
from storage.redis.blobs import pack_array
from storage.redis.errors import StorageUnavailable
from tests.unit.smscd.egress.doubles import NOW_MS, FakeSession, encode
from tests.unit.smscd.egress.esme.test_delivering import blob, callback
from tests.unit.smscd.egress.pipes import connect, until
from tests.unit.smscd.egress.redis_double import order

RX_T_APPN = int(CommandStatus.ESME_RX_T_APPN)


class FakeOutboxStore:
    """OutboxStore over a dict; its role may be another's."""

    def __init__(self) -> None:
        self.entries: dict[str, bytes] = {}
        self.results: list[CallbackResult] = []
        self.settled = 0
        self.read_at_once: list[int] = []
        self.unavailable = 0
        self.session = FakeRole()

    async def read(self, after: str, count: int) -> list[tuple[str, bytes]]:
        if self.unavailable:
            self.unavailable -= 1
            raise StorageUnavailable("away")
        found = [(entry, data) for entry, data in self.entries.items() if order(entry) > order(after)][:count]
        self.read_at_once.append(len(found))
        return found

    async def settle(self, finished: list[str], results: list[bytes]) -> None:
        await asyncio.sleep(0)
        for entry in finished:
            del self.entries[entry]
        self.results += [msgspec.msgpack.decode(data, type=CallbackResult) for data in results]
        self.settled += 1


class FakeRole(FakeSession):
    """A role that can be taken."""

    def __init__(self) -> None:
        super().__init__()
        self.epoch = 0
        self.is_free = True

    async def take(self) -> bool:
        if self.is_free:
            self.epoch = 1
        return self.is_free


class FakeLeases:
    """LeaseKeeper without Redis."""

    def __init__(self) -> None:
        self.kept: dict[object, Callable[[], None]] = {}

    def add(self, session: object, on_lost: Callable[[], None]) -> None:
        self.kept[session] = on_lost

    async def give_up(self, sessions: list[Any]) -> None:
        for session in sessions:
            self.kept.pop(session, None)
            session.epoch = 0


class Esme:
    """One bound ESME. answers: the status for a deliver_sm, or None for no answer."""

    def __init__(self, connection: SmppConnection, answers: Callable[[Esme, DeliverSm], int | None]) -> None:
        self.connection = connection
        self.answers = answers
        self.received: list[DeliverSm] = []

    def on_events(self, connection: SmppConnection, events: list[ev.Event]) -> None:
        for event in events:
            if isinstance(event, ev.DeliversReceived):
                self.received += event.pdus
                answers = [(pdu.sequence_number, self.answers(self, pdu)) for pdu in event.pdus]
                connection.session.answer_delivers(
                    [(number, status) for number, status in answers if status is not None]
                )
        connection.flush()

    def texts(self) -> list[bytes]:
        return [pdu.short_message.split(b" ", 1)[0] for pdu in self.received]


class Rig:
    """An outbox service with a server's side of sessions around it."""

    def __init__(self, window: int = 100, alphabet: AlphabetName = "unknown") -> None:
        self.store = FakeOutboxStore()
        self.leases = FakeLeases()
        self.sessions = BoundSessions()
        self.bells: dict[bytes, Callable[[], None]] = {}
        self.figures = OutboxFigures()
        self.response_seconds = 30.0
        account = Account(id="acme", window_size=window, default_alphabet=alphabet)
        directory = DirectoryIndex(Snapshot(accounts=(account,)))
        self.outbox = Outbox(
            open_outbox=lambda account: (self.store, self.store.session),  # type: ignore[arg-type]  # the double
            leases=self.leases,  # type: ignore[arg-type]  # the double
            sessions=self.sessions,
            subscribe=self.bells.__setitem__,
            unsubscribe=lambda payload, callback: self.bells.pop(payload, None) and None,
            directory=lambda: directory,
            figures=self.figures,
            clock=asyncio.get_running_loop().time,
            wall_ms=lambda: NOW_MS,
            chance=lambda: 1.0,
        )

    async def bind(
        self,
        request: type[BindReceiver] | type[BindTransmitter] = BindReceiver,
        answers: Callable[[Esme, DeliverSm], int | None] = lambda esme, pdu: 0,
        interface_version: int = 0x34,
    ) -> Esme:
        """An ESME binds; what the SMPP server does is done here."""
        holder: list[Esme] = []
        esme_side = Callbacks(
            lambda connection: None,
            lambda connection, events: holder[0].on_events(connection, events),
            lambda connection, reason: None,
        )
        server_side = Callbacks(lambda connection: None, self._on_events, self._on_closed)
        config = SessionConfig(response_seconds=self.response_seconds)
        near, _ = connect(esme_side, SessionConfig(window_size=1000), server_side, config)
        esme = Esme(near, answers)
        holder.append(esme)
        bind = request(system_id=b"acme", interface_version=interface_version)
        near.session.bind(bind, asyncio.get_running_loop().time())
        near.flush()
        await until(lambda: near.session.state.is_bound)
        return esme

    def _on_events(self, connection: SmppConnection, events: list[ev.Event]) -> None:
        for event in events:
            match event:
                case ev.BindRequested():
                    now = asyncio.get_running_loop().time()
                    connection.session.accept_bind(event.pdu.sequence_number, b"us", now)
                    connection.context = BoundEsme("acme", b"acme", now, self.outbox)
                    self.sessions.add("acme", connection)
                case ev.DeliverAnswers():
                    self.outbox.answered(connection, event.answers)
                case ev.TimedOut():
                    self.outbox.timed_out(connection, event.refs)
                case _:
                    pass
        connection.flush()

    def _on_closed(self, connection: SmppConnection, reason: str) -> None:
        self.sessions.remove(connection)
        self.outbox.lost(connection, connection.session.close(reason))

    def put(self, *entries: bytes) -> None:
        for data in entries:
            self.store.entries[f"{len(self.store.entries) + 1}-0"] = data

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        await self.outbox.start()
        try:
            yield
        finally:
            await self.outbox.stop()


async def test_what_waited_is_delivered_once_an_esme_can_receive() -> None:
    rig = Rig()
    rig.put(blob(1, 2), blob(3))
    async with rig.running():
        await rig.bind(BindTransmitter)
        esme = await rig.bind()
        await until(lambda: not rig.store.entries)
    assert esme.texts() == [b"id:1", b"id:2", b"id:3"]
    [first, *_] = esme.received
    assert (first.esm_class, first.source_addr, first.destination_addr) == (4, b"491701", b"Sender")
    assert [result.outcome for result in rig.store.results] == [CallbackOutcome.DELIVERED] * 3
    assert rig.figures.delivered == 3


@pytest.mark.parametrize(("alphabet", "data_coding"), [("gsm_packed", 1), ("latin1", 0), ("unknown", 0)])
async def test_quirk_30_receipts_are_written_for_the_alphabet_of_the_account(
    alphabet: AlphabetName, data_coding: int
) -> None:
    rig = Rig(alphabet=alphabet)
    rig.put(blob(1))
    async with rig.running():
        esme = await rig.bind()
        await until(lambda: not rig.store.entries)
    assert [pdu.data_coding for pdu in esme.received] == [data_coding]


async def test_nothing_is_read_or_sent_for_an_account_without_a_receiver() -> None:
    rig = Rig()
    rig.put(blob(1))
    async with rig.running():
        await rig.bind(BindTransmitter)
        await asyncio.sleep(0.01)
        assert rig.store.session.epoch == 0 and not rig.store.read_at_once


async def test_callbacks_are_spread_over_the_receivers() -> None:
    rig = Rig()
    async with rig.running():
        esmes = [await rig.bind(), await rig.bind()]
        rig.put(blob(*range(1, 101)))
        rig.bells[b"o:acme"]()
        await until(lambda: not rig.store.entries)
    assert [len(esme.received) for esme in esmes] == [50, 50]


async def test_an_esme_that_does_not_answer_gets_its_window_and_nothing_more() -> None:
    rig = Rig(window=5)
    rig.put(*[blob(*range(at, at + 10)) for at in range(1, 2001, 10)])
    async with rig.running():
        esme = await rig.bind(answers=lambda esme, pdu: None)
        await until(lambda: len(esme.received) >= 5)
        await asyncio.sleep(0.02)
        assert len(esme.received) == 5
        assert sum(rig.store.read_at_once) * 10 <= 40


async def test_answers_refill_the_window_until_all_is_delivered() -> None:
    rig = Rig(window=3)
    rig.put(*[blob(*range(at, at + 10)) for at in range(1, 101, 10)])
    async with rig.running():
        esme = await rig.bind()
        await until(lambda: not rig.store.entries)
    assert esme.texts() == [b"id:%d" % number for number in range(1, 101)]
    assert rig.store.settled < 60


async def test_a_session_that_closes_gives_its_unanswered_ones_to_another() -> None:
    rig = Rig(window=2)
    rig.put(blob(1, 2, 3))
    async with rig.running():
        silent = await rig.bind(answers=lambda esme, pdu: None)
        await until(lambda: len(silent.received) == 2)
        other = await rig.bind()
        await until(lambda: other.texts() == [b"id:3"])
        silent.connection.abort()
        await until(lambda: not rig.store.entries)
    assert other.texts() == [b"id:3", b"id:1", b"id:2"]


async def test_without_another_receiver_they_are_kept_and_the_role_is_given_up() -> None:
    rig = Rig()
    rig.put(blob(1, 2))
    async with rig.running():
        esme = await rig.bind(answers=lambda esme, pdu: 0 if pdu.short_message.startswith(b"id:1 ") else None)
        await until(lambda: len(rig.store.results) == 1)
        esme.connection.abort()
        await until(lambda: rig.store.session.epoch == 0 and not rig.leases.kept)
        assert rig.store.entries
        again = await rig.bind()
        await until(lambda: not rig.store.entries)
    assert b"id:2" in again.texts()


async def test_a_temporary_refusal_is_tried_again() -> None:
    rig = Rig()
    rig.put(blob(1))
    async with rig.running():
        esme = await rig.bind(answers=lambda esme, pdu: RX_T_APPN if len(esme.received) == 1 else 0)
        await until(lambda: not rig.store.entries)
    assert len(esme.received) == 2 and rig.store.results[0].attempts == 2


async def test_a_permanent_refusal_ends_as_dead() -> None:
    rig = Rig()
    rig.put(blob(1))
    async with rig.running():
        await rig.bind(answers=lambda esme, pdu: int(CommandStatus.ESME_RX_R_APPN))
        await until(lambda: not rig.store.entries)
    [result] = rig.store.results
    assert (result.outcome, result.detail) == (CallbackOutcome.DEAD, "refused with ESME_RX_R_APPN")


@pytest.mark.parametrize(("version", "size", "outcome"), [
    (0x34, 255, CallbackOutcome.DELIVERED), (0x33, 254, CallbackOutcome.DELIVERED), (0x33, 255, CallbackOutcome.DEAD),
])  # fmt: skip
async def test_quirk_25_a_text_is_never_left_out_with_the_tlvs_that_an_old_esme_does_not_take(
    version: int, size: int, outcome: CallbackOutcome
) -> None:
    rig = Rig()
    text = b"x" * size
    rig.put(pack_array([encode(callback(1, kind=int(CallbackKind.INBOUND), body=text))]))
    async with rig.running():
        esme = await rig.bind(interface_version=version)
        await until(lambda: not rig.store.entries)
    assert [result.outcome for result in rig.store.results] == [outcome]
    told = [pdu.short_message or tlv.find(pdu.tlvs, TlvTag.MESSAGE_PAYLOAD) for pdu in esme.received]
    assert told == ([text] if outcome is CallbackOutcome.DELIVERED else [])


async def test_quirk_25_what_an_old_esme_does_not_take_goes_to_another_session_of_its_account() -> None:
    rig = Rig()
    text = b"x" * 255
    bodies = [text if number % 2 else b"short" for number in range(1, 9)]
    records = [callback(number, kind=int(CallbackKind.INBOUND), body=body) for number, body in enumerate(bodies, 1)]
    async with rig.running():
        old, new = await rig.bind(interface_version=0x33), await rig.bind(interface_version=0x34)
        for record in records:
            rig.put(pack_array([encode(record)]))
        await until(lambda: not rig.store.entries)
    assert {result.outcome for result in rig.store.results} == {CallbackOutcome.DELIVERED}
    assert all(pdu.short_message == b"short" for pdu in old.received)
    assert [tlv.find(pdu.tlvs, TlvTag.MESSAGE_PAYLOAD) for pdu in new.received if not pdu.short_message] == [text] * 4


async def test_an_esme_that_answers_nothing_in_time_is_sent_it_again() -> None:
    rig = Rig()
    rig.response_seconds = 0.05
    rig.put(blob(1))
    async with rig.running():
        esme = await rig.bind(answers=lambda esme, pdu: None if len(esme.received) == 1 else 0)
        await until(lambda: not rig.store.entries)
    assert len(esme.received) == 2 and rig.figures.timed_out == 1


async def test_a_role_that_another_process_holds_is_waited_for() -> None:
    rig = Rig()
    rig.store.session.is_free = False
    rig.put(blob(1))
    async with rig.running():
        esme = await rig.bind()
        await asyncio.sleep(0.01)
        assert not esme.received
        rig.store.session.is_free = True
        rig.bells[b"o:acme"]()
        await until(lambda: not rig.store.entries)


async def test_nothing_is_sent_past_the_deadline_of_the_lease() -> None:
    rig = Rig()
    rig.put(blob(1))
    rig.store.session.deadline = 0.0
    async with rig.running():
        esme = await rig.bind()
        await asyncio.sleep(0.01)
        assert not esme.received


async def test_a_lost_role_lets_go_and_is_taken_again() -> None:
    rig = Rig()
    async with rig.running():
        await rig.bind()
        await until(lambda: rig.leases.kept)
        [on_lost] = rig.leases.kept.values()
        rig.store.session.epoch = 0
        on_lost()
        await until(lambda: rig.store.session.epoch == 1)


async def test_an_esme_that_unbinds_still_has_its_answers_counted() -> None:
    rig = Rig()
    rig.put(blob(1))
    async with rig.running():
        esme = await rig.bind(answers=lambda esme, pdu: None)
        await until(lambda: esme.received)
        [connection] = rig.sessions.sessions("acme")
        rig.sessions.remove(connection)
        await asyncio.sleep(0.01)
        assert rig.store.session.epoch == 1
        esme.connection.session.answer_delivers([(esme.received[0].sequence_number, 0)])
        esme.connection.flush()
        await until(lambda: not rig.store.entries and rig.store.session.epoch == 0)


async def test_draining_waits_for_what_is_on_the_way() -> None:
    rig = Rig()
    rig.put(blob(1, 2))
    async with rig.running():
        esme = await rig.bind(answers=lambda esme, pdu: None)
        await until(lambda: len(esme.received) == 2)
        drained = asyncio.create_task(rig.outbox.drain())
        await asyncio.sleep(0.01)
        assert not drained.done()
        numbers = [(pdu.sequence_number, 0) for pdu in esme.received]
        esme.connection.session.answer_delivers(numbers)
        esme.connection.flush()
        await drained
    assert not rig.store.entries and rig.store.session.epoch == 0


async def test_storage_that_is_away_is_asked_again() -> None:
    rig = Rig()
    rig.store.unavailable = 1
    rig.put(blob(1))
    async with rig.running():
        await rig.bind()
        await until(lambda: not rig.store.entries)
