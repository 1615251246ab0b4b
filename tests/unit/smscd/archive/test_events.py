"""Which events a batch has, and for whom."""

from __future__ import annotations

from smscd.archive.events import ended_of, received_of
from smscd.archive.merge import Batch
from smscd.core.records import Outcome, State
from storage.postgres.account_events import Ended
from tests.integration.journal_fake import NOW_MS, FakeJournal, inbound, message, message_id, receipt, sent

READERS = frozenset(("demo",))
FIRST, SECOND = message(message_id(NOW_MS, 1)), message(message_id(NOW_MS, 2), segments=[b"a", b"b"])


def merged(journal: FakeJournal) -> Batch:
    batch = Batch()
    for entry in journal.entries:
        batch.add(entry)
    return batch


def test_an_end_is_told_as_its_callback_tells_it() -> None:
    journal = FakeJournal()
    strange = receipt(FIRST, NOW_MS + 9, state=State.UNDELIVERED, stat=b"ODD", err=b"", done_ms=NOW_MS + 2)
    journal.append(b"R", [strange], b"2")
    refused = sent(SECOND, NOW_MS + 5, outcome=Outcome.FAILED, state=State.FAILED, command_status=0x58, account="demo")
    journal.append(b"T", [refused])
    assert ended_of(merged(journal), READERS) == [
        Ended(FIRST.id, State.UNDELIVERED, NOW_MS + 9, NOW_MS + 2, b"UNDELIV", b"000"),
        Ended(SECOND.id, State.FAILED, NOW_MS + 5, NOW_MS + 5, b"UNDELIV", b"088"),
    ]


def test_what_does_not_end_a_message_is_no_event() -> None:
    journal = FakeJournal()
    journal.append(b"T", [sent(FIRST, NOW_MS)])
    journal.append(b"R", [receipt(SECOND, NOW_MS + 1), receipt(SECOND, NOW_MS + 1)], b"10")
    assert ended_of(merged(journal), READERS) == []
    journal.append(b"R", [receipt(SECOND, NOW_MS + 3, 1)], b"2")
    journal.append(b"R", [receipt(SECOND, NOW_MS + 4, 1, state=State.UNDELIVERED)], b"0")
    assert [event.done_ms for event in ended_of(merged(journal), READERS)] == [NOW_MS + 3]


def test_others_have_none() -> None:
    journal = FakeJournal()
    journal.append(b"R", [receipt(FIRST, NOW_MS)], b"2")
    journal.append(b"M", [inbound(1, NOW_MS)])
    batch = merged(journal)
    assert ended_of(batch, frozenset(("other",))) == received_of(batch, frozenset(("other",))) == []


def test_a_part_of_a_message_from_a_phone_is_no_event_and_the_whole_is() -> None:
    journal = FakeJournal()
    journal.append(b"M", [inbound(1, NOW_MS, group_id=3), inbound(2, NOW_MS, group_id=3), inbound(3, NOW_MS + 7)])
    assert received_of(merged(journal), READERS) == [(3, NOW_MS + 7)]
