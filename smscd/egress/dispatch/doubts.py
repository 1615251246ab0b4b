"""Segments that stay in doubt, and the receipts that settle one: when the addresses fit it and nothing else. Law 5."""

from __future__ import annotations

from collections.abc import Iterable

from smscd.egress.dispatch.blobs import DOUBTED, LATE, SENDING, Item
from smscd.egress.dispatch.turn import Ref
from storage.redis.keys import id_ms


class Doubts:
    """The messages of one owner with a segment in doubt that nobody sends again, by (source, destination)."""

    __slots__ = ("_by_addresses",)

    def __init__(self) -> None:
        self._by_addresses: dict[tuple[bytes, bytes], list[Item]] = {}

    def add(self, items: Iterable[Item]) -> None:
        """These have come to doubt."""
        for item in items:
            held = self._by_addresses.setdefault(_addresses(item), [])
            if item not in held:
                held.append(item)

    def find(self, source: bytes, dest: bytes, came_ms: int, others: Iterable[Item]) -> Ref | None:
        """The one segment that a receipt with an unknown id must speak of, or None when that is not sure.

        source, dest: of the message, so the receipt's own are swapped; some SMSCs leave them as they were, which is
        looked at too. came_ms: when the receipt did; it speaks of nothing that was admitted later. others: all
        messages that are not settled; one between the same addresses that is still to be answered makes it unsure,
        because the receipt may be ahead of the answer.
        """
        ends = (_bare(source), _bare(dest))
        either = {ends, ends[::-1]}
        found = [
            (item, segment)
            for addresses in either
            for item in self._by_addresses.get(addresses, ())
            if not item.is_over and id_ms(item.record.id) <= came_ms
            for segment, state in enumerate(item.states)
            if state == DOUBTED
        ]
        if len(found) != 1:
            return None
        for item in others:
            if not item.is_over and (SENDING in item.states or LATE in item.states) and _addresses(item) in either:
                return None
        return found[0]

    def prune(self) -> tuple[int, int]:
        """Forget what was settled meanwhile; how many messages are left, and since when the oldest is in doubt."""
        count = oldest_ms = 0
        for addresses, held in list(self._by_addresses.items()):
            left = [item for item in held if _is_doubtful(item)]
            if left:
                self._by_addresses[addresses] = left
                count += len(left)
                oldest_ms = min(oldest_ms or left[0].doubted_ms, *(item.doubted_ms for item in left))
            else:
                del self._by_addresses[addresses]
        return count, oldest_ms


def _is_doubtful(item: Item) -> bool:
    return not item.is_over and DOUBTED in item.states


def _addresses(item: Item) -> tuple[bytes, bytes]:
    record = item.record
    return _bare(record.source), _bare(record.dest)


def _bare(address: bytes) -> bytes:
    """An address without the prefix of an international number, which SMSCs add and remove."""
    return address.removeprefix(b"+").removeprefix(b"00")
