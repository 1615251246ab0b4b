"""The scripts that match and apply what an upstream delivers, on a real server: receipts, and messages from phones."""

from __future__ import annotations

import time

import msgspec
import pytest

from smscd.core.records import HeldPart, InboundRecord, State, Via
from storage.redis import receipts as receipts_module
from storage.redis.outbox import HookStore, OutboxStore
from storage.redis.receipts import Effect, InboundItem, Parked, ReceiptBatch, ReceiptStore
from tests.integration.redis_rig import BASE, KEYS, UPSTREAM, Rig, context, encode, node_key, parked, receipt, rig

__all__ = ["rig"]


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
    assert await dispatch.correlate([(b"same", encode(context(3)))], now_ms) == [], "a third message's is it no more"


async def test_a_parked_receipt_goes_to_neither_of_two_messages_that_are_given_its_id_at_once(rig: Rig) -> None:
    dispatch, receipts = await rig.dispatch(), await rig.receipts()
    now_ms = int(time.time() * 1000)
    await receipts.match([(b"same", parked(b"same")), (b"own", parked(b"own"))])
    items = [(b"same", encode(context(1))), (b"own", encode(context(2))), (b"same", encode(context(3)))]
    for _ in range(2):
        assert [index for index, _ in await dispatch.correlate(items, now_ms)] == [1], "again after a lost reply"
    assert await receipts.parked_count() == 2


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
