"""A customer of the simulation: sends, asks again with the same request key, and keeps what it was told."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from protocols.smpp import events as ev
from protocols.smpp import tlv
from protocols.smpp.codec import encode_body
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import BindTransceiver, SubmitSm
from protocols.smpp.receipt import parse_receipt
from smscd.transport.connection import Callbacks, SmppConnection
from smscd.transport.dial import connect
from tests.simulation.loop import VirtualLoop


@dataclass(slots=True)
class Wish:
    """One message that the customer wants sent; dest is its own alone. ids: what yes was said with. refusals: no."""

    dest: bytes
    body: bytes
    key: bytes
    ids: set[int] = field(default_factory=set)
    refusals: int = 0
    unknown: int = 0
    sent: int = 0


@dataclass(slots=True)
class Esme:
    """yes: told of each ESME_ROK at once. told: (time, stat) of each receipt that it took, by message id."""

    account: str
    loop: VirtualLoop
    chance: Random
    where: Callable[[], str | None]
    yes: Callable[[Wish, int], None]
    mood: str = "good"
    wishes: list[Wish] = field(default_factory=list)
    told: dict[int, list[tuple[float, bytes]]] = field(default_factory=dict)
    deliveries: Counter[int] = field(default_factory=Counter)
    disturbed: list[float] = field(default_factory=list)
    connection: SmppConnection | None = None
    is_bound: bool = False

    def start(self) -> None:
        self.loop.create_task(self._keep_bound())

    async def _keep_bound(self) -> None:
        while True:
            await asyncio.sleep(self.chance.uniform(0.1, 0.6))
            name = self.where()
            if self.connection is not None or name is None or self.mood == "away":
                continue
            callbacks = Callbacks(lambda connection: None, self._on_events, self._on_closed)
            config = SessionConfig(window_size=1000, response_seconds=4.0, enquire_link_seconds=10.0)
            try:
                self.connection = await connect(name, 2775, config=config, callbacks=callbacks)
            except OSError:
                continue
            bind = BindTransceiver(system_id=self.account.encode(), password=b"password", interface_version=0x34)
            self.connection.session.bind(bind, self.loop.now)
            self.connection.flush()

    def submit(self, wishes: list[Wish]) -> None:
        """Send, or send again."""
        connection = self.connection
        if connection is None or not self.is_bound or not connection.session.can_submit or not connection.is_open:
            return
        for wish in wishes:
            wish.sent += 1
            wish.unknown += 1
        connection.session.send_submits([(wish.body, wish) for wish in wishes], self.loop.now)
        connection.flush()

    def hang_up(self) -> None:
        """End the session without a word."""
        if self.connection is not None:
            self.connection.abort()

    def _on_events(self, connection: SmppConnection, events: list[ev.Event]) -> None:
        for event in events:
            match event:
                case ev.BindAccepted():
                    self.is_bound = True
                case ev.BindRefused():
                    connection.close()
                case ev.SubmitAnswers():
                    for ref, status, message_id in event.answers:
                        self._answered(ref, status, message_id)  # type: ignore[arg-type]  # a Wish
                case ev.DeliversReceived():
                    self._delivered(connection, event)
                case ev.UnbindRequested():
                    connection.session.finish_unbind()
                case _:
                    pass

    def _answered(self, wish: Wish, status: int, message_id: bytes) -> None:
        wish.unknown -= 1
        if status:
            wish.refusals += 1
        else:
            wish.ids.add(int(message_id))
            self.yes(wish, int(message_id))

    def _delivered(self, connection: SmppConnection, event: ev.DeliversReceived) -> None:
        answers = []
        for pdu in event.pdus:
            receipt = parse_receipt(pdu)
            assert receipt is not None
            message_id = int(receipt.message_id)
            self.deliveries[message_id] += 1
            if self.mood == "busy" and self.chance.random() < 0.5:
                answers.append((pdu.sequence_number, 0x08))
                self.disturbed.append(self.loop.now)
            elif self.mood == "mute" and self.chance.random() < 0.5:
                self.disturbed.append(self.loop.now)
            else:
                answers.append((pdu.sequence_number, 0))
                self.told.setdefault(message_id, []).append((self.loop.now, receipt.stat))
        connection.session.answer_delivers(answers)

    def _on_closed(self, connection: SmppConnection, reason: str) -> None:
        self.disturbed.append(self.loop.now)
        self.connection = None
        self.is_bound = False


def wish(number: int, prefix: bytes, text: bytes, key: bytes, validity: int) -> Wish:
    """A message to a number of its own."""
    dest = prefix + b"%09d" % number
    pdu = SubmitSm(
        source_addr=b"Shop",
        source_addr_ton=5,
        destination_addr=dest,
        dest_addr_ton=1,
        dest_addr_npi=1,
        registered_delivery=1,
        validity_period=b"000000%02d%02d%02d000R" % (validity // 3600, validity // 60 % 60, validity % 60),
    )
    items = [(0x1500, key)] if key else []
    if len(text) <= 140:
        pdu.short_message = text
    else:
        items.append((0x0424, text))
    pdu.tlvs = tlv.encode(items)
    return Wish(dest, encode_body(pdu), key)
