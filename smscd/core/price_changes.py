"""What importing a price list changes, pure: planned before anything is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import NamedTuple

import msgspec

from smscd.core.directory import PriceRow
from smscd.core.price_files import LineError, begins_ms, is_overlap


class Changed(NamedTuple):
    """A row that gets another price or another end; its prefix and its beginning say which it is."""

    old: PriceRow
    new: PriceRow


class PriceChanges(msgspec.Struct, kw_only=True):
    """What an import would do; nothing of it may be done when there are errors.

    removed: with replace, what is not in the file.
    """

    added: list[PriceRow] = []
    changed: list[Changed] = []
    removed: list[PriceRow] = []
    unchanged: int = 0
    errors: list[LineError] = []

    @property
    def is_nothing(self) -> bool:
        """True when everything is so already."""
        return not (self.added or self.changed or self.removed)


def plan_changes(current: Iterable[PriceRow], wanted: Mapping[int, PriceRow], *, replace: bool) -> PriceChanges:
    """What makes a list what the file says. wanted: by line, of a file in which nothing is wrong.

    replace: the list becomes the file; otherwise its other rows stay. A row without an end that begins later than one
    that has none either ends that one, so that a new price needs no line for the old one.
    """
    stored: dict[str, dict[int | None, PriceRow]] = {}
    for row in current:
        stored.setdefault(row.prefix, {})[row.from_ms] = row
    given: dict[str, dict[int | None, tuple[PriceRow, int]]] = {}
    for line, row in wanted.items():
        given.setdefault(row.prefix, {})[row.from_ms] = row, line
    changes = PriceChanges()
    for prefix, rows in given.items():
        before = stored.pop(prefix, {})
        _plan_prefix(before, rows, changes, replace=replace)
    for before in stored.values():
        if replace:
            changes.removed += before.values()
        else:
            changes.unchanged += len(before)
    changes.errors.sort()
    return changes


def _plan_prefix(
    before: Mapping[int | None, PriceRow],
    given: Mapping[int | None, tuple[PriceRow, int]],
    changes: PriceChanges,
    *,
    replace: bool,
) -> None:
    after = {} if replace else dict(before)
    after.update((from_ms, row) for from_ms, (row, _) in given.items())
    ordered = sorted(after.values(), key=begins_ms)
    for row, later in pairwise(ordered):
        if not is_overlap(row, later):
            continue
        if row.from_ms not in given and row.until_ms is None and later.from_ms in given and later.until_ms is None:
            after[row.from_ms] = row._replace(until_ms=later.from_ms)
            continue
        _, line = given.get(later.from_ms) or given[row.from_ms]
        sentence = (
            "is valid at the same time as a price of this prefix that is there: give both their dates, or replace"
        )
        changes.errors.append(LineError(line, sentence))
    for from_ms, row in after.items():
        old = before.get(from_ms)
        if old is None:
            changes.added.append(row)
        elif old != row:
            changes.changed.append(Changed(old, row))
        else:
            changes.unchanged += 1
    changes.removed += (row for from_ms, row in before.items() if from_ms not in after)
