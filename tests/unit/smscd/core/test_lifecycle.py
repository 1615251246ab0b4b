"""Statuses, receipts and ids of upstreams."""

from __future__ import annotations

from typing import get_args

import pytest

from protocols.smpp.constants import CommandStatus, MessageState
from smscd.core.lifecycle import (
    StatusKind,
    ends_message,
    kind_of_status,
    message_state_of,
    stat_of,
    state_of_receipt,
    states_until,
)
from smscd.core.records import State
from smscd.core.upstream import ReceiptStat
from storage.redis.keys import DAY_MS, HOUR_MS
from tests.unit.smscd.egress.doubles import NOW_MS, message


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (CommandStatus.ESME_ROK, StatusKind.ACCEPTED),
        (CommandStatus.ESME_RTHROTTLED, StatusKind.THROTTLED),
        (CommandStatus.ESME_RMSGQFUL, StatusKind.QUEUE_FULL),
        (CommandStatus.ESME_RSYSERR, StatusKind.TEMPORARY),
        (CommandStatus.ESME_RX_T_APPN, StatusKind.TEMPORARY),
        (CommandStatus.ESME_RINVDSTADR, StatusKind.PERMANENT),
        (CommandStatus.ESME_RSUBMITFAIL, StatusKind.PERMANENT),
        (0x400, StatusKind.PERMANENT),
    ],
)
def test_a_status_has_its_kind(status: int, kind: StatusKind) -> None:
    assert kind_of_status(status) is kind


@pytest.mark.parametrize(
    ("stat", "message_state", "state"),
    [
        (b"DELIVRD", None, State.DELIVERED),
        (b"delivrd", None, State.DELIVERED),
        (b"UNDELIV", None, State.UNDELIVERED),
        (b"FAILED", None, State.UNDELIVERED),
        (b"EXPIRED", None, State.EXPIRED),
        (b"REJECTD", None, State.REJECTED),
        (b"DELETED", None, State.CANCELED),
        (b"UNKNOWN", None, State.UNKNOWN),
        (b"ACCEPTD", None, State.SENT),
        (b"ENROUTE", None, State.SENT),
        (b"ACKED", None, State.SENT),
        (b"BUFFRED", None, State.SENT),
        (b"2", None, State.DELIVERED),
        (b"5", None, State.UNDELIVERED),
        (b"99999999999999999999", None, None),
        (b"SOMETHING", None, None),
        (b"", None, None),
        (b"", MessageState.DELIVERED, State.DELIVERED),
        (b"UNDELIV", MessageState.DELIVERED, State.DELIVERED),
        (b"DELIVRD", 200, State.DELIVERED),
        (b"", MessageState.SKIPPED, State.REJECTED),
    ],
)
def test_a_receipt_leads_to_a_state(stat: bytes, message_state: int | None, state: State | None) -> None:
    assert state_of_receipt(stat, message_state) is state


@pytest.mark.parametrize(
    ("stat", "message_state", "state"),
    [
        (b"ACKED", None, State.DELIVERED),
        (b"no route", None, State.UNDELIVERED),
        (b"42", None, State.REJECTED),
        (b"2", None, State.DELIVERED),
        (b"ACKED", MessageState.EXPIRED, State.EXPIRED),
        (b"ACKED", 200, State.DELIVERED),
        (b"OTHER", None, None),
        (b"\xff", None, None),
    ],
)
def test_quirk_1_the_profile_says_what_a_word_means(
    stat: bytes, message_state: int | None, state: State | None
) -> None:
    words = {"ACKED": "DELIVRD", "NO ROUTE": "UNDELIV", "42": "REJECTD"}
    assert state_of_receipt(stat, message_state, words) is state


def test_quirk_1_every_meaning_that_a_profile_may_give_is_one() -> None:
    assert None not in {state_of_receipt(b"x", None, {"X": stat}) for stat in get_args(ReceiptStat)}


def test_what_we_report_is_read_back_as_the_same_finality() -> None:
    for state in State:
        assert len(stat_of(state)) == 7
        read = state_of_receipt(stat_of(state), message_state_of(state))
        assert read is not None
        assert read.is_final is state.is_final
        assert (read is State.DELIVERED) is (state is State.DELIVERED)


@pytest.mark.parametrize(
    ("policy", "segment", "state", "awaited"),
    [
        ("all", 0, State.DELIVERED, 3),
        ("all", 2, State.UNDELIVERED, 3),
        ("any", 0, State.DELIVERED, 1),
        ("any", 1, State.UNDELIVERED, 1),
        ("last", 0, State.DELIVERED, None),
        ("last", 2, State.DELIVERED, 1),
        ("last", 0, State.UNDELIVERED, 1),
    ],
)
def test_quirk_8_the_profile_says_whose_receipts_end_a_long_message(
    policy: str, segment: int, state: State, awaited: int | None
) -> None:
    assert ends_message(policy, segment, 3, state) == awaited


@pytest.mark.parametrize(
    ("parts", "send_at_ms", "valid_ms", "is_kept"),
    [
        (2, 0, 24 * HOUR_MS, False),
        (2, 0, 26 * HOUR_MS, True),
        (1, 0, 7 * DAY_MS, False),
        (2, NOW_MS + 5 * DAY_MS, 6 * DAY_MS, False),
        (2, NOW_MS + 5 * DAY_MS, 12 * DAY_MS, True),
    ],
)
def test_what_receipts_say_is_kept_for_longer_for_long_messages_that_are_tried_for_days(
    parts: int, send_at_ms: int, valid_ms: int, is_kept: bool
) -> None:
    record = message(1, segments=[b"x"] * parts, send_at_ms=send_at_ms, valid_until_ms=NOW_MS + valid_ms)
    assert states_until(record) == (NOW_MS + valid_ms if is_kept else 0)
