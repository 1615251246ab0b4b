"""RateLimit headers count down, refill with time, and obey what Redis said."""

from __future__ import annotations

from smscd.core.directory import Account
from smscd.ingress.http.rates import ACCOUNTS_MAX, RateHints

TEN = Account(id="ten", rate_per_second=10.0, burst=5)


def test_each_admission_takes_one_and_time_gives_it_back() -> None:
    hints = RateHints()
    assert hints.admitted(TEN, 100.0) == ('"default";q=10;w=1', '"default";r=4;t=1')
    for _ in range(4):
        hints.admitted(TEN, 100.0)
    assert hints.unchanged(TEN, 100.0)[1] == '"default";r=0;t=1'
    assert hints.unchanged(TEN, 100.2)[1] == '"default";r=2;t=1'
    assert hints.unchanged(TEN, 200.0)[1] == '"default";r=5;t=1'


def test_a_refusal_by_redis_empties_the_allowance() -> None:
    hints = RateHints()
    assert hints.throttled(TEN, 0.1, 100.0) == ('"default";q=10;w=1', '"default";r=0;t=1')
    assert hints.unchanged(TEN, 100.0)[1] == '"default";r=0;t=1'
    assert hints.unchanged(TEN, 100.15)[1] == '"default";r=1;t=1'
    assert hints.throttled(TEN, 7.5, 100.0)[1] == '"default";r=0;t=8'


def test_a_slow_rate_has_a_wide_window() -> None:
    slow = Account(id="slow", rate_per_second=0.2, burst=1)
    assert RateHints().admitted(slow, 0.0) == ('"default";q=1;w=5', '"default";r=0;t=5')


def test_no_more_is_promised_than_the_rate_of_a_window() -> None:
    bursty = Account(id="bursty", rate_per_second=10.0, burst=1_000)
    assert RateHints().unchanged(bursty, 0.0)[1] == '"default";r=10;t=1'


def test_a_changed_rate_counts_at_once_and_the_number_of_accounts_is_bounded() -> None:
    hints = RateHints()
    hints.admitted(TEN, 0.0)
    faster = Account(id="ten", rate_per_second=20.0, burst=20)
    assert hints.admitted(faster, 0.0) == ('"default";q=20;w=1', '"default";r=19;t=1')
    for number in range(ACCOUNTS_MAX + 1):
        hints.admitted(Account(id=f"a{number}"), 0.0)
    assert len(hints._allowances) <= ACCOUNTS_MAX
