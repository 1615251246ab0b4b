"""What an import changes: planned as a whole, and refused where prices would overlap."""

from __future__ import annotations

import random

import pytest

from smscd.core.directory import PriceRow
from smscd.core.price_changes import Changed, plan_changes
from smscd.core.price_files import LineError, begins_ms, is_overlap

OVERLAP = "is valid at the same time as a price of this prefix that is there: give both their dates, or replace"


def test_what_is_new_other_the_same_and_gone_is_told_apart() -> None:
    current = [PriceRow("1", 1), PriceRow("2", 2), PriceRow("3", 3, 10, 20)]
    wanted = {2: PriceRow("1", 1), 3: PriceRow("2", 5), 4: PriceRow("4", 4)}
    changes = plan_changes(current, wanted, replace=False)
    assert changes.added == [PriceRow("4", 4)]
    assert changes.changed == [Changed(PriceRow("2", 2), PriceRow("2", 5))]
    assert (changes.removed, changes.unchanged, changes.errors) == ([], 2, [])
    replaced = plan_changes(current, wanted, replace=True)
    assert (replaced.removed, replaced.unchanged) == ([PriceRow("3", 3, 10, 20)], 1)
    assert not replaced.is_nothing
    assert plan_changes(current, dict(enumerate(current)), replace=True).is_nothing


def test_a_price_without_an_end_ends_the_one_before_that_has_none() -> None:
    for begins in (None, 5):
        changes = plan_changes([PriceRow("44", 1, begins)], {2: PriceRow("44", 2, 10)}, replace=False)
        assert changes.errors == []
        assert changes.added == [PriceRow("44", 2, 10)]
        assert changes.changed == [Changed(PriceRow("44", 1, begins), PriceRow("44", 1, begins, 10))]


@pytest.mark.parametrize(
    ("there", "row"),
    [
        (PriceRow("44", 1), PriceRow("44", 2, 10, 20)),
        (PriceRow("44", 1, 10), PriceRow("44", 2)),
        (PriceRow("44", 1, None, 20), PriceRow("44", 2, 10)),
        (PriceRow("44", 1, 10, 20), PriceRow("44", 2, 5, 11)),
    ],
)
def test_what_would_overlap_is_refused_unless_it_replaces(there: PriceRow, row: PriceRow) -> None:
    assert plan_changes([there], {7: row}, replace=False).errors == [LineError(7, OVERLAP)]
    replaced = plan_changes([there], {7: row}, replace=True)
    assert replaced.errors == []
    assert replaced.added + [change.new for change in replaced.changed] == [row]


def test_a_row_that_is_made_longer_may_not_reach_into_the_next() -> None:
    current = [PriceRow("44", 1, 10, 20), PriceRow("44", 2, 20, 30)]
    assert plan_changes(current, {3: PriceRow("44", 1, 10, 21)}, replace=False).errors == [LineError(3, OVERLAP)]


def test_random_imports_give_the_list_that_was_asked_for_without_an_overlap() -> None:
    chance = random.Random(8)

    def some(rows: int) -> list[PriceRow]:
        """Rows that do not overlap."""
        kept: list[PriceRow] = []
        for _ in range(rows):
            begins, ends = chance.choice([(None, None), (None, 5), (5, None), (3, 5), (5, 8), (8, None), (1, 2)])
            row = PriceRow(chance.choice("12"), chance.randrange(3), begins, ends)
            if not any(each.prefix == row.prefix and overlap(each, row) for each in kept):
                kept.append(row)
        return kept

    def overlap(one: PriceRow, other: PriceRow) -> bool:
        return is_overlap(*sorted((one, other), key=begins_ms))

    done = 0
    for _ in range(2_000):
        current, wanted, replace = some(4), some(4), chance.random() < 0.5
        changes = plan_changes(current, dict(enumerate(wanted, 2)), replace=replace)
        if changes.errors:
            assert not replace
            continue
        done += 1
        changed = [change.old for change in changes.changed]
        after = [row for row in current if row not in changes.removed and row not in changed]
        assert len(after) == changes.unchanged
        after += [*changes.added, *(change.new for change in changes.changed)]
        assert set(wanted) <= set(after)
        assert not replace or set(wanted) == set(after)
        assert not any(
            one.prefix == other.prefix and overlap(one, other) for at, one in enumerate(after) for other in after[:at]
        )
    assert done > 800
