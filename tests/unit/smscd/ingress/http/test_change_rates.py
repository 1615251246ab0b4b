"""How often an account may change its configuration."""

from __future__ import annotations

from smscd.ingress.http.change_rates import ACCOUNTS_MAX, CHANGES_AT_ONCE, SECONDS_A_CHANGE, ChangeRates


def test_so_many_at_once_and_then_one_at_a_time() -> None:
    rates = ChangeRates()
    assert [rates.take("acme", 100.0) for _ in range(CHANGES_AT_ONCE)] == [0.0] * CHANGES_AT_ONCE
    assert rates.take("acme", 100.5) == SECONDS_A_CHANGE - 0.5
    assert rates.take("other", 100.5) == 0.0
    assert rates.take("acme", 100.0 + SECONDS_A_CHANGE) == 0.0
    assert rates.take("acme", 100.0 + SECONDS_A_CHANGE) > 0.0
    assert [rates.take("acme", 1_000.0) for _ in range(CHANGES_AT_ONCE + 1)][-2:] == [0.0, SECONDS_A_CHANGE]


def test_accounts_that_have_not_changed_anything_of_late_are_forgotten() -> None:
    rates = ChangeRates()
    for number in range(ACCOUNTS_MAX):
        rates.take(str(number), 0.0)
    rates.take("late", 10 * SECONDS_A_CHANGE)
    assert len(rates._until) == 1
