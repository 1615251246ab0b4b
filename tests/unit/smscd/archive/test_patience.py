"""How long the writer waits for PostgreSQL."""

from __future__ import annotations

from smscd.archive.patience import MOST_SECONDS, Patience


def test_a_server_that_is_only_slow_gets_twice_as_long_each_time() -> None:
    patience = Patience(7.0)
    waited = []
    for _ in range(6):
        waited.append(patience.seconds)
        patience.failed(TimeoutError())
    assert waited == [7.0, 14.0, 28.0, 56.0, 112.0, MOST_SECONDS]


def test_a_connection_that_ended_says_nothing_of_how_slow_it_was() -> None:
    patience = Patience(7.0)
    patience.failed(ConnectionResetError())
    assert patience.seconds == 7.0


def test_it_stays_patient_until_answers_come_quickly() -> None:
    patience = Patience(7.0)
    patience.failed(TimeoutError())
    patience.answered(5.0)
    assert patience.seconds == 14.0
    patience.answered(1.0)
    assert patience.seconds == 7.0
