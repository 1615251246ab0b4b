"""What becomes of the callbacks of one account."""

from __future__ import annotations

from protocols.smpp.constants import CommandStatus
from smscd.core.callback_records import CallbackOutcome, CallbackRecord, CallbackResult
from smscd.egress.esme.delivering import AGE_MS_MAX, Delivering
from storage.redis.blobs import pack_array
from tests.unit.smscd.egress.doubles import NOW_MS, encode

import msgspec  # isort: skip

RX_T_APPN = int(CommandStatus.ESME_RX_T_APPN)


def callback(number: int, **changes: object) -> CallbackRecord:
    fields: dict[str, object] = {
        "kind": 1, "id": number, "account": "acme", "state": 4, "stat": b"DELIVRD", "err": b"000",
        "submit_ms": NOW_MS, "done_ms": NOW_MS, "source_ton": 5, "source_npi": 0, "source": b"Sender",
        "dest_ton": 1, "dest_npi": 1, "dest": b"491701", "esm_class": 4, "data_coding": 0, "segments": 1,
        "body": b"text", **changes,
    }  # fmt: skip
    return CallbackRecord(**fields)  # type: ignore[arg-type]  # the test names fields that exist


def blob(*numbers: int) -> bytes:
    return pack_array([encode(callback(number)) for number in numbers])


def work_with(*entries: tuple[str, bytes]) -> Delivering:
    work = Delivering("acme", lambda: 0.0)
    for entry_id, data in entries:
        work.add(entry_id, data, NOW_MS)
    return work


def results(work: Delivering) -> list[tuple[int, int, int]]:
    decoded = [msgspec.msgpack.decode(data, type=CallbackResult) for data in work.results]
    return [(result.id, result.outcome, result.attempts) for result in decoded]


def test_an_entry_is_finished_when_all_its_callbacks_have_ended() -> None:
    work = work_with(("1-0", blob(1, 2)), ("2-0", blob(3)))
    one, two, three = work.take(10)
    work.answered([(one, 0), (three, 0)], 0.0, NOW_MS)
    assert work.finished == ["2-0"] and work.held == 1
    work.answered([(two, 0)], 0.0, NOW_MS)
    assert work.finished == ["2-0", "1-0"] and work.held == 0
    assert results(work) == [(1, CallbackOutcome.DELIVERED, 1), (3, CallbackOutcome.DELIVERED, 1),
                             (2, CallbackOutcome.DELIVERED, 1)]  # fmt: skip


def test_a_temporary_refusal_is_tried_again_after_a_growing_pause() -> None:
    work = work_with(("1-0", blob(1)))
    for attempt, pause in enumerate((1.0, 2.0, 4.0)):
        [delivery] = work.take(1)
        work.answered([(delivery, RX_T_APPN)], 100.0, NOW_MS)
        assert delivery.attempts == attempt + 1
        assert work.wake(100.0) == 100.0 + pause
        assert work.take(1) == []
        assert work.wake(100.0 + pause) is None
    [delivery] = work.take(1)
    work.answered([(delivery, 0)], 200.0, NOW_MS)
    assert results(work) == [(1, CallbackOutcome.DELIVERED, 4)]


def test_a_permanent_refusal_makes_a_dead_letter() -> None:
    work = work_with(("1-0", blob(1)))
    [delivery] = work.take(1)
    work.answered([(delivery, int(CommandStatus.ESME_RX_P_APPN))], 0.0, NOW_MS)
    assert results(work) == [(1, CallbackOutcome.DEAD, 1)]
    assert work.finished == ["1-0"] and work.dead == 1


def test_what_a_lost_session_left_unanswered_is_next_again_in_its_order() -> None:
    work = work_with(("1-0", blob(1, 2, 3)))
    first, second, third = work.take(3)
    work.answered([(second, 0)], 0.0, NOW_MS)
    work.unanswered([first, second, third])
    assert work.take(5) == [first, third]


def test_a_time_out_is_tried_again_later_and_a_late_answer_still_counts() -> None:
    work = work_with(("1-0", blob(1)))
    [delivery] = work.take(1)
    work.timed_out([delivery], 100.0)
    assert work.take(1) == []
    work.answered([(delivery, 0)], 100.5, NOW_MS)
    assert work.wake(200.0) is None and work.take(1) == []
    assert work.finished == ["1-0"]


def test_a_session_that_closes_after_a_time_out_does_not_double_the_callback() -> None:
    work = work_with(("1-0", blob(1)))
    [delivery] = work.take(1)
    work.timed_out([delivery], 100.0)
    work.unanswered([delivery])
    work.wake(200.0)
    assert work.take(5) == [delivery]


def test_a_callback_that_nobody_took_for_days_is_dead() -> None:
    work = Delivering("acme", lambda: 0.0)
    old = pack_array([encode(callback(1, done_ms=NOW_MS - AGE_MS_MAX - 1))])
    work.add("1-0", old, NOW_MS)
    assert work.finished == ["1-0"] and work.dead == 1 and work.take(1) == []


def test_a_callback_that_was_asked_for_again_is_as_old_as_its_entry_and_its_end_says_so() -> None:
    work = Delivering("acme", lambda: 0.0)
    again = pack_array([encode(callback(n, done_ms=NOW_MS - 2 * AGE_MS_MAX, is_replay=True)) for n in (1, 2)])
    work.add(f"{NOW_MS - AGE_MS_MAX - 1}-0", again, NOW_MS)
    assert work.dead == 2 and work.held == 0
    work.add(f"{NOW_MS - AGE_MS_MAX}-0", again, NOW_MS)
    taken, refused = work.take(2)
    work.answered([(taken, 0), (refused, int(CommandStatus.ESME_RX_P_APPN))], 0.0, NOW_MS)
    work.add("1-0", blob(3), NOW_MS)
    work.answered([(work.take(1)[0], 0)], 0.0, NOW_MS)
    ends = [msgspec.msgpack.decode(data, type=CallbackResult) for data in work.results]
    assert [end.is_replay for end in ends] == [True, True, True, True, False]
    assert [end.outcome for end in ends[2:]] == [1, 2, 1]
