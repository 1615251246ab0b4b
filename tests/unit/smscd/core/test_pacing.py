"""Rates and delays."""

from __future__ import annotations

import pytest

from smscd.core.pacing import (
    AdaptiveRate,
    AdaptiveRateConfig,
    Backoff,
    TokenBucket,
    congestion_share,
    congestion_state,
)


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = TokenBucket(rate=10, burst=5, now=100.0)
    assert bucket.take(8, 100.0) == 5
    assert bucket.take(1, 100.0) == 0
    assert bucket.seconds_until(1, 100.0) == pytest.approx(0.1)
    assert bucket.take(8, 100.3) == 3
    assert bucket.take(100, 200.0) == 5


def test_a_bucket_keeps_its_rate_over_many_small_steps() -> None:
    bucket = TokenBucket(rate=1000, burst=10, now=0.0)
    taken = sum(bucket.take(50, step / 700) for step in range(7_001))
    assert 10_000 <= taken <= 10_011


def test_a_rate_of_zero_is_no_limit() -> None:
    bucket = TokenBucket(rate=0, burst=1, now=0.0)
    assert bucket.take(1_000_000, 0.0) == 1_000_000
    assert bucket.seconds_until(5, 0.0) == 0.0


def test_tokens_given_back_can_be_taken_again_up_to_the_burst() -> None:
    bucket = TokenBucket(rate=1, burst=5, now=0.0)
    assert bucket.take(4, 0.0) == 4
    bucket.give_back(9)
    assert bucket.take(9, 0.0) == 5


def test_a_clock_that_goes_back_gives_nothing_and_takes_nothing() -> None:
    bucket = TokenBucket(rate=10, burst=5, now=100.0)
    bucket.take(5, 100.0)
    assert bucket.take(1, 50.0) == 0
    assert bucket.take(1, 100.1) == 1


def test_a_changed_rate_counts_from_now_on() -> None:
    bucket = TokenBucket(rate=10, burst=100, now=0.0)
    bucket.take(100, 0.0)
    bucket.set_rate(100, 1.0)
    assert bucket.take(1000, 2.0) == 110 - 10


def test_nothing_wanted_is_nothing_taken() -> None:
    assert TokenBucket(rate=10, burst=5, now=0.0).take(-1, 0.0) == 0


def test_an_adaptive_rate_halves_once_a_second_and_comes_back_slowly() -> None:
    """Quirk 16: ESME_RTHROTTLED slows the bind down."""
    rate = AdaptiveRate(100.0, 0.0)
    assert rate.throttled(100.0, 1.0) == 50.0
    assert rate.throttled(100.0, 1.5) == 50.0
    assert rate.throttled(50.0, 2.5) == 25.0
    assert rate.recovered(3.0) == 25.0
    assert rate.recovered(4.0) == 30.0
    assert rate.recovered(100.0) == 100.0


def test_an_adaptive_rate_never_falls_below_its_floor() -> None:
    rate = AdaptiveRate(2.0, 0.0, AdaptiveRateConfig(floor=1.5))
    assert rate.throttled(2.0, 1.0) == 1.5


def test_without_a_ceiling_the_rate_starts_at_what_was_throttled() -> None:
    rate = AdaptiveRate(0.0, 0.0)
    assert rate.recovered(1.0) == 0.0
    assert rate.throttled(400.0, 2.0) == 200.0
    assert rate.recovered(3.5) == pytest.approx(230.0)
    assert rate.recovered(103.5) > 400.0


def test_delays_double_up_to_their_limit_and_jitter_shortens_them() -> None:
    backoff = Backoff(base_seconds=1.0, max_seconds=60.0, jitter=0.5)
    assert [backoff.delay_seconds(attempt, 0.0) for attempt in (0, 1, 2, 10, 10_000)] == [1.0, 2.0, 4.0, 60.0, 60.0]
    assert backoff.delay_seconds(2, 1.0) == 2.0
    assert backoff.delay_seconds(-1, 0.0) == 1.0


@pytest.mark.parametrize(
    ("state", "share"), [(None, 0.0), (0, 0.0), (80, 0.0), (85, 0.25), (90, 0.5), (99, 0.95), (100, 1.0), (255, 1.0)]
)
def test_congestion_of_a_peer_is_a_share_of_a_throttling(state: int | None, share: float) -> None:
    assert congestion_share(state) == pytest.approx(share)


def test_a_share_of_a_throttling_decreases_by_that_share() -> None:
    rate = AdaptiveRate(0.0, 0.0, AdaptiveRateConfig(floor=1.0))
    assert rate.throttled(100.0, 0.0, 0.5) == 75.0
    assert rate.throttled(100.0, 0.5, 1.0) == 75.0, "held"
    assert rate.throttled(100.0, 1.5, 1.0) == 37.5


@pytest.mark.parametrize(
    ("shares", "is_closed", "state"),
    [
        ((), False, 0),
        ((0.049, 0.0), False, 0),
        ((0.2, 0.83, 0.1), False, 80),
        ((0.999,), False, 95),
        ((0.1, 1.0), False, 100),
        ((1.7,), False, 100),
        ((0.0,), True, 100),
        ((-0.1,), False, 0),
    ],
)
def test_our_congestion_is_that_of_the_fullest_limit(shares: tuple[float, ...], is_closed: bool, state: int) -> None:
    assert congestion_state(*shares, is_closed=is_closed) == state
