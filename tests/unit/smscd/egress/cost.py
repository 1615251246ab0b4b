"""What egress costs a message, in CPU microseconds, without Redis and without the peers: `python -m` this module.

Sessions, parsing and encoding are the real ones; the stores answer at once. DESIGN section 3 has the budgets: dispatch
and submit_sm_resp 12, receipt in 14, receipt to the ESME 10.
"""

from __future__ import annotations

import asyncio
import gc
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from protocols.smpp import events as ev
from protocols.smpp.codec import encode, encode_body
from protocols.smpp.constants import CommandId
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import BindTransceiver, BindTransceiverResp, DeliverSm
from protocols.smpp.receipt import format_receipt, receipt_tlvs
from protocols.smpp.session import Session
from protocols.smpp.state import Role
from smscd.core.breaker import Breaker
from smscd.core.directory import Snapshot
from smscd.core.directory_index import DirectoryIndex
from smscd.core.records import ChangeRequest, HeldPart, ParkedReceipt, SentContext
from smscd.egress.dispatch.dispatcher import Dispatcher
from smscd.egress.dispatch.turn import sent_context
from smscd.egress.esme.delivering import Delivering
from smscd.egress.esme.delivers import DeliverEncoder
from smscd.egress.figures import UpstreamFigures
from smscd.egress.receipts.receipts import Receipts
from storage.redis.blobs import pack_array
from storage.redis.dispatch import QueueEntry, Turn, TurnReply
from storage.redis.receipts import Effect, Parked, ReceiptBatch
from tests.unit.smscd.egress import doubles
from tests.unit.smscd.egress.doubles import at_once
from tests.unit.smscd.egress.esme.test_delivering import callback

BATCH = 200
ROUNDS = 40
RUNS = 15
HEADER = struct.Struct(">IIII")


class IdleStore:
    """DispatchStore and ReceiptStore that keep nothing; reads give prepared blobs, one each time."""

    def __init__(self, blobs: list[bytes], context: SentContext | None = None) -> None:
        self.blobs = blobs
        self.context = context
        self.number = 0

    async def queues(self) -> list[str]:
        return [doubles.QUEUE]

    async def asks(self) -> list[ChangeRequest]:
        return []

    async def read(self, cursors: Mapping[str, str], count: int) -> list[QueueEntry]:
        if not self.blobs:
            return []
        self.number += 1
        return [QueueEntry(doubles.QUEUE, f"1-{self.number}", self.blobs.pop())]

    async def opens(self, entries: Sequence[QueueEntry]) -> list[dict[bytes, bytes]]:
        return [{} for _ in entries]

    async def promote(self, now_ms: int, limit: int = 500) -> int:
        return 0

    async def depth(self) -> int:
        return 0

    async def correlate(self, items: Sequence[Any], at_ms: int) -> list[tuple[int, list[ParkedReceipt]]]:
        return []

    async def turn(self, turn: Turn) -> TurnReply:
        return TurnReply(0, "", set(), [], [])

    async def match(self, items: Sequence[Any], now_ms: int | None = None) -> list[SentContext | None]:
        return [self.context] * len(items)

    async def find_parked(self, start: int, limit: int, now_ms: int) -> Parked:
        return Parked()

    async def last_marks(self) -> tuple[int, list[bytes]]:
        return 0, []

    async def held_parts(self) -> list[HeldPart]:
        return []

    async def apply(self, batch: ReceiptBatch) -> list[Effect]:
        return [Effect.FINAL] * len(batch.items)


class BoundLink(doubles.FakeLink):
    """A bind over a real session whose octets go nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.session = Session(Role.ESME, SessionConfig(window_size=BATCH, assumed_interface_version=0x34), 0.0)
        self.session.bind(BindTransceiver(), 0.0)
        self.session.data_to_send()
        self.session.receive_data(encode(BindTransceiverResp(sequence_number=1)), 0.0)
        self.next_number = 2
        self.connection = self

    @property
    def free(self) -> int:
        return BATCH - self.session.pending_count

    def send(self, items: Sequence[Any], now: float) -> None:
        self.session.send_submits(items, now)
        self.session.data_to_send()

    def answer(self, connection: Any, answers: Any, *, is_data: bool = False) -> None:  # type: ignore[override]
        self.session.answer_delivers(answers)
        self.session.data_to_send()

    def responses(self) -> bytes:
        """The answers to a batch, as they come over the wire."""
        first, self.next_number = self.next_number, self.next_number + BATCH
        parts = []
        for number in range(first, first + BATCH):
            body = b"%019d\0" % number
            parts.append(HEADER.pack(16 + len(body), CommandId.SUBMIT_SM_RESP, 0, number) + body)
        return b"".join(parts)


def per_message(rounds: int, work: Callable[[], Any]) -> float:
    """CPU microseconds a message over all rounds."""
    gc.collect()
    gc.freeze()
    before = time.process_time()
    for _ in range(rounds):
        work()
    seconds = time.process_time() - before
    gc.unfreeze()
    return seconds / rounds / BATCH * 1e6


async def dispatching() -> float:
    """From a queue's blob to submit_sm, and from submit_sm_resp to the turn."""
    texts = [b"x" * 60]
    blob = pack_array([doubles.encode(doubles.message(number, segments=texts)) for number in range(BATCH)])
    clock = doubles.Clock()
    link = BoundLink()
    dispatcher = Dispatcher(
        doubles.profile(window_size=BATCH),
        store=IdleStore([blob] * (ROUNDS + 2)),  # type: ignore[arg-type]  # the double
        session=doubles.FakeSession(),  # type: ignore[arg-type]  # the double
        senders=doubles.FakeSenders(link),  # type: ignore[arg-type]  # the double
        parked=doubles.FakeParkedSink(),
        figures=UpstreamFigures("carrier"),
        breaker=Breaker(),
        clock=clock.seconds,
        wall_ms=clock.wall_ms,
        chance=lambda: 0.0,
    )
    await dispatcher.cycle()
    responses = [link.responses() for _ in range(ROUNDS)]

    def turn() -> None:
        for event in link.session.receive_data(responses.pop(0), 1.0):
            if isinstance(event, ev.SubmitAnswers):
                dispatcher.answered(link, event.answers, 1000.01)  # type: ignore[arg-type]  # the double
        dispatcher.wake()
        run_through(dispatcher.cycle())

    cost = per_message(ROUNDS, turn)
    assert dispatcher.figures.tally.accepted == ROUNDS * BATCH, dispatcher.figures
    return cost


