"""Cancelling and replacing what was not sent yet: what the owner of an upstream decides, and what a crash leaves."""

from __future__ import annotations

import msgspec
import pytest

from smscd.core.records import ChangeKind, ChangeRequest, MessageRecord, Outcome, State
from storage.redis.changes import ChangeAnswer
from tests.unit.smscd.egress.dispatch.dispatcher_rig import ROK, RSYSERR, Rig
from tests.unit.smscd.egress.doubles import FIRST_ID, NOW_MS, message
from tests.unit.smscd.egress.redis_double import FakeRedis

PRICE = 70_000
CANCEL, REPLACE = ChangeKind.CANCEL, ChangeKind.REPLACE
MANY = 600


def replaced(number: int) -> MessageRecord:
    return message(number, segments=[b"other %d" % number])


async def ask(
    rig: Rig, kind: ChangeKind, number: int, *, is_queued: bool = False, record: MessageRecord | None = None
) -> ChangeAnswer:
    """Ask for a change of message `number`, and return the answer."""
    record = record or (replaced(number) if kind is REPLACE else message(number))
    rig.redis.asks[record.id] = ChangeRequest(kind, record, is_queued)
    rig.dispatcher.asked()
    await rig.work()
    answer = rig.redis.asks.pop(record.id)
    assert isinstance(answer, bytes)
    return ChangeAnswer(answer)


def down(*records: MessageRecord, redis: FakeRedis | None = None) -> Rig:
    """A dispatcher without a bind that can send, and messages in its queue."""
    rig = Rig(redis)
    rig.link.can_send = False
    if records:
        rig.redis.admit(*records)
    return rig


async def up(rig: Rig) -> list[bytes]:
    """The bind can send again; the texts that go out."""
    rig.link.can_send = True
    await rig.work()
    return [pdu.short_message for pdu in rig.sent()]


async def test_a_cancelled_message_is_never_sent_paid_back_and_its_customer_is_told() -> None:
    rig = down(message(1), message(2))
    await rig.work()
    assert await ask(rig, CANCEL, 1) is ChangeAnswer.DONE
    assert rig.redis.states == {FIRST_ID + 1: State.CANCELED}
    assert rig.redis.refunded == {FIRST_ID + 1: PRICE}
    assert [(callback.id, callback.stat) for callback in rig.redis.callbacks()] == [(FIRST_ID + 1, b"DELETED")]
    assert rig.redis.depth == 1
    assert await up(rig) == [b"text 2"]


@pytest.mark.parametrize("kind", [CANCEL, REPLACE])
async def test_what_was_sent_or_is_in_doubt_is_not_changed(kind: ChangeKind) -> None:
    rig = Rig()
    rig.redis.admit(message(1), message(2))
    await rig.work()
    assert await ask(rig, kind, 1) is ChangeAnswer.LATE
    await rig.lose()
    assert await ask(rig, kind, 2) is ChangeAnswer.LATE
    assert rig.redis.states == {} and rig.redis.refunded == {} and rig.redis.replaced == []


@pytest.mark.parametrize("others", [0, 1])
async def test_a_message_that_waits_for_its_retry_in_the_queue_can_still_be_cancelled(others: int) -> None:
    """others: messages of the same blob that are not answered, so that the blob, with a copy that left it, is kept."""
    rig = Rig()
    rig.redis.admit(message(1), *(message(2 + number) for number in range(others)))
    await rig.work()
    await rig.answer((RSYSERR, b""))
    [(due_ms, _, _)] = rig.redis.later
    assert await ask(rig, CANCEL, 1) is ChangeAnswer.ABSENT
    assert await ask(rig, CANCEL, 1, is_queued=True) is ChangeAnswer.DONE
    assert rig.redis.depth == others
    if others:
        await rig.answer((ROK, b"id"))
    rig.clock.advance((due_ms - NOW_MS) / 1000 + 1)
    await rig.work()
    assert len(rig.link.written) == 1 + others and not rig.redis.queues and not rig.redis.gone
    assert [outcome for outcome in rig.outcomes() if outcome != Outcome.ACCEPTED] == [
        Outcome.RETRIED, Outcome.CANCELED,
    ]  # fmt: skip


@pytest.mark.parametrize("crashes", [False, True])
async def test_an_unread_message_is_cancelled_at_once_and_dropped_when_it_is_read(crashes: bool) -> None:
    rig = down()
    for number in range(1, MANY + 1):
        rig.redis.admit(message(number))
    await rig.work()
    assert await ask(rig, CANCEL, MANY) is ChangeAnswer.ABSENT
    assert await ask(rig, CANCEL, MANY, is_queued=True) is ChangeAnswer.DONE
    assert await ask(rig, CANCEL, MANY, is_queued=True) is ChangeAnswer.LATE  # it is done already, and only once
    assert rig.redis.refunded == {FIRST_ID + MANY: PRICE} and rig.redis.depth == MANY - 1
    if crashes:
        rig = down(redis=rig.redis)
        await rig.dispatcher.take_rest_over()
    texts = await up(rig)
    while rig.link.pending:
        await rig.answer(*[(ROK, b"id%d" % number) for number in range(len(rig.link.pending))])
    texts = [pdu.short_message for pdu in rig.sent()]
    assert sorted(texts) == sorted(b"text %d" % number for number in range(1, MANY))
    assert rig.redis.depth == 0 and not rig.redis.queues and not rig.redis.gone and not rig.redis.rest
    assert len(rig.redis.callbacks()) == 1


