"""Writing around what is refused."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smscd.archive.bisect import write_around


class Refusal(Exception):
    """Says no to a part."""


class Table:
    """Takes a part whole, or not at all."""

    def __init__(self, bad: set[int]) -> None:
        self.bad = bad
        self.rows: list[int] = []
        self.calls = 0

    async def write(self, part: Sequence[int]) -> None:
        self.calls += 1
        if found := self.bad & set(part):
            raise Refusal(f"{len(found)} bad")
        self.rows += part


@given(st.integers(0, 300), st.sets(st.integers(0, 299), max_size=20))
async def test_all_good_items_are_written_once_in_order_and_all_bad_ones_returned(count: int, bad: set[int]) -> None:
    table = Table(bad)
    refused = await write_around(range(count), table.write, (Refusal,))
    assert table.rows == [number for number in range(count) if number not in bad]
    assert [item for item, _ in refused] == sorted(number for number in bad if number < count)


async def test_one_bad_item_among_five_thousand_costs_few_calls() -> None:
    table = Table({3_210})
    refused = await write_around(range(5_000), table.write, (Refusal,))
    assert [item for item, _ in refused] == [3_210]
    assert len(table.rows) == 4_999
    assert table.calls <= 2 * math.ceil(math.log2(5_000)) + 1


async def test_another_error_ends_the_attempt() -> None:
    async def write(part: Sequence[int]) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await write_around([1, 2], write, (Refusal,))
