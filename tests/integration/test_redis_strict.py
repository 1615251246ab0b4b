"""Messages that wait for PostgreSQL, on a real server: in the journal, in no queue, moved once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from smscd.core.records import MessageRecord
from storage.redis.journal import entry_order
from storage.redis.strict import StrictStore
from tests.integration.redis_rig import BASE, KEYS, Rig, admit, first_entry, item


@pytest.fixture
async def rig(valkey_url: str) -> AsyncIterator[Rig]:
    made = Rig(valkey_url)
    await made.top_up(1_000_000)
    yield made
    await made.close()


async def test_a_strict_message_is_paid_and_journalled_and_in_its_queue_when_the_record_has_it(rig: Rig) -> None:
    store, strict = await rig.admission(), StrictStore(KEYS, rig.link())
    dispatch = await rig.dispatch()
    ids = []
    for number in (1, 2):
        one = item(number)
        one.is_strict = True
        ids.append((await admit(store, [one, item(number + 10)])).journal_id)
    assert await rig.balances.balance("demo") == 960_000
    assert await dispatch.depth() == 4
    queued = [msgspec.msgpack.decode((await first_entry(dispatch)).blob, type=list[MessageRecord])]
    assert [record.id - BASE for record in queued[0]] == [11]
    assert await strict.journalled() == ids[-1] and not await strict.is_empty()

    before, _ = entry_order(ids[0])
    await strict.release(f"{before - 1}-9")
    assert await rig.raw.command("XLEN", KEYS.strict) == 2
    await asyncio.gather(*(StrictStore(KEYS, rig.link()).release(ids[0]) for _ in range(3)))
    assert await rig.raw.command("XLEN", KEYS.strict) == 1
    await strict.release(ids[1])
    await strict.release(ids[1])
    assert await strict.is_empty()

    (name,) = await dispatch.queues()
    entries = await dispatch.read({name: "0-0"}, 10)
    sent = [record.id - BASE for e in entries for record in msgspec.msgpack.decode(e.blob, type=list[MessageRecord])]
    assert sorted(sent) == [1, 2, 11, 12]


async def test_more_than_one_reading_brings_is_released_in_one_go(rig: Rig) -> None:
    store, strict = await rig.admission(), StrictStore(KEYS, rig.link())
    for number in range(45):
        one = item(number)
        one.is_strict = True
        await admit(store, [one])
    await strict.release(await strict.journalled())
    assert await strict.is_empty()
    assert await rig.raw.command("XLEN", KEYS.queue("u1", 1, "demo")) == 45


async def test_the_lag_is_the_age_of_the_oldest_entry_that_is_not_recorded(rig: Rig) -> None:
    store, strict = await rig.admission(), StrictStore(KEYS, rig.link())
    reply = await admit(store, [item(1)])
    assert await strict.lag_ms(reply.journal_id) == 0
    await asyncio.sleep(0.05)
    assert 50 <= await strict.lag_ms("0-0") < 5_000