async def test_a_message_that_was_read_since_it_was_absent_is_judged_as_it_is_now() -> None:
    rig = down()
    for number in range(1, MANY + 1):
        rig.redis.admit(message(number))
    await rig.work()
    assert await ask(rig, CANCEL, MANY) is ChangeAnswer.ABSENT
    await up(rig)
    while rig.link.pending:
        await rig.answer(*[(ROK, b"id%d" % number) for number in range(len(rig.link.pending))])
    assert await ask(rig, CANCEL, MANY, is_queued=True) is ChangeAnswer.ABSENT
    assert rig.redis.refunded == {} and len(rig.sent()) == MANY


@pytest.mark.parametrize("crashes", [False, True])
async def test_a_replaced_message_is_sent_with_its_new_text_also_after_a_crash(crashes: bool) -> None:
    rig = down(message(1), message(2))
    await rig.work()
    assert await ask(rig, REPLACE, 1) is ChangeAnswer.DONE
    assert await ask(rig, REPLACE, 1, record=message(1, segments=[b"a", b"b"])) is ChangeAnswer.DONE
    assert [msgspec.msgpack.decode(blob, type=MessageRecord).segments for blob in rig.redis.replaced] == [
        [b"other 1"],
        [b"a", b"b"],
    ]
    if crashes:
        rig = down(redis=rig.redis)
        await rig.dispatcher.take_rest_over()
        await rig.work()
    assert sorted(await up(rig)) == [b"a", b"b", b"text 2"]
    await rig.answer(*[(ROK, b"id%d" % number) for number in range(3)])
    assert rig.redis.depth == 0 and not rig.redis.queues and not rig.redis.rest
    assert rig.redis.refunded == {}


async def test_a_replaced_message_can_still_be_cancelled() -> None:
    rig = down()
    for number in range(1, MANY + 1):
        rig.redis.admit(message(number))
    await rig.work()
    assert await ask(rig, REPLACE, MANY) is ChangeAnswer.ABSENT
    assert await ask(rig, REPLACE, MANY, is_queued=True) is ChangeAnswer.DONE
    assert await ask(rig, CANCEL, MANY) is ChangeAnswer.DONE
    assert rig.redis.refunded == {FIRST_ID + MANY: PRICE} and rig.redis.depth == MANY - 1 and not rig.redis.rest
    await up(rig)
    while rig.link.pending:
        await rig.answer(*[(ROK, b"id%d" % number) for number in range(len(rig.link.pending))])
    assert len(rig.sent()) == MANY - 1 and rig.redis.depth == 0 and not rig.redis.gone


async def test_an_unread_message_is_replaced_at_once_and_its_old_copy_dropped() -> None:
    rig = down()
    for number in range(1, MANY + 1):
        rig.redis.admit(message(number))
    await rig.work()
    assert await ask(rig, REPLACE, MANY) is ChangeAnswer.ABSENT
    assert await ask(rig, REPLACE, MANY, is_queued=True) is ChangeAnswer.DONE
    await up(rig)
    while rig.link.pending:
        await rig.answer(*[(ROK, b"id%d" % number) for number in range(len(rig.link.pending))])
    texts = [pdu.short_message for pdu in rig.sent()]
    assert texts.count(b"other %d" % MANY) == 1 and b"text %d" % MANY not in texts and len(texts) == MANY
    assert rig.redis.depth == 0 and not rig.redis.queues and not rig.redis.gone and not rig.redis.rest


async def test_a_scheduled_message_keeps_its_time_when_its_text_is_replaced_also_after_a_takeover() -> None:
    rig = Rig()
    due = msgspec.structs.replace(replaced(1), send_at_ms=NOW_MS + 60_000)
    assert await ask(rig, REPLACE, 1, record=due) is ChangeAnswer.ABSENT
    assert await ask(rig, REPLACE, 1, is_queued=True, record=due) is ChangeAnswer.DONE
    assert [result.state for result in rig.redis.results()] == [State.SCHEDULED]
    heir = Rig(rig.redis)
    await heir.dispatcher.take_rest_over()
    await heir.work()
    assert not heir.sent()
    heir.clock.advance(60.1)
    await heir.work()
    assert [pdu.short_message for pdu in heir.sent()] == [b"other 1"]


@pytest.mark.parametrize(("first_ms", "then_ms"), [(60_000, 5_000), (5_000, 60_000), (60_000, 0)])
async def test_another_time_is_the_one_that_counts(first_ms: int, then_ms: int) -> None:
    rig = Rig()
    first = msgspec.structs.replace(replaced(1), send_at_ms=NOW_MS + first_ms)
    await ask(rig, REPLACE, 1, record=first)
    assert await ask(rig, REPLACE, 1, is_queued=True, record=first) is ChangeAnswer.DONE
    then = msgspec.structs.replace(first, send_at_ms=NOW_MS + then_ms if then_ms else 0)
    assert await ask(rig, REPLACE, 1, record=then) is ChangeAnswer.DONE
    assert len(rig.sent()) == (not then_ms)
    rig.clock.advance(then_ms / 1000 - 0.5 if then_ms else 0.1)
    await rig.work()
    assert len(rig.sent()) == (not then_ms)
    rig.clock.advance(61)
    await rig.work()
    assert len(rig.sent()) == 1
    await rig.answer((ROK, b"a"))
    assert not rig.redis.rest


async def test_a_message_that_was_claimed_already_can_be_put_off() -> None:
    rig = down(message(1), message(2))
    await rig.work()
    later = msgspec.structs.replace(replaced(1), send_at_ms=NOW_MS + 60_000)
    assert await ask(rig, REPLACE, 1, record=later) is ChangeAnswer.DONE
    assert await up(rig) == [b"text 2"]
    await rig.answer((ROK, b"a"))
    assert not rig.redis.queues
    rig.clock.advance(60.1)
    assert await up(rig) == [b"text 2", b"other 1"]
    await rig.answer((ROK, b"b"))
    assert rig.redis.depth == 0 and not rig.redis.rest
