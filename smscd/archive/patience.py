"""How long the writer waits for an answer of PostgreSQL before it takes the connection for lost: pure.

A server that is only slow must get its time, or the same batch would be tried for ever; a link that swallows everything
must be noticed soon. So the wait begins short, doubles each time that it was too short, and is short again once answers
come quickly.
"""

from __future__ import annotations

from typing import Final

MOST_SECONDS: Final = 120.0


class Patience:
    """seconds: for one answer, now. first: what it begins with."""

    __slots__ = ("_first", "seconds")

    def __init__(self, first: float) -> None:
        self._first = first
        self.seconds = first

    def failed(self, error: BaseException) -> None:
        """Something ended the connection; only an answer that did not come counts."""
        if isinstance(error, TimeoutError):
            self.seconds = max(self._first, min(2 * self.seconds, MOST_SECONDS))

    def answered(self, seconds: float) -> None:
        """A whole batch took so long."""
        if seconds < self._first / 2:
            self.seconds = self._first
