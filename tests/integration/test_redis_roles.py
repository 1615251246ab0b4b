"""Roles, nodes and the guard on a real server: who lost a role is fenced, and a Redis behind the record refused."""

from __future__ import annotations

import asyncio
import time
import zlib

import pytest

from smscd.core.ids import EPOCH_MS, NODE_MAX, TIME_SHIFT, ClockSteppedError
from smscd.core.records import InboundRecord, State
from smscd.roles.leases import LeaseKeeper
from smscd.roles.node import Node
from storage.redis.admission import AdmissionStore
from storage.redis.dispatch import DispatchStore, Turn
from storage.redis.errors import Fenced, UnsafeStorage
from storage.redis.guard import Guard
from storage.redis.link import RedisLink
from storage.redis.outbox import HookStore, OutboxStore
from storage.redis.receipts import InboundItem, ReceiptBatch, ReceiptStore
from storage.redis.session import RoleSession, release, renew
from tests.integration.redis_rig import BASE, KEYS, UPSTREAM, Rig, admit, item, node_key, receipt, rig

__all__ = ["rig"]


async def test_only_one_process_holds_a_role_and_the_old_one_is_fenced(rig: Rig) -> None:
    old = await rig.role("dispatch:u1", "a/0")
    other = RoleSession(rig.link(), KEYS, "dispatch:u1", "b/0")
    assert not await other.take()
    assert await renew([old], rig.raw) == []
    await release([old], rig.raw)
    assert not old.is_held
    assert await other.take() and not other.was_abandoned
    stale = await rig.role("receipts:u1", "a/0")
    assert await RoleSession(rig.link(), KEYS, "receipts:u1", "a/0").take()
    with pytest.raises(Fenced):
        await ReceiptStore(KEYS, UPSTREAM, stale, rig.raw, node_key).apply(ReceiptBatch([receipt(1, State.DELIVERED)]))
    assert await renew([stale], rig.raw) == []
    assert await rig.journal.last_id() == "0-0"


async def test_a_lease_that_ran_out_may_be_taken_and_renewal_tells_the_loser(rig: Rig) -> None:
    old = RoleSession(rig.link(), KEYS, "hooks", "a/0", ttl_seconds=0.05, margin_seconds=0.0)
    assert await old.take()
    new = RoleSession(rig.link(), KEYS, "hooks", "b/0")
    async with asyncio.timeout(5):
        while not await new.take():
            await asyncio.sleep(0.01)
    assert not old.is_held and new.was_abandoned
    assert await renew([old], rig.raw) == [old]


async def test_a_lease_from_before_the_clock_stepped_back_does_not_outlive_its_owner(rig: Rig) -> None:
    old = RoleSession(rig.link(), KEYS, "hooks", "a/0")
    assert await old.take()
    await rig.raw.command("HSET", old.key, "until", old.redis_ms() + 3_600_000)
    new = RoleSession(rig.link(), KEYS, "hooks", "b/0", ttl_seconds=0.5)
    assert not await new.take(), "its owner may live, and has as long as ever to say so"
    async with asyncio.timeout(5):
        while not await new.take():
            await asyncio.sleep(0.05)
    assert await renew([old], rig.raw) == [old]


async def test_a_node_whose_last_id_is_of_a_time_to_come_is_left_for_the_next(rig: Rig) -> None:
    first = zlib.crc32(b"a/0") % (NODE_MAX + 1)
    second = (first + 1) % (NODE_MAX + 1)
    hour = (int(time.time() * 1000) + 3_600_000 - EPOCH_MS) << TIME_SHIFT
    await rig.raw.command("HSET", KEYS.session(f"ingress:{first}"), "top1", hour)

    def open_session(role: str) -> RoleSession:
        return RoleSession(rig.link(), KEYS, role, "a/0")

    node = Node("a/0", open_session, LeaseKeeper(rig.raw), lambda: None)
    await node.start()
    assert node.session.role == f"ingress:{second}"
    assert node.take_ids(node.session.redis_ms(), 1)
    await node.stop()
    for number in range(NODE_MAX + 1):
        await rig.raw.command("HSET", KEYS.session(f"ingress:{number}"), "top1", hour)
    await node.start()
    assert node.session.role == f"ingress:{(first + 8) % (NODE_MAX + 1)}", "where all are so, it waits with one of them"
    with pytest.raises(ClockSteppedError):
        node.take_ids(node.session.redis_ms(), 1)
    await node.stop()


