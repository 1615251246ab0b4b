"""How long an upstream is left alone."""

from __future__ import annotations

import pytest

from protocols.smpp.constants import CommandStatus
from smscd.egress.binds.pauses import BIND_FAILED_TRIES, HOLD_SECONDS, Pause, SessionEnd, pause_after


@pytest.mark.parametrize("status", [CommandStatus.ESME_RINVPASWD, CommandStatus.ESME_RINVSYSID])
def test_bad_credentials_are_held(status: CommandStatus) -> None:
    assert pause_after(SessionEnd("refused", int(status)), 0, 0.5) == Pause(HOLD_SECONDS, is_held=True)


def test_quirk_21_esme_rbindfail_is_tried_again_for_a_minute_and_then_held() -> None:
    end = SessionEnd("refused", int(CommandStatus.ESME_RBINDFAIL))
    pauses = [pause_after(end, failures, 0.0) for failures in range(BIND_FAILED_TRIES + 2)]
    assert [pause.is_held for pause in pauses] == [False] * BIND_FAILED_TRIES + [True, True]
    assert 60 <= sum(pause.seconds for pause in pauses if not pause.is_held) <= 90
    assert pauses[-1].seconds == HOLD_SECONDS


def test_quirk_25_a_bind_without_the_tlvs_that_the_profile_needs_is_held() -> None:
    assert pause_after(SessionEnd("too old", lacks_tlvs=True), 0, 0.5) == Pause(HOLD_SECONDS, is_held=True)


def test_already_bound_waits_longer_than_a_lost_connection() -> None:
    bound = pause_after(SessionEnd("refused", int(CommandStatus.ESME_RALYBND)), 0, 0.0)
    lost = pause_after(SessionEnd("closed"), 0, 0.0)
    assert bound.seconds == 5.0 and lost.seconds == 0.25
    assert not bound.is_held and not lost.is_held


@pytest.mark.parametrize("status", [CommandStatus.ESME_RALYBND, CommandStatus.ESME_RBINDFAIL])
def test_quirk_21_who_takes_over_is_not_kept_out_by_binds_of_the_owner_before(status: CommandStatus) -> None:
    end = SessionEnd("refused", int(status))
    pauses = [pause_after(end, failures, 0.0, is_heir=True) for failures in range(20)]
    assert set(pauses) == {Pause(3.0, is_expected=True)}
    assert pause_after(SessionEnd("refused", int(CommandStatus.ESME_RINVPASWD)), 0, 0.0, is_heir=True).is_held


def test_pauses_grow_with_failures_up_to_a_limit_and_have_jitter() -> None:
    end = SessionEnd("dial failed")
    seconds = [pause_after(end, failures, 0.0).seconds for failures in range(12)]
    assert seconds == sorted(seconds) and seconds[-1] == 30.0
    assert pause_after(end, 3, 1.0).seconds == pause_after(end, 3, 0.0).seconds / 2


def test_a_session_that_lived_long_is_no_sign_of_a_loop() -> None:
    assert SessionEnd("closed", bound_seconds=11).is_steady
    assert not SessionEnd("closed", bound_seconds=1).is_steady
