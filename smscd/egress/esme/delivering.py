"""The callbacks of one account that this process has read: what waits, what is on the way, and what has ended. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import Final

import msgspec

from protocols.smpp.constants import CommandStatus
from smscd.core.callback_records import CallbackOutcome, CallbackRecord, CallbackResult
from smscd.core.lifecycle import StatusKind, kind_of_status
from smscd.core.pacing import Backoff

RETRY: Final = Backoff(base_seconds=1.0, max_seconds=300.0)
AGE_MS_MAX: Final = 7 * 86_400_000

_decode = msgspec.msgpack.Decoder(list[CallbackRecord]).decode
_encode = msgspec.msgpack.Encoder().encode
_PERMANENT: Final = StatusKind.PERMANENT


class Delivery:
    """One callback. left: shared by those of one entry: [how many of them have not ended]. is_awaited: it is on the way
    to an ESME, and neither answered nor given up."""

    __slots__ = ("attempts", "entry_id", "is_awaited", "is_over", "left", "record", "sent_at")

    def __init__(self, record: CallbackRecord, entry_id: str, left: list[int]) -> None:
        self.record = record
        self.entry_id = entry_id
        self.left = left
        self.attempts = 0
        self.is_awaited = False
        self.is_over = False
        self.sent_at = 0.0


class Delivering:
    """What becomes of the callbacks. chance: uniform in 0..1.

    finished, results: entry ids and encoded CallbackResults that are to be settled; the owner takes them.
    held: callbacks that were read and have not ended. in_flight: those of them that are awaited.
    """

    def __init__(self, account: str, chance: Callable[[], float]) -> None:
        self.account = account
        self.held = 0
        self.in_flight = 0
        self.finished: list[str] = []
        self.results: list[bytes] = []
        self.delivered = 0
        self.dead = 0
        self.retried = 0
        self._chance = chance
        self._ready: deque[Delivery] = deque()
        self._later: list[tuple[float, int, Delivery]] = []
        self._tie = count()

    @property
    def ready(self) -> int:
        """How many wait to be sent now."""
        return len(self._ready)

    def add(self, entry_id: str, blob: bytes, now_ms: int) -> None:
        """One entry of the outbox, oldest first. Raises msgspec.DecodeError for one that is none of ours."""
        records = _decode(blob)
        left = [len(records)]
        if not records:
            self.finished.append(entry_id)
        for record in records:
            delivery = Delivery(record, entry_id, left)
            self.held += 1
            if now_ms - record.done_ms > AGE_MS_MAX and not (record.is_replay and _is_young(entry_id, now_ms)):
                self.end(delivery, CallbackOutcome.DEAD, now_ms, "nobody took it in time")
            else:
                self._ready.append(delivery)

    def take(self, wanted: int) -> list[Delivery]:
        """Remove and return the next ones to be sent."""
        ready = self._ready
        taken: list[Delivery] = []
        while ready and len(taken) < wanted:
            delivery = ready.popleft()
            if not delivery.is_over:
                delivery.is_awaited = True
                taken.append(delivery)
        self.in_flight += len(taken)
        return taken

    def answered(self, answers: Sequence[tuple[Delivery, int]], now: float, now_ms: int) -> None:
        """deliver_sm_resp: taken, refused for now, or refused for good."""
        results, finished = self.results, self.finished
        account, delivered = self.account, int(CallbackOutcome.DELIVERED)
        ended = 0
        for delivery, status in answers:
            if delivery.is_awaited:
                delivery.is_awaited = False
                self.in_flight -= 1
            if delivery.is_over:
                continue
            if status:
                self._refused(delivery, status, now, now_ms)
                continue
            delivery.is_over = True
            record = delivery.record
            result = CallbackResult(record.id, record.kind, account, delivered, now_ms, delivery.attempts + 1)
            if record.is_replay:
                result.is_replay = True
            results.append(_encode(result))
            ended += 1
            left = delivery.left
            left[0] -= 1
            if not left[0]:
                finished.append(delivery.entry_id)
        self.held -= ended
        self.delivered += ended

    def timed_out(self, deliveries: Sequence[Delivery], now: float) -> None:
        """No answer in time: sent again after a while, unless the answer comes before."""
        for delivery in deliveries:
            self._not_awaited(delivery)
            if not delivery.is_over:
                self._retry(delivery, now)

    def unanswered(self, deliveries: Sequence[Delivery]) -> None:
        """Their session ended: they are next again, in their order."""
        waiting = {id(delivery) for _, _, delivery in self._later} if self._later else ()
        for delivery in reversed(deliveries):
            self._not_awaited(delivery)
            if not delivery.is_over and id(delivery) not in waiting:
                self._ready.appendleft(delivery)

    def wake(self, now: float) -> float | None:
        """Make those ready whose pause is over; return when the next one is, or None."""
        later = self._later
        while later and later[0][0] <= now:
            delivery = heappop(later)[2]
            if not delivery.is_over:
                self._ready.append(delivery)
        return later[0][0] if later else None

    def end(self, delivery: Delivery, outcome: CallbackOutcome, now_ms: int, detail: str = "") -> None:
        """A callback has ended."""
        self._not_awaited(delivery)
        delivery.is_over = True
        record = delivery.record
        result = CallbackResult(record.id, record.kind, self.account, int(outcome), now_ms, delivery.attempts, detail)
        result.is_replay = record.is_replay
        self.results.append(_encode(result))
        self.held -= 1
        if outcome is CallbackOutcome.DEAD:
            self.dead += 1
        delivery.left[0] -= 1
        if not delivery.left[0]:
            self.finished.append(delivery.entry_id)

    def _not_awaited(self, delivery: Delivery) -> None:
        if delivery.is_awaited:
            delivery.is_awaited = False
            self.in_flight -= 1

    def _refused(self, delivery: Delivery, status: int, now: float, now_ms: int) -> None:
        if kind_of_status(status) is _PERMANENT:
            delivery.attempts += 1
            self.end(delivery, CallbackOutcome.DEAD, now_ms, f"refused with {_status_name(status)}")
        else:
            self._retry(delivery, now)

    def _retry(self, delivery: Delivery, now: float) -> None:
        self.retried += 1
        pause = RETRY.delay_seconds(delivery.attempts, self._chance())
        delivery.attempts += 1
        heappush(self._later, (now + pause, next(self._tie), delivery))


def _is_young(entry_id: str, now_ms: int) -> bool:
    """What is asked for again is as old as its entry."""
    return now_ms - int(entry_id.partition("-")[0]) <= AGE_MS_MAX


def _status_name(status: int) -> str:
    try:
        return CommandStatus(status).name
    except ValueError:
        return f"0x{status:08x}"
