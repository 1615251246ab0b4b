"""How much of each queue is brought back."""

from __future__ import annotations

from smscd.archive.refilling import SHORT_MESSAGES, TAKEN_AT_ONCE, room_ahead, shares
from storage.redis.overflow import Place

OTP, BULK, OTHER = Place("u", 0, "otp"), Place("u", 1, "bulk"), Place("u", 1, "other")
LONG = {OTP: 50, BULK: 50, OTHER: 50}


def test_nothing_is_brought_before_half_of_the_room_is_free() -> None:
    assert shares([BULK, OTHER], LONG, 501, 1_000) == {BULK: 0, OTHER: 0}
    assert shares([BULK, OTHER], LONG, 500, 1_000) == {BULK: 250, OTHER: 250}


def test_the_higher_priority_has_what_it_wants_first() -> None:
    assert shares([OTP, BULK, OTHER], LONG, 0, 600) == {OTP: TAKEN_AT_ONCE, BULK: 50, OTHER: 50}
    assert shares([OTP, BULK, OTHER], LONG, 0, 400) == {OTP: 400, BULK: 0, OTHER: 0}


def test_a_queue_that_runs_empty_gets_a_little_whatever_the_others_have() -> None:
    assert shares([OTP, BULK], LONG | {OTP: 2}, 10**9, 1_000) == {OTP: SHORT_MESSAGES, BULK: 0}
    assert shares([BULK, OTHER], LONG | {OTHER: 0}, 10**9, 1_000) == {BULK: 0, OTHER: SHORT_MESSAGES}


def test_what_is_due_later_has_a_quarter_of_the_room() -> None:
    assert [room_ahead(later, 1_000) for later in (0, 249, 250, 900)] == [250, 1, 0, 0]
    assert room_ahead(0, 10**6) == TAKEN_AT_ONCE
