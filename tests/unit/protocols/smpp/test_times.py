"""SMPP's own time formats."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.smpp.times import (
    RELATIVE_SECONDS_MAX,
    TimeFormatError,
    ValidityForm,
    format_absolute,
    format_relative,
    format_validity,
    parse_time,
    to_ms,
)

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
    """Quirk 38: the offset is in quarter hours."""
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
        b"251122170000000r",
        b"251122170000000 ",
        b" 51122170000000+",
        b"+51122170000000+",
        b"25112217000000O+",
        b"250022170000000+",
        b"251100170000000+",
        b"251122176000000+",
        b"251122170060000+",
        b"251122170000099-",
        b"250229000000000+",
        b"0000000530000R",
        b"-00000000530000R",
        b"0000000005300000R",
        "２51122170000000+".encode(),
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


def test_a_relative_time_is_read_liberally() -> None:
    """24 hours and 90 minutes are met in the field, tenths and an offset are not looked at."""
    assert parse_time(b"000000240000000R", NOW) == parse_time(b"000001000000000R", NOW)
    assert parse_time(b"000000009000000R", NOW) == NOW + 90 * 60_000
    assert parse_time(b"000000000100512R", NOW) == NOW + 60_000


@pytest.mark.parametrize(
    ("quarters", "expected"),
    [(0, b"250131120000200+"), (4, b"250131130000204+"), (-20, b"250131070000220-"), (48, b"250201000000248+")],
)
def test_an_absolute_time_is_written_in_the_zone_that_is_asked_for(quarters: int, expected: bytes) -> None:
    assert format_absolute(NOW, quarters) == expected


@pytest.mark.parametrize("quarters", [49, -49])
def test_an_offset_of_more_than_twelve_hours_is_not_written(quarters: int) -> None:
    with pytest.raises(ValueError, match="quarter"):
        format_absolute(NOW, quarters)


@pytest.mark.parametrize("at_ms", [ms(1999, 12, 31, 23, 59, 59), ms(2100, 1, 1)])
def test_a_year_of_another_century_is_not_written(at_ms: int) -> None:
    with pytest.raises(ValueError, match="year"):
        format_absolute(at_ms)


@given(st.integers(ms(2000, 1, 2) // 100, ms(2099, 12, 30) // 100), st.integers(-48, 48))
def test_absolute_times_come_back_from_every_zone(tenths: int, quarters: int) -> None:
    assert parse_time(format_absolute(tenths * 100, quarters), 0) == tenths * 100


@given(st.integers(0, RELATIVE_SECONDS_MAX), st.integers(ms(2000, 1, 1), ms(2099, 1, 1)))
def test_relative_times_come_back_at_every_moment(seconds: int, now_ms: int) -> None:
    assert parse_time(format_relative(seconds), now_ms) == now_ms + 1000 * seconds


@given(st.binary(max_size=18))
def test_any_octets_are_a_time_or_the_one_error(value: bytes) -> None:
    try:
        at_ms = parse_time(value, NOW)
    except TimeFormatError:
        return
    assert len(value) == 16 and at_ms > 0


@given(st.from_regex(rb"[0-9]{15}[-+R]", fullmatch=True))
def test_any_digits_are_a_time_or_the_one_error(value: bytes) -> None:
    try:
        at_ms = parse_time(value, NOW)
    except TimeFormatError:
        assert not value.endswith(b"R")
        return
    assert ms(1999, 12, 31) <= at_ms < ms(2200, 1, 1)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (ValidityForm.RELATIVE, b"000000003000000R"),
        (ValidityForm.ABSOLUTE, b"250131130000200+"),
        (ValidityForm.NONE, b""),
    ],
)
def test_quirk_38_the_time_spent_queued_is_gone_from_a_validity(form: ValidityForm, expected: bytes) -> None:
    asked_until = parse_time(b"000000010000000R", NOW)
    assert format_validity(asked_until, NOW + 30 * 60_000, form) == expected


def test_quirk_38_a_validity_is_never_nothing_and_never_longer_than_its_form_can_say() -> None:
    assert format_validity(NOW, NOW, ValidityForm.RELATIVE) == b"000000000001000R"
    assert format_validity(NOW - 5, NOW, ValidityForm.RELATIVE) == b"000000000001000R"
    assert format_validity(NOW + 40 * 86_400_000, NOW, ValidityForm.RELATIVE) == b"000031235959000R"


@given(st.integers(1, RELATIVE_SECONDS_MAX * 1000), st.sampled_from([ValidityForm.RELATIVE, ValidityForm.ABSOLUTE]))
def test_quirk_38_what_is_left_is_said_to_the_second_and_never_more(left_ms: int, form: ValidityForm) -> None:
    until_ms = NOW + left_ms
    said = parse_time(format_validity(until_ms, NOW, form), NOW)
    assert until_ms - 1000 < said <= max(until_ms, NOW + 1000)
