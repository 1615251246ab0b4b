"""What a turn's answers say of the upstream to its breaker, pure."""

from __future__ import annotations

from smscd.egress.figures import Tally


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
