"""Messages that wait in PostgreSQL alone, as the scripts on a real server see them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

from smscd.core.records import MessageRecord
from storage.redis.admission import AdmissionStore, AdmitItem
from storage.redis.errors import Fenced
from storage.redis.monitor import read_depths
from storage.redis.overflow import OverflowStore, Place, Refill, Waiting
from tests.integration.redis_rig import BASE, KEYS, Rig, admit, encode, item, message

BULK, CODES = Place("u1", 1, "demo"), Place("u1", 0, "demo")


@pytest.fixture
async def rig(valkey_url: str) -> AsyncIterator[Rig]:
    made = Rig(valkey_url)
    await made.top_up(10_000_000)
    yield made
    await made.close()


def urgent(number: int) -> AdmitItem:
    one = item(number)
    one.messages = [("u1", 0, encode(message(number)))]
    return one


async def effects(rig: Rig) -> list[bytes]:
    return [entry.effects for entry in await rig.journal.read("0-0", 100) if entry.kind == b"A"]


async def queued(rig: Rig, place: Place = BULK) -> list[int]:
    entries = await rig.raw.command("XRANGE", KEYS.queue(*place), "-", "+")
    blobs = [msgspec.msgpack.decode(fields[1], type=list[MessageRecord]) for _, fields in entries]
    return [record.id - BASE for blob in blobs for record in blob]


async def test_beyond_the_limit_a_queue_that_holds_any_goes_to_postgres_and_a_new_one_is_let_in(rig: Rig) -> None:
    store = AdmissionStore(KEYS, await rig.role("ingress:1"), in_redis_max=2)
    overflow = OverflowStore(KEYS, await rig.role("overflow"), rig.raw)
    await admit(store, [item(1), item(2)])
    await admit(store, [item(3), urgent(4), item(5)])
    await admit(store, [item(6), urgent(7)])
    assert await effects(rig) == [b"", b"110", b"11"], "the records of an entry stand queue by queue"
    assert (await queued(rig), await queued(rig, CODES)) == ([1, 2], [4])
    assert await overflow.waiting() == {CODES: Waiting(1, 0), BULK: Waiting(3, 0)}
    assert await overflow.in_redis("u1") == (3, 0)
    assert await read_depths(rig.raw, KEYS) == {"u1": 7}
    assert await rig.balances.balance("demo") == 10_000_000 - 70_000


async def test_what_follows_a_tail_waits_behind_it_also_when_there_is_room_again(rig: Rig) -> None:
    full, roomy = [AdmissionStore(KEYS, await rig.role(f"ingress:{node}"), in_redis_max=node) for node in (1, 1000)]
    store = OverflowStore(KEYS, await rig.role("overflow"), rig.raw)
    await admit(full, [item(1)])
    await admit(full, [item(2)])
    await admit(roomy, [item(3)])
    back = [Refill(BULK, BASE + number, False, 0, encode(message(number))) for number in (2, 3)]
    assert await store.refill("u1", back[:1], []) == 1
    await admit(roomy, [item(4)])
    assert await store.refill("u1", [*back, Refill(BULK, BASE + 4, False, 0, encode(message(4)))], []) == 2
    assert await store.refilled() == {BASE + 2, BASE + 3, BASE + 4}
    assert await store.waiting() == {} and await store.in_redis("u1") == (4, 0)
    await admit(roomy, [item(5)])
    assert await queued(rig) == [1, 2, 3, 4, 5]
    assert await store.refill("u1", [], [BASE + 2, BASE + 3, BASE + 4]) == 0
    assert not await rig.raw.command("EXISTS", KEYS.refilled, KEYS.overflow)
    assert await rig.raw.command("HGETALL", KEYS.depth) == [b"u1", b"5"]


async def test_the_limit_of_all_that_waits_counts_both(rig: Rig) -> None:
    store = AdmissionStore(KEYS, await rig.role("ingress:1"), in_redis_max=1)
    for number in range(1, 5):
        one = item(number)
        one.upstream_messages_max = 3
        assert (await admit(store, [one])).verdicts == (b"A" if number < 4 else b"Q")


async def test_a_strict_message_behind_a_tail_waits_with_it_and_not_twice(rig: Rig) -> None:
    store = AdmissionStore(KEYS, await rig.role("ingress:1"), in_redis_max=1)
    await admit(store, [item(1)])
    one = item(2)
    one.is_strict = True
    await admit(store, [one])
    assert await effects(rig) == [b"", b"1"] and not await rig.raw.command("EXISTS", KEYS.strict)


async def test_what_has_a_time_waits_in_postgres_and_then_in_redis_for_it(rig: Rig) -> None:
    store = AdmissionStore(KEYS, await rig.role("ingress:1"))
    overflow = OverflowStore(KEYS, await rig.role("overflow"), rig.raw)
    one = item(1)
    one.is_scheduled = True
    await admit(store, [one, item(2)])
    assert await effects(rig) == [b"10"] and await queued(rig) == [2]
    assert await overflow.waiting() == {BULK: Waiting(0, 1)}
    due_ms = store.redis_ms() + 3_600_000
    assert await overflow.refill("u1", [Refill(BULK, BASE + 1, True, due_ms, encode(message(1)))], []) == 1
    assert await overflow.waiting() == {} and await overflow.in_redis("u1") == (2, 1)
    dispatch = await rig.dispatch()
    assert await dispatch.promote(due_ms - 1) == 0 and await dispatch.promote(due_ms) == 1
    assert await queued(rig) == [2, 1]


async def test_a_role_that_was_replaced_brings_nothing(rig: Rig) -> None:
    store = AdmissionStore(KEYS, await rig.role("ingress:1"), in_redis_max=1)
    old = OverflowStore(KEYS, await rig.role("overflow"), rig.raw)
    await admit(store, [item(1)])
    await admit(store, [item(2)])
    await rig.role("overflow")
    with pytest.raises(Fenced):
        await old.refill("u1", [Refill(BULK, BASE + 2, False, 0, encode(message(2)))], [])
    assert await queued(rig) == [1]
