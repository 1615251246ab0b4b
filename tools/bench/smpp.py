"""`smscd bench smpp`: N ESME connections that keep their windows full, and time every answer and every receipt."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from protocols.smpp.codec import encode_body
from protocols.smpp.constants import ESM_TYPE_MASK, EsmClass, InterfaceVersion, Npi, Ton
from protocols.smpp.events import (
    BindAccepted,
    BindRefused,
    DeliversReceived,
    Event,
    SubmitAnswers,
    TimedOut,
    UnbindRequested,
)
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import BindTransceiver, DeliverSm, SubmitSm
from protocols.smpp.receipt import parse_receipt
from smscd.core.pacing import TokenBucket
from smscd.transport.connection import Callbacks, SmppConnection
from smscd.transport.dial import connect
from tools.bench.tally import SmppReport, Tally
from tools.bench.workload import DESTINATION_PREFIX, DESTINATIONS, destinations, new_run, text_tail, token_at
from tools.record import RecordWriter, token_of

TICK_SECONDS = 0.005
RECONNECT_SECONDS = 0.2
PACE_BURST = 50
KEY_TLV = 0x1500


class BenchError(Exception):
    """The run cannot go on: the peer refuses the bind, or is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmppOptions:
    """What to send and where.

    rate: messages a second over all connections; 0 keeps every window full.
    waits_for_receipts: False ends the run when everything is answered, though receipts are asked for.
    with_keys: each message carries its token as the idempotency key, in TLV 0x1500.
    reconnects: a lost connection is made again; with keys, what was unanswered on it is sent again.
    patience_seconds: how long nothing may happen before what is missing counts as lost.
    prefixes: what the destinations begin with, in turn.
    linger_seconds: how long to stay bound, once all is complete, after the last thing that came in.
    """

    host: str
    port: int
    system_id: str
    password: str
    count: int = 10_000
    connections: int = 1
    window: int = 100
    rate: float = 0.0
    text_length: int = 60
    sender: str = "BENCH"
    prefixes: tuple[str, ...] = (DESTINATION_PREFIX,)
    registered_delivery: int = 1
    waits_for_receipts: bool = True
    with_keys: bool = False
    reconnects: bool = False
    run: str = field(default_factory=new_run)
    record: Path | None = None
    patience_seconds: float = 10.0
    linger_seconds: float = 0.0
    timeout_seconds: float = 600.0


