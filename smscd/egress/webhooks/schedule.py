"""Webhook attempts, pure: what an answer means, and when the next attempt is due."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from typing import Final

import msgspec

SCHEDULE_SECONDS: Final = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Before each attempt, counted from the end of the one before. The tenth is the last."""

JITTER: Final = 0.1
RETRY_AFTER_SECONDS_MAX: Final = 86_400.0
GONE: Final = 410


class Posted(msgspec.Struct, frozen=True, gc=False):
    """What became of one attempt. status: 0 when there was no answer, and then `failure` says why.

    retry_after: the header as it came. revision: of the endpoint that it was sent to.
    """

    status: int
    failure: str = ""
    retry_after: str = ""
    is_slow: bool = False
    revision: int = 0

    @property
    def detail(self) -> str:
        """For the record: a few words without address, number or text."""
        return self.failure or f"status {self.status}"


NOT_SENT: Final = Posted(0)
"""No attempt was made."""


class Meaning(Enum):
    """What is to be done after an attempt."""

    DELIVERED = auto()
    RETRY = auto()
    DEAD = auto()


def meaning_of(posted: Posted, attempts: int) -> Meaning:
    """attempts: made so far, this one included. Only 2xx delivers; 410 says that nobody is there any more."""
    if 200 <= posted.status < 300:
        return Meaning.DELIVERED
    if posted.status == GONE or attempts >= len(SCHEDULE_SECONDS):
        return Meaning.DEAD
    return Meaning.RETRY


def delay_seconds(attempts: int, retry_after_seconds: float, chance: float) -> float:
    """How long to wait after the failed attempt number `attempts`.

    Never shorter than the schedule or what the receiver asked for (up to a day). chance: uniform in 0..1.
    """
    scheduled = SCHEDULE_SECONDS[min(attempts, len(SCHEDULE_SECONDS) - 1)] * (1.0 + JITTER * chance)
    return max(scheduled, min(retry_after_seconds, RETRY_AFTER_SECONDS_MAX))


def parse_retry_after(text: str, now: float) -> float:
    """Seconds that a Retry-After header asks for: a number, or a date (RFC 9110); 0 for neither.

    now: seconds since the Unix epoch.
    """
    text = text.strip()
    if not text or len(text) > 40:
        return 0.0
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.fromtimestamp(now, UTC)).total_seconds())
