"""How often an account may change its configuration: each change has every process read all of it again."""

from __future__ import annotations

from typing import Final

CHANGES_AT_ONCE: Final = 30
SECONDS_A_CHANGE: Final = 2.0
ACCOUNTS_MAX: Final = 10_000


class ChangeRates:
    """Changes of one process by account: so many at once, then one every two seconds. now: monotonic seconds."""

    def __init__(self, at_once: int = CHANGES_AT_ONCE) -> None:
        self._spare = at_once * SECONDS_A_CHANGE
        self._until: dict[str, float] = {}

    def take(self, account: str, now: float) -> float:
        """0 when it may change something now, and that counts; else for how many seconds it has to wait."""
        until = max(self._until.get(account, 0.0), now) + SECONDS_A_CHANGE
        if until > now + self._spare:
            return until - now - self._spare
        if len(self._until) >= ACCOUNTS_MAX:
            self._until = {name: end for name, end in self._until.items() if end > now}
        self._until[account] = until
        return 0.0
