"""A message has one end, whoever finds it first: the turn of its dispatcher or a receipt. On a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from smscd.archive.merge import Batch
from smscd.core.records import Outcome, ResultRecord, State
from storage.redis.dispatch import HOT_SECONDS, End, Turn, TurnReply
from storage.redis.keys import DAY_MS, HOUR_MS
from storage.redis.receipts import Effect, ReceiptBatch, ReceiptItem
from storage.redis.recovery import Rebuild, Restored
from tests.integration.redis_rig import BASE, KEYS, Rig, context, encode, receipt

PRICE = 10_000
OUTCOMES = {
    State.FAILED: Outcome.FAILED,
    State.EXPIRED: Outcome.EXPIRED,
    State.UNKNOWN: Outcome.UNKNOWN,
    State.CANCELED: Outcome.CANCELED,
}


@pytest.fixture
async def rig(valkey_url: str) -> AsyncIterator[Rig]:
    made = Rig(valkey_url)
    yield made
    await made.close()


async def end(rig: Rig, *ends: tuple[int, State], account: str = "demo", until_ms: int = 0) -> TurnReply:
    """Messages end in one turn, each paid back and told."""
    turn = Turn()
    for number, state in ends:
        id = BASE + number
        turn.ends.append(End(id, state, encode(["turn", number]), account, until_ms))
        turn.refunds.append(("demo", id, PRICE))
        record = ResultRecord(id, 0, OUTCOMES[state], 7, "u1", b"", 0, 0, state, PRICE, "demo", True)
        turn.journal.append(encode(record))
    return await (await rig.dispatch()).turn(turn)


def due(number: int, state: State, **changes: Any) -> ReceiptItem:
    """A receipt that is told."""
    item = receipt(number, state, **changes)
    item.record.due = True
    return item


async def told(rig: Rig, key: str) -> list[Any]:
    """The callbacks of a stream, oldest first."""
    entries = await rig.raw.command("XRANGE", key, "-", "+")
    return [callback for _, fields in entries for callback in msgspec.msgpack.decode(fields[1])]


async def written(rig: Rig) -> Batch:
    """What the writer makes of the journal."""
    batch = Batch()
    for entry in await rig.journal.read("0-0", 100):
        batch.add(entry)
    assert not batch.dead
    return batch


@pytest.mark.parametrize("state", OUTCOMES)
async def test_what_a_receipt_has_ended_no_turn_ends_tells_or_pays_back(rig: Rig, state: State) -> None:
    receipts = await rig.receipts()
    assert await receipts.apply(ReceiptBatch([due(1, State.DELIVERED)])) == [Effect.FINAL]
    reply = await end(rig, (1, state), (2, state))
    assert (reply.untold, reply.refunded) == ([0], [False, True])
    assert await told(rig, KEYS.out("demo")) == [["callback", 1, 0], ["turn", 2]]
    assert await rig.balances.balance("demo") == PRICE
    batch = await written(rig)
    assert [record.id for record in batch.attempts] == [BASE + 1, BASE + 2], "the history has both"
    first, second = batch.learned[BASE + 1], batch.learned[BASE + 2]
    assert (first.state, first.done_ms, first.callbacks_open, first.refunded_micros) == (State.DELIVERED, 1, 1, 0)
    assert (second.state, second.done_ms, second.callbacks_open, second.refunded_micros) == (state, 7, 1, PRICE)
    assert await receipts.apply(ReceiptBatch([receipt(1, State.DELIVERED)])) == [Effect.REPEATED], "it is still ended"


async def test_what_a_turn_has_ended_no_receipt_ends_tells_or_pays_back(rig: Rig) -> None:
    """The history has the receipt; who was told an end is told no other."""
    receipts = await rig.receipts()
    assert (await end(rig, (1, State.UNKNOWN), (2, State.EXPIRED))).untold == []
    parts = [due(2, State.DELIVERED, segment=segment, segments=2) for segment in (0, 1)]
    effects = await receipts.apply(ReceiptBatch([due(1, State.UNDELIVERED, refund=PRICE), *parts]))
    assert effects == [Effect.REPEATED, Effect.RECORDED, Effect.RECORDED]
    assert await told(rig, KEYS.out("demo")) == [["turn", 1], ["turn", 2]]
    assert await rig.balances.balance("demo") == 2 * PRICE
    batch = await written(rig)
    assert [record.id for record in batch.repeated + batch.receipts] == [BASE + 1, BASE + 2, BASE + 2]
    states = [(batch.learned[BASE + n].state, batch.learned[BASE + n].callbacks_open) for n in (1, 2)]
    assert states == [(State.UNKNOWN, 1), (State.EXPIRED, 1)]


async def test_what_a_turn_has_paid_back_no_receipt_pays_back_when_the_end_is_forgotten(rig: Rig) -> None:
    """The state of a message is kept for a day or so, and what was paid back for as long as a receipt may come."""
    await end(rig, (1, State.EXPIRED))
    assert await rig.raw.command("DEL", KEYS.state(BASE + 1)) == 1
    receipts = await rig.receipts()
    late = [due(number, State.UNDELIVERED, refund=PRICE) for number in (1, 2)]
    assert await receipts.apply(ReceiptBatch(late)) == [Effect.FINAL, Effect.FINAL]
    assert await rig.balances.balance("demo") == 2 * PRICE
    batch = await written(rig)
    assert [batch.learned[BASE + number].refunded_micros for number in (1, 2)] == [PRICE, PRICE]


async def test_a_failed_part_ends_a_long_message_before_its_turn_does(rig: Rig) -> None:
    receipts = await rig.receipts()
    failed = due(1, State.UNDELIVERED, segments=2, refund=PRICE)
    assert await receipts.apply(ReceiptBatch([failed])) == [Effect.FINAL]
    assert (await end(rig, (1, State.EXPIRED), account="")).untold == [0]
    assert await told(rig, KEYS.hooks) == []
    assert await rig.balances.balance("demo") == PRICE, "the receipt's refund stays the only one"
    found = (await written(rig)).learned[BASE + 1]
    assert (found.state, found.callbacks_open, found.refunded_micros) == (State.UNDELIVERED, 1, PRICE)


async def pass_a_day(rig: Rig) -> None:
    """Nothing changes for as long as states are ordinarily kept: those are gone."""
    for name in await rig.raw.command("KEYS", f"{KEYS.tag}:state:*"):
        if int(await rig.raw.command("TTL", name)) <= HOT_SECONDS:
            await rig.raw.command("DEL", name)


@pytest.mark.parametrize("days", [0, 6])
async def test_a_long_message_has_one_end_while_it_is_valid(rig: Rig, days: int) -> None:
    """days: how long it must be known; without any, it is forgotten and told two ends."""
    until_ms = days and (await rig.role("clock")).redis_ms() + days * DAY_MS
    applied = await (await rig.receipts()).apply(
        ReceiptBatch([due(1, State.UNDELIVERED, segments=2, refund=PRICE, until_ms=until_ms)])
    )
    assert applied == [Effect.FINAL]
    await pass_a_day(rig)
    assert (await end(rig, (1, State.EXPIRED), until_ms=until_ms)).untold == ([0] if days else [])
    assert await told(rig, KEYS.out("demo")) == [["callback", 1, 0], ["turn", 1]][: 1 if days else 2]
    assert await rig.balances.balance("demo") == PRICE, "which is known for longer"


async def test_parts_that_are_delivered_days_apart_deliver_the_message(rig: Rig) -> None:
    receipts, effects = await rig.receipts(), list[Effect]()
    until_ms = (await rig.role("clock")).redis_ms() + 3 * DAY_MS
    for segment in (0, 1, 1):
        part = due(1, State.DELIVERED, segment=segment, segments=2, until_ms=until_ms)
        effects += await receipts.apply(ReceiptBatch([part]))
        await pass_a_day(rig)
    assert effects == [Effect.RECORDED, Effect.FINAL, Effect.REPEATED]
    assert await told(rig, KEYS.out("demo")) == [["callback", 1, 1]]


async def test_states_are_kept_for_a_day_after_the_message_can_end(rig: Rig) -> None:
    session = await rig.role("clock")
    until_ms = session.redis_ms() + 3 * DAY_MS
    store = await rig.receipts()
    await store.apply(ReceiptBatch([receipt(1, State.DELIVERED), receipt(2, State.UNDELIVERED, until_ms=until_ms)]))
    await end(rig, (3, State.EXPIRED), (4, State.EXPIRED), until_ms=until_ms + 2 * DAY_MS)
    long = msgspec.structs.replace(context(5, segments=2), states_until_ms=until_ms + 3 * DAY_MS)
    await store.remember([(context(6), b"", int(State.FAILED)), (long, b":0", int(State.DELIVERED))])

    async def hours(name: str) -> float:
        return int(await rig.raw.command("TTL", name)) / 3600

    hot = HOT_SECONDS / 3600
    assert hot - 1 < await hours(KEYS.state(BASE + 1)) <= hot
    for later_ms in (0, 2 * DAY_MS, 3 * DAY_MS):
        name = KEYS.state(BASE, until_ms + later_ms)
        left = (until_ms + later_ms - session.redis_ms()) / HOUR_MS
        assert left + hot - 0.1 < await hours(name) < left + hot + 1.1, "to the hour"


async def test_what_a_receipt_ended_days_before_redis_was_lost_is_not_ended_again(rig: Rig) -> None:
    now_ms = (await rig.role("clock")).redis_ms()
    until_ms = now_ms + 2 * DAY_MS
    rebuild = Rebuild(KEYS, rig.raw)
    await rebuild.begin(now_ms)
    await rebuild.write(
        Restored(states=[(BASE + 1, b"", int(State.UNDELIVERED)), (BASE + 2, b"", 5)], until={BASE + 1: until_ms})
    )
    assert (await end(rig, (2, State.EXPIRED))).untold == [0]
    await pass_a_day(rig)
    await pass_a_day(rig)
    assert (await end(rig, (1, State.EXPIRED), until_ms=until_ms)).untold == [0]
    assert (await end(rig, (2, State.EXPIRED))).untold == [], "it was not to be known for longer"


async def test_a_cancellation_of_what_a_receipt_has_ended_comes_too_late(rig: Rig) -> None:
    await (await rig.receipts()).apply(ReceiptBatch([receipt(1, State.DELIVERED)]))
    await rig.raw.command("HSET", KEYS.changes, (BASE + 1).to_bytes(8, "big"), "cancel")
    assert (await end(rig, (1, State.CANCELED))).late_changes == [BASE + 1]


async def test_hooks_and_every_account_get_their_own_ends_and_a_bell(rig: Rig) -> None:
    turn = Turn(hooks=[encode(["accepted", 9])])
    turn.ends = [
        End(BASE + 1, State.FAILED, encode(["end", 1]), "demo"),
        End(BASE + 2, State.FAILED, encode(["end", 2])),
        End(BASE + 3, State.FAILED),
        End(BASE + 4, State.FAILED, encode(["end", 4]), "acme"),
        End(BASE + 5, State.FAILED, encode(["end", 5]), "demo"),
    ]
    await (await rig.dispatch()).turn(turn)
    assert await told(rig, KEYS.out("demo")) == [["end", 1], ["end", 5]]
    assert await told(rig, KEYS.out("acme")) == [["end", 4]]
    assert await told(rig, KEYS.hooks) == [["accepted", 9], ["end", 2]]
