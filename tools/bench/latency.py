"""Latencies of a run: every sample is kept, so that a percentile is exact."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import TypedDict


class LatencySummary(TypedDict):
    """A run's latencies in milliseconds."""

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


class Latencies:
    """Samples in seconds, eight bytes each; the generators bound how many messages a run may have."""

    __slots__ = ("samples",)

    def __init__(self, samples: Iterable[float] = ()) -> None:
        self.samples: array[float] = array("d", samples)

    def summary(self) -> LatencySummary:
        """Count, median, 95th and 99th percentile (nearest rank) and maximum; zeros when there are no samples."""
        ordered = sorted(self.samples)
        if not ordered:
            return LatencySummary(count=0, p50_ms=0.0, p95_ms=0.0, p99_ms=0.0, max_ms=0.0)
        return LatencySummary(
            count=len(ordered),
            p50_ms=_rank(ordered, 50),
            p95_ms=_rank(ordered, 95),
            p99_ms=_rank(ordered, 99),
            max_ms=round(ordered[-1] * 1000, 3),
        )


def _rank(ordered: list[float], percent: int) -> float:
    """The nearest-rank percentile of sorted seconds, in milliseconds."""
    index = max(0, -(-len(ordered) * percent // 100) - 1)
    return round(ordered[index] * 1000, 3)
