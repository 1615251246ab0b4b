"""Cancels and replaces that race with the dispatcher: what was said yes to happened, and the money adds up."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path

import pytest

from protocols.smpp.codec import encode_body
from protocols.smpp.constants import CommandStatus
from protocols.smpp.events import BindAccepted, DeliversReceived, Event, RequestAnswers, SubmitAnswers
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import BindTransceiver, CancelSm, DeliverSm, ReplaceSm, Request, SubmitSm
from protocols.smpp.receipt import parse_receipt
from smscd.supervision.ready import SmppAddress
from smscd.transport.connection import Callbacks, SmppConnection
from smscd.transport.dial import connect
from tests.faults.rig import IS_FULL, Rig, running_rig, say
from tools.checker import read_records
from tools.record import RecordWriter

COUNT = 12_000 if IS_FULL else 3_000
SECONDS = 120.0
SLOW = "--latency=2"  # with the window of 1,000 slower than changes are decided, and yet some come too late
OK = 0


class Racer:
    """An ESME that asks to cancel every third message and to replace every other third as soon as it has their ids."""

    def __init__(self, record: RecordWriter) -> None:
        self.record = record
        self.bound = asyncio.Event()
        self.answered = 0
        self.receipts = 0
        self.asked: dict[tuple[str, int], bytes] = {}
        self.outcomes: dict[tuple[str, int], int] = {}
        self.connection: SmppConnection

    def note(self, kind: bytes, number: int, message_id: bytes, status: bytes) -> None:
        self.record.add([b"\t".join((kind, b"%d" % (time.time() * 1000), b"t%d" % number, message_id, status)) + b"\n"])

    def on_events(self, connection: SmppConnection, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, BindAccepted):
                self.bound.set()
            elif isinstance(event, SubmitAnswers):
                self.take_answers(event.answers)
            elif isinstance(event, RequestAnswers):
                for ref, response in event.answers:
                    assert isinstance(ref, tuple)
                    self.outcomes[ref] = response.command_status
            elif isinstance(event, DeliversReceived):
                for pdu in event.pdus:
                    self.take_receipt(pdu)
                connection.session.answer_delivers([(pdu.sequence_number, OK) for pdu in event.pdus])

    def take_answers(self, answers: list[tuple[object, int, bytes]]) -> None:
        requests: list[tuple[Request, object]] = []
        for ref, status, message_id in answers:
            assert isinstance(ref, int)
            self.note(b"answer", ref, message_id, b"%d" % status)
            self.answered += 1
            if status == OK and ref % 3 == 0:
                requests.append((CancelSm(message_id=message_id, source_addr=b"RACE"), ("cancel", ref)))
            elif status == OK and ref % 3 == 1:
                text = b"t%d replaced" % ref
                pdu = ReplaceSm(message_id=message_id, source_addr=b"RACE", registered_delivery=1, short_message=text)
                requests.append((pdu, ("replace", ref)))
        if requests:
            self.connection.session.send_requests(requests, self.connection.now)

    def take_receipt(self, pdu: DeliverSm) -> None:
        receipt = parse_receipt(pdu)
        assert receipt is not None
        self.receipts += 1
        number = int(receipt.text.split(b" ")[0].removeprefix(b"t"))
        self.note(b"receipt", number, receipt.message_id, receipt.stat)

    async def run(self, smpp: SmppAddress) -> None:
        self.connection = connection = await connect(
            smpp.host,
            smpp.port,
            config=SessionConfig(response_seconds=60.0),
            callbacks=Callbacks(lambda _: None, self.on_events, lambda *_: None),
        )
        bind = BindTransceiver(
            system_id=smpp.system_id.encode(), password=smpp.password.encode(), interface_version=0x34
        )
        connection.session.bind(bind, connection.now)
        connection.flush()
        async with asyncio.timeout(SECONDS):
            await self.bound.wait()
            for start in range(0, COUNT, 300):
                self.submit(range(start, min(start + 300, COUNT)))
                while self.answered < start + 200 or connection.session.pending_count > 600:
                    await asyncio.sleep(0.01)
            while self.answered < COUNT or len(self.outcomes) < COUNT * 2 // 3 or self.receipts < COUNT:
                await asyncio.sleep(0.02)
        connection.close()
        self.record.close()

    def submit(self, numbers: range) -> None:
        bodies: list[tuple[bytes, object]] = []
        for number in numbers:
            self.note(b"sent", number, b"-", b"-")
            pdu = SubmitSm(
                source_addr_ton=5, source_addr=b"RACE", dest_addr_ton=1, dest_addr_npi=1,
                destination_addr=b"44770%07d" % (number * 1000 + 100), registered_delivery=1,
                short_message=b"t%d original" % number,
            )  # fmt: skip
            bodies.append((encode_body(pdu), number))
        self.connection.session.send_submits(bodies, self.connection.now)
        self.connection.flush()


@pytest.mark.timeout(300)
def test_what_was_cancelled_never_left_and_what_was_replaced_left_as_it_was_meant(tmp_path: Path) -> None:
    with running_rig(tmp_path, SLOW) as rig:
        racer = Racer(RecordWriter(rig.client_record))
        asyncio.run(racer.run(rig.demo.ready.smpp))
        judgement = rig.settled()
        outcomes = Counter((kind, status) for (kind, _), status in racer.outcomes.items())
        say("changes", {"sent": COUNT}, judgement, outcomes={f"{k} {s}": n for (k, s), n in outcomes.items()})
        assert judgement.is_clean, judgement
        judge(rig, racer)


def judge(rig: Rig, racer: Racer) -> None:
    sent = Counter(line.token for line in read_records([rig.carrier.record]) if line.kind == b"submit")
    stats = {line.token: line.status for line in read_records([rig.client_record]) if line.kind == b"receipt"}
    late = {"cancel": CommandStatus.ESME_RCANCELFAIL, "replace": CommandStatus.ESME_RREPLACEFAIL}
    done: Counter[str] = Counter()
    for (kind, number), status in racer.outcomes.items():
        token = b"t%d" % number
        is_sent = sent[token] > 0
        assert status in (OK, late[kind]), (kind, number, status)
        done[kind] += status == OK
        if kind == "cancel":
            assert is_sent is (status != OK), (number, status)
            assert stats[token] == (b"DELETED" if status == OK else b"DELIVRD")
        else:
            assert is_sent and stats[token] == b"DELIVRD"
    assert len(racer.outcomes) == COUNT * 2 // 3
    assert all(0 < done[kind] < COUNT // 3 for kind in late), done
