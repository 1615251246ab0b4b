"""What an attempt's answer means, and when the next is due."""

from __future__ import annotations

import pytest

from smscd.egress.webhooks.schedule import (
    SCHEDULE_SECONDS,
    Meaning,
    Posted,
    delay_seconds,
    meaning_of,
    parse_retry_after,
)

NOW = 1_795_358_914.0


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_only_2xx_delivers(status: int) -> None:
    assert meaning_of(Posted(status), 10) is Meaning.DELIVERED


@pytest.mark.parametrize("status", [0, 100, 301, 302, 307, 400, 401, 404, 429, 500, 503])
def test_everything_else_is_tried_ten_times(status: int) -> None:
    assert [meaning_of(Posted(status), attempts) for attempts in (1, 9, 10)] == [
        Meaning.RETRY,
        Meaning.RETRY,
        Meaning.DEAD,
    ]


def test_gone_ends_it() -> None:
    assert meaning_of(Posted(410), 1) is Meaning.DEAD


def test_the_schedule_is_the_documented_one_and_jitter_only_adds() -> None:
    hours = 3_600
    documented = [0, 5, 300, 1_800, 2 * hours, 5 * hours, 10 * hours, 14 * hours, 20 * hours, 24 * hours]
    assert list(SCHEDULE_SECONDS) == documented
    assert [delay_seconds(attempts, 0.0, 0.0) for attempts in range(1, 10)] == documented[1:]
    assert delay_seconds(2, 0.0, 1.0) == pytest.approx(330)


def test_a_receiver_may_ask_for_more_patience_up_to_a_day() -> None:
    assert delay_seconds(1, 60.0, 0.0) == 60.0
    assert delay_seconds(3, 60.0, 0.0) == 1_800
    assert delay_seconds(1, 1e12, 0.0) == 86_400


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Sun, 22 Nov 2026 14:50:34 GMT", 120.0),
        ("Sun, 22 Nov 2026 14:00:00 GMT", 0.0),
        ("Sun, 22 Nov 2026 14:50:34", 120.0),
        ("", 0.0),
        ("-5", 0.0),
        ("soon", 0.0),
        ("1.5", 0.0),
        ("\u0661", 0.0),
        ("9" * 41, 0.0),
        ("Sun, 99 Nov 2026 14:50:34 GMT", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float) -> None:
    assert parse_retry_after(text, NOW) == seconds


def test_the_reason_of_a_failure_is_said_without_the_address() -> None:
    assert Posted(503).detail == "status 503"
    assert Posted(0, "time-out").detail == "time-out"
