"""Which doubt a receipt with an unknown id settles."""

from __future__ import annotations

from smscd.egress.dispatch.blobs import DOUBTED, LATE, SENDING, Item
from smscd.egress.dispatch.doubts import Doubts
from tests.unit.smscd.egress.doubles import NOW_MS, message

DEST = message(1).dest


def item(number: int = 1, state: int = DOUBTED, **changes: object) -> Item:
    made = Item(message(number, **{"dest": DEST, **changes}), None, 0)
    made.states[:] = bytes((state,)) * len(made.states)
    return made


def test_exactly_one_doubt_between_the_addresses_is_found() -> None:
    doubts, held = Doubts(), item()
    doubts.add([held])
    assert doubts.find(b"Sender", b"+" + DEST, NOW_MS, [held]) == (held, 0)
    assert doubts.find(b"Sender", b"other", NOW_MS, [held]) is None
    assert doubts.find(b"Other", DEST, NOW_MS, [held]) is None


def test_two_doubts_or_two_segments_are_not_guessed_at() -> None:
    doubts = Doubts()
    doubts.add([item(1), item(2)])
    assert doubts.find(b"Sender", DEST, NOW_MS, []) is None
    doubts = Doubts()
    doubts.add([item(1, segments=[b"a", b"b"])])
    assert doubts.find(b"Sender", DEST, NOW_MS, []) is None


def test_a_message_that_is_still_to_be_answered_makes_it_unsure() -> None:
    doubts = Doubts()
    doubts.add([item(1)])
    for state in (SENDING, LATE):
        assert doubts.find(b"Sender", DEST, NOW_MS, [item(2, state)]) is None
    assert doubts.find(b"Sender", DEST, NOW_MS, [item(2, SENDING, dest=b"4917")]) is not None


def test_what_was_settled_is_no_doubt_any_more() -> None:
    doubts, first, second = Doubts(), item(1), item(2)
    doubts.add([first, second, first])
    first.is_over = True
    assert doubts.find(b"Sender", DEST, NOW_MS, []) == (second, 0)
    second.is_over = True
    doubts.prune()
    assert doubts.find(b"Sender", DEST, NOW_MS, []) is None


def test_quirk_10_addresses_that_were_not_swapped_or_have_another_prefix_settle_a_doubt_too() -> None:
    doubts, held = Doubts(), item()
    doubts.add([held])
    assert doubts.find(DEST, b"Sender", NOW_MS, [held]) == (held, 0)
    assert doubts.find(b"Sender", b"00" + DEST, NOW_MS, [held]) == (held, 0)


def test_quirk_10_doubts_in_both_directions_are_not_guessed_at() -> None:
    doubts = Doubts()
    doubts.add([item(1), item(2, source=DEST, dest=b"Sender")])
    assert doubts.find(b"Sender", DEST, NOW_MS, []) is None
    assert doubts.find(DEST, b"Sender", NOW_MS, []) is None


def test_a_receipt_that_was_there_before_the_message_is_of_another_one() -> None:
    doubts, held = Doubts(), item()
    doubts.add([held])
    assert doubts.find(b"Sender", DEST, NOW_MS - 1, [held]) is None


def test_what_is_left_is_counted_and_the_oldest_is_known() -> None:
    doubts, first, second = Doubts(), item(1), item(2)
    first.doubted_ms, second.doubted_ms = NOW_MS + 5, NOW_MS + 3
    doubts.add([first, second])
    assert doubts.prune() == (2, NOW_MS + 3)
    second.is_over = True
    assert doubts.prune() == (1, NOW_MS + 5)
    first.is_over = True
    assert doubts.prune() == (0, 0)
