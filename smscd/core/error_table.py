"""What the statuses of one upstream mean, and when a refused message is tried again: its profile before the standard.

Built when the profile comes or changes; asked for refusals only. Quirks 16 to 18.
"""

from __future__ import annotations

from typing import Final

from smscd.core.lifecycle import STANDARD_KINDS, StatusKind
from smscd.core.pacing import Backoff
from smscd.core.upstream import Upstream

THROTTLED_SECONDS_MAX: Final = 60.0
DELAY_SPREAD: Final = 0.1
"""By how much of it a delay of the profile may be longer, so that what was refused together does not come together."""


class ErrorTable:
    """The error table of an upstream.

    The profile's permanent statuses come first, then its throttling ones, then its temporary ones, then the standard. A
    status that the standard calls throttling, or a full queue, stays that when the profile calls it temporary.
    """

    __slots__ = ("_backoffs", "_delays_ms", "_kinds")

    def __init__(self, profile: Upstream) -> None:
        kinds = dict(STANDARD_KINDS)
        for status in profile.temporary_statuses:
            kinds.setdefault(status, StatusKind.TEMPORARY)
        kinds |= dict.fromkeys(profile.throttling_statuses, StatusKind.THROTTLED)
        kinds |= dict.fromkeys(profile.permanent_statuses, StatusKind.PERMANENT)
        self._kinds = kinds
        self._delays_ms = {status: seconds * 1000 for status, seconds in profile.status_delays.items()}
        base, most = profile.retry_base_seconds, profile.retry_max_seconds
        self._backoffs = {
            StatusKind.THROTTLED: Backoff(base_seconds=base / 2, max_seconds=min(most, THROTTLED_SECONDS_MAX)),
            StatusKind.TEMPORARY: Backoff(base_seconds=base, max_seconds=most),
            StatusKind.QUEUE_FULL: Backoff(base_seconds=base * 5, max_seconds=most),
        }

    def kind(self, status: int) -> StatusKind:
        """What a command_status means."""
        return self._kinds.get(status, StatusKind.PERMANENT)

    def delay_ms(self, status: int, attempt: int, chance: float) -> int:
        """How long a refused message waits, the longest for chance 0. attempt: temporary refusals before this one.

        A full queue wants more patience than a rate. The caller ends the message at its validity.
        """
        pinned = self._delays_ms.get(status)
        if pinned is not None:
            return int(pinned * (1.0 + DELAY_SPREAD * (1.0 - chance)))
        backoff = self._backoffs.get(self.kind(status), self._backoffs[StatusKind.TEMPORARY])
        return int(backoff.delay_seconds(attempt, chance) * 1000)
