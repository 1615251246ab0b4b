"""The Lua scripts on a real server: each verdict, each move, and what happens when a call is repeated or fenced."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from smscd.core.ids import EPOCH_MS, NODE_MAX, TIME_SHIFT, ClockSteppedError
from smscd.core.records import (
    HeldPart,
    InboundRecord,
    LedgerRecord,
    MessageRecord,
    Outcome,
    ParkedReceipt,
    ReceiptRecord,
    ResultRecord,
    SentContext,
    State,
    Via,
)
from smscd.roles.leases import LeaseKeeper
from smscd.roles.node import Node
from storage.redis import receipts as receipts_module
from storage.redis.accounts import AmountOutOfRange, Balances
from storage.redis.admission import AdmissionStore, AdmitItem, AdmitReply, Refusal
from storage.redis.dispatch import DispatchStore, End, Intent, QueueEntry, Turn
from storage.redis.errors import Fenced, Unanswered, UnsafeStorage
from storage.redis.guard import Guard
from storage.redis.journal import JournalReader
from storage.redis.keys import DAY_MS, ShardKeys, UpstreamKeys
from storage.redis.link import RedisLink
from storage.redis.outbox import HookStore, OutboxStore
from storage.redis.receipts import Effect, InboundItem, Parked, ReceiptBatch, ReceiptItem, ReceiptStore
from storage.redis.session import RoleSession, release, renew

pytest_plugins = ("tests.integration.script_clock",)

KEYS = ShardKeys(0)
UPSTREAM = UpstreamKeys("u1")
encode = msgspec.msgpack.Encoder().encode


def node_key() -> str:
    return KEYS.session("ingress:1")


BASE = (int(time.time() * 1000) - 1_577_836_800_000) << 22


def message(number: int, upstream: str = "u1", account: str = "demo") -> MessageRecord:
    return MessageRecord(
        id=BASE + number, account=account, upstream=upstream, priority=1, door=1, source_ton=5, source_npi=0,
        source=b"ACME", dest_ton=1, dest_npi=1, dest=b"447700900123", esm_class=0, protocol_id=0, data_coding=0,
        registered_delivery=1, segments=[b"hello"], price_micros=10_000, valid_until_ms=1, via=Via.SMPP,
    )  # fmt: skip


def item(number: int, *, key: bytes = b"", price: int = 10_000, rate: float = 0, burst: int = 0) -> AdmitItem:
    return AdmitItem(
        account="demo", rate=rate, burst=burst, floor_micros=0, price_micros=price, upstream_messages_max=1000,
        messages=[("u1", 1, encode(message(number)))], request_key=key, stored_answer=b"answer %d" % number,
    )  # fmt: skip


class Rig:
    """One process' links and roles on a fresh server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.links: list[RedisLink] = []
        self.raw = self.link()
        self.balances = Balances(KEYS, self.raw)
        self.journal = JournalReader(KEYS, self.raw)

    def link(self) -> RedisLink:
        link = RedisLink(self.url, name="test")
        self.links.append(link)
        return link

    async def role(self, name: str, owner: str = "test/0") -> RoleSession:
        session = RoleSession(self.link(), KEYS, name, owner)
        assert await session.take()
        return session

    async def admission(self) -> AdmissionStore:
        return AdmissionStore(KEYS, await self.role("ingress:1"))

    async def dispatch(self) -> DispatchStore:
        return DispatchStore("u1", KEYS, UPSTREAM, await self.role("dispatch:u1"), self.raw)

    async def receipts(self) -> ReceiptStore:
        return ReceiptStore(KEYS, UPSTREAM, await self.role("receipts:u1"), self.raw, node_key)

    async def top_up(self, micros: int) -> None:
        await self.balances.top_up(LedgerRecord("demo", "topup", micros, "first", 1))

    async def close(self) -> None:
        for link in self.links:
            await link.close()


@pytest.fixture
async def rig(valkey_url: str) -> AsyncIterator[Rig]:
    made = Rig(valkey_url)
    yield made
    await made.close()


