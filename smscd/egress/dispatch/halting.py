"""What of one upstream is halted by an operator, and the claimed messages that wait for it to be resumed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from smscd.core.directory_index import DirectoryIndex
from smscd.core.records import MessageRecord
from smscd.egress.dispatch.blobs import Item

HELD_MAX: Final = 20_000
"""How many messages an upstream holds in memory for paused routes; beyond, their queues are not read on."""

Waits = Callable[[MessageRecord], bool]
"""Whether a message is to wait."""


class Halting(NamedTuple):
    """What concerns one upstream. accounts: paused ones. waits: None while no account or route is paused."""

    is_paused: bool = False
    is_drained: bool = False
    accounts: frozenset[str] = frozenset()
    waits: Waits | None = None


NOTHING_HALTED: Final = Halting()


def halting_of(upstream: str, directory: DirectoryIndex, now_ms: Callable[[], int]) -> Halting:
    """What the directory says for this upstream."""
    halts = directory.halts

    def waits(record: MessageRecord) -> bool:
        return directory.is_paused(record, now_ms())

    return Halting(
        upstream in halts.paused_upstreams,
        upstream in halts.drained_upstreams,
        halts.paused_accounts,
        waits if halts.paused_accounts or halts.paused_routes else None,
    )


class Held:
    """Claimed messages that wait for their account or route. size: how many."""

    __slots__ = ("_lone", "_queues", "accounts", "size", "waits")

    def __init__(self) -> None:
        self.accounts: frozenset[str] = frozenset()
        self.waits: Waits | None = None
        self.size = 0
        self._queues: dict[str, tuple[str, list[Item]]] = {}
        self._lone: list[Item] = []

    def sift(self, queue: str, priority: str, items: Iterable[Item]) -> list[Item]:
        """Keep those that wait, in order; return the others."""
        free: list[Item] = []
        kept: list[Item] = []
        waits = self.waits
        for item in items:
            (kept if waits is not None and waits(item.record) else free).append(item)
        if kept:
            self._queues.setdefault(queue, (priority, []))[1].extend(kept)
            self.size += len(kept)
        return free

    def keeps(self, item: Item) -> bool:
        """Keep a message that belongs to no queue any more, if it is to wait; one that was attempted is not."""
        if self.waits is None or item.resends or not item.is_untouched:
            return False
        if not self.waits(item.record):
            return False
        self._lone.append(item)
        self.size += 1
        return True

    def may_read(self, queue: str, account: str) -> bool:
        """Whether more of a queue is to be claimed."""
        return account not in self.accounts and (self.size < HELD_MAX or queue not in self._queues)

    def prune(self) -> None:
        """Forget those that are over."""
        if self.size:
            queues, lone = self.take()
            self._lone = [item for item in lone if not item.is_over]
            for queue, priority, items in queues:
                if left := [item for item in items if not item.is_over]:
                    self._queues[queue] = priority, left
            self.size = len(self._lone) + sum(len(items) for _, items in self._queues.values())

    def take(self) -> tuple[list[tuple[str, str, list[Item]]], list[Item]]:
        """Give all of them up: by queue with its priority, and those without one."""
        queues = [(queue, priority, items) for queue, (priority, items) in self._queues.items()]
        lone, self._lone, self._queues, self.size = self._lone, [], {}, 0
        return queues, lone
