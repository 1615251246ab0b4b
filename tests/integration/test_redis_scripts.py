"""The scripts that admit and send, on a real server: each verdict, each move, and what a repeated call does."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
import pytest

from smscd.core.records import LedgerRecord, MessageRecord, Outcome, ResultRecord, State
from storage.redis.accounts import AmountOutOfRange
from storage.redis.admission import AdmissionStore, Refusal
from storage.redis.dispatch import End, Intent, Turn
from storage.redis.errors import Unanswered
from storage.redis.keys import DAY_MS
from tests.integration.redis_rig import BASE, KEYS, Rig, admit, encode, first_entry, item, message, rig

pytest_plugins = ("tests.integration.script_clock",)
__all__ = ["rig"]


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


async def test_a_top_up_happens_once_for_each_reference(rig: Rig) -> None:
    record = LedgerRecord("demo", "topup", 5_000_000, "invoice 7", 1)
    first = await rig.balances.top_up(record)
    again = await rig.balances.top_up(record)
    assert (first.is_new, again.is_new) == (True, False)
    assert first.journal_id == again.journal_id
    assert again.balance_micros == 5_000_000
    with pytest.raises(AmountOutOfRange):
        await rig.balances.top_up(LedgerRecord("demo", "topup", 2**53, "too much", 1))
