"""RateLimit headers: what an account may still send, as this process sees it (draft-ietf-httpapi-ratelimit-headers).

The rate itself is kept by Redis for all processes together; a request is refused only there. This is the hint that
the draft speaks of, kept in step by every refusal.
"""

from __future__ import annotations

import math
from typing import Final

from smscd.core.directory import Account

ACCOUNTS_MAX: Final = 4_096


class _Allowance:
    """One account's bucket. at: when it would be full again, in loop seconds."""

    __slots__ = ("at", "burst_seconds", "interval", "policy", "quota", "window")

    def __init__(self, account: Account) -> None:
        rate = max(account.rate_per_second, 1e-6)
        self.at = 0.0
        self.interval = 1.0 / rate
        self.quota = max(1, int(rate))
        self.window = 1 if rate >= 1 else math.ceil(1.0 / rate)
        self.burst_seconds = max(account.burst, 1) / rate
        self.policy = f'"default";q={self.quota};w={self.window}'


class RateHints:
    """The two headers for an account, before and after each answer. now: loop seconds."""

    __slots__ = ("_allowances",)

    def __init__(self) -> None:
        self._allowances: dict[tuple[str, float, int], _Allowance] = {}

    def admitted(self, account: Account, now: float, messages: int = 1) -> tuple[str, str]:
        """(RateLimit-Policy, RateLimit) after messages were admitted."""
        allowance = self._of(account)
        allowance.at = max(allowance.at, now) + messages * allowance.interval
        return allowance.policy, self._hint(allowance, now)

    def unchanged(self, account: Account, now: float) -> tuple[str, str]:
        """The headers when nothing was admitted."""
        allowance = self._of(account)
        return allowance.policy, self._hint(allowance, now)

    def throttled(self, account: Account, retry_after_seconds: float, now: float) -> tuple[str, str]:
        """The headers when Redis said that the rate is exceeded: nothing is left until retry_after_seconds."""
        allowance = self._of(account)
        allowance.at = now + allowance.burst_seconds + max(retry_after_seconds - allowance.interval, 0.0)
        return allowance.policy, f'"default";r=0;t={max(1, math.ceil(retry_after_seconds))}'

    def _of(self, account: Account) -> _Allowance:
        key = (account.id, account.rate_per_second, account.burst)
        allowance = self._allowances.get(key)
        if allowance is None:
            if len(self._allowances) >= ACCOUNTS_MAX:
                self._allowances.clear()
            allowance = self._allowances[key] = _Allowance(account)
        return allowance

    def _hint(self, allowance: _Allowance, now: float) -> str:
        used = max(0.0, allowance.at - now)
        left = int((allowance.burst_seconds - used) / allowance.interval + 1e-9)
        return f'"default";r={max(0, min(left, allowance.quota))};t={allowance.window}'
