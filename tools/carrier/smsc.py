"""The simulated carrier's side of its sessions: takes binds and messages, answers, and sends the receipts when due."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from dataclasses import dataclass
from hmac import compare_digest
from typing import cast

from protocols.smpp.constants import CommandStatus
from protocols.smpp.events import (
    BindRequested,
    CancelsReceived,
    DataReceived,
    DeliverAnswers,
    Event,
    MultisReceived,
    QueriesReceived,
    ReplacesReceived,
    RequestAnswers,
    SubmitsReceived,
    TimedOut,
    UnbindRequested,
)
from protocols.smpp.pdu import BindTransmitter, SubmitSm
from smscd.core.pacing import TokenBucket
from smscd.transport.connection import SmppConnection
from tools import record
from tools.carrier.acceptance import Acceptance
from tools.carrier.deliveries import Deliveries
from tools.carrier.injection import write_octets
from tools.carrier.options import CarrierOptions
from tools.carrier.receipts import ID_FORMS, Accepted, Buckets, Delivery, ReceiptBuilder
from tools.carrier.taken import Answer, Taken
from tools.carrier.trouble import GARBAGE, Trouble

RESEND_SECONDS = 1.0
RECORD_FLUSH_SECONDS = 0.02
SYSTEM_ID_MAX = 15
RATE_BURST_SECONDS = 0.05


@dataclass(slots=True)
class Bound:
    """What the carrier keeps of a bound session. submits: how many submit_sm came over it."""

    system_id: bytes
    deliveries: Deliveries
    submits: int = 0


class Carrier:
    """All sessions of one carrier process. Its methods are the callbacks of the listener; the loop is the caller's."""

    def __init__(
        self, options: CarrierOptions, loop: asyncio.AbstractEventLoop, record_writer: record.RecordWriter | None = None
    ) -> None:
        self.options = options
        self.statuses: Counter[int] = Counter()
        self.dropped = 0
        self.binds = 0
        self.binds_refused = 0
        self.bound_most = 0
        self.is_away = False
        self._loop = loop
        self._record = record_writer
        self._acceptance = Acceptance(
            TokenBucket(options.rate, max(1.0, options.rate * RATE_BURST_SECONDS), loop.time()),
            int(time.time() * 1_000_000),
            ID_FORMS[options.response_ids],
            is_recorded=record_writer is not None,
        )
        self._builder = ReceiptBuilder(ID_FORMS[options.receipt_ids], with_tlvs=options.receipt_tlvs)
        self._deliveries: dict[bytes, Deliveries] = {}
        self._connections: set[SmppConnection] = set()
        self._late_answers: Buckets[tuple[SmppConnection, list[Answer]]] = Buckets()
        self._due_receipts: Buckets[tuple[Deliveries, list[Accepted]]] = Buckets()
        self._resends: Buckets[tuple[Deliveries, list[Delivery]]] = Buckets()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._record_timer: asyncio.TimerHandle | None = None
        self._closing: asyncio.Event | None = None
        self._flapping: asyncio.TimerHandle | None = None
        self.behave(options)

    # --- callbacks of the connections -------------------------------------------------------------------------------

    def on_open(self, connection: SmppConnection) -> None:
        """A peer connected."""
        if self.is_away:
            connection.abort()
            return
        self._connections.add(connection)
        connection.session.congestion_state = self.options.congestion_state

    def on_closed(self, connection: SmppConnection, reason: str) -> None:
        """The connection is gone: what it did not acknowledge is due to the next session of the same system_id."""
        self._connections.discard(connection)
        if self._closing is not None and not self._connections:
            self._closing.set()
        unanswered = connection.session.close(reason)
        bound = connection.context
        if isinstance(bound, Bound):
            bound.deliveries.remove_receiver(connection)
            bound.deliveries.return_unanswered(cast("list[Delivery]", unanswered))
            self._pump([bound.deliveries])

    def on_events(self, connection: SmppConnection, events: list[Event]) -> None:
        """Everything that one read or one timer of a session brought."""
        for event in events:
            match event:
                case SubmitsReceived(pdus):
                    self._take(connection, pdus)
                case DeliverAnswers(answers):
                    self._acknowledged(connection, cast("list[tuple[Delivery, int]]", answers))
                case RequestAnswers(answers):
                    taken = [(cast(Delivery, ref), response.command_status) for ref, response in answers]
                    self._acknowledged(connection, taken)
                case BindRequested():
                    self._bind(connection, event)
                case TimedOut(refs):
                    self._send_again(self._bound(connection).deliveries, cast("list[Delivery]", refs))
                case UnbindRequested():
                    connection.session.finish_unbind()
                case MultisReceived() | DataReceived() | QueriesReceived() | CancelsReceived() | ReplacesReceived():
                    connection.session.refuse(event.pdus, CommandStatus.ESME_RINVCMDID)
                case _:
                    pass
        self._arm()

    # --- binds ------------------------------------------------------------------------------------------------------

    def _bind(self, connection: SmppConnection, event: BindRequested) -> None:
        """Answer a bind; a receiver is given what waits for its system_id."""
        pdu, session = event.pdu, connection.session
        now = self._loop.time()
        if not pdu.system_id or len(pdu.system_id) > SYSTEM_ID_MAX:
            session.refuse_bind(pdu.sequence_number, CommandStatus.ESME_RINVSYSID)
            return
        if self.options.system_id is not None and pdu.system_id != self.options.system_id.encode():
            session.refuse_bind(pdu.sequence_number, CommandStatus.ESME_RINVSYSID)
            return
        if self.options.password is not None and not compare_digest(pdu.password, self.options.password.encode()):
            session.refuse_bind(pdu.sequence_number, CommandStatus.ESME_RINVPASWD)
            return
        options, bound = self.options, len(self.bound())
        if status := options.trouble.refusal(pdu, bound, takes_transceivers=options.takes_transceivers):
            self.binds_refused += 1
            session.refuse_bind(pdu.sequence_number, status)
            return
        self.bound_most = max(self.bound_most, bound + 1)
        session.accept_bind(pdu.sequence_number, b"carrier", now)
        deliveries = self.deliveries_of(pdu.system_id)
        connection.context = Bound(pdu.system_id, deliveries)
        self.binds += 1
        if not isinstance(pdu, BindTransmitter):
            deliveries.add_receiver(connection)
            self._pump([deliveries])

    def deliveries_of(self, system_id: bytes) -> Deliveries:
        """What a system_id is due; made when it is first asked for."""
        deliveries = self._deliveries.get(system_id)
        if deliveries is None:
            options = self.options
            deliveries = Deliveries(
                options.receipt_window,
                options.waiting_max,
                is_recorded=self._record is not None,
                as_data_sm=options.as_data_sm,
            )
            self._deliveries[system_id] = deliveries
        return deliveries

    @staticmethod
    def _bound(connection: SmppConnection) -> Bound:
        """The context of a session that is bound; sessions report messages in no other state."""
        return cast(Bound, connection.context)

    # --- messages ---------------------------------------------------------------------------------------------------

    def _take(self, connection: SmppConnection, pdus: list[SubmitSm]) -> None:
        """Decide on every submit_sm of a read, answer those that are answered now, and note the receipts due."""
        now, seconds = self._loop.time(), time.time()
        trouble, bound = self.options.trouble, self._bound(connection)
        bound.submits += len(pdus)
        if trouble.hangs_up(bound.submits):
            self._hang_up(connection, pdus, seconds, trouble)
            return
        taken = self._acceptance.take(pdus, now, seconds, trouble.behaviour)
        self._keep(taken.lines)
        self._answer(connection, taken, now)
        if taken.drops:
            self.dropped += 1
            connection.close()

    def _hang_up(self, connection: SmppConnection, pdus: list[SubmitSm], seconds: float, trouble: Trouble) -> None:
        """Cut the connection off, these and what else is in its window unanswered."""
        self._keep(self._acceptance.dropped(pdus, seconds).lines)
        self.dropped += 1
        if trouble.garbage:
            write_octets(connection, GARBAGE)
            connection.close()
        else:
            connection.abort()

    def _answer(self, connection: SmppConnection, taken: Taken, now: float) -> None:
        """Send or schedule the answers and receipts of a read. Receipts of `at_once` are on the wire before answers."""
        deliveries = self._bound(connection).deliveries
        options = self.options
        if taken.at_once:
            deliveries.add(self._builder.build(taken.at_once, time.time()))
            self._pump([deliveries])
        for later, answers in options.trouble.in_parts(taken.answers):
            if seconds := options.latency_seconds + later:
                self._late_answers.add(now + seconds, [(connection, answers)])
            else:
                self._send_answers(connection, answers)
        if not taken.later:
            return
        delay = options.latency_seconds + options.receipt_delay_seconds
        if delay:
            self._due_receipts.add(now + delay, [(deliveries, taken.later)])
        else:
            deliveries.add(self._builder.build(taken.later, time.time()))
            self._pump([deliveries])

    def _send_answers(self, connection: SmppConnection, answers: list[Answer]) -> None:
        """Queue answers on the session; the caller flushes."""
        self.statuses.update([status for _, status, _ in answers])
        connection.session.answer_submits(answers)

    # --- receipts and MOs -------------------------------------------------------------------------------------------

    def deliver(self, system_id: bytes, deliveries: list[Delivery]) -> None:
        """Send something to the sessions of a system_id, or keep it until there is one (the control interface)."""
        queue = self.deliveries_of(system_id)
        queue.add(deliveries)
        self._pump([queue])

    def _acknowledged(self, connection: SmppConnection, answers: list[tuple[Delivery, int]]) -> None:
        deliveries = self._bound(connection).deliveries
        again, lines = deliveries.answered(answers)
        self._keep(lines)
        if again:
            self._send_again(deliveries, again)
        self._pump([deliveries])

    def _send_again(self, deliveries: Deliveries, items: list[Delivery]) -> None:
        """Deliveries that were refused for now, or not answered in time: once more, a second later."""
        self._resends.add(self._loop.time() + RESEND_SECONDS, [(deliveries, items)])
        self._arm()

    def _pump(self, queues: list[Deliveries]) -> None:
        """Fill the windows of the receivers, one write for each connection."""
        now = self._loop.time()
        for queue in queues:
            flushed, lines = queue.pump(now)
            for connection in flushed:
                connection.flush()
            self._keep(lines)

    # --- time -------------------------------------------------------------------------------------------------------

    def go_away(self, is_away: bool) -> None:
        """Cut every connection off and take none until this is called with False."""
        self.is_away = is_away
        if is_away:
            for connection in list(self._connections):
                connection.abort()

    def behave(self, options: CarrierOptions) -> None:
        """Be like this from now on; ids of messages, forms of receipts and the rate stay what they were."""
        self.options = options
        if self._flapping is not None:
            self._flapping.cancel()
            self._flapping = None
        if options.trouble.flap_seconds:
            self._flapping = self._loop.call_later(options.trouble.flap_seconds, self._flap)

    def _flap(self) -> None:
        """There, away, and there again."""
        self.go_away(not self.is_away)
        self._flapping = self._loop.call_later(self.options.trouble.flap_seconds, self._flap)

    def _arm(self) -> None:
        """One timer for everything that is due later. (uvloop's handle of a moment that has passed knows no when().)"""
        dues = [self._late_answers.next_due(), self._due_receipts.next_due(), self._resends.next_due()]
        next_due = min((due for due in dues if due is not None), default=None)
        if next_due is None or (self._timer is not None and self._timer_at <= next_due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = next_due
        self._timer = self._loop.call_at(next_due, self._on_timer)

    def _on_timer(self) -> None:
        """Send everything that is due: answers first, then receipts."""
        self._timer = None
        now = self._loop.time()
        for connection, answers in self._late_answers.take_due(now):
            if connection in self._connections:
                self._send_answers(connection, answers)
                connection.flush()
        queues: dict[int, Deliveries] = {}
        for queue, accepted in self._due_receipts.take_due(now):
            queue.add(self._builder.build(accepted, time.time()))
            queues[id(queue)] = queue
        for queue, items in self._resends.take_due(now):
            queue.add(items)
            queues[id(queue)] = queue
        self._pump(list(queues.values()))
        self._arm()

    # --- record, figures, end ---------------------------------------------------------------------------------------

    def _keep(self, lines: list[bytes] | None) -> None:
        """Add lines to the record, which is written every few milliseconds."""
        if not lines or self._record is None:
            return
        self._record.add(lines)
        if self._record_timer is None:
            self._record_timer = self._loop.call_later(RECORD_FLUSH_SECONDS, self._flush_record)

    def _flush_record(self) -> None:
        self._record_timer = None
        if self._record is not None:
            self._record.flush()

    def receiving_system_id(self) -> bytes | None:
        """A system_id that a receiver is bound with; None when there is none."""
        return next((name for name, queue in self._deliveries.items() if queue.has_receiver), None)

    def bound(self, system_id: bytes | None = None) -> list[SmppConnection]:
        """The bound sessions, of one system_id or of everybody."""
        return [
            connection
            for connection in self._connections
            if connection.session.state.is_bound and system_id in (None, self._bound(connection).system_id)
        ]

    def stats(self) -> dict[str, object]:
        """What happened so far: GET /stats of the control interface."""
        queues = self._deliveries.values()
        names = {status: _status_name(status) for status in self.statuses}
        return {
            "sessions": len(self._connections),
            "bound": len(self.bound()),
            "bound_most": self.bound_most,
            "binds": self.binds,
            "binds_refused": self.binds_refused,
            "answers": {names[status]: count for status, count in sorted(self.statuses.items())},
            "silent": self._acceptance.silent,
            "dropped_connections": self.dropped,
            "deliveries": {
                "sent": sum(queue.sent for queue in queues),
                "acknowledged": sum(queue.acknowledged for queue in queues),
                "refused": sum(queue.refused for queue in queues),
                "waiting": sum(queue.waiting_count for queue in queues) + self._due_receipts.count,
                "forgotten": sum(queue.forgotten for queue in queues),
            },
        }

    async def close(self, timeout_seconds: float) -> None:
        """Unbind every session, wait for their ends at most timeout_seconds, and write the record."""
        now = self._loop.time()
        for connection in list(self._connections):
            if connection.session.state.is_bound:
                connection.session.unbind(now)
                connection.flush()
            else:
                connection.close()
        self._closing = asyncio.Event()
        if self._connections:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), timeout_seconds)
        for timer in (self._timer, self._record_timer, self._flapping):
            if timer is not None:
                timer.cancel()
        self._flush_record()


def _status_name(status: int) -> str:
    try:
        return CommandStatus(status).name
    except ValueError:
        return f"0x{status:08x}"
