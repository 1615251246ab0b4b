"""What the simulated carrier does with a submit_sm: a table by the last three digits of its destination."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from protocols.smpp.constants import REGISTERED_RECEIPT_MASK, CommandStatus

NUMBERS_COUNTED_MAX = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """One mood of the carrier.

    status: command_status of the answer; anything but ESME_ROK means that the message is not taken.
    first_status, first_times: the first `first_times` submits to a number get `first_status` instead.
    first_drops: how many submits to a number make the carrier drop the connection instead of answering.
    is_answered: False when no submit_sm_resp ever comes.
    stat, err: what the receipt says. receipts: how often it is sent; 0 is never.
    receipt_first: the receipt is on the wire before the answer, whatever receipt delay was asked for.
    """

    status: int = CommandStatus.ESME_ROK
    first_status: int = CommandStatus.ESME_ROK
    first_times: int = 0
    first_drops: int = 0
    is_answered: bool = True
    stat: bytes = b"DELIVRD"
    err: bytes = b"000"
    receipts: int = 1
    receipt_first: bool = False

    @property
    def is_counted(self) -> bool:
        """True when the answer depends on how many submits to the number there were."""
        return bool(self.first_times or self.first_drops)


DELIVERED = Behaviour()

BEHAVIOURS: dict[bytes, Behaviour] = {
    b"000": DELIVERED,
    b"001": Behaviour(stat=b"UNDELIV", err=b"001"),
    b"002": Behaviour(stat=b"EXPIRED", err=b"002"),
    b"003": Behaviour(stat=b"REJECTD", err=b"003"),
    b"008": Behaviour(first_status=CommandStatus.ESME_RSYSERR, first_times=2),
    b"010": Behaviour(status=CommandStatus.ESME_RINVDSTADR, receipts=0),
    b"058": Behaviour(status=CommandStatus.ESME_RTHROTTLED, receipts=0),
    b"088": Behaviour(first_status=CommandStatus.ESME_RTHROTTLED, first_times=3),
    b"404": Behaviour(is_answered=False, receipts=0),
    b"500": Behaviour(first_drops=1),
    b"777": Behaviour(receipt_first=True),
    b"888": Behaviour(receipts=2),
    b"999": Behaviour(receipts=0),
}
"""A destination that ends in none of these is delivered."""

MAGIC_SUFFIXES = frozenset(BEHAVIOURS)


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with one submit_sm: drop the connection, take it (ESME_ROK) or refuse it, answered or in silence."""

    behaviour: Behaviour
    status: int
    drops: bool = False


class Attempts:
    """How many submits each number has had, for the moods that change with the count. Forgets the oldest numbers."""

    def __init__(self, numbers_max: int = NUMBERS_COUNTED_MAX) -> None:
        self._numbers_max = numbers_max
        self._counts: OrderedDict[bytes, int] = OrderedDict()

    def count(self, number: bytes) -> int:
        """Count one more submit to `number`; returns how many there were before it."""
        before = self._counts.pop(number, 0)
        self._counts[number] = before + 1
        if len(self._counts) > self._numbers_max:
            self._counts.popitem(last=False)
        return before


def decide(destination: bytes, attempts: Attempts, otherwise: Behaviour = DELIVERED) -> Decision:
    """Look up the mood of a destination and count the attempt where the mood needs it. otherwise: without a mood."""
    behaviour = BEHAVIOURS.get(destination[-3:], otherwise)
    if not behaviour.is_counted:
        return Decision(behaviour, behaviour.status)
    before = attempts.count(destination)
    if before < behaviour.first_drops:
        return Decision(behaviour, CommandStatus.ESME_ROK, drops=True)
    if before < behaviour.first_times:
        return Decision(behaviour, behaviour.first_status)
    return Decision(behaviour, behaviour.status)


def wants_receipt(registered_delivery: int, stat: bytes) -> bool:
    """True when the submit_sm asked for a receipt of this outcome (SMPP 3.4 section 5.2.17, 5.0 for value 3)."""
    asked = registered_delivery & REGISTERED_RECEIPT_MASK
    if asked == 1:
        return True
    return asked == (3 if stat == b"DELIVRD" else 2)
