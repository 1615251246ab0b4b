"""What messages and money of a shard do, in two pages of Python: no server, no script, no clock, nothing to go wrong.

Whoever wonders what `storage/redis/lua` is meant to do reads it here. Money is integer micro-units.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from smscd.core.records import State, Tariff

FAILURES = (State.UNDELIVERED, State.EXPIRED, State.REJECTED, State.FAILED)


class Place(Enum):
    """Where a message is; it is in one of these at any time."""

    APART = "apart"
    QUEUED = "queued"
    LATER = "later"
    SENT = "sent"
    ENDED = "ended"


WAITING = (Place.APART, Place.QUEUED, Place.LATER)


@dataclass(slots=True)
class Asked:
    """One submission: `messages` are admitted together or not at all. body: what is asked for, as a hash."""

    account: str
    messages: list[int]
    price: int
    key: bytes = b""
    body: bytes = b""


@dataclass(slots=True)
class Message:
    """One admitted message.

    is_begun: it may be on its way to the carrier. was_sent: the carrier took it. early: receipts that came before that.
    is_put_off: the last that is on record of its sending is that the carrier refused it for now.
    """

    account: str
    price: int
    tariff: int
    place: Place = Place.QUEUED
    state: int = State.QUEUED
    is_begun: bool = False
    was_sent: bool = False
    is_refunded: bool = False
    is_cancel_asked: bool = False
    is_put_off: bool = False
    early: list[State] = field(default_factory=list)


@dataclass(slots=True)
class Account:
    """floor: how far the balance may go down, 0 or a credit limit below it."""

    floor: int
    tariff: int
    balance: int = 0


@dataclass(slots=True)
class Model:
    """One shard. depth_max: how many messages may wait for the carrier; in_redis_max: how many of them in Redis.

    keys: (account, request key) to the first message of the admitted request, and its body.
    confirmed: keys of which a copy was told yes. orders: references of top-ups.
    """

    depth_max: int
    in_redis_max: int
    accounts: dict[str, Account] = field(default_factory=dict)
    messages: dict[int, Message] = field(default_factory=dict)
    keys: dict[tuple[str, bytes], tuple[int, bytes]] = field(default_factory=dict)
    confirmed: set[tuple[str, bytes]] = field(default_factory=set)
    orders: set[str] = field(default_factory=set)

    @property
    def depth(self) -> int:
        """How many messages wait for the carrier, or for their next attempt."""
        return sum(message.place in WAITING for message in self.messages.values())

    def places(self) -> dict[int, Place]:
        """Where each message is."""
        return {id: message.place for id, message in self.messages.items()}

    def queues_apart(self) -> set[str]:
        """Whose next batch waits in PostgreSQL alone: who has a tail there, or adds to a queue while Redis is full."""
        by_place = {place: {one.account for one in self.messages.values() if one.place is place} for place in Place}
        in_redis = sum(one.place in (Place.QUEUED, Place.LATER) for one in self.messages.values())
        return by_place[Place.APART] | (by_place[Place.QUEUED] if in_redis >= self.in_redis_max else set())

    def bring(self, ids: list[int]) -> None:
        """There is room for them in Redis."""
        for id in ids:
            self.messages[id].place = Place.QUEUED

    def top_up(self, account: str, reference: str, micros: int) -> int:
        """Pay in, once for each reference; the balance afterwards."""
        if reference not in self.orders:
            self.orders.add(reference)
            self.accounts[account].balance += micros
        return self.accounts[account].balance

    def admit(self, batch: list[Asked]) -> list[str]:
        """A verdict for each: A, Q, I, or D with the first message and whether the body is the same."""
        known_before, apart = set(self.keys), self.queues_apart()
        verdicts = []
        for asked in batch:
            account, name = self.accounts[asked.account], (asked.account, asked.key)
            if asked.key and name in self.keys:
                if name in known_before:
                    self.confirmed.add(name)
                first, body = self.keys[name]
                verdicts.append(f"D {first} {'same' if body == asked.body else 'another'}")
            elif self.depth + len(asked.messages) > self.depth_max:
                verdicts.append("Q")
            elif account.balance - asked.price * len(asked.messages) < account.floor:
                verdicts.append("I")
            else:
                account.balance -= asked.price * len(asked.messages)
                for id in asked.messages:
                    place = Place.APART if asked.account in apart else Place.QUEUED
                    self.messages[id] = Message(asked.account, asked.price, account.tariff, place)
                if asked.key:
                    self.keys[name] = (asked.messages[0], asked.body)
                verdicts.append("A")
        return verdicts

    def begin(self, id: int) -> bool:
        """Intend to send; False when its cancellation was asked for, and then it must not be sent."""
        message = self.messages[id]
        message.is_begun = not message.is_cancel_asked
        return message.is_begun

    def accept(self, id: int) -> None:
        """The carrier took it."""
        message = self.messages[id]
        message.place, message.state = Place.SENT, State.SENT
        message.is_begun, message.was_sent = False, True

    def retry(self, id: int) -> None:
        """The carrier refused it for now."""
        message = self.messages[id]
        message.place, message.is_begun, message.is_put_off = Place.LATER, False, True

    def doubt(self, id: int) -> None:
        """Nobody knows whether the carrier took it; it is sent again."""
        self.messages[id].is_put_off = False

    def promote(self) -> int:
        """Everything that waits for its next attempt goes back to its queue; how many there were."""
        waiting = [message for message in self.messages.values() if message.place is Place.LATER]
        for message in waiting:
            message.place = Place.QUEUED
        return len(waiting)

    def end(self, id: int, state: State) -> tuple[bool, bool]:
        """It ends before a carrier took it: whether it was refunded now, and whether a cancellation came too late."""
        message = self.messages[id]
        is_late = message.is_cancel_asked and state != State.CANCELED
        message.place, message.state, message.is_begun, message.is_cancel_asked = Place.ENDED, state, False, False
        return self.refund(id), is_late

    def refund(self, id: int) -> bool:
        """Give the price back, once; whether it was now."""
        message = self.messages[id]
        if message.is_refunded:
            return False
        message.is_refunded = True
        self.accounts[message.account].balance += message.price
        return True

    def proposed_refund(self, id: int, state: State) -> int:
        """What a receipt with this state gives back: the price, where only delivery is charged."""
        message = self.messages[id]
        return message.price if message.tariff == Tariff.ON_DELIVERY and state in FAILURES else 0

    def receipt(self, id: int, state: State) -> str:
        """The carrier tells the end: `parked` before it took the message, `final` the first time, else `repeated`."""
        message = self.messages[id]
        if message.place is Place.QUEUED:
            message.early.append(state)
            return "parked"
        if message.place is Place.ENDED:
            return "repeated"
        message.place, message.state = Place.ENDED, state
        if self.proposed_refund(id, state):
            self.refund(id)
        return "final"

    def cancel(self, id: int, key: bytes) -> bool:
        """The customer was refused and must not be charged: False when a copy of the request was told yes.

        The message ends when it would be begun. The request key is forgotten.
        """
        message = self.messages[id]
        name = (message.account, key)
        if key and name in self.confirmed:
            return False
        if not message.is_cancel_asked:
            message.is_cancel_asked = True
            if key:
                self.keys.pop(name, None)
        return True

    def recover(self, brought: set[int]) -> None:
        """Redis is lost, and built again from a record that has all of this: only what is written nowhere else is lost.

        That is what was on its way (whatever waits may have been sent, unless the carrier refused it for now: no time
        passes here, so it is not due yet), the receipts that came too soon, who was told yes by a copy, and that a
        cancellation came too late. brought: what PostgreSQL does not have apart any more.
        """
        self.confirmed.clear()
        for id, message in self.messages.items():
            message.early.clear()
            message.is_cancel_asked &= message.place in WAITING
            if message.place is Place.APART and id in brought:
                message.place = Place.QUEUED
            if message.place in (Place.QUEUED, Place.LATER):
                message.place = Place.LATER if message.is_put_off else Place.QUEUED
                message.is_begun = not message.is_put_off