async def admit(store: AdmissionStore, items: list[AdmitItem], *, late: bool = False) -> AdmitReply:
    limit = store.redis_ms() + (-1000 if late else 1000)
    return await store.admit(items, BASE + 999, not_after_ms=limit, timeout=2.0)


async def first_entry(store: DispatchStore) -> QueueEntry:
    queues = await store.queues()
    return (await store.read(dict.fromkeys(queues, "0-0"), 10))[0]


async def test_admitted_messages_are_queued_journaled_counted_and_charged(rig: Rig) -> None:
    await rig.top_up(1_000_000)
    reply = await admit(await rig.admission(), [item(1), item(2)])
    assert reply.verdicts == b"AA"
    assert await rig.balances.balance("demo") == 980_000
    dispatch = await rig.dispatch()
    entry = await first_entry(dispatch)
    records = msgspec.msgpack.decode(entry.blob, type=list[MessageRecord])
    assert [record.id - BASE for record in records] == [1, 2]
    assert await dispatch.depth() == 2
    kinds = [(found.kind, found.id) for found in await rig.journal.read("0-0", 10)]
    assert [kind for kind, _ in kinds] == [b"L", b"A"]
    assert kinds[-1][1] == reply.journal_id == await rig.journal.last_id()


async def test_a_request_key_is_admitted_once_within_and_across_batches(rig: Rig) -> None:
    await rig.top_up(1_000_000)
    store = await rig.admission()
    first = await admit(store, [item(1, key=b"k"), item(2, key=b"k"), item(3, key=b"other")])
    assert first.verdicts == b"ADA"
    assert first.extras == {1: b"answer 1"}
    again = await admit(store, [item(4, key=b"k")])
    assert again.verdicts == b"D"
    assert again.extras == {0: b"answer 1"}
    assert await rig.balances.balance("demo") == 980_000


