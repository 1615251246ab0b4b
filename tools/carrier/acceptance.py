"""What the carrier says to each submit_sm of a read: accepted under an id, refused, or nothing at all."""

from __future__ import annotations

from collections.abc import Callable

from protocols.smpp.constants import CommandStatus
from protocols.smpp.pdu import SubmitSm
from smscd.core.pacing import TokenBucket
from tools import record
from tools.carrier.behaviour import BEHAVIOURS, DELIVERED, Attempts, Behaviour, decide, wants_receipt
from tools.carrier.receipts import Accepted
from tools.carrier.taken import Taken, submit_line, text_of


class Acceptance:
    """Decides on messages, whichever session they came over.

    bucket: its rate. first_id: the number of the first message that it takes. response_id: how submit_sm_resp writes
    such a number. is_recorded: lines of the record are made. silent: how many messages it did not answer.
    """

    def __init__(
        self, bucket: TokenBucket, first_id: int, response_id: Callable[[int], bytes], *, is_recorded: bool
    ) -> None:
        self.silent = 0
        self._bucket = bucket
        self._next_id = first_id
        self._response_id = response_id
        self._is_recorded = is_recorded
        self._attempts = Attempts()

    def take(self, pdus: list[SubmitSm], now: float, seconds: float, otherwise: Behaviour) -> Taken:
        """Decide on every message of a read. otherwise: what is done with those whose number is not magic."""
        granted = self._bucket.take(len(pdus), now)
        taken = Taken()
        for pdu in pdus[:granted]:
            if otherwise is not DELIVERED or pdu.destination_addr[-3:] in BEHAVIOURS:
                self._take_magic(taken, pdu, seconds, otherwise)
                if taken.drops:
                    break
            else:
                self._accept(taken, pdu, seconds, DELIVERED)
        else:
            for pdu in pdus[granted:]:
                self._refuse(taken, pdu, seconds, CommandStatus.ESME_RTHROTTLED)
        return taken

    def dropped(self, pdus: list[SubmitSm], seconds: float) -> Taken:
        """What a read comes to whose connection is cut off instead of an answer: its lines."""
        taken = Taken()
        for pdu in pdus:
            self._note_untaken(taken, pdu, seconds, b"drop")
        return taken

    def _accept(self, taken: Taken, pdu: SubmitSm, seconds: float, behaviour: Behaviour) -> None:
        """Give the message an id, answer ESME_ROK, and note the receipts that it asked for."""
        number = self._next_id
        self._next_id += 1
        id = self._response_id(number)
        token = b""
        taken.answers.append((pdu.sequence_number, 0, id))
        if self._is_recorded:
            token = record.token_of(text_of(pdu), pdu.esm_class, pdu.data_coding)
            taken.lines.append(submit_line(pdu, seconds, token, id, b"0"))
        if behaviour.receipts and wants_receipt(pdu.registered_delivery, behaviour.stat):
            receipt = Accepted(pdu, number, token, seconds, behaviour.stat, behaviour.err)
            due = taken.at_once if behaviour.receipt_first else taken.later
            due += [receipt] * behaviour.receipts

    def _refuse(self, taken: Taken, pdu: SubmitSm, seconds: float, status: int) -> None:
        """Answer with an error; the message is not taken."""
        taken.answers.append((pdu.sequence_number, status, b""))
        self._note_untaken(taken, pdu, seconds, b"%d" % status)

    def _note_untaken(self, taken: Taken, pdu: SubmitSm, seconds: float, status: bytes) -> None:
        if self._is_recorded:
            token = record.token_of(text_of(pdu), pdu.esm_class, pdu.data_coding)
            taken.lines.append(submit_line(pdu, seconds, token, b"-", status))

    def _take_magic(self, taken: Taken, pdu: SubmitSm, seconds: float, otherwise: Behaviour) -> None:
        """A message whose destination says what to do with it, or the trouble of the whole carrier."""
        decision = decide(pdu.destination_addr, self._attempts, otherwise)
        if decision.drops:
            taken.drops = True
            self._note_untaken(taken, pdu, seconds, b"drop")
        elif not decision.behaviour.is_answered:
            self.silent += 1
            self._note_untaken(taken, pdu, seconds, b"silent")
        elif decision.status:
            self._refuse(taken, pdu, seconds, decision.status)
        else:
            self._accept(taken, pdu, seconds, decision.behaviour)
