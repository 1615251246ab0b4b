"""What is parked on a real Redis: walked through by time, told to the record, and matched with what Redis forgot."""

from __future__ import annotations

import msgspec
import pytest

from smscd.core.records import MatchRequest, OrphanRecord, ParkedReceipt, State
from storage.redis import receipts as module
from storage.redis.errors import Fenced
from storage.redis.keys import UpstreamKeys
from storage.redis.matches import MatchAsks
from storage.redis.receipts import Effect, ReceiptBatch, ReceiptStore
from storage.redis.session import RoleSession
from tests.integration.redis_rig import BASE, KEYS, Rig, context, encode, node_key, parked, receipt, rig

__all__ = ["rig"]
NOW_MS = 1_800_000_000_000


def orphan(name: bytes) -> OrphanRecord:
    return OrphanRecord("u1", name, "unknown", msgspec.msgpack.decode(parked(name), type=ParkedReceipt))


@pytest.mark.parametrize("buckets", [1, 4])
async def test_what_is_parked_is_walked_through_by_time_over_all_buckets(rig: Rig, buckets: int) -> None:
    store = ReceiptStore(KEYS, UpstreamKeys("u1", buckets), await rig.role("receipts:u1"), rig.raw, node_key)
    for number in range(12):
        name = b"id-%02d" % number
        await store.match([(name, parked(name))], NOW_MS + number // 3)
        await store.match([(name, parked(b"another " + name))], NOW_MS + 100)
    found = await store.parked_between(NOW_MS + 1, NOW_MS + 2, 100)
    assert [(one.parked_ms, one.key) for one in found] == [
        (NOW_MS + number // 3, b"id-%02d" % number) for number in range(3, 9)
    ]
    assert [len(one.receipts) for one in found] == [2] * 6
    assert [one.key for one in await store.parked_between(0, NOW_MS + 9, 2)] == [b"id-00", b"id-01"]
    assert await store.parked_between(NOW_MS + 4, NOW_MS + 9, 2) == []
    assert await store.parked_count() == 12


async def test_what_the_record_knows_makes_a_late_receipt_a_repeat_and_changes_nothing_that_is_known(rig: Rig) -> None:
    store = await rig.receipts()
    await store.apply(ReceiptBatch([receipt(1, State.DELIVERED)]))
    await store.remember([(context(1), b"", int(State.FAILED)), (context(2), b"", int(State.DELIVERED))])
    assert await rig.raw.command("HGET", KEYS.state(BASE + 1), (BASE + 1).to_bytes(8, "big")) == b"4"
    assert await rig.raw.command("TTL", KEYS.state(BASE + 2)) > 0
    assert await store.apply(ReceiptBatch([receipt(2, State.DELIVERED)])) == [Effect.REPEATED]
    await store.remember([(context(3), b":0", 4), (context(3), b":n", 1)])
    parts = [receipt(3, State.DELIVERED, segment=segment, segments=3) for segment in range(3)]
    assert await store.apply(ReceiptBatch(parts)) == [Effect.REPEATED, Effect.RECORDED, Effect.FINAL]
    await store.remember([])


async def test_orphans_are_journaled_in_parts_and_only_by_the_owner(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ORPHANS_AT_ONCE", 2)
    stale = await rig.receipts()
    await stale.orphan([orphan(b"%d" % number) for number in range(5)])
    entries = await rig.journal.read("0-0", 10)
    told = [msgspec.msgpack.decode(entry.blob, type=list[OrphanRecord]) for entry in entries]
    assert {entry.kind for entry in entries} == {b"O"}
    assert [[record.mark for record in part] for part in told] == [[b"0", b"1"], [b"2", b"3"], [b"4"]]
    assert await RoleSession(rig.link(), KEYS, "receipts:u1", "test/0").take()
    with pytest.raises(Fenced):
        await stale.orphan([orphan(b"x")])
    assert len(await rig.journal.read("0-0", 10)) == 3


async def test_a_match_is_asked_for_and_answered_once(rig: Rig) -> None:
    store, asks = await rig.receipts(), MatchAsks(KEYS, rig.raw)
    request = MatchRequest(context(1), orphan(b"abc").receipt, [(b"", 4)])
    await asks.ask("u1", {7: request, 8: request})
    assert await asks.answers("u1", [7, 8]) == {}
    assert await store.matches() == {7: request, 8: request}
    await store.answer_matches({7: Effect.FINAL})
    assert await store.matches() == {8: request}
    assert await asks.answers("u1", [7, 8]) == {7: "final"}
    assert await asks.answers("u1", [7]) == {}
    assert encode(request) == await rig.raw.command("HGET", KEYS.matches("u1"), (8).to_bytes(8, "big"))
