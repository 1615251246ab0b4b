"""What answers say of the upstream to its breaker."""

from __future__ import annotations

from smscd.egress.dispatch.outcomes import outcomes
from smscd.egress.figures import Tally


def test_refusals_of_a_message_and_throttling_speak_for_the_upstream_and_silence_against_it() -> None:
    tally = Tally(accepted=1, failed=2, throttled=3, retried=3 + 4, timed_out=5)
    assert outcomes(tally, 0, may_narrow=False) == (6, 9)


def test_quirk_15_a_full_queue_speaks_against_it_only_when_the_window_is_as_narrow_as_can_be() -> None:
    tally = Tally(retried=4, queue_full=3)
    assert outcomes(tally, 0, may_narrow=False) == (0, 4)
    assert outcomes(tally, 0, may_narrow=True) == (3, 1)


def test_slow_responses_speak_against_it_once() -> None:
    assert outcomes(Tally(accepted=5), 2, may_narrow=False) == (3, 2)
    assert outcomes(Tally(accepted=1, retried=1), 2, may_narrow=False) == (0, 2)
