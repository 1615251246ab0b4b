"""What answers say of the upstream, to its breaker and to the pace of a bind, pure."""

from __future__ import annotations

from typing import Final

from smscd.core.error_table import ErrorTable
from smscd.core.lifecycle import StatusKind
from smscd.egress.dispatch.turn import Answers
from smscd.egress.figures import Tally

_SLOWING: Final = (StatusKind.THROTTLED, StatusKind.QUEUE_FULL)


def outcomes(tally: Tally, slow: int, *, may_narrow: bool) -> tuple[int, int]:
    """How many of the answers speak for the upstream, and how many against it.

    slow: responses that took longer than its profile allows, which speak against it whatever they said. may_narrow: its
    window may be narrowed yet, so that a full queue is no failure (quirk 15).
    """
    failed = tally.retried - tally.throttled + tally.timed_out
    succeeded = tally.accepted + tally.failed + tally.throttled
    if may_narrow:
        failed -= tally.queue_full
        succeeded += tally.queue_full
    slow = min(slow, succeeded)
    return succeeded - slow, failed + slow


def slowing(answers: Answers, errors: ErrorTable) -> tuple[int, int]:
    """How many of the answers ask for a slower pace, and how many of those because a queue is full."""
    throttled = full = 0
    for _, status, _ in answers:
        if status and (kind := errors.kind(status)) in _SLOWING:
            throttled += 1
            full += kind is StatusKind.QUEUE_FULL
    return throttled, full
