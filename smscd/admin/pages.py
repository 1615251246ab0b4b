"""Pages of a list, newest first: how many rows, from where on, and the cursor that the next page is asked for with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

from smscd.admin import queries
from smscd.admin.resources import Query
from smscd.ingress.http.queries import LIMIT_DEFAULT, write_cursor

PARAMETERS: Final[dict[str, Query]] = {"limit": queries.LIMITED, "cursor": queries.PLACE}
"""What an operation takes that answers with a page."""


class Numbered(Protocol):
    """A row of a list. Numbers grow with time."""

    @property
    def id(self) -> int:
        """Its number."""
        ...


Row = TypeVar("Row", bound=Numbered)


async def read_page(
    query: Mapping[str, Any], read: Callable[[int, int | None], Awaitable[Sequence[Row]]]
) -> tuple[Sequence[Row], str | None]:
    """The rows that a query asks for, and the cursor of those after them; None when there are no more.

    read: at most so many rows below a number (None: from the newest on), newest first.
    """
    limit = query.get("limit", LIMIT_DEFAULT)
    found = await read(limit + 1, query.get("cursor"))
    page = found[:limit]
    return page, write_cursor(page[-1].id) if len(found) > limit else None
