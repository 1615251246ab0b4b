"""Messages in doubt: the policy of the route, what a successor knows of them, and what an operator rules."""

from __future__ import annotations

import pytest

from smscd.core.records import ChangeKind, InDoubt, MessageRecord, Outcome, ParkedReceipt, State, Tariff
from smscd.egress.dispatch.blobs import open_rest
from storage.redis.changes import ChangeAnswer
from tests.unit.smscd.egress.dispatch.dispatcher_rig import ROK, Rig
from tests.unit.smscd.egress.dispatch.test_changes import ask
from tests.unit.smscd.egress.doubles import FIRST_ID, NOW_MS, FakeLink, encode, message, profile
from tests.unit.smscd.egress.redis_double import FakeRedis

RESEND, FAIL = ChangeKind.RESEND, ChangeKind.FAIL
PRICE = 70_000


async def doubted(*records: MessageRecord, policy: str = "hold", redis: FakeRedis | None = None) -> Rig:
    """A dispatcher with two binds, of which one was lost with these messages on it."""
    rig = Rig(redis, upstream=profile(in_doubt=policy), links=2)
    rig.links[1].can_send = False
    rig.redis.admit(*records)
    await rig.work()
    rig.links[1].can_send = True
    await rig.lose(rig.links[0])
    return rig


async def heir_of(rig: Rig) -> Rig:
    """Another owner, after this one was killed."""
    heir = Rig(rig.redis, upstream=profile(in_doubt="hold"))
    await heir.dispatcher.take_rest_over()
    await heir.work()
    return heir


def second(rig: Rig) -> FakeLink:
    return rig.links[1]


@pytest.mark.parametrize(
    ("of_the_upstream", "of_the_route", "outcomes", "written"),
    [
        ("hold", InDoubt.RESEND, [Outcome.DOUBTED], 1),
        ("resend", InDoubt.HOLD, [Outcome.DOUBTED], 0),
        ("hold", InDoubt.FAIL, [Outcome.DOUBTED, Outcome.FAILED], 0),
        ("fail", InDoubt.AS_UPSTREAM, [Outcome.DOUBTED, Outcome.FAILED], 0),
    ],
)
async def test_the_route_decides_before_the_upstream(
    of_the_upstream: str, of_the_route: InDoubt, outcomes: list[Outcome], written: int
) -> None:
    rig = await doubted(message(in_doubt=int(of_the_route)), policy=of_the_upstream)
    assert rig.outcomes() == outcomes
    assert len(second(rig).written) == written


async def test_a_message_on_hold_has_left_its_blob_and_says_since_when() -> None:
    rig = await doubted(message(1), message(2))
    assert not rig.redis.queues and rig.redis.depth == 2
    held = [open_rest(blob) for blob in rig.redis.rest.values()]
    assert [item.doubted_ms for item in held] == [NOW_MS, NOW_MS]
    rig.clock.advance(60)
    await rig.work()
    assert (rig.figures.doubts, rig.figures.doubt_oldest_seconds) == (2, 60.0)


async def test_a_successor_settles_a_held_doubt_by_its_receipt_and_doubts_it_only_once() -> None:
    rig = await doubted(message(1))
    heir = await heir_of(rig)
    assert heir.figures.doubts == 1 and not heir.link.written
    parked = ParkedReceipt(b"abc", b"DELIVRD", b"000", int(State.DELIVERED), 1, b"raw", 1)
    heir.redis.park[b"abc"] = [encode(parked)]
    heir.dispatcher.reported(b"Sender", message(1).dest, b"abc", NOW_MS)
    await heir.work()
    assert heir.outcomes() == [Outcome.DOUBTED, Outcome.ACCEPTED]
    assert [context.id for _, context, _ in heir.parked.parked] == [FIRST_ID + 1]
    assert not heir.redis.rest and heir.figures.doubts_settled == 1


async def test_two_receipts_at_once_do_not_settle_one_doubt_twice() -> None:
    rig = await doubted(message(1))
    rig.dispatcher.reported(b"Sender", message(1).dest, b"abc", NOW_MS)
    rig.dispatcher.reported(b"Sender", message(1).dest, b"def", NOW_MS)
    await rig.work()
    assert [result.upstream_message_id for result in rig.redis.results()] == [b"", b"abc"]


async def test_an_operator_has_a_held_message_sent_again() -> None:
    rig = await doubted(message(1), message(2))
    assert await ask(rig, RESEND, 1) is ChangeAnswer.DONE
    assert [ref[0].record.id for _, ref in second(rig).written] == [FIRST_ID + 1]
    await rig.answer((ROK, b"a"), link=second(rig))
    assert rig.outcomes() == [Outcome.DOUBTED] * 2 + [Outcome.ACCEPTED]
    assert list(rig.redis.rest) == [FIRST_ID + 2]
    tally = rig.figures.tally
    assert (tally.resent, tally.ruled_resent, tally.ruled_failed) == (1, 1, 0)


async def test_a_message_that_an_operator_had_sent_again_is_in_doubt_again_when_that_is_lost_too() -> None:
    rig = await doubted(message(1))
    assert await ask(rig, RESEND, 1) is ChangeAnswer.DONE
    heir = await heir_of(rig)
    assert not heir.link.written and heir.outcomes() == [Outcome.DOUBTED] * 2


@pytest.mark.parametrize(("tariff", "refund"), [(Tariff.ON_ACCEPT, {}), (Tariff.ON_DELIVERY, {FIRST_ID + 1: PRICE})])
async def test_an_operator_fails_a_held_message_by_its_tariff_and_its_customer_is_told(
    tariff: Tariff, refund: dict[int, int]
) -> None:
    rig = await doubted(message(1, tariff=int(tariff)))
    assert await ask(rig, FAIL, 1) is ChangeAnswer.DONE
    assert rig.redis.refunded == refund and not rig.redis.rest and rig.redis.depth == 0
    assert [(callback.id, callback.stat) for callback in rig.redis.callbacks()] == [(FIRST_ID + 1, b"UNDELIV")]
    assert await ask(rig, FAIL, 1) is ChangeAnswer.ABSENT
    assert rig.figures.tally.ruled_failed == 1


async def test_an_operator_rules_nothing_of_what_is_not_in_doubt_or_over() -> None:
    rig = Rig(upstream=profile(in_doubt="hold"))
    rig.redis.admit(message(1))
    await rig.work()
    assert await ask(rig, RESEND, 1) is ChangeAnswer.LATE
    assert await ask(rig, FAIL, 1) is ChangeAnswer.LATE
    assert await ask(rig, FAIL, 2) is ChangeAnswer.ABSENT
    held = await doubted(message(1, valid_until_ms=NOW_MS + 1_000))
    held.clock.now_ms += 1_000
    assert await ask(held, RESEND, 1) is not ChangeAnswer.DONE


async def test_only_the_segments_in_doubt_are_sent_again() -> None:
    rig = await doubted(message(1, segments=[b"one", b"two", b"three"]))
    [item] = [open_rest(blob) for blob in rig.redis.rest.values()]
    rig.dispatcher.reported(b"Sender", message(1).dest, b"abc", NOW_MS)  # which of them?
    await rig.work()
    assert bytes(item.states) == b"\x03\x03\x03" and rig.figures.doubts_settled == 0
    assert await ask(rig, RESEND, 1) is ChangeAnswer.DONE
    assert [ref[1] for _, ref in second(rig).written] == [0, 1, 2]
