"""The pace of one bind: rate and window, narrowed and restored."""

from __future__ import annotations

from smscd.egress.binds.pace import Pace


def test_quirk_15_a_full_queue_halves_the_window_that_was_used_once_a_second_down_to_one() -> None:
    pace = Pace(100, 0.0)
    assert pace.fit_window(3, 20, 0.0)
    assert pace.window == 10
    assert not pace.fit_window(3, 10, 0.5)
    windows = []
    for second in range(1, 6):
        pace.fit_window(1, pace.window, 1.1 * second)
        windows.append(pace.window)
    assert windows == [5, 2, 1, 1, 1]


def test_a_narrowed_window_comes_back_slowly_and_not_beyond_what_is_configured() -> None:
    pace = Pace(100, 0.0)
    pace.fit_window(1, 100, 0.0)
    windows = []
    for second in range(1, 15):
        pace.fit_window(0, 10, float(second))
        windows.append(pace.window)
    assert windows[0] == 55 and windows[9] == 100 == windows[-1] and windows == sorted(windows)
    assert not pace.is_narrowed


def test_another_configured_window_begins_anew() -> None:
    pace = Pace(100, 0.0)
    pace.fit_window(1, 100, 0.0)
    pace.resize(100)
    assert pace.window == 50
    pace.resize(30)
    assert pace.window == 30 and not pace.is_narrowed


def test_the_rate_is_without_limit_until_it_is_throttled() -> None:
    pace = Pace(100, 0.0)
    pace.sent(60, 0.0)
    assert pace.room(100, 0.0) == 100
    pace.rated(0, None, 0.0)
    assert pace.room(100, 0.0) == 100
    pace.rated(1, None, 0.5)
    assert pace.bucket.rate == 30.0
