"""SMPP's own time formats."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from protocols.smpp.times import TimeFormatError, format_absolute, format_relative, parse_time, to_ms

NOW = to_ms(datetime(2025, 1, 31, 12, 0, 0, 250_000, tzinfo=UTC))


def ms(*parts: int) -> int:
    return to_ms(datetime(*parts, tzinfo=UTC))  # type: ignore[arg-type,misc]  # year, month, day, ...


@pytest.mark.parametrize(
    ("value", "at_ms"),
    [
        (b"251122170000000+", ms(2025, 11, 22, 17)),
        (b"251122170000300+", ms(2025, 11, 22, 17) + 300),
        (b"251122170000004+", ms(2025, 11, 22, 16)),
        (b"251122170000020-", ms(2025, 11, 22, 22)),
        (b"251122170000022+", ms(2025, 11, 22, 11, 30)),
        (b"000229000000000+", ms(2000, 2, 29)),
    ],
)
def test_an_absolute_time_has_tenths_and_quarter_hours(value: bytes, at_ms: int) -> None:
    assert parse_time(value, NOW) == at_ms


@pytest.mark.parametrize(
    ("value", "at_ms"),
    [
        (b"000000000000000R", NOW),
        (b"000000000530000R", NOW + 330_000),
        (b"000002030405000R", NOW + ((2 * 24 + 3) * 3600 + 4 * 60 + 5) * 1000),
        (b"000100000000000R", ms(2025, 2, 28, 12) + 250),
        (b"010100000000000R", ms(2026, 2, 28, 12) + 250),
        (b"990000000000000R", ms(2124, 1, 31, 12) + 250),
    ],
)
def test_a_relative_time_counts_from_now_by_the_calendar(value: bytes, at_ms: int) -> None:
    assert parse_time(value, NOW) == at_ms


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"2511221700",
        b"251122170000000",
        b"251122170000000Z",
        b"251322170000000+",
        b"250230000000000+",
        b"251122250000000+",
        b"251122170000049+",
        b"2511221700000 0+",
        b"251122170000000+\0",
    ],
)
def test_what_is_no_time_is_an_error(value: bytes) -> None:
    with pytest.raises(TimeFormatError):
        parse_time(value, NOW)


def test_an_absolute_time_is_written_in_utc() -> None:
    assert format_absolute(NOW) == b"250131120000200+"
    assert parse_time(format_absolute(NOW), 0) == NOW - 50


@pytest.mark.parametrize("seconds", [0, 1, 59, 60, 3600, 86_399, 86_400, 31 * 86_400 + 86_399])
def test_a_relative_time_is_written_as_it_is_read(seconds: int) -> None:
    assert parse_time(format_relative(seconds), NOW) == NOW + 1000 * seconds


@pytest.mark.parametrize("seconds", [-1, 32 * 86_400])
def test_a_duration_that_does_not_fit_is_an_error_of_ours(seconds: int) -> None:
    with pytest.raises(ValueError, match="seconds"):
        format_relative(seconds)
