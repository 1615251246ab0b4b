"""What came in since the last turn, and in which order it enters the next."""

from __future__ import annotations

from smscd.core.records import Outcome
from smscd.egress.dispatch.intake import ANSWERS_A_TURN, Intake
from tests.unit.smscd.egress.dispatch.test_turn import draft, journal, sending
from tests.unit.smscd.egress.doubles import NOW_MS


def test_an_answer_that_came_before_the_loss_of_its_bind_is_judged_first() -> None:
    intake, item = Intake(lambda: NOW_MS - 3), sending()
    intake.lost([(item, 0)])
    intake.answered([((item, 0), 0, b"x")])
    made = draft()
    assert intake.has_any and intake.give(made) == 1
    assert [(each.outcome, each.at_ms) for each in journal(made)] == [(Outcome.ACCEPTED, NOW_MS - 3)]
    assert not intake.has_any


def test_answers_beyond_those_of_a_turn_wait_for_the_next() -> None:
    intake = Intake(lambda: NOW_MS)
    intake.answered([((sending(), 0), 0, b"%d" % at) for at in range(ANSWERS_A_TURN + 2)])
    assert intake.give(draft()) == ANSWERS_A_TURN and intake.has_any
    assert intake.give(made := draft()) == ANSWERS_A_TURN + 2 == intake.gate.seen
    assert len(journal(made)) == 2 and not intake.has_any


def test_half_a_window_or_any_trouble_is_enough_for_a_turn() -> None:
    intake, item = Intake(lambda: NOW_MS), sending()
    intake.answered([((item, 0), 0, b"x")])
    assert intake.has_enough(3) and not intake.has_enough(4)
    intake.timed_out([(item, 0)])
    assert not intake.has_enough(4)
    intake.lost([(item, 0)])
    assert intake.has_enough(4)
