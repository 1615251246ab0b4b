"""How many octets of unanswered requests a process holds, and memory that is given back when many of them are gone.

malloc keeps what it has freed. After many large bodies that is all that they took, although nothing of them lives.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Final

TRIM_BYTES: Final = 8 * 1024 * 1024
TRIM_SECONDS: Final = 5.0


class HeldOctets:
    """Each connection holds `each_bytes` freely; what connections hold beyond that is at most bytes_max for all.

    give_back: hands free memory to the system; it takes milliseconds.
    """

    __slots__ = ("_beyond", "_bytes_max", "_give_back", "_peak", "_trimmed_at", "each_bytes")

    def __init__(self, bytes_max: int, each_bytes: int, give_back: Callable[[], object]) -> None:
        self.each_bytes = each_bytes
        self._bytes_max = bytes_max
        self._give_back = give_back
        self._beyond = 0
        self._peak = 0
        self._trimmed_at = -TRIM_SECONDS

    @property
    def beyond(self) -> int:
        """What is held beyond each connection's own."""
        return self._beyond

    def moved(self, before: int, after: int) -> None:
        """A connection holds more, or less, than it did."""
        free = self.each_bytes
        self._beyond += max(0, after - free) - max(0, before - free)
        self._peak = max(self._peak, self._beyond)

    def has_room(self, before: int, after: int) -> bool:
        """False when a connection may not hold so much more."""
        return self._beyond + after - max(before, self.each_bytes) <= self._bytes_max

    def trim(self, now: float) -> None:
        """Give memory back when much was held and little of it is left, not more often than every TRIM_SECONDS."""
        if self._peak >= TRIM_BYTES and self._beyond <= TRIM_BYTES // 4 and now - self._trimmed_at >= TRIM_SECONDS:
            self._trimmed_at = now
            self._peak = self._beyond
            self._give_back()


def give_back() -> None:
    """Have malloc hand its free pages to the system, where it is glibc's."""
    if _trim is not None:
        _trim(0)


_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
