"""Adding up messages, and when a day is added up again."""

from __future__ import annotations

import pytest

from smscd.core.totals import (
    DAY_MS,
    FINAL_AFTER_MS,
    MINUTE_MS,
    ROWS_A_SLICE,
    Counts,
    Key,
    Totals,
    add_groups,
    is_due,
    is_final,
    next_width_ms,
)

END_MS = 1_795_046_400_000


def test_groups_of_one_account_country_and_upstream_become_one_row() -> None:
    totals: Totals = {}
    one, two = Counts(2, 3, 30_000, 10_000, 9_000, 1), Counts(1, 1, 10_000, 0, 4_000, 0)
    north, south = Key("acme", "GB", "north"), Key("acme", "GB", "south")
    assert add_groups(totals, [(north, one), (south, two)]) == 3
    assert add_groups(totals, [(north, two)]) == 1
    assert totals == {north: Counts(3, 4, 40_000, 10_000, 13_000, 1), south: two}


def test_the_margin_is_what_refunds_and_costs_leave() -> None:
    assert Counts(charged_micros=30_000, refunded_micros=10_000, cost_micros=21_000).margin_micros == -1_000


@pytest.mark.parametrize(
    ("width", "rows", "following"),
    [
        (60_000, ROWS_A_SLICE, 60_000),
        (60_000, ROWS_A_SLICE * 2, 30_000),
        (60_000, 0, 480_000),
        (60_000, 10, 480_000),
        (60_000, ROWS_A_SLICE * 1_000, 7_500),
        (1, ROWS_A_SLICE * 1_000, 1),
    ],
)
def test_a_slice_grows_and_shrinks_to_the_rows_that_it_should_have(width: int, rows: int, following: int) -> None:
    assert next_width_ms(width, rows) == following


def test_a_day_is_added_up_soon_after_its_end_then_ever_more_seldom_and_at_last_for_good() -> None:
    computed: int | None = None
    ages = []
    for minute in range(40 * 24 * 60):
        now_ms = END_MS + minute * MINUTE_MS
        if is_due(END_MS, computed, now_ms):
            ages.append(minute)
            computed = now_ms
    assert ages == [10, 40, 160, 640, 2_560, 10_240, 22 * 24 * 60]
    assert computed is not None and is_final(END_MS, computed)


def test_a_day_is_not_due_before_it_is_over_and_is_when_it_was_added_up_before_that() -> None:
    assert not is_due(END_MS, None, END_MS - 1) and not is_due(END_MS, None, END_MS + MINUTE_MS)
    assert is_due(END_MS, END_MS - 5, END_MS + 10 * MINUTE_MS)


def test_a_day_that_was_first_looked_at_after_months_is_final_at_once() -> None:
    assert is_due(END_MS, None, END_MS + 90 * DAY_MS)
    assert is_final(END_MS, END_MS + 90 * DAY_MS)
    assert not is_due(END_MS, END_MS + FINAL_AFTER_MS, END_MS + 900 * DAY_MS)
