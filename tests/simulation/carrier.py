"""A carrier of the simulation: real SMPP sessions, moods by seed, and a record of its own of all that reached it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from protocols.gsm.udh import parse
from protocols.smpp import events as ev
from protocols.smpp.codec import encode_body
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import BindTransmitter, DeliverSm, SubmitSm
from protocols.smpp.receipt import format_receipt
from protocols.smpp.state import Role
from smscd.transport.connection import Callbacks, SmppConnection
from tests.simulation.loop import VirtualLoop
from tests.simulation.network import Network, Wire

Segment = tuple[bytes, int]
"""A destination, which only one message has, and the number of a segment from 0."""

GOOD = "good"
MOODS = (
    GOOD, GOOD, "temporary", "permanent", "throttling", "slow", "silent", "shuffled", "receipt first",
    "receipts doubled", "receipts late", "other ids", "response dropped", "closes", "unbinds", "refuses auth",
    "refuses binds", "half open", "garbage", "down", "undelivered", "mixed", "mixed", "mixed",
)  # fmt: skip
PER_MESSAGE = (
    GOOD, "temporary", "permanent", "throttling", "slow", "silent", "shuffled", "receipt first", "receipts doubled",
    "response dropped", "undelivered",
)  # fmt: skip
STATUSES = {"temporary": (0x08, 0x64, 0x04), "permanent": (0x0B, 0x45, 0x401), "throttling": (0x58, 0x14)}


@dataclass(slots=True)
class Arrived:
    """One submit_sm. sent_at: when the gateway wrote it. wire: over which. status: what was said, None: nothing yet."""

    segment: Segment
    sent_at: float
    wire: Wire
    status: int | None = None
    is_answered: bool = False


@dataclass(slots=True)
class Told:
    """One receipt that is due, until somebody acknowledges it."""

    segment: Segment
    message_id: bytes
    stat: bytes
    pdu: DeliverSm
    is_out: bool = False


@dataclass(slots=True)
class Carrier:
    """The record: arrived, in order; taken: how often a segment was accepted, whether or not the answer got through.

    due: receipts that are still to be sent and acknowledged.
    acknowledged: told of each receipt that the gateway has answered with ESME_ROK. arrived_at: told of each submit_sm.
    """

    name: str
    loop: VirtualLoop
    network: Network
    chance: Random
    now_ms: Callable[[], int]
    password: bytes
    acknowledged: Callable[[Carrier, Told], None]
    arrived_at: Callable[[Carrier, Arrived], None]
    mood: str = GOOD
    arrived: list[Arrived] = field(default_factory=list)
    taken: Counter[Segment] = field(default_factory=Counter)
    stats: dict[Segment, set[bytes]] = field(default_factory=dict)
    waiting: list[Told] = field(default_factory=list)
    bound: dict[SmppConnection, Wire] = field(default_factory=dict)
    delay_max: float = 3.0
    due: int = 0
    _next_id: int = 0
    _connections: dict[SmppConnection, Wire] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._next_id = 3_000_000_000 + self.chance.randrange(1000)
        self.network.listen(self.name, self._make, None)

    def become(self, mood: str) -> None:
        """Another mood, which may begin with something that is done at once."""
        self.mood = mood
        self.network.closed.discard(self.name)
        if mood in ("down", "closes"):
            for connection in list(self._connections):
                connection.abort()
        if mood == "down":
            self.network.closed.add(self.name)
        elif mood == "half open":
            for wire in self._connections.values():
                wire.is_silent = True
        elif mood == "unbinds":
            for connection in list(self.bound):
                if connection.session.state.is_bound:
                    connection.session.unbind(self.loop.now)
                    connection.flush()
        elif mood == "garbage":
            for connection, wire in list(self._connections.items()):
                self._garble(connection, wire)

    def heal(self) -> None:
        """All is well from now on; what is half open is found out."""
        self.become(GOOD)
        for wire in list(self._connections.values()):
            if wire.is_silent:
                wire.cut()

    # --- sessions ---------------------------------------------------------------------------------------------------

    def _make(self) -> SmppConnection:
        callbacks = Callbacks(self._on_open, self._on_events, self._on_closed)
        config = SessionConfig(response_seconds=6.0, enquire_link_seconds=20.0, window_size=1000)
        return SmppConnection(Role.SMSC, config, callbacks, self.loop)

    def _on_open(self, connection: SmppConnection) -> None:
        self._connections[connection] = connection._transport.wire  # type: ignore[union-attr]  # ours

    def _on_closed(self, connection: SmppConnection, reason: str) -> None:
        self._connections.pop(connection, None)
        self.bound.pop(connection, None)
        for ref in connection.session.close(reason):
            ref.is_out = False  # type: ignore[attr-defined]  # a Told
        self.pump()

    def _on_events(self, connection: SmppConnection, events: list[ev.Event]) -> None:
        session = connection.session
        for event in events:
            match event:
                case ev.BindRequested():
                    self._bind(connection, event)
                case ev.SubmitsReceived():
                    self._submits(connection, event.pdus)
                case ev.DeliverAnswers():
                    for ref, status in event.answers:
                        self._answered(ref, status)  # type: ignore[arg-type]  # a Told
                case ev.TimedOut():
                    for ref in event.refs:
                        ref.is_out = False  # type: ignore[attr-defined]  # a Told
                case ev.UnbindRequested():
                    self.bound.pop(connection, None)
                    session.finish_unbind()
                case ev.UnbindAnswered():
                    connection.close()
                case _:
                    pass
        self.pump()

    def _bind(self, connection: SmppConnection, event: ev.BindRequested) -> None:
        number = event.pdu.sequence_number
        status = 0
        if self.mood == "refuses auth" or event.pdu.password != self.password:
            status = 0x0E
        elif self.mood == "refuses binds":
            status = self.chance.choice((0x0D, 0x05, 0x08))
        if status:
            connection.session.refuse_bind(number, status)
            return
        connection.session.accept_bind(number, b"carrier", self.loop.now)
        connection.context = isinstance(event.pdu, BindTransmitter)
        self.bound[connection] = self._connections[connection]

    def _garble(self, connection: SmppConnection, wire: Wire) -> None:
        noise = bytes(self.chance.randrange(256) for _ in range(40))
        if self.chance.random() < 0.5:  # a PDU that nobody knows, well framed
            noise = b"\0\0\0\x10\0\x02\x01\x03\0\0\0\0" + noise[:4]
        wire.far.write(noise)

    # --- messages ---------------------------------------------------------------------------------------------------

    def _submits(self, connection: SmppConnection, pdus: list[SubmitSm]) -> None:
        wire = self._connections[connection]
        for pdu in pdus:
            arrived = Arrived(segment_of(pdu), wire.far.sent_at, wire)
            self.arrived.append(arrived)
            self.arrived_at(self, arrived)
            mood = self.mood if self.mood != "mixed" else self.chance.choice(PER_MESSAGE)
            self._decide(connection, pdu, arrived, mood)
            if self.mood in ("closes", "garbage", "unbinds") and self.chance.random() < 0.15:
                if self.mood == "garbage":
                    self._garble(connection, wire)
                else:
                    self.loop.call_later(0.001, self._close, connection)

    def _close(self, connection: SmppConnection) -> None:
        if self.mood == "unbinds" and connection.session.state.is_bound:
            connection.session.unbind(self.loop.now)
            connection.flush()
        else:
            connection.abort()

    def _decide(self, connection: SmppConnection, pdu: SubmitSm, arrived: Arrived, mood: str) -> None:
        chance = self.chance
        delay = chance.uniform(0.0, 0.05)
        if mood in STATUSES and chance.random() < 0.8:
            status = chance.choice(STATUSES[mood])
            self.loop.call_later(delay, self._answer, connection, pdu, arrived, status, b"")
            return
        if mood == "silent":
            return
        if mood == "slow":
            delay = chance.uniform(0.5, 7.0)
        elif mood == "shuffled":
            delay = chance.uniform(0.0, 1.5)
        number = self._next_id
        self._next_id += 1
        self.taken[arrived.segment] += 1
        message_id = b"%d" % number
        if mood != "response dropped":
            self.loop.call_later(delay, self._answer, connection, pdu, arrived, 0, message_id)
        else:
            arrived.status = 0
        if not pdu.registered_delivery:
            return
        stat = chance.choice((b"UNDELIV", b"EXPIRED", b"REJECTD")) if mood == "undelivered" else b"DELIVRD"
        if chance.random() < 0.1:
            stat = b"UNDELIV"
        self.stats.setdefault(arrived.segment, set()).add(stat)
        known = b"%X" % number if self.mood == "other ids" else message_id
        wait = delay + chance.uniform(0.0, self.delay_max)
        if mood == "receipt first":
            wait = 0.0
        elif self.mood == "receipts late":
            wait = delay + chance.uniform(5.0, 12.0 * self.delay_max)
        for _ in range(2 if mood == "receipts doubled" else 1):
            self.due += 1
            self.loop.call_later(
                wait, self._report, Told(arrived.segment, known, stat, self._receipt(pdu, known, stat))
            )
            wait += chance.choice((0.0, 0.5, 5.0))

    def _answer(self, connection: SmppConnection, pdu: SubmitSm, arrived: Arrived, status: int, id: bytes) -> None:
        arrived.status = status
        if connection.is_open and connection.session.state.is_bound:
            arrived.is_answered = True
            connection.session.answer_submits([(pdu.sequence_number, status, id)])
            connection.flush()

    # --- receipts ---------------------------------------------------------------------------------------------------

    def _receipt(self, pdu: SubmitSm, id: bytes, stat: bytes) -> DeliverSm:
        at = self.now_ms()
        return DeliverSm(
            source_addr=pdu.destination_addr,
            destination_addr=pdu.source_addr,
            esm_class=4,
            short_message=format_receipt(id, submit_ms=at, done_ms=at, stat=stat),
        )

    def _report(self, told: Told) -> None:
        self.waiting.append(told)
        self.pump()

    def pump(self) -> None:
        """Send what waits over the binds that take it."""
        able = [each for each in self.bound if each.is_open and each.session.can_deliver and not each.context]
        if not able or self.mood == "silent":
            return
        for told in self.waiting:
            if not told.is_out:
                told.is_out = True
                connection = self.chance.choice(able)
                connection.session.send_delivers([(encode_body(told.pdu), told)], self.loop.now)
                connection.flush()

    def _answered(self, told: Told, status: int) -> None:
        if status:
            told.is_out = False
        elif told in self.waiting:
            self.due -= 1
            self.waiting.remove(told)
            self.acknowledged(self, told)


def segment_of(pdu: SubmitSm) -> Segment:
    """Which segment this is."""
    if not pdu.esm_class & 0x40:
        return pdu.destination_addr, 0
    for element, data in parse(pdu.short_message).elements:
        if element == 0:
            return pdu.destination_addr, data[2] - 1
    raise AssertionError(f"no concatenation in {pdu!r}")


def unanswered(carrier: Carrier, wire: Wire, since: float) -> int:
    """Submits of a wire that were written after this moment and that the carrier has not answered."""
    return sum(each.wire is wire and not each.is_answered and each.sent_at > since for each in carrier.arrived[-400:])