async def receiving() -> float:
    """From deliver_sm to what is applied, and its answer."""
    link = BoundLink()
    receipts = Receipts(
        doubles.profile(),
        store=IdleStore([], sent_context(doubles.message(1), 0)),  # type: ignore[arg-type]  # the double
        directory=lambda: DirectoryIndex(Snapshot()),
        ids=lambda now_ms, count: [],
        correlated=at_once,
        reported=lambda *receipt: None,
        hold_reading=lambda is_held: None,
        figures=UpstreamFigures("carrier"),
        clock=lambda: 0.0,
        wall_ms=lambda: doubles.NOW_MS,
    )
    octets = []
    for number in range(1, BATCH + 1):
        message_id = b"%019d" % number
        text = format_receipt(message_id, submit_ms=0, done_ms=0, stat=b"DELIVRD", text=b"x" * 20)
        pdu = DeliverSm(
            source_addr=b"491701234567", destination_addr=b"Sender", esm_class=4, short_message=text,
            tlvs=receipt_tlvs(message_id, 2),
        )  # fmt: skip
        body = encode_body(pdu)
        octets.append(HEADER.pack(16 + len(body), CommandId.DELIVER_SM, 0, number) + body)
    wire = b"".join(octets)

    def batch() -> None:
        for event in link.session.receive_data(wire, 1.0):
            if isinstance(event, ev.DeliversReceived):
                receipts.received(link, event.pdus)  # type: ignore[arg-type]  # the double
        run_through(receipts.work_off(receipts.next_batch()))

    return per_message(ROUNDS, batch)


async def delivering() -> float:
    """From an outbox entry to deliver_sm, and from deliver_sm_resp to what is settled."""
    server = Session(Role.SMSC, SessionConfig(window_size=BATCH), 0.0)
    server.receive_data(encode(BindTransceiver(sequence_number=1, interface_version=0x34)), 0.0)
    server.accept_bind(1, b"us", 0.0)
    blob = pack_array([doubles.encode(callback(doubles.FIRST_ID + number)) for number in range(BATCH)])
    work = Delivering("acme", lambda: 0.0)
    encoder = DeliverEncoder()
    answers = [
        b"".join(
            HEADER.pack(17, CommandId.DELIVER_SM_RESP, 0, number) + b"\0"
            for number in range(1 + at * BATCH, 1 + (at + 1) * BATCH)
        )
        for at in range(ROUNDS)
    ]

    def batch() -> None:
        work.add("1-0", blob, doubles.NOW_MS)
        items = [(encoder.body(delivery.record), delivery) for delivery in work.take(BATCH)]
        server.send_delivers(items, 1.0)
        server.data_to_send()
        for event in server.receive_data(answers.pop(0), 1.0):
            if isinstance(event, ev.DeliverAnswers):
                work.answered(event.answers, 1.0, doubles.NOW_MS)  # type: ignore[arg-type]  # our own refs
        work.finished.clear()
        work.results.clear()

    cost = per_message(ROUNDS, batch)
    assert work.delivered == ROUNDS * BATCH
    return cost


def run_through(coroutine: Any) -> None:
    """Run a coroutine that never has to wait."""
    try:
        while True:
            coroutine.send(None)
    except StopIteration:
        pass


async def main() -> None:
    """The best of several runs: what others do on the machine only ever adds."""
    for name, measure in (
        ("dispatch and submit_sm_resp", dispatching),
        ("receipt in", receiving),
        ("receipt to the ESME", delivering),
    ):
        costs = sorted([await measure() for _ in range(RUNS)])
        print(f"{name:30} {costs[0]:6.2f} us best, {costs[RUNS // 2]:6.2f} us median")


if __name__ == "__main__":
    asyncio.run(main())
