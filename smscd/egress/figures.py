"""What egress counts: plain numbers that the hot path adds to in batches, and telemetry reads when it is asked."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

from smscd.monitoring.metrics import Histogram


def observe_all(histogram: Histogram, values: Sequence[float]) -> None:
    """Count a batch of values."""
    counts, bounds = histogram.counts, histogram.bounds
    for value in values:
        counts[bisect_left(bounds, value)] += 1
    histogram.total += sum(values)


@dataclass(slots=True)
class Tally:
    """What turns decided; a Draft fills one, and the dispatcher adds it up.

    accepted, doubted, resent, timed_out, late and without_id count segments, the others messages. late: accepted after
    the time-out. without_id: accepted without an id, so that no receipt can be matched. ruled_resent, ruled_failed:
    segments in doubt that an operator had sent again, or failed. queue_full: of those retried.
    """

    accepted: int = 0
    failed: int = 0
    retried: int = 0
    throttled: int = 0
    expired: int = 0
    canceled: int = 0
    doubted: int = 0
    resent: int = 0
    unknown: int = 0
    timed_out: int = 0
    late: int = 0
    without_id: int = 0
    ruled_resent: int = 0
    ruled_failed: int = 0
    queue_full: int = 0

    def add(self, other: Tally) -> None:
        """Add the counts of another one."""
        for name in self.__slots__:
            count = getattr(other, name)
            if count:
                setattr(self, name, getattr(self, name) + count)


@dataclass(slots=True)
class UpstreamFigures:
    """Of one upstream, as its owner sees it.

    Gauges: queued (messages of this upstream in Redis), claimed, in_flight (segments), rest, parked (ids), binds_bound,
    binds_held, window (segments that may be under way on bound binds), breaker_state, inbound_waiting (parts of
    messages from phones), doubts (messages that stay in doubt), doubt_oldest_seconds, out_since_ms (0: it is not
    out) and is_throttled (it does nothing but throttle). The rest only grows.
    moved: messages that went to another upstream, because this one was out.
    doubts_settled: segments in doubt whose receipt came. binds_refused: by the name of the status.
    receipts_by_form: matched by another form of the id than the profile's. receipts_ambiguous: ids that may be several
    messages'. receipts_looked_up: ids that were asked of PostgreSQL. receipts_cold: receipts that it knew.
    unreadable: requests of the upstream that could not be read. framing_errors: sessions that ended over no PDU at all.
    sent: segments written. unwritten: segments whose bind or lease was gone between their intent and the write.
    """

    upstream: str
    tally: Tally = field(default_factory=Tally)
    turns: int = 0
    sent: int = 0
    unwritten: int = 0
    breaker_opened: int = 0
    out_since_ms: int = 0
    is_throttled: bool = False
    moved: int = 0
    tls_failures: int = 0
    unreadable: int = 0
    framing_errors: int = 0
    receipts: int = 0
    receipts_parked: int = 0
    receipts_repeated: int = 0
    receipts_undelivered: int = 0
    receipts_unreadable: int = 0
    receipts_deferred: int = 0
    receipts_ambiguous: int = 0
    receipts_looked_up: int = 0
    receipts_cold: int = 0
    receipts_orphaned: int = 0
    receipts_by_form: dict[str, int] = field(default_factory=dict)
    receipts_unknown_stat: int = 0
    inbound: int = 0
    inbound_unknown: int = 0
    inbound_repeated: int = 0
    inbound_joined: int = 0
    inbound_partial: int = 0
    inbound_waiting: int = 0
    alerts: int = 0
    queued: int = 0
    claimed: int = 0
    in_flight: int = 0
    rest: int = 0
    parked: int = 0
    doubts: int = 0
    doubt_oldest_seconds: float = 0.0
    doubts_settled: int = 0
    binds_bound: int = 0
    binds_held: int = 0
    binds_refused: dict[str, int] = field(default_factory=dict)
    window: int = 0
    breaker_state: str = "closed"
    response_seconds: Histogram = field(default_factory=Histogram)
    receipt_seconds: Histogram = field(default_factory=Histogram)

    def forget_standing(self) -> None:
        """The upstream is another process's from now on: what it is in, and how it stands, is for that one to say."""
        self.doubts, self.doubt_oldest_seconds = 0, 0.0
        self.out_since_ms, self.is_throttled, self.breaker_state = 0, False, "closed"


@dataclass(slots=True)
class OutboxFigures:
    """Of all accounts that this process delivers to over SMPP."""

    sent: int = 0
    delivered: int = 0
    refused: int = 0
    timed_out: int = 0
    unanswered: int = 0
    dead: int = 0
    waiting: int = 0
    response_seconds: Histogram = field(default_factory=Histogram)