async def test_a_request_key_is_known_for_a_day_over_midnight(rig: Rig, set_time: Callable[[int], None]) -> None:
    await rig.top_up(1_000_000)
    store = await rig.admission()
    midnight = (int(time.time() * 1000) // DAY_MS + 1) * DAY_MS
    for at_ms, letter in ((midnight - 1, b"A"), (midnight + 1, b"D"), (midnight + DAY_MS - 1, b"D"), (midnight, b"D")):
        set_time(at_ms)
        reply = await store.admit([item(1, key=b"k")], BASE, not_after_ms=at_ms + 1, timeout=2.0)
        assert reply.verdicts == letter
    set_time(midnight + DAY_MS)
    again = [item(1, key=b"k"), item(2, key=b"other")]
    assert (await store.admit(again, BASE, not_after_ms=2**50, timeout=2.0)).verdicts == b"AA"


async def test_the_balance_is_never_overdrawn(rig: Rig) -> None:
    await rig.top_up(25_000)
    reply = await admit(await rig.admission(), [item(1), item(2), item(3), item(4, price=5_000)])
    assert reply.verdicts == b"AAIA"
    assert await rig.balances.balance("demo") == 0


async def test_an_account_without_balance_is_refused(rig: Rig) -> None:
    reply = await admit(await rig.admission(), [item(1)])
    assert reply.verdicts == b"I"
    assert await rig.balances.balance("demo") is None


async def test_the_rate_limit_lets_the_burst_through_and_says_how_long_to_wait(rig: Rig) -> None:
    await rig.top_up(1_000_000)
    reply = await admit(await rig.admission(), [item(n, rate=1, burst=3) for n in range(5)])
    assert reply.verdicts == b"AAATT"
    assert 0 < int(reply.extras[3]) <= 1000


async def test_a_batch_after_its_deadline_admits_nothing(rig: Rig) -> None:
    await rig.top_up(1_000_000)
    reply = await admit(await rig.admission(), [item(1), item(2)], late=True)
    assert reply.verdicts == b"LL"
    assert await rig.balances.balance("demo") == 1_000_000


async def test_a_full_queue_refuses(rig: Rig) -> None:
    await rig.top_up(1_000_000)
    small = [item(n) for n in range(3)]
    for one in small:
        one.upstream_messages_max = 2
    assert (await admit(await rig.admission(), small)).verdicts == b"AAQ"


async def test_a_group_is_admitted_whole_or_not_at_all(rig: Rig) -> None:
    await rig.top_up(25_000)
    store = await rig.admission()
    group = item(1, price=30_000)
    group.messages = [("u1", 1, encode(message(n))) for n in (1, 2)] + [("u1", 0, encode(message(3)))]
    assert (await admit(store, [group])).verdicts == b"I"
    group.price_micros = 24_000
    assert (await admit(store, [group])).verdicts == b"A"
    dispatch = await rig.dispatch()
    assert await dispatch.depth() == 3
    assert [name[-6:] for name in await dispatch.queues()] == ["0:demo", "1:demo"]


async def test_a_lost_reply_is_answered_again_without_a_second_charge(rig: Rig) -> None:
    await rig.top_up(1_000_000)
    session = await rig.role("ingress:1")
    store = AdmissionStore(KEYS, session)
    real = session.link.evalsha

    async def run_but_lose_the_reply(*args: object, **kwargs: object) -> object:
        await real(*args, **kwargs)  # type: ignore[arg-type]
        raise Unanswered("the connection was cut")

    session.link.evalsha = run_but_lose_the_reply  # type: ignore[method-assign]
    with pytest.raises(Unanswered):
        await store.admit([item(1, key=b"k")], BASE + 1, not_after_ms=store.redis_ms() + 1000, timeout=0.2)
    assert session.is_unanswered
    session.link.evalsha = real  # type: ignore[method-assign]
    reply = await store.resume()
    assert reply.verdicts == b"A"
    assert await rig.balances.balance("demo") == 990_000
    assert (await admit(store, [item(2)])).verdicts == b"A"


async def test_messages_admitted_after_their_refusal_are_cancelled_and_refunded_once(rig: Rig) -> None:
    await rig.top_up(1_000_000)
    store = await rig.admission()
    await admit(store, [item(1, key=b"k"), item(2)])
    for _ in range(2):  # its answer may be lost
        assert await store.cancel([Refusal(BASE + 1, "demo", "u1", b"k")]) == []
    dispatch = await rig.dispatch()
    entry = await first_entry(dispatch)
    intents = [Intent(entry.queue, entry.entry_id, b"%d.0" % n, BASE + 1 + n, 0) for n in (0, 1)]
    reply = await dispatch.turn(Turn(intents=intents))
    assert reply.withheld == {0}
    assert await dispatch.opens([entry]) == [{b"1.0": b"i0"}]
    done = Turn(ends=[End(BASE + 1, State.CANCELED)], refunds=[("demo", BASE + 1, 10_000)])
    assert (await dispatch.turn(done)).late_changes == []
    assert await rig.balances.balance("demo") == 990_000
    assert (await admit(store, [item(3, key=b"k")])).verdicts == b"A"
    blobs = [entry.blob for entry in await rig.journal.read("0-0", 10) if entry.kind == b"T" and entry.blob]
    [[flag]] = [msgspec.msgpack.decode(blob, type=list[ResultRecord]) for blob in blobs]
    assert (flag.id, flag.outcome, flag.upstream) == (BASE + 1, Outcome.UNANNOUNCED, "u1")


async def test_a_refusal_is_not_cancelled_when_a_copy_of_it_was_told_yes(rig: Rig) -> None:
    await rig.top_up(1_000_000)
    store = await rig.admission()
    await admit(store, [item(1, key=b"k"), item(2, key=b"l"), item(3, key=b"l")])
    copy = await admit(store, [item(4, key=b"k")])
    assert (copy.verdicts, copy.extras[0]) == (b"D", b"answer 1")
    kept = await store.cancel([Refusal(BASE + 1, "demo", "u1", b"k"), Refusal(BASE + 2, "demo", "u1", b"l")])
    assert kept == [BASE + 1]
    changes = await rig.raw.command("HKEYS", KEYS.changes)
    assert [int.from_bytes(change, "big") for change in changes] == [BASE + 2]  # 3 shared the fate of 2
    assert (await admit(store, [item(5, key=b"k"), item(6, key=b"l")])).verdicts == b"DA"


async def test_the_next_process_of_a_node_learns_what_its_former_self_did_not(rig: Rig) -> None:
    await rig.top_up(15_000)
    store = await rig.admission()
    assert (await admit(store, [item(1)])).verdicts == b"A"
    first = store.place
    assert (await admit(store, [item(2)])).verdicts == b"I"
    second = store.place
    again = await rig.admission()
    assert again.verdicts_at(second) == b"I"
    assert again.verdicts_at(first) == b""
    assert again.verdicts_at((second[0], second[1] + 1)) == b""
    fresh = await rig.admission()
    assert fresh.verdicts_at(second) == b""


async def test_a_cancellation_that_comes_too_late_is_told(rig: Rig) -> None:
    await rig.top_up(1_000_000)
    store = await rig.admission()
    await admit(store, [item(1)])
    await store.cancel([Refusal(BASE + 1, "demo", "u1", b"")])
    dispatch = await rig.dispatch()
    reply = await dispatch.turn(Turn(ends=[End(BASE + 1, State.DELIVERED)]))
    assert reply.late_changes == [BASE + 1]


async def test_a_finished_blob_leaves_nothing_behind(rig: Rig) -> None:
    await rig.top_up(1_000_000)
    await admit(await rig.admission(), [item(1), item(2)])
    dispatch = await rig.dispatch()
    entry = await first_entry(dispatch)
    place = (entry.queue, entry.entry_id)
    await dispatch.turn(Turn(intents=[Intent(*place, b"0.0", BASE + 1, 0), Intent(*place, b"1.0", BASE + 2, 0)]))
    await dispatch.turn(Turn(settled=[(*place, b"0.0")], depth_delta=-1))
    assert await dispatch.opens([entry]) == [{b"0.0": b"d", b"1.0": b"i0"}]
    await dispatch.turn(Turn(finished=[place], depth_delta=-1))
    assert await dispatch.opens([entry]) == [{}]
    assert await dispatch.queues() == []
    assert await dispatch.depth() == 0


async def test_a_retry_waits_in_later_and_comes_back_to_its_queue(rig: Rig) -> None:
    await rig.top_up(1_000_000)
    await admit(await rig.admission(), [item(1)])
    dispatch = await rig.dispatch()
    entry = await first_entry(dispatch)
    blob = encode(message(1))
    await dispatch.turn(Turn(finished=[(entry.queue, entry.entry_id)], later=[(5000, entry.queue, blob)]))
    assert await dispatch.queues() == []
    assert await dispatch.next_due_ms() == 5000
    assert await dispatch.promote(4999) == 0
    assert await dispatch.promote(5000) == 1
    assert await dispatch.promote(5000) == 0
    again = await first_entry(dispatch)
    assert msgspec.msgpack.decode(again.blob, type=list[MessageRecord])[0].id == BASE + 1


async def test_rest_keeps_single_messages_until_they_are_settled(rig: Rig) -> None:
    dispatch = await rig.dispatch()
    await dispatch.turn(Turn(rest_set=[(BASE + 1, b"one"), (BASE + 2, b"two")]))
    assert await dispatch.rest() == {BASE + 1: b"one", BASE + 2: b"two"}
    await dispatch.turn(Turn(rest_del=[BASE + 1]))
    assert await dispatch.rest() == {BASE + 2: b"two"}


async def test_a_refund_happens_once_even_when_it_is_proposed_twice(rig: Rig) -> None:
    await rig.top_up(1_000_000)
    dispatch = await rig.dispatch()
    result = encode(ResultRecord(BASE + 1, 0, 2, 1, "u1", b"", 11, 0, State.FAILED, 10_000))
    refunds = [("demo", BASE + 1, 10_000), ("demo", BASE + 1, 10_000)]
    assert (await dispatch.turn(Turn(refunds=refunds, journal=[result, result]))).refunded == [True, False]
    assert (await dispatch.turn(Turn(refunds=refunds[:1], journal=[result]))).refunded == [False]
    assert await rig.balances.balance("demo") == 1_010_000
    effects = [entry.effects for entry in await rig.journal.read("0-0", 10) if entry.kind == b"T"]
    assert effects == [b"10", b"0"]


def context(number: int, segment: int = 0, segments: int = 1) -> SentContext:
    return SentContext(
        id=BASE + number, segment=segment, segments=segments, account="demo", via=Via.SMPP, registered_delivery=1,
        source_ton=5, source_npi=0, source=b"ACME", dest_ton=1, dest_npi=1, dest=b"447700900123", data_coding=0,
        price_micros=10_000, tariff=1,
    )  # fmt: skip


def parked(name: bytes) -> bytes:
    return encode(ParkedReceipt(name, b"DELIVRD", b"000", State.DELIVERED, 1, b"raw", 1))


async def test_either_order_of_response_and_receipt_finds_the_pair_exactly_once(rig: Rig) -> None:
    dispatch, receipts = await rig.dispatch(), await rig.receipts()
    now_ms = int(time.time() * 1000)
    assert await receipts.match([(b"early", parked(b"early"))]) == [None]
    assert await receipts.match([(b"early", parked(b"early"))]) == [None]
    found = await dispatch.correlate([(b"early", encode(context(1))), (b"later", encode(context(2)))], now_ms)
    assert [(index, [one.upstream_message_id for one in many]) for index, many in found] == [(0, [b"early"])]
    await receipts.unpark([b"early"])
    assert await receipts.parked_count() == 0
    assert await receipts.match([(b"later", parked(b"later"))]) == [context(2)]
    assert await receipts.parked_count() == 0


async def test_a_pair_that_a_dead_process_left_parked_is_found_again(rig: Rig) -> None:
    dispatch, receipts = await rig.dispatch(), await rig.receipts()
    now_ms = int(time.time() * 1000)
    await receipts.match([(b"left", parked(b"left")), (b"orphan", parked(b"orphan"))])
    await dispatch.correlate([(b"left", encode(context(1)))], now_ms)
    looked_at = await receipts.find_parked(0, 10, now_ms)
    assert looked_at.seen == 2
    assert [(key, found, [one.stat for one in many]) for key, found, many in looked_at.pairs] == [
        (b"left", context(1), [b"DELIVRD"])
    ]
    assert [(key, [one.upstream_message_id for one in many]) for key, many in looked_at.unmatched] == [
        (b"orphan", [b"orphan"])
    ]
    assert await receipts.find_parked(2, 10, now_ms) == Parked()


async def test_what_is_known_of_ids_is_told_and_one_of_two_messages_as_such(rig: Rig) -> None:
    dispatch, receipts = await rig.dispatch(), await rig.receipts()
    now_ms = int(time.time() * 1000)
    await dispatch.correlate([(b"1F", encode(context(1))), (b"20", encode(context(2)))], now_ms - 3_600_000)
    await dispatch.correlate([(b"20", encode(context(3)))], now_ms)
    assert await receipts.known([b"1F", b"1f", b"20"], now_ms) == {b"1F": context(1), b"20": None}
    await receipts.match([(b"20", parked(b"20"))], now_ms)
    assert await receipts.find_parked(0, 10, now_ms) == Parked(seen=1), "of two messages: for the operator"


async def test_an_upstream_id_of_two_messages_is_ambiguous_and_its_receipt_stays_parked(rig: Rig) -> None:
    dispatch, receipts = await rig.dispatch(), await rig.receipts()
    now_ms = int(time.time() * 1000)
    await dispatch.correlate([(b"same", encode(context(1)))], now_ms)
    await dispatch.correlate([(b"same", encode(context(1)))], now_ms)
    assert await receipts.match([(b"same", parked(b"same"))]) == [context(1)]
    await dispatch.correlate([(b"same", encode(context(2)))], now_ms)
    assert await receipts.match([(b"same", parked(b"same"))]) == [None]
    assert await receipts.parked_count() == 1


def receipt(
    number: int, state: State, *, segment: int = 0, segments: int = 1, refund: int = 0, until_ms: int = 0
) -> ReceiptItem:
    record = ReceiptRecord(
        BASE + number, segment, segments, "demo", 1, "u1", b"up", state, b"STAT", b"000", 1, b"raw", refund
    )
    callback = encode(["callback", number, segment])
    return ReceiptItem(record, state.is_final, Via.SMPP, callback, until_ms=until_ms)


async def test_a_repeated_receipt_changes_nothing(rig: Rig) -> None:
    """Quirk 6: a final state sticks, and is told once."""
    receipts = await rig.receipts()
    undelivered = receipt(1, State.UNDELIVERED, refund=10_000)
    assert await receipts.apply(ReceiptBatch([undelivered, undelivered])) == [Effect.FINAL, Effect.REPEATED]
    assert await receipts.apply(ReceiptBatch([receipt(1, State.DELIVERED)])) == [Effect.REPEATED]
    assert await rig.balances.balance("demo") == 10_000
    out = OutboxStore("demo", KEYS, await rig.role("deliver:demo"), rig.raw)
    entries = await out.read("0-0", 10)
    assert [msgspec.msgpack.decode(blob) for _, blob in entries] == [[["callback", 1, 0]]]
    journal = await rig.journal.read("0-0", 10)
    assert [(entry.kind, entry.effects, entry.refunds) for entry in journal] == [
        (b"R", b"20", b"10"),
        (b"R", b"0", b""),
    ]
    await out.settle([entries[0][0]], [b"\x90"])
    assert await out.read("0-0", 10) == []


async def test_a_long_message_is_final_when_all_its_segments_are(rig: Rig) -> None:
    receipts = await rig.receipts()
    parts = [receipt(1, State.DELIVERED, segment=n, segments=3) for n in range(3)]
    assert await receipts.apply(ReceiptBatch([parts[0], parts[0]])) == [Effect.RECORDED, Effect.REPEATED]
    assert await receipts.apply(ReceiptBatch(parts[1:])) == [Effect.RECORDED, Effect.FINAL]


async def test_the_first_failed_segment_ends_a_long_message(rig: Rig) -> None:
    receipts = await rig.receipts()
    batch = ReceiptBatch(
        [
            receipt(1, State.DELIVERED, segment=0, segments=2),
            receipt(1, State.UNDELIVERED, segment=1, segments=2),
            receipt(2, State.UNDELIVERED, segment=0, segments=2),
            receipt(2, State.DELIVERED, segment=1, segments=2),
        ]
    )
    assert await receipts.apply(batch) == [Effect.RECORDED, Effect.FINAL, Effect.FINAL, Effect.RECORDED]


async def test_quirk_7_a_receipt_that_ends_nothing_is_recorded_once_for_each_mark(rig: Rig) -> None:
    receipts = await rig.receipts()
    items = [receipt(1, State.SENT) for _ in range(3)]
    for item, mark in zip(items, (b"id/ENROUTE/1", b"id/ENROUTE/1", b"id/ENROUTE/2"), strict=True):
        item.is_final = False
        item.mark = mark
    assert await receipts.apply(ReceiptBatch(items)) == [Effect.RECORDED, Effect.REPEATED, Effect.RECORDED]
    assert await receipts.apply(ReceiptBatch([items[2]])) == [Effect.REPEATED]
    assert await receipts.apply(ReceiptBatch([receipt(1, State.DELIVERED)])) == [Effect.FINAL]


async def test_quirk_7_a_message_from_a_phone_is_known_again_within_its_window(rig: Rig) -> None:
    receipts = await rig.receipts()
    at_ms = 1_800_000_059_000
    assert await receipts.seen_inbound([b"a", b"b"], at_ms, 60_000) == [False, False]
    await receipts.remember_inbound([b"a"], at_ms, 60_000)
    assert await receipts.seen_inbound([b"a", b"b"], at_ms + 59_000, 60_000) == [True, False]
    assert await receipts.seen_inbound([b"a"], at_ms + 60_000, 60_000) == [False]
    [name] = await rig.raw.command("KEYS", "*:mo:*")
    assert 0 < await rig.raw.command("PTTL", name) <= 120_000


async def test_quirk_7_what_is_remembered_of_one_window_is_bounded(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receipts_module, "INBOUND_MARKS_MAX", 2)
    receipts = await rig.receipts()
    await receipts.remember_inbound([b"a", b"b"], 1_800_000_000_000, 60_000)
    await receipts.remember_inbound([b"c"], 1_800_000_000_000, 60_000)
    assert await receipts.seen_inbound([b"b", b"c"], 1_800_000_000_000, 60_000) == [True, False]


async def test_an_intermediate_receipt_is_told_only_where_it_was_wanted(rig: Rig) -> None:
    receipts = await rig.receipts()
    wanted, unwanted = receipt(1, State.SENT), receipt(2, State.SENT)
    wanted.callback_is_intermediate = True
    assert await receipts.apply(ReceiptBatch([wanted, unwanted])) == [Effect.RECORDED, Effect.RECORDED]
    entries = await rig.raw.command("XRANGE", KEYS.out("demo"), "-", "+")
    assert [msgspec.msgpack.decode(fields[1]) for _, fields in entries] == [[["callback", 1, 0]]]


async def test_an_inbound_message_reaches_journal_and_outbox(rig: Rig) -> None:
    receipts = await rig.receipts()
    record = InboundRecord(BASE, "demo", "u1", 1, 1, b"447700900123", 3, 0, b"12345", 0, 0, 0, b"hi", 1)
    lost = InboundRecord(BASE + 1, "", "u1", 1, 1, b"447700900123", 3, 0, b"999", 0, 0, 0, b"hi", 1)
    batch = ReceiptBatch([], [InboundItem(record, Via.WEBHOOK, encode(["mo"])), InboundItem(lost)])
    assert await receipts.apply(batch) == []
    hooks = HookStore(KEYS, await rig.role("hooks"), rig.raw)
    entries = await hooks.read("0-0", 10)
    assert [msgspec.msgpack.decode(blob) for _, blob in entries] == [[["mo"]]]
    assert [entry.kind for entry in await rig.journal.read("0-0", 10)] == [b"M"]
    await hooks.settle([entries[0][0]], [(100, b"again")], [], [])
    assert await hooks.due(99, 10) == []
    assert await hooks.due(100, 10) == [b"again"]
    assert await hooks.next_due_ms() == 100
    await hooks.settle([], [], [b"again"], [b"\x90"])
    assert await hooks.due(100, 10) == []


async def test_quirk_33_parts_are_held_and_dropped_in_the_step_that_records_them(rig: Rig) -> None:
    receipts = await rig.receipts()
    assert await receipts.held_parts() == []
    inbound = [
        InboundItem(
            InboundRecord(BASE + number, "demo", "u1", 1, 1, b"4477", 3, 0, b"1", 0, 0, 0, b"hi", 1, b"", 0, BASE)
        )
        for number in range(1, 3)
    ]
    parts = [_held(1, BASE), _held(2, BASE), _held(1, BASE + 9)]
    await receipts.apply(ReceiptBatch(inbound=inbound, held=parts))
    assert sorted(await receipts.held_parts(), key=lambda part: (part.whole, part.sequence)) == parts
    [entry] = await rig.journal.read("0-0", 10)
    assert msgspec.msgpack.decode(entry.blob, type=list[InboundRecord]) == [item.record for item in inbound]

    whole = InboundItem(
        InboundRecord(BASE, "demo", "u1", 1, 1, b"4477", 3, 0, b"1", 0, 0, 0, b"hihi", 1), is_whole=True
    )
    new = _held(3, BASE + 9)
    await receipts.apply(ReceiptBatch(inbound=[whole], held=[new], dropped=[(BASE, 1), (BASE, 2)]))
    assert sorted(await receipts.held_parts(), key=lambda part: part.sequence) == [parts[2], new]
    await receipts.apply(ReceiptBatch(inbound=[whole], dropped=[(BASE + 9, 1), (BASE + 9, 3)]))
    assert await receipts.held_parts() == [] and not await rig.raw.command("EXISTS", KEYS.join("u1"))


async def test_quirk_7_the_marks_of_the_last_batch_outlive_the_role_that_applied_it(rig: Rig) -> None:
    receipts = await rig.receipts()
    assert await receipts.last_marks() == (0, [])
    record = InboundRecord(BASE, "demo", "u1", 1, 1, b"4477", 3, 0, b"1", 0, 0, 0, b"hi", 1)
    await receipts.apply(ReceiptBatch(inbound=[InboundItem(record)], marks=(7, [b"first", b"\0\xff"])))
    await receipts.apply(ReceiptBatch(inbound=[InboundItem(record)]))
    heir = await rig.receipts()
    assert await heir.last_marks() == (7, [b"first", b"\0\xff"])
    await heir.apply(ReceiptBatch(inbound=[InboundItem(record)], marks=(8, [b"next"])))
    assert await heir.last_marks() == (8, [b"next"])


async def test_quirk_33_many_parts_at_once_are_held_read_and_dropped(rig: Rig) -> None:
    receipts = await rig.receipts()
    parts = [_held(sequence, BASE + whole) for whole in range(20) for sequence in range(1, 256)]
    await receipts.apply(ReceiptBatch(held=parts))
    found = await receipts.held_parts()
    assert sorted(found, key=lambda part: (part.whole, part.sequence)) == parts
    await receipts.apply(ReceiptBatch(dropped=[(part.whole, part.sequence) for part in parts]))
    assert await receipts.held_parts() == []


async def test_quirk_33_a_call_that_is_asked_for_again_holds_and_drops_once(rig: Rig) -> None:
    session = await rig.role("receipts:u1")
    store = ReceiptStore(KEYS, UPSTREAM, session, rig.raw, node_key)
    await store.apply(ReceiptBatch(held=[_held(1, BASE), _held(2, BASE)]))
    await store.apply(ReceiptBatch(held=[_held(1, BASE + 1)], dropped=[(BASE, 1)]))
    session._sequence -= 1  # as if its answer had been lost
    await store.apply(ReceiptBatch(held=[_held(1, BASE + 1)], dropped=[(BASE, 1)]))
    found = [(part.whole, part.sequence) for part in await store.held_parts()]
    assert sorted(found) == [(BASE, 2), (BASE + 1, 1)]


def _held(sequence: int, whole: int) -> HeldPart:
    return HeldPart(
        whole,
        1,
        "demo",
        1,
        1,
        7,
        3,
        sequence,
        1,
        1,
        b"4477",
        3,
        0,
        b"1",
        0,
        0,
        b"hi",
        0,
        ((5, b"\1\2\3\4"),),
        b"\0\1\0\0",
    )


async def test_a_top_up_happens_once_for_each_reference(rig: Rig) -> None:
    record = LedgerRecord("demo", "topup", 5_000_000, "invoice 7", 1)
    first = await rig.balances.top_up(record)
    again = await rig.balances.top_up(record)
    assert (first.is_new, again.is_new) == (True, False)
    assert first.journal_id == again.journal_id
    assert again.balance_micros == 5_000_000
    with pytest.raises(AmountOutOfRange):
        await rig.balances.top_up(LedgerRecord("demo", "topup", 2**53, "too much", 1))


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
