"""The carrier's moods: what each magic suffix answers, how often, and what its receipt says."""

import pytest

from protocols.smpp.constants import CommandStatus
from tools.carrier.behaviour import (
    BEHAVIOURS,
    Attempts,
    decide,
    wants_receipt,
)


@pytest.mark.parametrize(
    ("suffix", "stat"), [("000", b"DELIVRD"), ("123", b"DELIVRD"), ("001", b"UNDELIV"), ("002", b"EXPIRED")]
)
def test_accepted_message_gets_the_receipt_of_its_suffix(suffix: str, stat: bytes) -> None:
    decision = decide(b"4477009" + suffix.encode(), Attempts())
    assert (decision.status, decision.behaviour.stat, decision.behaviour.receipts) == (CommandStatus.ESME_ROK, stat, 1)


def test_003_is_accepted_and_its_receipt_says_rejected() -> None:
    decision = decide(b"447700900003", Attempts())
    assert (decision.status, decision.behaviour.stat) == (CommandStatus.ESME_ROK, b"REJECTD")


def test_010_is_refused_for_its_destination_each_time_and_has_no_receipt() -> None:
    attempts = Attempts()
    decisions = [decide(b"447700900010", attempts) for _ in range(3)]
    assert [decision.status for decision in decisions] == [CommandStatus.ESME_RINVDSTADR] * 3
    assert decisions[0].behaviour.receipts == 0


def test_008_fails_twice_and_is_accepted_from_then_on_for_each_number() -> None:
    attempts = Attempts()
    statuses = [decide(b"447700900008", attempts).status for _ in range(4)]
    assert statuses == [
        CommandStatus.ESME_RSYSERR,
        CommandStatus.ESME_RSYSERR,
        CommandStatus.ESME_ROK,
        CommandStatus.ESME_ROK,
    ]
    assert decide(b"447700901008", attempts).status == CommandStatus.ESME_RSYSERR


def test_088_is_throttled_three_times_and_then_accepted() -> None:
    attempts = Attempts()
    statuses = [decide(b"447700900088", attempts).status for _ in range(5)]
    assert statuses == [CommandStatus.ESME_RTHROTTLED] * 3 + [CommandStatus.ESME_ROK] * 2


def test_500_drops_the_connection_once_for_a_number_and_is_accepted_afterwards() -> None:
    attempts = Attempts()
    decisions = [decide(b"447700900500", attempts) for _ in range(2)]
    assert [decision.drops for decision in decisions] == [True, False]
    assert decisions[1].status == CommandStatus.ESME_ROK


def test_404_777_888_and_999_differ_only_in_answer_and_receipts() -> None:
    assert not BEHAVIOURS[b"404"].is_answered
    assert BEHAVIOURS[b"777"].receipt_first
    assert BEHAVIOURS[b"888"].receipts == 2
    assert BEHAVIOURS[b"999"].receipts == 0


def test_counted_numbers_are_bounded_and_the_oldest_is_forgotten() -> None:
    attempts = Attempts(numbers_max=2)
    for number in (b"1500", b"2500", b"3500"):
        decide(number, attempts)
    assert decide(b"3500", attempts).drops is False
    assert decide(b"1500", attempts).drops is True


@pytest.mark.parametrize(
    ("registered_delivery", "stat", "wanted"),
    [
        (0x00, b"DELIVRD", False),
        (0x01, b"DELIVRD", True),
        (0x11, b"UNDELIV", True),
        (0x02, b"DELIVRD", False),
        (0x02, b"UNDELIV", True),
        (0x03, b"DELIVRD", True),
        (0x03, b"EXPIRED", False),
        (0x10, b"DELIVRD", False),
    ],
)
def test_receipt_is_sent_only_when_registered_delivery_asks_for_it(
    registered_delivery: int, stat: bytes, wanted: bool
) -> None:
    assert wants_receipt(registered_delivery, stat) is wanted
