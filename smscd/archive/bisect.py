"""Writes around the rows that PostgreSQL refuses: halves a batch until each refused row stands alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


async def write_around(
    items: Sequence[Item],
    write: Callable[[Sequence[Item]], Awaitable[None]],
    refusals: tuple[type[Exception], ...],
) -> list[tuple[Item, Exception]]:
    """Write all items that can be written; return those that cannot, each with what was said of it.

    write: all of its items or, raising one of `refusals`, none. One bad item among n costs about 2 log2(n) calls.
    Anything else that it raises ends the attempt.
    """
    refused: list[tuple[Item, Exception]] = []
    waiting = [items] if items else []
    while waiting:
        part = waiting.pop()
        try:
            await write(part)
        except refusals as refusal:
            if len(part) == 1:
                refused.append((part[0], refusal))
            else:
                middle = len(part) // 2
                waiting += [part[middle:], part[:middle]]
    return refused
