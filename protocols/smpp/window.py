"""The two windows of a session: our requests that wait for the peer's answers, and the peer's that wait for ours."""

from __future__ import annotations

from collections.abc import Container, Sequence

from protocols.smpp.constants import SEQUENCE_NUMBER_MAX

Pending = dict[int, tuple[object, float]]


class SequenceNumbers:
    """The numbers of our requests: rising, 1 after 0x7FFFFFFF, without those in flight (SMPP 3.4 section 3.2)."""

    __slots__ = ("_has_wrapped", "_in_flight", "_next_number")

    def __init__(self) -> None:
        self._in_flight: list[Container[int]] = []
        self._next_number = 1
        self._has_wrapped = False

    def skip(self, *in_flight: Container[int]) -> None:
        """Never give out what is in one of these, which may change all the time."""
        self._in_flight += in_flight

    def take(self, count: int) -> Sequence[int]:
        """The next numbers."""
        first = self._next_number
        last = first + count - 1
        if not self._has_wrapped and last < SEQUENCE_NUMBER_MAX:
            self._next_number = last + 1
            return range(first, last + 1)
        self._has_wrapped = True
        numbers: list[int] = []
        number = first
        while len(numbers) < count:
            if number > SEQUENCE_NUMBER_MAX:
                number = 1
            if not any(number in container for container in self._in_flight):
                numbers.append(number)
            number += 1
        self._next_number = number
        return numbers


class RequestWindow:
    """Requests by sequence number, oldest first, each with its owner's ref and the time it was sent.

    pending: unanswered. late: timed out, their slots free, their numbers kept for an answer that still comes; at most
    late_max of them. Neither dict is ever replaced, so the session may hold on to them.
    """

    __slots__ = ("_late_max", "late", "pending")

    def __init__(self, late_max: int, numbers: SequenceNumbers) -> None:
        self.pending: Pending = {}
        self.late: Pending = {}
        self._late_max = late_max
        numbers.skip(self.pending, self.late)

    def find(self, sequence_number: int) -> object | None:
        """The ref of the request that this number would answer, also of a late one; it stays."""
        entry = self.pending.get(sequence_number) or self.late.get(sequence_number)
        return entry[0] if entry else None

    def settle(self, sequence_number: int) -> tuple[object, float] | None:
        """Take the request that this number answers, also a late one; None when there is none."""
        return self.pending.pop(sequence_number, None) or self.late.pop(sequence_number, None)

    def oldest_sent_at(self) -> float | None:
        """When the oldest pending request was sent."""
        for _, sent_at in self.pending.values():
            return sent_at
        return None

    def expire(self, now: float, response_seconds: float) -> list[object]:
        """Move what was sent response_seconds ago or earlier to `late`; their refs, oldest first."""
        expired: list[int] = []
        for number, (_, sent_at) in self.pending.items():
            if sent_at + response_seconds > now:
                break
            expired.append(number)
        refs: list[object] = []
        for number in expired:
            self.late[number] = entry = self.pending.pop(number)
            refs.append(entry[0])
        for number in list(self.late)[: max(0, len(self.late) - self._late_max)]:
            del self.late[number]
        return refs

    def drain(self) -> list[object]:
        """Forget everything; the refs that were never answered, oldest first."""
        refs = [ref for ref, _ in self.late.values()] + [ref for ref, _ in self.pending.values()]
        self.late.clear()
        self.pending.clear()
        return refs


class PeerWindow:
    """How many of the peer's requests wait for us, and what happens to the excess.

    The first `size` are the owner's. may_throttle: as many again are answered ESME_RTHROTTLED. What comes then stays
    unread (is_stopped) until answers have gone out; each answer makes room for one of either kind.
    """

    __slots__ = ("_may_throttle", "_throttled", "is_stopped", "size", "unanswered")

    def __init__(self, size: int, *, may_throttle: bool) -> None:
        self.size = size
        self.unanswered = 0
        self.is_stopped = False
        self._may_throttle = may_throttle
        self._throttled = 0

    def throttle(self) -> bool:
        """One request beyond the window: True to refuse it, False to leave it unread."""
        if not self._may_throttle or self._throttled >= self.size:
            self.is_stopped = True
            return False
        self._throttled += 1
        return True

    def answer(self, count: int) -> None:
        """The owner has answered `count` requests."""
        self.unanswered = max(0, self.unanswered - count)
        self._throttled = max(0, self._throttled - count)
        if self.unanswered < self.size:
            self.is_stopped = False
