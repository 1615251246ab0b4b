"""What keeps new messages from being begun."""

from __future__ import annotations

from structlog.testing import capture_logs

from smscd.egress.dispatch.backlog import Backlog
from smscd.egress.dispatch.brake import Brake
from smscd.egress.dispatch.halting import NOTHING_HALTED, Halting


def test_new_messages_are_begun_unless_the_process_ends_or_the_upstream_is_paused() -> None:
    brake = Brake("carrier", Backlog())
    assert brake.takes_new
    brake.halt(Halting(is_paused=True))
    assert not brake.takes_new
    brake.halt(NOTHING_HALTED)
    brake.is_draining = True
    assert not brake.takes_new


def test_an_upstream_that_is_to_run_dry_says_once_that_it_has() -> None:
    brake = Brake("carrier", Backlog())
    with capture_logs() as logs:
        brake.counted(1, 0)
        brake.halt(Halting(is_drained=True))
        brake.counted(2, 1)
        brake.counted(1, 0)
        brake.counted(0, 0)
    assert [each["event"] for each in logs] == ["upstream.drained"]
