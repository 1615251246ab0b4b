"""What Redis gets of each message of the record: queues and doubts, correlation and marks, callbacks, answers."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.msgpack import decode

from smscd.core.callback_records import CallbackKind, CallbackRecord
from smscd.core.directory import Account, MoNumber, Snapshot
from smscd.core.directory_index import DirectoryIndex
from smscd.core.records import HeldPart, InboundRecord, MessageRecord, SentContext, State, Tariff, Via
from smscd.core.upstream import Upstream
from smscd.egress.dispatch.blobs import ACCEPTED, WAITING, RestRecord
from smscd.egress.dispatch.turn import RESENDS_MAX, sent_context
from smscd.egress.owed_callbacks import waiting_part
from smscd.recovery.recover import horizons
from smscd.recovery.report import Report
from smscd.recovery.restore import Restorer
from storage.postgres.learned import Learned
from storage.postgres.recovery import EventRow, Found, SentRow
from storage.postgres.rows import EventKind
from storage.redis.keys import DAY_MS, HOUR_MS
from storage.redis.recovery import Restored
from tests.unit.smscd.egress.doubles import FIRST_ID, NOW_MS, message
from tests.unit.smscd.recovery.stored_rows import inbound_stored, stored

SYSTEM_ERROR, MESSAGE_QUEUE_FULL, INVALID_DESTINATION = 0x08, 0x14, 0x0B
PLACE = ("carrier", 1, "acme")
DIRECTORY = DirectoryIndex(
    Snapshot(
        accounts=(Account(id="acme"), Account(id="latin", default_alphabet="latin1")),
        upstreams=(
            Upstream(id="carrier", host="h", port=1, system_id="s", password="p"),
            Upstream(id="hex", host="h", port=1, system_id="s", password="p", receipt_id="hex_decimal"),
            Upstream(id="gsm", host="h", port=1, system_id="s", password="p", default_alphabet="gsm"),
        ),
        mo_numbers=(MoNumber(number="12345", account="acme"),),
    )
)
TWO = [b"\5\0\3\1\2\1one", b"\5\0\3\1\2\2two"]


def event(kind: int, at_ms: int, *, segment: int = 0, **changes: Any) -> EventRow:
    values = {"attempt": 0, "state": 0, "command_status": 0, "stat": b"", "err": b"", "raw": b"", **changes}
    return EventRow(0, kind, at_ms, segment=segment, **values)


def sent(at_ms: int, segment: int = 0, upstream_message_id: bytes = b"a1", upstream: str = "carrier") -> SentRow:
    return SentRow(0, segment, upstream, upstream_message_id, at_ms)


def restore(
    record: MessageRecord, *events: EventRow, accepted: tuple[SentRow, ...] = (), now_ms: int = NOW_MS, **learned: Any
) -> Restored:
    """What one message gives."""
    found = Found(stored(record, Learned(**learned)), list(accepted), list(events))
    return Restorer(DIRECTORY, horizons(now_ms, now_ms), now_ms).restore([found])


def queued(restored: Restored) -> tuple[MessageRecord, list[bytes]]:
    [(record, marks)] = restored.queued[PLACE]
    return decode(record, type=MessageRecord), marks


# --- what was not sent ----------------------------------------------------------------------------------------------


def test_a_message_that_nobody_is_known_to_have_tried_may_have_been_sent() -> None:
    record = message(1)
    restored = restore(record)
    assert queued(restored) == (record, [b"i0"])
    assert (restored.waiting, restored.doubtful) == ({"carrier": 1}, {"carrier": 1})
    assert not (restored.later or restored.rest or restored.sent or restored.states or restored.cancels)


def test_only_the_segments_that_were_not_accepted_are_sent() -> None:
    record = message(1, segments=TWO)
    restored = restore(record, accepted=(sent(NOW_MS, 1),), state=State.SENDING)
    assert queued(restored)[1] == [b"i0", b"d"]
    assert [*restored.sent] == [("carrier", NOW_MS // HOUR_MS)]


@pytest.mark.parametrize(("doubts", "resends"), [(0, 0), (1, 1), (2, 2), (5, RESENDS_MAX)])
def test_doubts_of_before_count_as_sent_again(doubts: int, resends: int) -> None:
    events = [event(EventKind.DOUBTED, NOW_MS - number) for number in range(doubts)]
    record, marks = queued(restore(message(1), *events, state=State.SENDING, maybe_duplicate=doubts > 0))
    assert (record.resends, marks) == (resends, [b"i%d" % resends])


def test_doubts_of_two_segments_at_once_are_one_sending() -> None:
    events = [event(EventKind.DOUBTED, NOW_MS, segment=segment) for segment in (0, 1)]
    assert queued(restore(message(1, segments=TWO), *events, state=State.SENDING))[0].resends == 1


@pytest.mark.parametrize(
    ("status", "attempt", "ago_ms", "due_ms"),
    [
        (SYSTEM_ERROR, 1, 999, 1_001),
        (SYSTEM_ERROR, 1, 1_001, None),
        (SYSTEM_ERROR, 3, 3_999, 4_001),
        (MESSAGE_QUEUE_FULL, 1, 4_999, 5_001),
        (MESSAGE_QUEUE_FULL, 1, 5_001, None),
    ],
)
def test_a_retry_is_no_doubt_while_its_shortest_delay_lasts(
    status: int, attempt: int, ago_ms: int, due_ms: int | None
) -> None:
    refused = event(EventKind.RETRIED, NOW_MS - ago_ms, attempt=attempt, command_status=status)
    restored = restore(message(1), refused, attempts=attempt)
    if due_ms is None:
        assert queued(restored)[0].attempt == attempt and not restored.later
    else:
        [(found_ms, place, record)] = restored.later
        assert (found_ms, place) == (NOW_MS + due_ms, PLACE)
        assert decode(record, type=MessageRecord).attempt == attempt
        assert not restored.queued and restored.waiting == {"carrier": 1} and not restored.doubtful


def test_a_retry_never_waits_beyond_its_validity() -> None:
    refused = event(EventKind.RETRIED, NOW_MS - 1, attempt=9, command_status=MESSAGE_QUEUE_FULL)
    restored = restore(message(1, valid_until_ms=NOW_MS + 500), refused, attempts=9)
    assert [due_ms for due_ms, _, _ in restored.later] == [NOW_MS + 500]


@pytest.mark.parametrize("after_ms", [0, 1])
def test_a_doubt_at_or_after_the_refusal_stays_a_doubt(after_ms: int) -> None:
    refused = event(EventKind.RETRIED, NOW_MS - 9, attempt=1, command_status=SYSTEM_ERROR)
    doubted = event(EventKind.DOUBTED, NOW_MS - 9 + after_ms)
    assert restore(message(1), refused, doubted, attempts=1).doubtful == {"carrier": 1}


def test_what_was_begun_and_waits_rests_with_its_segments() -> None:
    refused = event(EventKind.RETRIED, NOW_MS - 9, attempt=1, segment=1, command_status=SYSTEM_ERROR)
    record = message(1, segments=TWO)
    restored = restore(record, refused, accepted=(sent(NOW_MS - 50),), state=State.SENDING, attempts=1)
    [(upstream, message_id, blob)] = restored.rest
    rest = decode(blob, type=RestRecord)
    assert (upstream, message_id, rest.due_ms) == ("carrier", record.id, NOW_MS + 1_991)
    assert rest.states == bytes((ACCEPTED, WAITING))


def test_what_was_accepted_after_a_refusal_shows_that_it_is_no_longer_waited_for() -> None:
    refused = event(EventKind.RETRIED, NOW_MS - 90, attempt=1, segment=1, command_status=SYSTEM_ERROR)
    restored = restore(message(1, segments=TWO), refused, accepted=(sent(NOW_MS - 50),), state=State.SENDING)
    assert queued(restored)[1] == [b"d", b"i0"]


def test_an_upstream_that_is_gone_keeps_its_messages() -> None:
    restored = restore(message(1, upstream="gone"), event(EventKind.RETRIED, NOW_MS, attempt=1, command_status=8))
    assert [place for _, place, _ in restored.later] == [("gone", 1, "acme")]


# --- what was sent --------------------------------------------------------------------------------------------------


def test_a_receipt_finds_what_was_sent_in_the_last_hours_in_the_form_of_the_profile() -> None:
    record = message(1, upstream="hex")
    accepted = (sent(NOW_MS - HOUR_MS, upstream_message_id=b"1F", upstream="hex"),)
    restored = restore(record, accepted=accepted, state=State.SENT)
    [(place, [(key, context)])] = restored.sent.items()
    assert (place, key) == (("hex", NOW_MS // HOUR_MS - 1), b"31")
    assert decode(context, type=SentContext) == sent_context(record, 0)
    assert not restored.queued and not restored.waiting and not restored.states


def test_what_was_sent_long_ago_or_without_an_id_is_not_looked_for() -> None:
    assert not restore(message(1), accepted=(sent(NOW_MS - 27 * HOUR_MS),), state=State.SENT).sent
    assert not restore(message(1), accepted=(sent(NOW_MS, upstream_message_id=b""),), state=State.SENT).sent


def test_a_message_that_ended_is_known_to_have_ended() -> None:
    record = message(1)
    restored = restore(record, accepted=(sent(NOW_MS),), state=State.UNDELIVERED, done_ms=NOW_MS, refunded_micros=7)
    assert restored.states == [(record.id, b"", State.UNDELIVERED)]
    assert restored.refunded == [record.id]


def test_segments_that_have_their_receipts_are_counted() -> None:
    record = message(1, segments=[*TWO, b"three"])
    receipts = [
        event(EventKind.RECEIPT, NOW_MS, segment=0, state=State.DELIVERED),
        event(EventKind.RECEIPT, NOW_MS, segment=2, state=State.DELIVERED),
        event(EventKind.RECEIPT, NOW_MS, segment=1, state=State.SENT),
    ]
    restored = restore(record, *receipts, accepted=tuple(sent(NOW_MS, at) for at in range(3)), state=State.SENT)
    assert restored.states == [(record.id, b":0", 4), (record.id, b":2", 4), (record.id, b":n", 2)]


@pytest.mark.parametrize(("days", "state"), [(6, State.SENDING), (1, State.SENDING), (6, State.SENT)])
def test_parts_that_were_delivered_days_ago_count_while_others_are_tried(days: int, state: State) -> None:
    record = message(1, segments=TWO, valid_until_ms=NOW_MS + days * DAY_MS)
    receipt = event(EventKind.RECEIPT, NOW_MS - 3 * DAY_MS, state=State.DELIVERED)
    restored = restore(record, receipt, accepted=(sent(NOW_MS - 3 * DAY_MS),), state=state)
    is_kept = days == 6 and state == State.SENDING
    assert restored.states == ([(record.id, b":0", 4), (record.id, b":n", 1)] if is_kept else [])
    assert restored.until == ({record.id: record.valid_until_ms} if is_kept else {})


# --- requests with a key --------------------------------------------------------------------------------------------


def test_an_answer_is_kept_for_the_current_and_the_previous_day() -> None:
    record = message(1, request_key="key", stored_answer=b"answer")
    day = NOW_MS // DAY_MS
    for now_ms, is_kept in ((NOW_MS, True), ((day + 2) * DAY_MS - 1, True), ((day + 2) * DAY_MS, False)):
        answers = restore(record, state=State.DELIVERED, done_ms=NOW_MS, now_ms=now_ms).answers
        assert answers == ([("acme", day, b"key", b"answer")] if is_kept else [])


def test_the_key_of_what_was_admitted_though_refused_is_free_and_its_cancellation_still_wanted() -> None:
    record = message(1, request_key="key", stored_answer=b"answer")
    restored = restore(record, event(EventKind.UNANNOUNCED, NOW_MS))
    assert (restored.answers, restored.cancels) == ([], [record.id])
    ended = restore(record, event(EventKind.UNANNOUNCED, NOW_MS), state=State.CANCELED, done_ms=NOW_MS)
    assert (ended.answers, ended.cancels) == ([], [])


# --- callbacks ------------------------------------------------------------------------------------------------------

TEXT = b"id:a1 sub:001 dlvrd:001 submit date:2611220000 done date:2611220001 stat:UNDELIV err:017 text:"
DONE_MS = 1_795_305_660_000


def told(restored: Restored, via: Via = Via.SMPP) -> list[CallbackRecord]:
    blobs = restored.out.get("acme", []) if via is Via.SMPP else restored.hooks
    return [decode(blob, type=CallbackRecord) for blob in blobs]


def test_the_receipt_of_an_upstream_is_told_as_it_was() -> None:
    record = message(1, via=int(Via.WEBHOOK), client_ref="order", tariff=int(Tariff.ON_DELIVERY))
    receipt = event(EventKind.RECEIPT, NOW_MS, state=State.UNDELIVERED, stat=b"UNDELIV", err=b"017", raw=TEXT)
    restored = restore(
        record, receipt, accepted=(sent(NOW_MS),), state=State.UNDELIVERED, done_ms=NOW_MS, callbacks_open=1
    )
    [callback] = told(restored, Via.WEBHOOK)
    assert (callback.kind, callback.id, callback.state) == (CallbackKind.RECEIPT, record.id, State.UNDELIVERED)
    assert (callback.stat, callback.err, callback.is_from_network) == (b"UNDELIV", b"017", True)
    assert (callback.done_ms, callback.client_ref, callback.attempt) == (DONE_MS, "order", 0)
    assert not restored.out


def test_a_receipt_without_a_text_is_dated_by_its_coming_and_an_unknown_word_is_ours() -> None:
    receipt = event(EventKind.RECEIPT, NOW_MS, state=State.DELIVERED, stat=b"ARRIVED")
    [callback] = told(restore(message(1), receipt, state=State.DELIVERED, done_ms=NOW_MS, callbacks_open=1))
    assert (callback.stat, callback.err, callback.done_ms) == (b"DELIVRD", b"000", NOW_MS)


def test_an_end_without_a_receipt_is_told_with_the_refusal() -> None:
    failed = event(EventKind.FAILED, NOW_MS, state=State.FAILED, command_status=INVALID_DESTINATION)
    earlier = event(EventKind.RECEIPT, NOW_MS - 5, state=State.DELIVERED, stat=b"DELIVRD")
    restored = restore(message(1), earlier, failed, state=State.FAILED, done_ms=NOW_MS, callbacks_open=1)
    [callback] = told(restored)
    assert (callback.stat, callback.err, callback.is_from_network) == (b"UNDELIV", b"011", False)
    assert callback.done_ms == NOW_MS


def test_as_many_callbacks_as_are_open_are_due_again_the_newest() -> None:
    record = message(1, registered_delivery=0x11)
    on_the_way = event(EventKind.RECEIPT, NOW_MS - 9, state=State.SENT, stat=b"ENROUTE")
    end = event(EventKind.RECEIPT, NOW_MS, state=State.DELIVERED, stat=b"DELIVRD")
    for is_open, states in (
        (1, [State.DELIVERED]),
        (2, [State.SENT, State.DELIVERED]),
        (3, [State.SENT, State.DELIVERED]),
    ):
        restored = restore(record, on_the_way, end, state=State.DELIVERED, done_ms=NOW_MS, callbacks_open=is_open)
        assert [callback.state for callback in told(restored)] == states
    waiting = restore(record, on_the_way, accepted=(sent(NOW_MS),), state=State.SENT, callbacks_open=1)
    assert [callback.state for callback in told(waiting)] == [State.SENT]


@pytest.mark.parametrize(
    ("account", "upstream", "data_coding", "body", "told_as"),
    [
        ("acme", "carrier", 0, b"\x02", (0, b"\x02")),
        ("latin", "gsm", 0, b"\x02", (0, b"$")),
        ("latin", "carrier", 0, b"\x02", (0, b"\x02")),
        ("acme", "gsm", 8, b"\0A", (8, b"\0A")),
    ],
)
def test_a_message_from_a_phone_is_told_as_its_owner_writes(
    account: str, upstream: str, data_coding: int, body: bytes, told_as: tuple[int, bytes]
) -> None:
    record = InboundRecord(
        5 << 22,
        account,
        upstream,
        1,
        1,
        b"447900000001",
        3,
        0,
        b"12345",
        0,
        0,
        data_coding,
        body,
        NOW_MS,
        b"",
        Via.SMPP,
    )
    found = Found(inbound_stored(record), [], [])
    restored = Restorer(DIRECTORY, horizons(NOW_MS, NOW_MS), NOW_MS).restore([found])
    [blob] = restored.out[account]
    callback = decode(blob, type=CallbackRecord)
    assert (callback.kind, callback.id, callback.done_ms) == (CallbackKind.INBOUND, record.id, NOW_MS)
    assert (callback.data_coding, callback.body) == told_as
    assert (callback.source, callback.dest) == (record.source, record.dest)


def test_a_report_adds_up_what_pages_give() -> None:
    report = Report("1-1")
    for number in (1, 2):
        report.add(restore(message(number, request_key="k", stored_answer=b"a")))
    report.add(restore(message(3), accepted=(sent(NOW_MS),), state=State.SENT))
    assert (report.waiting, report.doubtful, report.answers) == ({"carrier": 2}, {"carrier": 2}, 2)
    assert (report.later, report.cancels, report.correlations) == (0, 0, 1)


def test_a_callback_in_another_gateway_s_form_is_told_as_it_was() -> None:
    url = "kannel:31:http://theirs.example/?d=%d"
    record = message(1, segments=TWO, via=int(Via.WEBHOOK), registered_delivery=0x11, callback_url=url)
    rows = (sent(NOW_MS - 3, 0, b"a1"), sent(NOW_MS - 2, 1, b"a2", "hex"))
    receipt = event(EventKind.RECEIPT, NOW_MS, segment=1, state=State.DELIVERED, stat=b"DELIVRD", raw=TEXT)
    taken, last = told(
        restore(record, receipt, accepted=rows, state=State.DELIVERED, done_ms=NOW_MS, callbacks_open=2), Via.WEBHOOK
    )
    assert (taken.state, taken.upstream, taken.upstream_message_id, taken.done_ms) == (
        State.SENT, "hex", b"a2", NOW_MS - 2
    )  # fmt: skip
    assert (last.state, last.upstream, last.upstream_message_id) == (State.DELIVERED, "hex", b"a2")
    assert taken.url == last.url == url
    [only] = told(restore(record, accepted=rows, state=State.SENT, callbacks_open=1), Via.WEBHOOK)
    assert only == taken


def test_what_no_upstream_took_whole_is_told_of_no_acceptance() -> None:
    url = "kannel:24:http://theirs.example/"
    record = message(1, segments=TWO, via=int(Via.WEBHOOK), registered_delivery=0x11, callback_url=url)
    failed = event(EventKind.FAILED, NOW_MS, state=State.FAILED, command_status=INVALID_DESTINATION)
    restored = restore(
        record, failed, accepted=(sent(NOW_MS - 3),), state=State.FAILED, done_ms=NOW_MS, callbacks_open=2
    )
    [callback] = told(restored, Via.WEBHOOK)
    assert (callback.state, callback.err) == (State.FAILED, b"011")


def test_a_part_whose_first_word_decides_waits_for_the_others_with_no_account_as_before() -> None:
    numbers = (
        MoNumber(number="12345", account="acme"),
        MoNumber(number="12345", account="votes", keyword="vote"),
        MoNumber(number="777", account="acme", via="webhook"),
    )
    upstream = Upstream(id="carrier", host="h", port=1, system_id="s", password="p")
    directory = DirectoryIndex(Snapshot(upstreams=(upstream,), mo_numbers=numbers))

    def part_to(dest: bytes) -> HeldPart | None:
        record = InboundRecord(
            FIRST_ID + 2, "", "carrier", 1, 1, b"4917", 0, 0, dest, 0x40, 0, 0, b"\5\0\3\7\2\1vote", NOW_MS,
            group_id=FIRST_ID + 1,
        )  # fmt: skip
        return waiting_part(inbound_stored(record), directory)

    whole, other = part_to(b"12345"), part_to(b"777")
    assert whole is not None and (whole.account, whole.via, whole.body) == ("", Via.NONE, b"vote")
    assert other is not None and (other.account, other.via) == ("acme", Via.WEBHOOK)
    assert part_to(b"999") is None


def test_what_is_on_its_way_to_endpoints_is_restored_from_there_and_not_once_more() -> None:
    record = message(1, via=int(Via.WEBHOOK))
    receipt = event(EventKind.RECEIPT, NOW_MS, state=State.DELIVERED, stat=b"DELIVRD", err=b"000")
    learned = Learned(state=State.DELIVERED, done_ms=NOW_MS, callbacks_open=2)
    for owed, hooks in ((0, 1), (1, 1), (2, 0)):
        restorer = Restorer(DIRECTORY, horizons(NOW_MS, NOW_MS), NOW_MS, {record.id: owed})
        assert len(restorer.restore([Found(stored(record, learned), [], [receipt])]).hooks) == hooks
