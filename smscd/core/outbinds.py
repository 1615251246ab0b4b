"""When an ESME is asked with outbind to bind, pure: something waits, nobody serves it, and never in a tight loop."""

from __future__ import annotations

from collections.abc import Set
from typing import Final

from smscd.core.pacing import Backoff

BACKOFF: Final = Backoff(base_seconds=10.0, max_seconds=600.0)


class OutbindSchedule:
    """Which accounts are called, and when each may be called again. now: monotonic seconds.

    An account that has nothing waiting any more when its pause is over begins anew; one that binds and goes away again
    and again is called less and less often, like one that never answers.
    """

    def __init__(self) -> None:
        self._calls: dict[str, tuple[int, float]] = {}

    def due(self, waiting: Set[str], now: float, chance: float, limit: int) -> list[str]:
        """The accounts to be called now, of those that have something waiting and no receiver anywhere.

        chance: uniform in 0..1. limit: how many at most; the others are due the next time. Each that is returned counts
        as called.
        """
        for account, (_, next_at) in list(self._calls.items()):
            if account not in waiting and next_at <= now:
                del self._calls[account]
        found: list[str] = []
        for account in sorted(waiting):
            if len(found) >= limit:
                break
            calls, next_at = self._calls.get(account, (0, now))
            if next_at <= now:
                self._calls[account] = (calls + 1, now + BACKOFF.delay_seconds(calls, chance))
                found.append(account)
        return found
