"""Pacing: a token bucket for rates, an adaptive rate for throttling peers, a backoff with jitter for retries.

And congestion_state (SMPP 5.0), which says the same before it comes to refusals: what a peer's means for our rate, and
what ours is.
"""

from __future__ import annotations

from typing import Final

import msgspec

EXPONENT_MAX: Final = 63
ROUNDING: Final = 1e-6
CONGESTED_FROM: Final = 80
CONGESTION_MAX: Final = 100
CONGESTION_STEP: Final = 5


class TokenBucket:
    """At most `rate` a second on average and `burst` at once. rate 0: no limit. now: monotonic seconds."""

    __slots__ = ("_at", "_tokens", "burst", "rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = max(burst, 1.0)
        self._tokens = self.burst
        self._at = now

    def take(self, wanted: int, now: float) -> int:
        """Take up to `wanted` tokens; return how many there were."""
        if self.rate <= 0 or wanted <= 0:
            return max(wanted, 0)
        self._refill(now)
        taken = min(wanted, int(self._tokens + ROUNDING))
        self._tokens -= taken
        return taken

    def give_back(self, count: int) -> None:
        """Return tokens that were taken and not used."""
        self._tokens = min(self.burst, self._tokens + count)

    def seconds_until(self, wanted: int, now: float) -> float:
        """How long until `wanted` tokens (at most the burst) are there; 0 when they are."""
        if self.rate <= 0:
            return 0.0
        self._refill(now)
        return max(0.0, (min(wanted, self.burst) - self._tokens) / self.rate)

    def set_rate(self, rate: float, now: float) -> None:
        """Change the rate from now on; what has come together so far stays."""
        self._refill(now)
        self.rate = rate

    def _refill(self, now: float) -> None:
        if now > self._at:
            self._tokens = min(self.burst, self._tokens + (now - self._at) * self.rate)
            self._at = now


class AdaptiveRateConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How an adaptive rate moves.

    Multiplied by `decrease` when throttled, at most once in `hold_seconds`; otherwise raised each second by
    `increase_per_second`, a share of the ceiling (or of the rate first throttled). Never below `floor`.
    """

    decrease: float = 0.5
    increase_per_second: float = 0.05
    hold_seconds: float = 1.0
    floor: float = 1.0


class AdaptiveRate:
    """Additive increase, multiplicative decrease: finds the rate that a throttling peer bears.

    ceiling: the configured rate, or 0 for none; then the rate stays 0 (no limit) until the first throttling.
    """

    __slots__ = ("_at", "_ceiling", "_config", "_held_until", "_step", "rate")

    def __init__(self, ceiling: float, now: float, config: AdaptiveRateConfig | None = None) -> None:
        self._config = config or AdaptiveRateConfig()
        self._ceiling = ceiling
        self._step = ceiling
        self._at = now
        self._held_until = now
        self.rate = ceiling

    def throttled(self, seen_rate: float, now: float, share: float = 1.0) -> float:
        """The peer throttled us while we sent `seen_rate` a second; return the new rate.

        share: how much of the whole decrease is called for, 0 to 1.
        """
        self._at = now
        if now < self._held_until:
            return self.rate
        current = min(self.rate, seen_rate) if self.rate > 0 and seen_rate > 0 else self.rate or seen_rate
        if self._ceiling <= 0:
            self._step = max(self._step, current)
        self.rate = max(self._config.floor, current * (1.0 - (1.0 - self._config.decrease) * share))
        self._held_until = now + self._config.hold_seconds
        return self.rate

    def recovered(self, now: float) -> float:
        """Nothing was throttled since the last call; return the rate, raised by the time that has passed."""
        if self.rate > 0 and now >= self._held_until:
            raised = self.rate + (now - self._at) * self._config.increase_per_second * self._step
            self.rate = min(raised, self._ceiling) if self._ceiling > 0 else raised
        self._at = now
        return self.rate


def congestion_share(state: int | None) -> float:
    """How much of a throttling a peer's congestion_state amounts to: 0 up to 80, then rising, 1 at 100.

    SMPP 5.0 section 4.8.4.18: 80 to 99 is congested, 100 is unable to accept more.
    """
    if state is None or state <= CONGESTED_FROM:
        return 0.0
    return min(1.0, (state - CONGESTED_FROM) / (CONGESTION_MAX - CONGESTED_FROM))


def congestion_state(*shares: float, is_closed: bool = False) -> int:
    """Our own congestion_state: the fullest of what may stop us, in steps, so that small changes are no news.

    shares: of each limit, how much is used, 0 to 1. is_closed: nothing is taken at all. 100 is said then only, or when
    a limit is reached.
    """
    fullest = max((0.0, *shares))
    if is_closed or fullest >= 1.0:
        return CONGESTION_MAX
    return int(fullest * CONGESTION_MAX) // CONGESTION_STEP * CONGESTION_STEP


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """Exponential delays with jitter. jitter: the share of each delay that chance decides, 0 to 1."""

    base_seconds: float
    max_seconds: float
    factor: float = 2.0
    jitter: float = 0.5

    def delay_seconds(self, attempt: int, chance: float) -> float:
        """The delay before attempt number `attempt`, the first retry being 0. chance: uniform in 0..1."""
        exponent = min(max(attempt, 0), EXPONENT_MAX)
        full: float = min(self.max_seconds, self.base_seconds * self.factor**exponent)
        return full * (1.0 - self.jitter * chance)
