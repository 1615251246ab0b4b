"""What became of each message of a run: sent, answered, receipted; and the figures that this comes to."""

from __future__ import annotations

from array import array
from collections import Counter
from typing import TypedDict

from tools.bench.latency import Latencies, LatencySummary

UNSENT, SENT, ACCEPTED, REFUSED, UNANSWERED = range(5)
EARLY_RECEIPTS_MAX = 1_000_000


class SmppReport(TypedDict):
    """The result of a run over SMPP.

    lost: accepted, a receipt asked for, none came. duplicated: receipts beyond the first of a message.
    unmatched: receipts for ids that nobody gave us. unanswered: the connection ended before the answer.
    The rates are over the time from the first submit to the last answer, and to the last receipt.
    """

    run: str
    sent: int
    accepted: int
    refused_by_status: dict[str, int]
    unanswered: int
    receipts: int
    lost: int
    duplicated: int
    unmatched: int
    inbound: int
    stats: dict[str, int]
    seconds_to_last_answer: float
    seconds_to_last_receipt: float
    accepted_per_second: float
    completed_per_second: float
    response_latency: LatencySummary
    receipt_latency: LatencySummary
    generator_cpu_seconds: float


class Tally:
    """The state of every message of a run by its index, and all latencies. Times are seconds of one clock."""

    def __init__(self, count: int, *, expects_receipts: bool) -> None:
        self.count = count
        self.expects_receipts = expects_receipts
        self.states = bytearray(count)
        self.sent_at: array[float] = array("d", bytes(8 * count))
        self.receipts = bytearray(count)
        self.stats: Counter[bytes] = Counter()
        self.refused: Counter[int] = Counter()
        self.response_latencies = Latencies()
        self.receipt_latencies = Latencies()
        self.settled = 0
        self.accepted = 0
        self.receipted = 0
        self.duplicated = 0
        self.inbound = 0
        self.first_sent: float | None = None
        self.last_answer = 0.0
        self.last_receipt = 0.0
        self._index_of: dict[bytes, int] = {}
        self._early: dict[bytes, list[tuple[float, bytes]]] = {}

    @property
    def is_complete(self) -> bool:
        """True when every message is answered (or lost with its connection) and every receipt that is due has come."""
        if self.settled < self.count:
            return False
        return not self.expects_receipts or self.receipted >= self.accepted

    def sent(self, indexes: range | list[int], now: float) -> None:
        """These were written to a socket."""
        if self.first_sent is None:
            self.first_sent = now
        for index in indexes:
            self.states[index] = SENT
            self.sent_at[index] = now

    def answered(self, answers: list[tuple[int, int, bytes]], now: float) -> None:
        """(index, command_status, message_id) of one read."""
        self.last_answer = now
        samples, sent_at, states = self.response_latencies.samples, self.sent_at, self.states
        index_of, early = self._index_of, self._early
        for index, status, message_id in answers:
            samples.append(now - sent_at[index])
            if states[index] != SENT:
                continue
            self.settled += 1
            if status:
                states[index] = REFUSED
                self.refused[status] += 1
                continue
            states[index] = ACCEPTED
            self.accepted += 1
            index_of[message_id] = index
            if early and message_id in early:
                for at, stat in early.pop(message_id):
                    self._receipt(index, stat, at)

    def receipted_by(self, receipts: list[tuple[bytes, bytes]], now: float) -> None:
        """(id, stat) of the receipts of one read. A receipt that comes before its answer waits for it."""
        index_of = self._index_of
        for id, stat in receipts:
            index = index_of.get(id)
            if index is not None:
                self._receipt(index, stat, now)
            elif len(self._early) < EARLY_RECEIPTS_MAX:
                self._early.setdefault(id, []).append((now, stat))

    def _receipt(self, index: int, stat: bytes, now: float) -> None:
        if self.receipts[index]:
            self.duplicated += 1
            self.receipts[index] = min(255, self.receipts[index] + 1)
            return
        self.receipts[index] = 1
        self.receipted += 1
        self.stats[stat] += 1
        self.last_receipt = now
        self.receipt_latencies.samples.append(now - self.sent_at[index])

    def unanswered(self, indexes: list[int]) -> None:
        """The connection on which these were sent is gone; whether they were accepted is not known."""
        for index in indexes:
            if self.states[index] == SENT:
                self.states[index] = UNANSWERED
                self.settled += 1

    def send_again(self, indexes: list[int]) -> None:
        """These were without an answer and are going to be sent once more."""
        for index in indexes:
            if self.states[index] == UNANSWERED:
                self.states[index] = UNSENT
                self.settled -= 1

    def report(self, run: str, cpu_seconds: float) -> SmppReport:
        """The figures."""
        first = self.first_sent or 0.0
        to_answer = max(0.0, self.last_answer - first)
        to_receipt = max(0.0, self.last_receipt - first)
        return SmppReport(
            run=run,
            sent=self.count - self.states.count(UNSENT),
            accepted=self.accepted,
            refused_by_status={f"0x{status:08x}": count for status, count in sorted(self.refused.items())},
            unanswered=self.states.count(UNANSWERED) + self.states.count(SENT),
            receipts=self.receipted,
            lost=self.accepted - self.receipted if self.expects_receipts else 0,
            duplicated=self.duplicated,
            unmatched=sum(map(len, self._early.values())),
            inbound=self.inbound,
            stats={stat.decode("latin-1"): count for stat, count in sorted(self.stats.items())},
            seconds_to_last_answer=round(to_answer, 3),
            seconds_to_last_receipt=round(to_receipt, 3),
            accepted_per_second=round(self.accepted / to_answer, 1) if to_answer else 0.0,
            completed_per_second=round(self.receipted / to_receipt, 1) if to_receipt else 0.0,
            response_latency=self.response_latencies.summary(),
            receipt_latency=self.receipt_latencies.summary(),
            generator_cpu_seconds=round(cpu_seconds, 3),
        )
