"""How fast one bind may send, and how much may be under way on it: less while its upstream bears no more.

Both follow the same law (core.pacing.AdaptiveRate): halved at most once a second, raised slowly. Without an upstream
that complains there is no limit of rate but the upstream's own, and the window is the profile's.
"""

from __future__ import annotations

from typing import Final

from smscd.core.pacing import AdaptiveRate, AdaptiveRateConfig, TokenBucket, congestion_share

SEEN_RATE_MIN: Final = 20.0
_RATE: Final = AdaptiveRateConfig(floor=5.0)
_WINDOW: Final = AdaptiveRateConfig(floor=1.0)


class Pace:
    """The pace of one bind. window: how many requests may be under way. now: monotonic seconds."""

    __slots__ = (
        "_adaptive", "_narrowed", "_second", "_sent_last_second", "_sent_this_second", "_window_size", "bucket",
        "window",
    )  # fmt: skip

    def __init__(self, window_size: int, now: float) -> None:
        self.bucket = TokenBucket(0.0, 1.0, now)
        self.window = self._window_size = window_size
        self._narrowed: AdaptiveRate | None = None
        self._adaptive = AdaptiveRate(0.0, now, _RATE)
        self._second = now
        self._sent_this_second = 0
        self._sent_last_second = 0

    def resize(self, window_size: int) -> None:
        """Another window is configured: begin with all of it."""
        if window_size != self._window_size:
            self.window = self._window_size = window_size
            self._narrowed = None

    def room(self, free: int, now: float) -> int:
        """How many of the free slots may be used now."""
        if self.bucket.rate <= 0 or not free:
            return free
        tokens = self.bucket.take(free, now)
        self.bucket.give_back(tokens)
        return tokens

    def sent(self, count: int, now: float) -> None:
        """So many segments are written."""
        self.bucket.take(count, now)
        if now - self._second >= 1.0:
            self._sent_last_second = self._sent_this_second
            self._sent_this_second = 0
            self._second = now
        self._sent_this_second += count

    def rated(self, throttled: int, congestion: int | None, now: float) -> None:
        """Answers came, so many of them throttled: slow down, or slowly come back.

        congestion: the congestion_state in them (5.0) slows down too, the more the higher it is, before anything is
        refused.
        """
        share = 1.0 if throttled else congestion_share(congestion) if congestion is not None else 0.0
        if share:
            seen = float(max(self._sent_last_second, self._sent_this_second))
            rate = self._adaptive.throttled(max(seen, SEEN_RATE_MIN), now, share)
        elif self._adaptive.rate > 0:
            rate = self._adaptive.recovered(now)
        else:
            return
        self.bucket.burst = max(1.0, rate / 10)
        self.bucket.set_rate(rate, now)

    @property
    def is_narrowed(self) -> bool:
        """True while less may be under way than is configured."""
        return self._narrowed is not None

    def fit_window(self, full: int, in_flight: int, now: float) -> bool:
        """Answers came while so many requests were under way, and so many of them said that the queue is full.

        Returns True when less may be under way from now on.
        """
        if self._narrowed is None:
            self._narrowed = AdaptiveRate(float(self._window_size), now, _WINDOW)
        before = self.window
        if full:
            self.window = int(self._narrowed.throttled(float(max(in_flight, 1)), now))
        else:
            self.window = int(self._narrowed.recovered(now))
            if self.window >= self._window_size:
                self._narrowed = None
        return self.window < before
