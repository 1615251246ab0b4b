"""Our requests until they are answered, and the peer's until we answer."""

from __future__ import annotations

from protocols.smpp.constants import SEQUENCE_NUMBER_MAX
from protocols.smpp.window import PeerWindow, RequestWindow, SequenceNumbers


def send(window: RequestWindow, numbers: SequenceNumbers, refs: str, now: float) -> None:
    for number, ref in zip(numbers.take(len(refs)), refs, strict=True):
        window.pending[number] = (ref, now)


def test_numbers_rise_from_one() -> None:
    numbers = SequenceNumbers()
    assert list(numbers.take(3)) == [1, 2, 3]
    assert list(numbers.take(0)) == []
    assert list(numbers.take(1)) == [4]


def test_numbers_wrap_to_one_and_skip_those_in_flight() -> None:
    """quirk 13: of two windows that share the numbers, late requests included."""
    numbers = SequenceNumbers()
    window, other = RequestWindow(10, numbers), RequestWindow(10, numbers)
    send(window, numbers, "abc", 0.0)
    window.settle(2)
    window.expire(30.0, 30.0)
    send(window, numbers, "d", 40.0)
    send(other, numbers, "e", 40.0)
    assert sorted(window.late) == [1, 3]
    assert sorted(window.pending) == [4]
    assert sorted(other.pending) == [5]
    numbers._next_number = SEQUENCE_NUMBER_MAX - 1
    assert list(numbers.take(5)) == [SEQUENCE_NUMBER_MAX - 1, SEQUENCE_NUMBER_MAX, 2, 6, 7]
    assert list(numbers.take(1)) == [8]


def test_the_last_number_is_used_once() -> None:
    numbers = SequenceNumbers()
    numbers._next_number = SEQUENCE_NUMBER_MAX
    assert list(numbers.take(1)) == [SEQUENCE_NUMBER_MAX]
    assert list(numbers.take(1)) == [1]


def test_a_request_is_settled_once() -> None:
    numbers = SequenceNumbers()
    window = RequestWindow(10, numbers)
    send(window, numbers, "a", 5.0)
    assert window.find(1) == "a"
    assert window.settle(1) == ("a", 5.0)
    assert window.find(1) is None
    assert window.settle(1) is None
    assert window.settle(99) is None


def test_a_request_expires_at_its_time_and_can_still_be_settled() -> None:
    numbers = SequenceNumbers()
    window = RequestWindow(10, numbers)
    send(window, numbers, "ab", 0.0)
    send(window, numbers, "c", 1.0)
    assert window.oldest_sent_at() == 0.0
    assert window.expire(29.9, 30.0) == []
    assert window.expire(30.0, 30.0) == ["a", "b"]
    assert window.oldest_sent_at() == 1.0
    assert window.settle(1) == ("a", 0.0)
    assert window.drain() == ["b", "c"]
    assert window.oldest_sent_at() is None


def test_the_oldest_late_numbers_are_forgotten_beyond_the_bound() -> None:
    numbers = SequenceNumbers()
    window = RequestWindow(2, numbers)
    send(window, numbers, "abc", 0.0)
    send(window, numbers, "de", 1.0)
    assert window.expire(30.0, 30.0) == ["a", "b", "c"]
    assert sorted(window.late) == [2, 3]
    window.expire(31.0, 30.0)
    assert sorted(window.late) == [4, 5]


def test_the_excess_is_refused_up_to_a_second_window_and_then_left_unread() -> None:
    peer = PeerWindow(2, may_throttle=True)
    peer.unanswered = 2
    assert peer.throttle()
    assert peer.throttle()
    assert not peer.throttle()
    assert peer.is_stopped


def test_each_answer_makes_room_for_one_more_of_either_kind() -> None:
    peer = PeerWindow(2, may_throttle=True)
    peer.unanswered = 2
    while peer.throttle():
        pass
    peer.answer(1)
    assert not peer.is_stopped
    assert peer.unanswered == 1
    peer.unanswered += 1
    assert peer.throttle()
    assert not peer.throttle()


def test_without_throttling_the_excess_is_left_unread_at_once() -> None:
    peer = PeerWindow(1, may_throttle=False)
    peer.unanswered = 1
    assert not peer.throttle()
    peer.answer(1)
    assert not peer.is_stopped


def test_more_answers_than_requests_do_not_widen_the_window() -> None:
    peer = PeerWindow(1, may_throttle=True)
    peer.answer(5)
    assert peer.unanswered == 0
