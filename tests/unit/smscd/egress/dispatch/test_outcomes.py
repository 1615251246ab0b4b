"""What answers say of the upstream, to its breaker and to the pace of a bind."""

from __future__ import annotations

from smscd.core.error_table import ErrorTable
from smscd.egress.dispatch.outcomes import outcomes, slowing
from smscd.egress.figures import Tally
from tests.unit.smscd.egress.dispatch.test_turn import sending
from tests.unit.smscd.egress.doubles import profile


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


def test_throttling_and_a_full_queue_slow_a_bind_and_no_other_refusal_does() -> None:
    answers = [((sending(), 0), status, b"") for status in (0, 0x58, 0x14, 0x0B)]
    assert slowing(answers, ErrorTable(profile())) == (2, 1)
