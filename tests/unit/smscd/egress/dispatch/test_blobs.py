"""Claimed blobs and the rest: what is decoded, and what an owner before may have left open."""

from __future__ import annotations

import msgspec
import pytest

from smscd.egress.dispatch.blobs import ACCEPTED, DOUBTED, LATE, SENDING, WAITING, Item, open_blob, open_rest, rest_blob
from storage.redis.blobs import pack_array
from storage.redis.dispatch import QueueEntry
from tests.unit.smscd.egress.doubles import NOW_MS, QUEUE, encode, message


def entry(*records: object) -> QueueEntry:
    return QueueEntry(QUEUE, "1-0", pack_array([encode(record) for record in records]))


def test_a_blob_knows_its_messages_and_the_earliest_end_of_validity() -> None:
    blob = open_blob(entry(message(1), message(2, valid_until_ms=NOW_MS + 5)), NOW_MS)
    assert [item.record.id for item in blob.items] == [message(1).id, message(2).id]
    assert (blob.unsettled, blob.valid_until_ms) == (2, NOW_MS + 5)
    assert all(item.is_untouched and not item.is_over for item in blob.items)


def test_marks_tell_what_was_settled_what_may_have_been_sent_and_how_often() -> None:
    long = message(2, segments=[b"a", b"b", b"c"])
    marks = {b"0.0": b"d", b"1.0": b"d", b"1.1": b"i2"}
    blob = open_blob(entry(message(1), long, message(3)), NOW_MS, marks)
    first, second, third = blob.items
    assert first.is_over and not second.is_over and not third.is_over
    assert bytes(second.states) == bytes((ACCEPTED, SENDING, WAITING)) and second.resends == 2
    assert third.is_untouched and blob.unsettled == 2


def test_the_rest_keeps_segments_resends_and_the_due_time() -> None:
    item = Item(message(1, segments=[b"a", b"b", b"c", b"d"]), None, 0)
    item.states[:] = bytes((ACCEPTED, LATE, DOUBTED, WAITING))
    item.resends, item.due_ms = 1, NOW_MS + 7
    back = open_rest(rest_blob(item))
    assert back.record == item.record
    assert bytes(back.states) == bytes((ACCEPTED, SENDING, DOUBTED, WAITING))
    assert (back.resends, back.due_ms, back.blob) == (1, NOW_MS + 7, None)


def test_stuck_means_nothing_to_send_and_no_answer_expected() -> None:
    item = Item(message(1, segments=[b"a", b"b"]), None, 0)
    for states, is_stuck in (((LATE, DOUBTED), True), ((LATE, SENDING), False), ((WAITING, DOUBTED), False)):
        item.states[:] = bytes(states)
        assert item.is_stuck is is_stuck


def test_field_names_hold_beyond_the_prepared_ones() -> None:
    assert Item(message(1), None, 5).field(0) == b"5.0"
    assert Item(message(1), None, 5).field(3) == b"5.3"
    assert Item(message(1), None, 5000).field(0) == b"5000.0"


def test_what_is_no_blob_is_an_error() -> None:
    with pytest.raises(msgspec.DecodeError):
        open_blob(QueueEntry(QUEUE, "1-0", b"\xc1"), NOW_MS)