class SmppRun:
    """One run. All work happens in the callbacks of the connections and one ticker: nothing is made per message."""

    def __init__(self, options: SmppOptions, loop: asyncio.AbstractEventLoop) -> None:
        self.options = options
        self.tally = Tally(
            options.count, expects_receipts=bool(options.registered_delivery and options.waits_for_receipts)
        )
        self._loop = loop
        self._finished = asyncio.Event()
        self._error: BenchError | None = None
        self._next = 0
        self._again: deque[int] = deque()
        self._bound: list[SmppConnection] = []
        self._dialling: set[asyncio.Task[None]] = set()
        self._pace = TokenBucket(options.rate, PACE_BURST, loop.time())
        self._progress_at = time.monotonic()
        self._record = RecordWriter(options.record) if options.record else None
        self._heads, self._tail, self._keyed = body_template(options)

    async def run(self) -> SmppReport:
        """Bind, send everything, wait for what is due, unbind."""
        cpu_started = time.process_time()
        ticker: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(self.options.timeout_seconds):
                for _ in range(self.options.connections):
                    await self._dial()
                ticker = self._loop.create_task(self._tick())
                await self._finished.wait()
        except TimeoutError:
            pass
        except OSError as error:
            raise BenchError(f"{self.options.host}:{self.options.port}: {error}") from error
        finally:
            self._finished.set()
            for task in (*self._dialling, *((ticker,) if ticker else ())):
                task.cancel()
            for connection in list(self._bound):
                self._unbind(connection)
            if self._record:
                self._record.close()
        if self._error:
            raise self._error
        return self.tally.report(self.options.run, time.process_time() - cpu_started)

    async def _dial(self) -> None:
        config = SessionConfig(
            window_size=10_000,
            assumed_interface_version=InterfaceVersion.V3_4,
            response_seconds=max(30.0, self.options.patience_seconds),
        )
        await connect(
            self.options.host,
            self.options.port,
            config=config,
            callbacks=Callbacks(self._on_open, self._on_events, self._on_closed),
        )

    def _on_open(self, connection: SmppConnection) -> None:
        pdu = BindTransceiver(
            system_id=self.options.system_id.encode(),
            password=self.options.password.encode(),
            interface_version=InterfaceVersion.V3_4,
        )
        connection.session.bind(pdu, self._loop.time())

    # --- what comes in ----------------------------------------------------------------------------------------------

    def _on_events(self, connection: SmppConnection, events: list[Event]) -> None:
        for event in events:
            match event:
                case SubmitAnswers(answers):
                    self._answered(cast("list[tuple[int, int, bytes]]", answers))
                    self._fill(connection)
                case DeliversReceived(pdus):
                    connection.session.answer_delivers([(pdu.sequence_number, 0) for pdu in pdus])
                    self._delivered(pdus)
                case BindAccepted():
                    self._bound.append(connection)
                    self._fill(connection)
                case BindRefused(command_status):
                    self._fail(f"the bind was refused with command_status 0x{command_status:08x}")
                case TimedOut(refs):
                    self.tally.unanswered(cast("list[int]", refs))
                case UnbindRequested():
                    connection.session.finish_unbind()
                case _:
                    pass
        if self.tally.is_complete and not self.options.linger_seconds:
            self._finished.set()

    def _answered(self, answers: list[tuple[int, int, bytes]]) -> None:
        self._progress_at = now = time.monotonic()
        self.tally.answered(answers, now)
        if self._record:
            run, ms = self.options.run, int(time.time() * 1000)
            self._record.add(
                [
                    b"answer\t%d\t%b\t%b\t%d\n" % (ms, token_at(run, index).encode(), message_id or b"-", status)
                    for index, status, message_id in answers
                ]
            )

    def _delivered(self, pdus: list[DeliverSm]) -> None:
        """Receipts and MOs of one read, already acknowledged."""
        self._progress_at = now = time.monotonic()
        receipts: list[tuple[bytes, bytes]] = []
        inbound: list[DeliverSm] = []
        for pdu in pdus:
            receipt = receipt_of(pdu)
            if receipt is not None:
                receipts.append(receipt)
            else:
                inbound.append(pdu)
        self.tally.receipted_by(receipts, now)
        self.tally.inbound += len(inbound)
        if self._record:
            ms = int(time.time() * 1000)
            self._record.add([b"receipt\t%d\t-\t%b\t%b\n" % (ms, id, stat) for id, stat in receipts])
            tokens = [token_of(pdu.short_message, pdu.esm_class, pdu.data_coding) for pdu in inbound]
            self._record.add([b"mo\t%d\t%b\n" % (ms, token) for token in tokens])

    # --- what goes out ----------------------------------------------------------------------------------------------

    def _fill(self, connection: SmppConnection) -> None:
        """Fill the window of one connection, as far as messages and pace allow. The caller flushes."""
        room = self.options.window - connection.session.pending_count
        left = self.options.count - self._next + len(self._again)
        if min(room, left) <= 0 or not connection.session.can_submit:
            return
        now = self._loop.time()
        granted = self._pace.take(min(room, left), now)
        if not granted:
            return
        indexes = [self._again.popleft() for _ in range(min(granted, len(self._again)))]
        fresh = range(self._next, self._next + granted - len(indexes))
        self._next = fresh.stop
        indexes += fresh
        tokens = [token_at(self.options.run, index).encode() for index in indexes]
        heads, tail = self._heads, self._tail
        pairs = zip(indexes, tokens, strict=True)
        if self._keyed:
            items = [(heads[index % len(heads)] + token + tail + token + b"\0", index) for index, token in pairs]
        else:
            items = [(heads[index % len(heads)] + token + tail, index) for index, token in pairs]
        if self._record:
            ms = int(time.time() * 1000)
            self._record.add([b"sent\t%d\t%b\n" % (ms, token) for token in tokens])
        self.tally.sent(indexes, time.monotonic())
        connection.session.send_submits(items, now)

    async def _tick(self) -> None:
        """Release what the pace allows, write the record, and end a run in which nothing happens any more."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            if self.options.rate or self._again:
                for connection in list(self._bound):
                    self._fill(connection)
                    connection.flush()
            if self._record:
                self._record.flush()
            idle = time.monotonic() - self._progress_at
            if idle > (self.options.linger_seconds if self.tally.is_complete else self.options.patience_seconds):
                self._finished.set()

    # --- the end of a connection, and of the run --------------------------------------------------------------------

    def _on_closed(self, connection: SmppConnection, reason: str) -> None:
        unanswered = cast("list[int]", connection.session.close(reason))
        if connection in self._bound:
            self._bound.remove(connection)
        self.tally.unanswered(unanswered)
        if self._finished.is_set():
            return
        if not self.options.reconnects:
            if not self._bound:
                self._finished.set()
            return
        if self.options.with_keys:
            self.tally.send_again(unanswered)
            self._again.extend(unanswered)
        task = self._loop.create_task(self._redial())
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)

    async def _redial(self) -> None:
        """Make a lost connection again until the run is over; a refused connection is no progress."""
        while not self._finished.is_set():
            await asyncio.sleep(RECONNECT_SECONDS)
            try:
                await self._dial()
            except OSError:
                continue
            return

    def _unbind(self, connection: SmppConnection) -> None:
        if connection.session.state.is_bound:
            connection.session.unbind(self._loop.time())
            connection.flush()
        connection.close()

    def _fail(self, reason: str) -> None:
        if not self.options.reconnects:
            self._error = BenchError(reason)
            self._finished.set()


def body_template(options: SmppOptions) -> tuple[list[bytes], bytes, bool]:
    """The submit_sm bodies of a run in parts: one head for each destination (up to the token), the tail after it, and
    whether the token follows once more as the value of the idempotency TLV."""
    mark = b"\xff" * len(token_at(options.run, 0))
    text = mark + text_tail(options.run, options.text_length).encode()
    heads: list[bytes] = []
    tail = b""
    for destination in destinations(DESTINATIONS, options.prefixes):
        pdu = SubmitSm(
            source_addr_ton=Ton.INTERNATIONAL if options.sender.isdigit() else Ton.ALPHANUMERIC,
            source_addr_npi=Npi.E164 if options.sender.isdigit() else Npi.UNKNOWN,
            source_addr=options.sender.encode(),
            dest_addr_ton=Ton.INTERNATIONAL,
            dest_addr_npi=Npi.E164,
            destination_addr=destination.encode(),
            registered_delivery=options.registered_delivery,
            short_message=text,
        )
        head, _, tail = encode_body(pdu).partition(mark)
        heads.append(head)
    if options.with_keys:
        tail += KEY_TLV.to_bytes(2, "big") + (len(mark) + 1).to_bytes(2, "big")
    return heads, tail, options.with_keys


def receipt_of(pdu: DeliverSm) -> tuple[bytes, bytes] | None:
    """(id, stat) when a deliver_sm is a receipt. The usual form is cut out; any other is parsed."""
    if pdu.esm_class & ESM_TYPE_MASK != EsmClass.DELIVERY_RECEIPT:
        return None
    text = pdu.short_message
    stat = text.find(b" stat:")
    if text.startswith(b"id:") and stat > 0:
        return text[3 : text.index(b" ")], text[stat + 6 : stat + 13]
    receipt = parse_receipt(pdu)
    return (receipt.message_id, receipt.stat) if receipt else None


async def run_smpp(options: SmppOptions) -> SmppReport:
    """Run the SMPP load generator in the running loop. Raises BenchError."""
    return await SmppRun(options, asyncio.get_running_loop()).run()
