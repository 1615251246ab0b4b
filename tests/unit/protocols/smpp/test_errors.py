"""The two kinds of error of the peer's making, and ours."""

from __future__ import annotations

from protocols.smpp.errors import EncodeError, FramingError, LocalError, PduError, StateError


def test_an_error_in_a_pdu_says_what_to_answer() -> None:
    assert PduError(0x01, "too long").command_status == 0x01


def test_lost_framing_keeps_what_was_understood_before() -> None:
    assert FramingError("command_length 3", ["event"]).events == ["event"]


def test_mistakes_of_ours_are_not_mistakes_of_the_peer() -> None:
    assert issubclass(EncodeError, LocalError)
    assert issubclass(StateError, LocalError)
    assert not issubclass(LocalError, (PduError, FramingError))
    assert not issubclass(PduError, LocalError)
