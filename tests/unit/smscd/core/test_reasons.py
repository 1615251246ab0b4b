"""The one table of reasons."""

from __future__ import annotations

import pytest

from smscd.core.reasons import REASONS, Reason, Rejected


def test_every_reason_has_its_row_and_every_row_its_title() -> None:
    assert set(REASONS) == set(Reason)
    assert all(answer.title and answer.detail for answer in REASONS.values())
    assert all(answer.command_status for answer in REASONS.values())


@pytest.mark.parametrize(
    ("reason", "command_status", "http_status", "code"),
    [
        (Reason.INSUFFICIENT_BALANCE, 0x45, 402, "insufficient_balance"),
        (Reason.NO_ROUTE, 0x0B, 422, "no_route"),
        (Reason.NO_ROUTE_AVAILABLE, 0x0B, 503, "no_route_available"),
        (Reason.ACCOUNT_SUSPENDED, 0x45, 403, "account_suspended"),
        (Reason.SENDER_NOT_ALLOWED, 0x0A, 403, "sender_not_allowed"),
        (Reason.TOO_MANY_SEGMENTS, 0x01, 422, "too_many_segments"),
        (Reason.RATE_LIMITED, 0x58, 429, "rate_limited"),
        (Reason.PREFIX_VELOCITY, 0x58, 429, "prefix_velocity"),
        (Reason.SPEND_LIMIT, 0x58, 429, "spend_limit"),
        (Reason.COUNTRY_NOT_ALLOWED, 0x0B, 403, "country_not_allowed"),
        (Reason.QUEUE_FULL, 0x14, 503, "queue_full"),
        (Reason.STORAGE_UNAVAILABLE, 0x08, 503, "storage_unavailable"),
        (Reason.RECORD_BEHIND, 0x08, 503, "record_behind"),
        (Reason.IDEMPOTENCY_KEY_REUSED, 0xC4, 422, "idempotency_key_reused"),
        (Reason.IDEMPOTENCY_IN_PROGRESS, 0x08, 409, "idempotency_in_progress"),
        (Reason.INVALID_SCHEDULE, 0x61, 422, "validation_failed"),
    ],
)
def test_both_doors_say_what_the_interface_promises(
    reason: Reason, command_status: int, http_status: int, code: str
) -> None:
    answer = REASONS[reason]
    assert (answer.command_status, answer.http_status, answer.code) == (command_status, http_status, code)


def test_what_asks_to_wait_is_temporary_and_nothing_else_is() -> None:
    assert {answer.http_status for answer in REASONS.values() if answer.is_temporary} == {409, 429, 503}
    assert not any(a.http_status in (409, 429, 503) for a in REASONS.values() if not a.is_temporary)


def test_a_rejection_says_its_own_detail_or_the_tables() -> None:
    assert Rejected(Reason.NO_ROUTE).sentence == REASONS[Reason.NO_ROUTE].detail
    assert Rejected(Reason.NO_ROUTE, "not there").sentence == "not there"
    assert Rejected(Reason.NO_ROUTE).answer is REASONS[Reason.NO_ROUTE]
