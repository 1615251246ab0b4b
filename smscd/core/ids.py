"""Message ids: 64-bit, time-ordered, unique over all nodes; made here and nowhere else.

Bits, from the top: 0, 41 of milliseconds since 2020-01-01T00:00Z, 10 of node, 12 of sequence.
"""

from __future__ import annotations

EPOCH_MS = 1_577_836_800_000
TIME_SHIFT = 22
NODE_SHIFT = 12
NODE_MAX = (1 << 10) - 1
SEQUENCE_MASK = (1 << 12) - 1
AHEAD_MS_MAX = 5_000


class ClockSteppedError(Exception):
    """The clock stands so far behind the last id that going on from it would date messages in the future.

    The process takes a new node id, or refuses work until the clock has caught up.
    """


class IdSource:
    """Hands out the ids of one leased node.

    node: 0..1023. last_id: the last id that this node is known to have used, so that none is used twice.
    """

    __slots__ = ("_last", "_node_bits")

    def __init__(self, node: int, last_id: int = 0) -> None:
        if not 0 <= node <= NODE_MAX:
            raise ValueError(f"node must be 0..{NODE_MAX}, not {node}")
        self._node_bits = node << NODE_SHIFT
        self._last = _slot_of(last_id) if last_id else -1

    def take(self, now_ms: int, count: int) -> list[int]:
        """Return `count` ids, rising, later than all before.

        now_ms: Redis TIME or a clock that follows it, milliseconds since the Unix epoch. When it stepped back, or more
        than 4,096 ids are taken in a millisecond, the ids go on from the last one.
        Raises ClockSteppedError when that would be more than 5 s ahead of now_ms.
        """
        first = max(self._last + 1, (now_ms - EPOCH_MS) << NODE_SHIFT)
        last = first + count - 1
        if (last >> NODE_SHIFT) + EPOCH_MS > now_ms + AHEAD_MS_MAX:
            raise ClockSteppedError(f"the last id is {(self._last >> NODE_SHIFT) + EPOCH_MS - now_ms} ms ahead")
        self._last = last
        node_bits = self._node_bits
        return [
            (slot >> NODE_SHIFT) << TIME_SHIFT | node_bits | (slot & SEQUENCE_MASK) for slot in range(first, last + 1)
        ]

    @property
    def last_ms(self) -> int:
        """The time in the last id handed out; 0 when none was."""
        return (self._last >> NODE_SHIFT) + EPOCH_MS if self._last >= 0 else 0


def first_id(at_ms: int) -> int:
    """The least id of a millisecond since the Unix epoch, 0 for one before ours."""
    return max(0, at_ms - EPOCH_MS) << TIME_SHIFT


def message_ms(message_id: int) -> int:
    """The time in a message id, milliseconds since the Unix epoch."""
    return (message_id >> TIME_SHIFT) + EPOCH_MS


def _slot_of(message_id: int) -> int:
    """Time and sequence of an id as one number: what must rise within a node."""
    return (message_id >> TIME_SHIFT) << NODE_SHIFT | (message_id & SEQUENCE_MASK)
