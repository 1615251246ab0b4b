"""Pages of a list: the cursor is where the next one begins, and is missing when there is none."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from smscd.admin.pages import read_page
from smscd.ingress.http.queries import LIMIT_DEFAULT, read_cursor


class Row(NamedTuple):
    id: int


async def pages(count: int, limit: int) -> list[list[int]]:
    """All pages of a list of so many rows."""

    async def read(most: int, before: int | None) -> list[Row]:
        return [Row(number) for number in range(count, 0, -1) if before is None or number < before][:most]

    found: list[list[int]] = []
    query: dict[str, int | None] = {"limit": limit}
    while True:
        rows, cursor = await read_page(query, read)
        found.append([row.id for row in rows])
        if cursor is None:
            return found
        query["cursor"] = read_cursor(cursor)


@pytest.mark.parametrize(
    ("count", "expected"), [(0, [[]]), (1, [[1]]), (2, [[2, 1]]), (3, [[3, 2], [1]]), (4, [[4, 3], [2, 1]])]
)
async def test_pages_have_every_row_once_and_the_last_has_no_cursor(count: int, expected: list[list[int]]) -> None:
    assert await pages(count, 2) == expected


async def test_without_a_limit_a_page_has_as_many_as_by_default() -> None:
    asked: list[int] = []

    async def read(most: int, _: int | None) -> list[Row]:
        asked.append(most)
        return []

    assert await read_page({}, read) == ([], None)
    assert asked == [LIMIT_DEFAULT + 1]
