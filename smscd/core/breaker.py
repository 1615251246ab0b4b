"""A circuit breaker that lets exactly one probe through while it is half open. Times are given, never read."""

from __future__ import annotations

from enum import Enum
from typing import Final

import msgspec

from smscd.core.upstream import Upstream

OPEN_SECONDS_MAX: Final = 60.0


class BreakerState(Enum):
    """CLOSED: all passes. OPEN: nothing does. HALF_OPEN: one probe is out."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class BreakerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """When a breaker opens and how long it stays so.

    failures_max: consecutive failures that open it. error_rate: so does this share of failures among the last
    `window` outcomes, once there are `outcomes_min`. open_seconds: until the first probe; doubles with each failed
    probe up to open_seconds_max. probe_seconds: a probe without an outcome counts as failed after that.
    """

    failures_max: int = 5
    error_rate: float = 0.5
    window: int = 200
    outcomes_min: int = 50
    open_seconds: float = 5.0
    open_seconds_max: float = OPEN_SECONDS_MAX
    probe_seconds: float = 60.0


def breaker_config(profile: Upstream) -> BreakerConfig:
    """What an upstream's profile says of its breaker."""
    return BreakerConfig(
        failures_max=profile.breaker_failures_max,
        error_rate=profile.breaker_error_rate,
        open_seconds=profile.breaker_open_seconds,
        open_seconds_max=max(OPEN_SECONDS_MAX, profile.breaker_open_seconds),
    )


class Breaker:
    """The breaker of one upstream, asked and told in batches by its one owner. now: monotonic seconds."""

    def __init__(self, config: BreakerConfig | None = None) -> None:
        self._config = config or BreakerConfig()
        self._state = BreakerState.CLOSED
        self._consecutive = 0
        self._succeeded = 0.0
        self._failed = 0.0
        self._open_seconds = self._config.open_seconds
        self._until = 0.0

    def configure(self, config: BreakerConfig) -> None:
        """Go on by other settings; one that is open stays so until its time."""
        if config.open_seconds != self._config.open_seconds:
            self._open_seconds = config.open_seconds
        self._config = config

    @property
    def state(self) -> BreakerState:
        """As of the last call; an open breaker whose time is over is still OPEN until permit() sends the probe."""
        return self._state

    @property
    def next_probe_at(self) -> float | None:
        """When permit() will let a probe through; None while closed."""
        return None if self._state is BreakerState.CLOSED else self._until

    def permit(self, wanted: int, now: float) -> int:
        """How many of `wanted` may be sent now: all, none, or the one probe."""
        if self._state is BreakerState.CLOSED:
            return wanted
        if wanted <= 0 or now < self._until:
            return 0
        self._state = BreakerState.HALF_OPEN
        self._until = now + self._config.probe_seconds
        return 1

    def record(self, succeeded: int, failed: int, now: float) -> bool:
        """Count outcomes of what was sent; return True when the state changed.

        A batch with both is taken as its failures first: a success proves that the upstream answers.
        """
        if self._state is BreakerState.OPEN:
            return False
        if self._state is BreakerState.HALF_OPEN:
            if succeeded:
                self._close()
                return True
            if failed:
                self._open_seconds = min(self._open_seconds * 2, self._config.open_seconds_max)
                self._open(now)
                return True
            return False
        self._consecutive = 0 if succeeded else self._consecutive + failed
        self._count(succeeded, failed)
        if self._consecutive >= self._config.failures_max or self._is_rate_exceeded():
            self._open(now)
            return True
        return False

    def unreachable(self, now: float) -> bool:
        """No bind can be made: open, and let the probe go as soon as there is one. True when the state changed."""
        if self._state is not BreakerState.CLOSED:
            return False
        self._open(now)
        self._until = now
        return True

    def trip(self, now: float) -> None:
        """Open at once: all binds are lost, or an operator says so."""
        if self._state is not BreakerState.OPEN:
            self._open(now)

    def withdraw_probe(self, now: float) -> None:
        """The probe was not sent after all (nothing to send, or no bind): the next permit() may give it again."""
        if self._state is BreakerState.HALF_OPEN:
            self._state = BreakerState.OPEN
            self._until = now

    def _open(self, now: float) -> None:
        self._state = BreakerState.OPEN
        self._until = now + self._open_seconds

    def _close(self) -> None:
        self._state = BreakerState.CLOSED
        self._consecutive = 0
        self._succeeded = self._failed = 0.0
        self._open_seconds = self._config.open_seconds

    def _count(self, succeeded: int, failed: int) -> None:
        """Keep counts that stand for about the last `window` outcomes: older ones fade in proportion."""
        self._succeeded += succeeded
        self._failed += failed
        total = self._succeeded + self._failed
        if total > self._config.window:
            share = self._config.window / total
            self._succeeded *= share
            self._failed *= share

    def _is_rate_exceeded(self) -> bool:
        total = self._succeeded + self._failed
        return total >= self._config.outcomes_min and self._failed >= total * self._config.error_rate
