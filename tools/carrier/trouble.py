"""How a whole carrier misbehaves, whatever the destination: what it does instead of answering, and when it hangs up."""

from __future__ import annotations

from dataclasses import dataclass

from protocols.smpp.constants import CommandStatus
from protocols.smpp.pdu import Bind, BindTransceiver
from tools.carrier.behaviour import BEHAVIOURS, Behaviour
from tools.carrier.taken import Answer

GARBAGE = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"
"""No PDU: its first four octets are a command_length that nobody takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What the carrier does to everybody; nothing, as it is made.

    mood: the suffix whose behaviour all destinations have that have none of their own.
    garbage: a submit_sm is answered with octets that are no PDU. closes_after: the connection is cut off at the
    session's submit_sm of that number, what is in its window unanswered; 0: never.
    reversed_seconds: every other answer comes that much later, and those of one read the last first; 0: in order.
    flap_seconds: it is there for so long, and away for so long, in turn; 0: it stays.
    binds_max: one bound session more is refused with ESME_RALYBND; 0: no limit.
    """

    mood: bytes = b"000"
    garbage: bool = False
    closes_after: int = 0
    reversed_seconds: float = 0.0
    flap_seconds: float = 0.0
    binds_max: int = 0

    @property
    def behaviour(self) -> Behaviour:
        """Of a destination without a mood of its own."""
        return BEHAVIOURS[self.mood]

    def hangs_up(self, submits: int) -> bool:
        """Whether a session of which so many submit_sm came is cut off, without an answer to the last ones."""
        return self.garbage or 0 < self.closes_after <= submits

    def in_parts(self, answers: list[Answer]) -> list[tuple[float, list[Answer]]]:
        """The answers of one read as they go out: how many seconds later, and which."""
        if not self.reversed_seconds:
            return [(0.0, answers)]
        backwards = answers[::-1]
        parts = [(0.0, [answer for answer in backwards if answer[0] % 2])]
        parts.append((self.reversed_seconds, [answer for answer in backwards if not answer[0] % 2]))
        return [(seconds, part) for seconds, part in parts if part]

    def refusal(self, pdu: Bind, bound: int, *, takes_transceivers: bool) -> int:
        """The status with which a bind is refused while so many sessions are bound; ESME_ROK for none."""
        if isinstance(pdu, BindTransceiver) and not takes_transceivers:
            return CommandStatus.ESME_RINVCMDID
        if self.binds_max and bound >= self.binds_max:
            return CommandStatus.ESME_RALYBND
        return CommandStatus.ESME_ROK


NONE = Trouble()
