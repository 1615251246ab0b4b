"""What the HTTP interface counts: plain numbers that requests add to, and telemetry reads when it is asked."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final, Protocol

SECONDS_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Counted(Protocol):
    """What counts its connections."""

    @property
    def connection_count(self) -> int:
        """Connections that are open."""

    @property
    def turned_away(self) -> int:
        """Connections that came when there were too many."""


class RouteFigures:
    """One route: answers by status, and the seconds from the head's end to the answer, by upper bound."""

    __slots__ = ("by_status", "counts", "route", "seconds")

    def __init__(self, route: str) -> None:
        self.route = route
        self.by_status: dict[int, int] = {}
        self.counts = [0] * (len(SECONDS_BOUNDS) + 1)
        self.seconds = 0.0

    def answered(self, status: int, seconds: float) -> None:
        """Count one answer."""
        self.by_status[status] = self.by_status.get(status, 0) + 1
        self.counts[bisect_left(SECONDS_BOUNDS, seconds)] += 1
        self.seconds += seconds


class HttpFigures:
    """Of one process. `routes` has an entry for each route of the interface and "other" for the rest."""

    __slots__ = ("_counted", "replayed", "routes")

    def __init__(self) -> None:
        self.routes: dict[str, RouteFigures] = {}
        self.replayed = 0
        self._counted: Counted | None = None

    def watch(self, counted: Counted) -> None:
        """Take the numbers of connections from here."""
        self._counted = counted

    @property
    def connections(self) -> int:
        """Connections that are open."""
        return self._counted.connection_count if self._counted is not None else 0

    @property
    def turned_away(self) -> int:
        """Connections that came when there were too many."""
        return self._counted.turned_away if self._counted is not None else 0

    def route(self, route: str) -> RouteFigures:
        """The figures of a route; looked up once, when the route is made."""
        return self.routes.setdefault(route, RouteFigures(route))