async def test_the_highest_id_of_a_node_survives_its_process(rig: Rig) -> None:
    await rig.top_up(1_000_000)
    await admit(await rig.admission(), [item(1)])
    assert (await rig.role("ingress:1")).top_id == BASE + 999


async def test_the_highest_id_of_a_node_counts_inbound_messages_too(rig: Rig) -> None:
    await rig.top_up(1_000_000)
    store = await rig.admission()
    inbound = [
        InboundItem(InboundRecord(BASE + number, "", "u1", 1, 1, b"447700900123", 0, 0, b"1", 0, 0, 0, b"hi", 1))
        for number in (1500, 1501)
    ]
    receipts = await rig.receipts()
    await receipts.apply(ReceiptBatch(inbound=inbound))
    inbound[0].is_whole = True
    await receipts.apply(ReceiptBatch(inbound=inbound[:1]))
    await admit(store, [item(1)])
    assert (await rig.role("ingress:1")).top_id == BASE + 1501, "a whole is as old as its first part"


async def test_the_guard_hears_of_every_journal_entry(rig: Rig) -> None:
    guard = Guard(KEYS, "here", 1, nothing_recorded, is_settled=True)
    await rig.top_up(1_000_000)
    seen: list[str] = []

    async def last() -> str:
        info = await rig.raw.command("XINFO", "STREAM", KEYS.journal)
        return str(dict(zip(info[::2], info[1::2], strict=True))[b"last-generated-id"].decode())

    for name in ("ingress:1", "dispatch:u1", "receipts:u1", "deliver:demo", "hooks"):
        session = RoleSession(rig.link(), KEYS, name, "test/0", saw=guard.saw)
        assert await session.take()
        if name == "ingress:1":
            await admit(AdmissionStore(KEYS, session), [item(1)])
        elif name == "dispatch:u1":
            await DispatchStore("u1", KEYS, UPSTREAM, session, rig.raw).turn(Turn(journal=[b"x"]))
        elif name == "receipts:u1":
            store = ReceiptStore(KEYS, UPSTREAM, session, rig.raw, node_key)
            await store.apply(ReceiptBatch([receipt(1, State.DELIVERED)]))
        elif name == "deliver:demo":
            await OutboxStore("demo", KEYS, session, rig.raw).settle([], [b"x"])
        else:
            await HookStore(KEYS, session, rig.raw).settle([], [], [], [b"x"])
        assert guard.acknowledged == await last()
        seen.append(guard.acknowledged)
    assert len(set(seen)) == 5


async def nothing_recorded() -> str | None:
    return None


async def test_an_empty_redis_behind_a_record_is_refused(rig: Rig) -> None:
    async def recorded() -> str | None:
        return "1700000000000-0"

    link = RedisLink(rig.url, name="guarded", verify=Guard(KEYS, "here", 1, recorded).verify)
    with pytest.raises(UnsafeStorage, match="behind the record"):
        await link.command("PING")
    await link.close()


async def test_a_postgres_that_was_restored_to_before_the_trim_is_refused(rig: Rig) -> None:
    await rig.top_up(1_000_000)
    await rig.raw.command("HSET", KEYS.meta, "install", "here", "shards", 1)
    kept = (await admit(await rig.admission(), [item(1)])).journal_id
    await rig.journal.trim(kept)

    async def recorded() -> str | None:
        return "1700000000000-0"

    link = RedisLink(rig.url, name="guarded", verify=Guard(KEYS, "here", 1, recorded).verify)
    with pytest.raises(UnsafeStorage, match="restored to an older state"):
        await link.command("PING")
    await link.close()


async def test_a_redis_of_another_installation_is_refused(rig: Rig) -> None:
    for install, shards, complaint in (("here", 1, ""), ("there", 1, "belongs to"), ("here", 2, "shards")):
        link = RedisLink(
            rig.url, name="guarded", verify=Guard(KEYS, install, shards, nothing_recorded, is_settled=True).verify
        )
        if complaint:
            with pytest.raises(UnsafeStorage, match=complaint):
                await link.command("PING")
        else:
            assert await link.command("PING") == b"PONG"
        await link.close()


async def test_the_journal_is_trimmed_only_below_what_is_named(rig: Rig) -> None:
    await rig.top_up(1_000_000)
    store = await rig.admission()
    kept = (await admit(store, [item(1)])).journal_id
    await rig.journal.trim(kept)
    assert [entry.id for entry in await rig.journal.read("0-0", 10)] == [kept]
    assert await rig.raw.command("HGET", KEYS.meta, "trimmed") == kept.encode()
