"""The error table of an upstream: kinds and delays of statuses."""

from __future__ import annotations

from protocols.smpp.constants import CommandStatus
from smscd.core.error_table import ErrorTable
from smscd.core.lifecycle import StatusKind
from smscd.core.upstream import Upstream

FULL, THROTTLED, SYSERR = (
    int(CommandStatus.ESME_RMSGQFUL), int(CommandStatus.ESME_RTHROTTLED), int(CommandStatus.ESME_RSYSERR),
)  # fmt: skip


def table(**changes: object) -> ErrorTable:
    return ErrorTable(Upstream(id="u", host="h", port=1, system_id="", password="", **changes))  # type: ignore[arg-type]


def test_quirk_18_the_profile_of_the_upstream_comes_before_the_standard() -> None:
    errors = table(
        temporary_statuses=frozenset({0x45, THROTTLED}),
        permanent_statuses=frozenset({SYSERR}),
        throttling_statuses=frozenset({0x400, FULL}),
    )
    kinds = {status: errors.kind(status) for status in (0x45, SYSERR, THROTTLED, 0x400, FULL, 0x401)}
    assert kinds == {
        0x45: StatusKind.TEMPORARY,
        SYSERR: StatusKind.PERMANENT,
        THROTTLED: StatusKind.THROTTLED,
        0x400: StatusKind.THROTTLED,
        FULL: StatusKind.THROTTLED,
        0x401: StatusKind.PERMANENT,
    }


def test_quirk_17_retries_back_off_and_a_full_queue_gets_more_patience() -> None:
    errors = table()
    delays = [errors.delay_ms(SYSERR, attempt, 0.0) for attempt in range(12)]
    assert delays[:3] == [2_000, 4_000, 8_000] and delays == sorted(delays) and delays[-1] == 900_000
    assert errors.delay_ms(THROTTLED, 0, 1.0) == 500
    assert errors.delay_ms(THROTTLED, 12, 0.0) == 60_000
    assert errors.delay_ms(FULL, 0, 0.0) == 10_000
    assert errors.delay_ms(0x0B, 0, 0.0) == 2_000


def test_the_profile_sets_the_first_and_the_longest_delay() -> None:
    errors = table(retry_base_seconds=10.0, retry_max_seconds=30.0)
    assert [errors.delay_ms(SYSERR, attempt, 0.0) for attempt in range(4)] == [10_000, 20_000, 30_000, 30_000]
    assert errors.delay_ms(THROTTLED, 5, 0.0) == 30_000
    assert errors.delay_ms(FULL, 0, 0.0) == 30_000


def test_a_status_with_a_delay_of_its_own_waits_that_long_whatever_the_attempt_and_hardly_longer() -> None:
    errors = table(temporary_statuses=frozenset({0x45}), status_delays={0x45: 60.0, THROTTLED: 0.5})
    assert [errors.delay_ms(0x45, attempt, 1.0) for attempt in (0, 9)] == [60_000, 60_000]
    assert errors.delay_ms(0x45, 3, 0.0) == 66_000
    assert errors.delay_ms(THROTTLED, 7, 1.0) == 500
    assert errors.delay_ms(SYSERR, 0, 0.0) == 2_000
