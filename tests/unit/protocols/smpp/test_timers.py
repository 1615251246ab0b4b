"""Deadlines as numbers: which timer runs when."""

from __future__ import annotations

import pytest

from protocols.smpp.limits import SessionConfig
from protocols.smpp.state import Role, SessionState
from protocols.smpp.timers import Timer, Timers

CONFIG = SessionConfig(inactivity_seconds=600.0)


def running(timers: Timers, state: SessionState, role: Role = Role.SMSC, **more: object) -> dict[Timer, float]:
    values: dict[str, object] = {"is_binding": False, "oldest_sent_at": None} | more
    return {timer: when for when, timer in timers.deadlines(role, state, **values)}  # type: ignore[arg-type]


def test_only_an_smsc_waits_for_a_bind() -> None:
    timers = Timers(CONFIG, 100.0)
    assert running(timers, SessionState.OPEN) == {Timer.SESSION_INIT: 105.0}
    assert running(timers, SessionState.OPEN, Role.ESME) == {}
    assert running(timers, SessionState.OPEN, Role.ESME, is_binding=True) == {Timer.BIND: 130.0}


def test_a_bound_session_asks_after_silence_and_ends_after_inactivity() -> None:
    timers = Timers(CONFIG, 0.0)
    timers.receive(10.0)
    assert running(timers, SessionState.BOUND_RX) == {Timer.ENQUIRE_LINK: 40.0, Timer.INACTIVITY: 600.0}


def test_all_misses_fall_within_a_second_interval() -> None:
    timers = Timers(CONFIG, 0.0)
    timers.probe(30.0)
    assert running(timers, SessionState.BOUND_TX)[Timer.ENQUIRE_LINK] == 45.0
    timers.probe(45.0)
    assert running(timers, SessionState.BOUND_TX)[Timer.ENQUIRE_LINK] == 60.0
    timers.receive(50.0)
    assert timers.probes == 0
    assert running(timers, SessionState.BOUND_TX)[Timer.ENQUIRE_LINK] == 80.0


def test_a_timer_of_zero_seconds_does_not_run() -> None:
    timers = Timers(SessionConfig(enquire_link_seconds=0.0), 0.0)
    assert running(timers, SessionState.BOUND_TRX) == {}


@pytest.mark.parametrize(("state", "at"), [(SessionState.UNBIND_SENT, 12.0), (SessionState.UNBIND_RECEIVED, 37.0)])
def test_an_unbind_has_to_be_finished_and_nobody_is_asked_whether_he_lives(state: SessionState, at: float) -> None:
    timers = Timers(SessionConfig(enquire_link_seconds=0.5, unbind_seconds=5.0), 0.0)
    timers.control_at = 7.0
    assert running(timers, state) == {Timer.UNBIND: at}


def test_the_oldest_request_has_to_be_answered() -> None:
    timers = Timers(CONFIG, 0.0)
    assert running(timers, SessionState.BOUND_TX, oldest_sent_at=3.0)[Timer.RESPONSE] == 33.0


def test_silence_proves_nothing_while_the_peer_is_not_read() -> None:
    timers = Timers(CONFIG, 0.0)
    timers.note_reading(False, 1.0)
    assert running(timers, SessionState.BOUND_TX, oldest_sent_at=0.0) == {}
    assert running(timers, SessionState.OPEN) == {Timer.SESSION_INIT: 5.0}
    timers.note_reading(True, 100.0)
    deadlines = running(timers, SessionState.BOUND_TX, oldest_sent_at=0.0)
    assert deadlines[Timer.RESPONSE] == 105.0
    assert deadlines[Timer.ENQUIRE_LINK] == 130.0
