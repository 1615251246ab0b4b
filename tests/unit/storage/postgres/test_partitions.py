"""Which partitions there should be, at any moment and granularity."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.postgres.partitions import (
    AHEAD,
    TABLES,
    Partition,
    id_at,
    made_until_ms,
    missing,
    ms_at,
    spans,
)

DAY_MS = 86_400_000
MOMENTS = st.integers(1_600_000_000_000, 3_000_000_000_000)
MARCH = [f"d2024_03_{day:02}" for day in range(1, 14)]
GRANULARITIES = st.sampled_from(sorted(AHEAD))


def ms(year: int, month: int, day: int, *time: int) -> int:
    hour, minute, second = (*time, 0, 0, 0)[:3]
    return int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("granularity", "now", "suffixes"),
    [
        ("year", (2026, 11, 22), ["y2026", "y2027", "y2028"]),
        ("year", (2027, 1, 1, 5), ["y2026", "y2027", "y2028", "y2029"]),
        ("month", (2026, 11, 22), ["m2026_11", "m2026_12", "m2027_01", "m2027_02"]),
        ("month", (2024, 3, 1, 1), ["m2024_02", "m2024_03", "m2024_04", "m2024_05", "m2024_06"]),
        (
            "day",
            (2024, 2, 28),
            [f"d2024_02_{day}" for day in (27, 28, 29)] + [f"d2024_03_{d:02}" for d in range(1, 14)],
        ),
    ],
)
def test_the_spans_are_those_around_now(granularity: str, now: tuple[int, ...], suffixes: list[str]) -> None:
    assert [span.suffix for span in spans(ms(*now), granularity)] == suffixes


@given(MOMENTS, GRANULARITIES, st.integers(0, 20))
def test_spans_have_no_gap_and_cover_now_and_what_is_ahead(now_ms: int, granularity: str, ahead: int) -> None:
    found = spans(now_ms, granularity, ahead)
    assert all(one.upper_id == other.lower_id for one, other in pairwise(found))
    assert found[0].lower_id <= id_at(now_ms - DAY_MS)
    covering = [index for index, span in enumerate(found) if span.lower_id <= id_at(now_ms) < span.upper_id]
    assert covering == [len(found) - 1 - ahead]


@given(MOMENTS, GRANULARITIES, GRANULARITIES, st.integers(0, 900))
def test_what_is_missing_fills_the_gaps_and_overlaps_nothing(
    now_ms: int, before: str, after: str, days_later: int
) -> None:
    existing = [(span.lower_id, span.upper_id) for span in spans(now_ms, before)]
    later_ms = now_ms + days_later * DAY_MS
    wanted = spans(later_ms, after)
    added = missing(wanted, existing, later_ms)
    assert len({span.suffix for span in added}) == len(added)
    whole = sorted([*existing, *((span.lower_id, span.upper_id) for span in added)])
    assert all(one[1] <= other[0] for one, other in pairwise(whole))
    assert missing(wanted, whole, later_ms) == []
    position = id_at(later_ms)
    for lower, upper in whole:
        if lower <= position < upper:
            position = upper
    assert position >= wanted[-1].upper_id


def test_how_far_the_future_is_made_is_the_least_of_all_tables() -> None:
    now_ms = ms(2026, 11, 22)
    partitions = [
        Partition(
            parent=table, name=f"{table}_{span.suffix}", lower_id=span.lower_id, upper_id=span.upper_id,
            rows_estimate=0, size_bytes=0,
        )
        for table in TABLES
        for span in spans(now_ms, "day", 3)
    ]  # fmt: skip
    default = Partition(parent="segments", name="d", lower_id=None, upper_id=None, rows_estimate=0, size_bytes=0)
    assert made_until_ms(now_ms, [*partitions, default]) == ms(2026, 11, 26)
    holed = [found for found in partitions if found.name != "segments_d2026_11_24"]
    assert made_until_ms(now_ms, holed) == ms(2026, 11, 24)
    assert made_until_ms(now_ms, [found for found in partitions if found.parent != "segments"]) == now_ms


@given(MOMENTS)
def test_ids_carry_their_time(at_ms: int) -> None:
    assert ms_at(id_at(at_ms)) == at_ms
    assert ms_at(id_at(at_ms + 1) - 1) == at_ms
