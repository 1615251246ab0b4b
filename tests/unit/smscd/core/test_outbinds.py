"""When an ESME is asked to bind."""

from __future__ import annotations

from itertools import pairwise

from smscd.core.outbinds import BACKOFF, OutbindSchedule


def test_who_waits_is_called_at_once_and_then_less_and_less_often() -> None:
    schedule = OutbindSchedule()
    calls = [at for at in range(3600) if schedule.due({"acme"}, float(at), 0.0, 50)]
    gaps = [later - sooner for sooner, later in pairwise(calls)]
    assert calls[0] == 0
    assert gaps == [10, 20, 40, 80, 160, 320, *[600] * (len(gaps) - 6)]


def test_jitter_never_makes_a_tight_loop() -> None:
    schedule = OutbindSchedule()
    assert schedule.due({"acme"}, 0.0, 1.0, 50) == ["acme"]
    assert schedule.due({"acme"}, BACKOFF.base_seconds / 2 - 0.1, 1.0, 50) == []
    assert schedule.due({"acme"}, BACKOFF.base_seconds / 2, 1.0, 50) == ["acme"]


def test_who_was_served_when_the_pause_is_over_begins_anew() -> None:
    schedule = OutbindSchedule()
    for now in (0.0, 10.0):
        assert schedule.due({"acme"}, now, 0.0, 50) == ["acme"]
    assert schedule.due(set(), 30.0, 0.0, 50) == []
    assert schedule.due({"acme"}, 30.5, 0.0, 50) == ["acme"]
    assert schedule.due({"acme"}, 40.5, 0.0, 50) == ["acme"], "the first pause again"


def test_who_binds_and_goes_away_at_once_does_not_begin_anew() -> None:
    schedule = OutbindSchedule()
    assert schedule.due({"acme"}, 0.0, 0.0, 50) == ["acme"]
    assert schedule.due(set(), 1.0, 0.0, 50) == []
    assert schedule.due({"acme"}, 2.0, 0.0, 50) == []
    assert schedule.due({"acme"}, 10.0, 0.0, 50) == ["acme"]
    assert schedule.due({"acme"}, 29.9, 0.0, 50) == []


def test_accounts_are_called_each_in_its_own_time() -> None:
    schedule = OutbindSchedule()
    assert schedule.due({"a"}, 0.0, 0.0, 50) == ["a"]
    assert schedule.due({"a", "b"}, 5.0, 0.0, 50) == ["b"]
    assert schedule.due({"a", "b"}, 10.0, 0.0, 50) == ["a"]


def test_no_more_are_called_at_once_than_there_is_room_for() -> None:
    schedule = OutbindSchedule()
    assert schedule.due({"a", "b", "c"}, 0.0, 0.0, 2) == ["a", "b"]
    assert schedule.due({"a", "b", "c"}, 0.1, 0.0, 2) == ["c"]
    assert schedule.due({"a", "b", "c"}, 0.2, 0.0, 0) == []
