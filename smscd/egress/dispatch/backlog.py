"""Claimed messages that wait for a bind: higher priority first, accounts in turn, what was begun before all."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from smscd.egress.dispatch.blobs import Item
from smscd.egress.dispatch.halting import Held, Waits

TURN_OF_ACCOUNT: Final = 8
BLOB_MESSAGES_GUESS: Final = 100.0
ENTRIES_READ_MAX: Final = 200
QUEUES_READ_MAX: Final = 64


class Backlog:
    """What was claimed and not yet assigned to a bind.

    `begun` holds messages that go first: those with segments on the way already, and those sent again. `held` are those
    that wait for a paused account or route, and do not count here.
    """

    __slots__ = ("_by_queue", "_rings", "begun", "held", "size")

    def __init__(self) -> None:
        self.begun: deque[Item] = deque()
        self.held = Held()
        self.size = 0
        self._by_queue: dict[str, deque[Item]] = {}
        self._rings: dict[str, deque[str]] = {}

    def __len__(self) -> int:
        return self.size

    def add(self, queue: str, priority: str, items: Iterable[Item]) -> None:
        """Add claimed messages of one queue, in order."""
        if self.held.waits is not None:
            items = self.held.sift(queue, priority, items)
            if not items:
                return
        waiting = self._by_queue.get(queue)
        if waiting is None:
            waiting = self._by_queue[queue] = deque()
            ring = self._rings.get(priority)
            if ring is None:
                self._rings[priority] = deque((queue,))
                self._rings = dict(sorted(self._rings.items()))
            else:
                ring.append(queue)
        before = len(waiting)
        waiting.extend(items)
        self.size += len(waiting) - before

    def add_begun(self, item: Item) -> None:
        """Add a message that goes before all that were only claimed; nothing changes for one that waits already."""
        if item.is_queued:
            return
        item.is_queued = True
        self.begun.append(item)
        self.size += 1

    def put_back(self, items: Sequence[Item]) -> None:
        """Return what take() gave and no bind had room for; it comes first again, in the same order."""
        for item in items:
            item.is_queued = True
        self.begun.extendleft(reversed(items))
        self.size += len(items)

    def halt(self, accounts: frozenset[str], waits: Waits | None) -> None:
        """Judge anew what is to wait, of all that was not begun. accounts: those that are paused as a whole."""
        held = self.held
        queues, lone = held.take()
        for priority, ring in self._rings.items():
            queues += [(queue, priority, list(self._by_queue[queue])) for queue in ring]
        self._rings.clear()
        self._by_queue.clear()
        self.size = len(self.begun)
        held.accounts, held.waits = accounts, waits
        for queue, priority, items in queues:
            self.add(queue, priority, [item for item in items if not item.is_over])
        for item in lone:
            if not item.is_over and not held.keeps(item):
                self.add_begun(item)

    def claimed(self, queue: str) -> int:
        """How many messages of a queue wait here."""
        waiting = self._by_queue.get(queue)
        return len(waiting) if waiting is not None else 0

    def take(self, count: int) -> list[Item]:
        """Remove and return up to count messages, those that go first first. Messages that are over are dropped."""
        taken: list[Item] = []
        begun = self.begun
        while begun and len(taken) < count:
            item = begun.popleft()
            item.is_queued = False
            self.size -= 1
            if not item.is_over:
                taken.append(item)
        for priority in tuple(self._rings):
            if len(taken) >= count:
                break
            self._take_from_ring(priority, count, taken)
        return taken

    def _take_from_ring(self, priority: str, count: int, taken: list[Item]) -> None:
        ring = self._rings[priority]
        while ring and len(taken) < count:
            queue = ring[0]
            waiting = self._by_queue[queue]
            room = count - len(taken)
            for _ in range(min(TURN_OF_ACCOUNT if len(ring) > 1 else room, room, len(waiting))):
                item = waiting.popleft()
                self.size -= 1
                if not item.is_over:
                    taken.append(item)
            if waiting:
                ring.rotate(-1)
            else:
                ring.popleft()
                del self._by_queue[queue]
        if not ring:
            del self._rings[priority]

    def fresh(self) -> Iterator[Item]:
        """What was claimed and never given to a bind, in the order of take() but for the turns of accounts."""
        return (item for ring in self._rings.values() for queue in ring for item in self._by_queue[queue])

    def drop_over(self) -> None:
        """Forget those of fresh() that are over."""
        for priority, ring in tuple(self._rings.items()):
            for queue in tuple(ring):
                waiting = self._by_queue[queue]
                left = deque(item for item in waiting if not item.is_over)
                self.size -= len(waiting) - len(left)
                if left:
                    self._by_queue[queue] = left
                else:
                    del self._by_queue[queue]
                    ring.remove(queue)
            if not ring:
                del self._rings[priority]

    def clear(self) -> None:
        """Forget everything (the role was lost)."""
        self.begun.clear()
        self._by_queue.clear()
        self._rings.clear()
        self.size = 0


class ClaimPlan:
    """Which queues to read next, and how many entries of each: round-robin over accounts, priority first.

    The size of blobs is learned from those read, so that a read brings about as many messages as are wanted.
    """

    __slots__ = ("_blob_messages", "_turn")

    def __init__(self) -> None:
        self._blob_messages = BLOB_MESSAGES_GUESS
        self._turn = 0

    def learn(self, entries: int, messages: int) -> None:
        """Note how many messages a read brought."""
        if entries:
            self._blob_messages += (messages / entries - self._blob_messages) * 0.3

    def choose(self, queues: Sequence[tuple[str, str]], backlog: Backlog, wanted: int) -> tuple[list[str], int]:
        """Return the queues to read, all of one priority, and the count of entries for each; ([], 0) for none.

        queues: (name, priority) of those that may hold unread entries, highest priority first. wanted: messages that
        should wait in all, twice the free window. A queue of which nothing waits is read even when others fill the
        backlog to four times that, so that a large account does not keep a small one out.
        """
        ahead = len(backlog.begun)
        at = 0
        while at < len(queues):
            priority = queues[at][1]
            end = at
            while end < len(queues) and queues[end][1] == priority:
                end += 1
            group = [name for name, _ in queues[at:end]]
            claimed = [backlog.claimed(name) for name in group]
            ahead += sum(claimed)
            share = max(1, wanted // len(group))
            if ahead < wanted:
                hungry = [name for name, held in zip(group, claimed, strict=True) if held < share]
            elif backlog.size < 4 * wanted:
                hungry = [name for name, held in zip(group, claimed, strict=True) if held == 0]
            else:
                hungry = []
            if hungry:
                start = self._turn % len(hungry)
                self._turn += 1
                chosen = (hungry[start:] + hungry[:start])[:QUEUES_READ_MAX]
                # One more than is wanted tells whether the queue was read to its end.
                return chosen, min(ENTRIES_READ_MAX, int(wanted / len(chosen) / self._blob_messages) + 2)
            at = end
        return [], 0
