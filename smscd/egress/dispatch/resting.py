"""Messages of the rest that are to be sent again at a time of their own."""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count

from smscd.egress.dispatch.blobs import Item


class Resting:
    """A heap of messages by the time they are due."""

    __slots__ = ("_heap", "_tie")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Item]] = []
        self._tie = count()

    @property
    def next_due_ms(self) -> int | None:
        """When the first one is due; None when there is none."""
        return self._heap[0][0] if self._heap else None

    def add(self, item: Item) -> None:
        """Keep one until its due_ms."""
        heappush(self._heap, (item.due_ms, next(self._tie), item))

    def take_due(self, now_ms: int) -> list[Item]:
        """Remove and return those that are due, those that are over left out; nothing keeps them from being sent."""
        due: list[Item] = []
        heap = self._heap
        while heap and heap[0][0] <= now_ms:
            item = heappop(heap)[2]
            item.due_ms = 0
            if not item.is_over:
                due.append(item)
        return due
