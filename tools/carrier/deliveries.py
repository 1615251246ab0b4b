"""Receipts and MOs on their way to the bound sessions of one system_id: kept while there is none, sent by the batch."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice

from protocols.smpp import tlv
from protocols.smpp.codec import DECODERS
from protocols.smpp.constants import CommandId, CommandStatus, TlvTag
from protocols.smpp.pdu import DataSm, DeliverSm
from smscd.transport.connection import SmppConnection
from tools.carrier.receipts import Delivery

TEMPORARY = frozenset(
    (
        CommandStatus.ESME_RSYSERR,
        CommandStatus.ESME_RMSGQFUL,
        CommandStatus.ESME_RTHROTTLED,
        CommandStatus.ESME_RX_T_APPN,
    )
)
"""The answers to a deliver_sm after which it is sent again."""


class Deliveries:
    """What one system_id is due, and the sessions that can take it.

    Up to waiting_max are kept; then the oldest are forgotten and counted in `forgotten`. window: how many deliver_sm
    of one session may be unanswered. as_data_sm: they go out as data_sm.
    """

    def __init__(self, window: int, waiting_max: int, *, is_recorded: bool = True, as_data_sm: bool = False) -> None:
        self.forgotten = 0
        self.sent = 0
        self.acknowledged = 0
        self.refused = 0
        self._window = window
        self._is_recorded = is_recorded
        self._as_data_sm = as_data_sm
        self._waiting: deque[Delivery] = deque(maxlen=waiting_max)
        self._receivers: deque[SmppConnection] = deque()

    @property
    def waiting_count(self) -> int:
        """How many wait for a session or for room in its window."""
        return len(self._waiting)

    @property
    def has_receiver(self) -> bool:
        """True while a session is bound that takes deliver_sm."""
        return bool(self._receivers)

    def add_receiver(self, connection: SmppConnection) -> None:
        """A session was bound as receiver or transceiver."""
        self._receivers.append(connection)

    def remove_receiver(self, connection: SmppConnection) -> None:
        """A session ended; what it was sent and did not answer comes back through return_unanswered."""
        if connection in self._receivers:
            self._receivers.remove(connection)

    def add(self, deliveries: Sequence[Delivery]) -> None:
        """Queue behind what waits already."""
        room = (self._waiting.maxlen or 0) - len(self._waiting)
        self.forgotten += max(0, len(deliveries) - room)
        self._waiting.extend(deliveries)

    def return_unanswered(self, deliveries: Sequence[Delivery]) -> None:
        """Queue before what waits, in the order in which they were sent."""
        room = (self._waiting.maxlen or 0) - len(self._waiting)
        self.forgotten += max(0, len(deliveries) - room)
        self._waiting.extendleft(reversed(deliveries[: room if room > 0 else 0]))

    def pump(self, now: float) -> tuple[list[SmppConnection], list[bytes]]:
        """Hand to the sessions, in turn, what their windows have room for.

        Returns the connections that must be flushed, and the lines for the record.
        """
        flushed: list[SmppConnection] = []
        lines: list[bytes] = []
        for _ in range(len(self._receivers)):
            if not self._waiting:
                break
            connection = self._receivers[0]
            self._receivers.rotate(-1)
            room = self._window - connection.session.pending_count
            if room <= 0 or not connection.is_writable:
                continue
            batch = list(islice(self._waiting, room))
            for _ in batch:
                self._waiting.popleft()
            if self._as_data_sm:
                connection.session.send_requests([(data_sm_of(item.body), item) for item in batch], now)
            else:
                connection.session.send_delivers([(item.body, item) for item in batch], now)
            self.sent += len(batch)
            flushed.append(connection)
            if self._is_recorded:
                lines += sent_lines(batch)
        return flushed, lines

    def answered(self, answers: Sequence[tuple[Delivery, int]]) -> tuple[list[Delivery], list[bytes]]:
        """Note the answers. Returns those that were refused for now and are due again, and the lines for the record."""
        bad = [answer for answer in answers if answer[1]]
        again = [item for item, status in bad if status in TEMPORARY]
        self.acknowledged += len(answers) - len(bad)
        self.refused += len(bad) - len(again)
        if not self._is_recorded:
            return again, []
        ms = int(time.time() * 1000)
        return again, [b"ack\t%d\t%b\t%b\t%d\n" % (ms, item.token, item.id or b"-", status) for item, status in answers]


def data_sm_of(body: bytes) -> DataSm:
    """The data_sm that says what a deliver_sm with this body says."""
    pdu: DeliverSm = DECODERS[CommandId.DELIVER_SM](body, 0, len(body), 0, 0)
    return DataSm(
        service_type=pdu.service_type,
        source_addr_ton=pdu.source_addr_ton,
        source_addr_npi=pdu.source_addr_npi,
        source_addr=pdu.source_addr,
        dest_addr_ton=pdu.dest_addr_ton,
        dest_addr_npi=pdu.dest_addr_npi,
        destination_addr=pdu.destination_addr,
        esm_class=pdu.esm_class,
        data_coding=pdu.data_coding,
        tlvs=tlv.encode([(TlvTag.MESSAGE_PAYLOAD, pdu.short_message)]) + pdu.tlvs,
    )


def sent_lines(batch: Iterable[Delivery]) -> list[bytes]:
    """The lines of a record for deliver_sm that are on their way."""
    ms = int(time.time() * 1000)
    return [
        b"receipt\t%d\t%b\t%b\t%b\n" % (ms, item.token, item.id, item.stat)
        if item.id
        else b"mo\t%d\t%b\n" % (ms, item.token)
        for item in batch
    ]
