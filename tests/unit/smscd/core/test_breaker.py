"""The circuit breaker: opens, probes with exactly one, closes."""

from __future__ import annotations

from smscd.core.breaker import Breaker, BreakerConfig, BreakerState, breaker_config
from smscd.core.upstream import Upstream

CONFIG = BreakerConfig(failures_max=5, open_seconds=5.0, open_seconds_max=20.0, probe_seconds=30.0)


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker(CONFIG)
    assert breaker.record(0, 5, now)
    return breaker


def test_a_closed_breaker_lets_everything_through() -> None:
    breaker = Breaker()
    assert breaker.permit(1_000, 0.0) == 1_000
    assert breaker.next_probe_at is None


def test_five_failures_in_a_row_open_it() -> None:
    breaker = Breaker(CONFIG)
    assert not breaker.record(0, 4, 0.0)
    assert breaker.record(0, 1, 0.0)
    assert breaker.state is BreakerState.OPEN
    assert breaker.permit(10, 4.9) == 0
    assert breaker.next_probe_at == 5.0


def test_a_success_in_between_starts_the_count_anew() -> None:
    breaker = Breaker(CONFIG)
    for _ in range(10):
        assert not breaker.record(0, 4, 0.0)
        assert not breaker.record(20, 0, 0.0)
    assert breaker.state is BreakerState.CLOSED


def test_a_high_share_of_failures_opens_it_though_some_succeed() -> None:
    breaker = Breaker(BreakerConfig(outcomes_min=50, error_rate=0.5, window=100))
    for _ in range(24):
        assert not breaker.record(1, 1, 0.0)
    assert breaker.record(1, 1, 0.0)


def test_old_outcomes_fade() -> None:
    breaker = Breaker(BreakerConfig(outcomes_min=50, error_rate=0.5, window=100, failures_max=1_000))
    breaker.record(100_000, 0, 0.0)
    assert breaker.record(1, 101, 0.0)


def test_half_open_lets_exactly_one_of_fifty_through() -> None:
    breaker = opened()
    assert [breaker.permit(1, 5.0) for _ in range(50)] == [1] + [0] * 49
    assert breaker.state is BreakerState.HALF_OPEN


def test_a_probe_that_succeeds_closes_it() -> None:
    breaker = opened()
    assert breaker.permit(50, 5.0) == 1
    assert breaker.record(1, 0, 6.0)
    assert breaker.state is BreakerState.CLOSED
    assert breaker.permit(50, 6.0) == 50
    assert not breaker.record(0, 4, 6.0)


def test_a_probe_that_fails_doubles_the_time_up_to_its_limit() -> None:
    breaker = opened()
    now = 5.0
    for seconds in (10.0, 20.0, 20.0):
        assert breaker.permit(50, now) == 1
        assert breaker.record(0, 1, now)
        assert breaker.permit(50, now + seconds - 0.1) == 0
        now += seconds
    breaker.permit(1, now)
    breaker.record(1, 0, now)
    breaker.record(0, 5, now)
    assert breaker.next_probe_at == now + 5.0


def test_a_probe_without_an_outcome_gives_way_to_another() -> None:
    breaker = opened()
    assert breaker.permit(1, 5.0) == 1
    assert breaker.permit(1, 34.9) == 0
    assert breaker.permit(1, 35.0) == 1


def test_a_probe_that_was_not_sent_is_given_again() -> None:
    breaker = opened()
    assert breaker.permit(1, 5.0) == 1
    breaker.withdraw_probe(5.0)
    assert breaker.permit(1, 5.0) == 1
    Breaker().withdraw_probe(0.0)


def test_no_probe_is_spent_when_nothing_is_to_be_sent() -> None:
    breaker = opened()
    assert breaker.permit(0, 5.0) == 0
    assert breaker.permit(3, 5.0) == 1


def test_answers_that_come_while_it_is_open_change_nothing() -> None:
    breaker = opened()
    assert not breaker.record(100, 0, 1.0)
    assert breaker.state is BreakerState.OPEN


def test_nothing_recorded_in_half_open_waits_on() -> None:
    breaker = opened()
    breaker.permit(1, 5.0)
    assert not breaker.record(0, 0, 6.0)
    assert breaker.state is BreakerState.HALF_OPEN


def test_while_no_bind_can_be_made_it_is_open_and_the_first_bind_probes_with_one() -> None:
    breaker = Breaker(CONFIG)
    assert breaker.unreachable(1.0) and not breaker.unreachable(2.0)
    assert breaker.state is BreakerState.OPEN
    assert breaker.permit(10, 2.0) == 1 and breaker.permit(10, 2.0) == 0
    assert not breaker.unreachable(2.0), "what became of the probe says more"
    assert breaker.record(0, 1, 3.0) and breaker.next_probe_at == 3.0 + 2 * CONFIG.open_seconds


def test_it_can_be_opened_at_once() -> None:
    breaker = Breaker(CONFIG)
    breaker.trip(1.0)
    assert breaker.permit(1, 5.9) == 0 and breaker.permit(1, 6.0) == 1
    breaker = opened()
    breaker.trip(3.0)
    assert breaker.next_probe_at == 5.0


def test_the_profile_of_the_upstream_sets_it_and_may_change_while_it_is_open() -> None:
    profile = Upstream(
        id="u", host="h", port=1, system_id="", password="",
        breaker_failures_max=2, breaker_error_rate=0.1, breaker_open_seconds=90.0,
    )  # fmt: skip
    assert breaker_config(Upstream(id="u", host="h", port=1, system_id="", password="")) == BreakerConfig()
    breaker = Breaker(breaker_config(profile))
    assert breaker.record(0, 2, 0.0)
    assert breaker.next_probe_at == 90.0
    breaker.configure(BreakerConfig(open_seconds=1.0))
    assert breaker.permit(1, 89.0) == 0
    assert breaker.permit(1, 90.0) == 1
    breaker.record(1, 0, 90.0)
    assert not breaker.record(0, 4, 91.0)
    assert breaker.record(0, 1, 91.0)
    assert breaker.next_probe_at == 92.0
