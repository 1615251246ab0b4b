"""Limits against fraud in the script that admits, on a real server: what is refused, counted, and never charged."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from smscd.core.limits import Limits, prefix_of
from storage.redis.admission import AdmissionStore, AdmitItem, AdmitReply
from storage.redis.dispatch import Turn
from storage.redis.keys import DAY_MS
from tests.integration.redis_rig import BASE, KEYS, Rig, encode, message

pytest_plugins = ("tests.integration.script_clock",)

VELOCITY = Limits(velocity_per_minute=50, velocity_per_day=500)
MINUTE_MS = 60_000


@pytest.fixture
async def rig(valkey_url: str) -> AsyncIterator[Rig]:
    made = Rig(valkey_url)
    await made.top_up(1_000_000_000)
    yield made
    await made.close()


def to(*numbers: bytes, limits: Limits | None = VELOCITY, key: bytes = b"", price: int = 10_000) -> AdmitItem:
    """One submission to these numbers."""
    prefixes = [prefix_of(number) for number in numbers] if limits is not None and limits.has_velocity else []
    return AdmitItem(
        account="demo", rate=0, burst=0, floor_micros=0, price_micros=price * len(numbers),
        upstream_messages_max=100_000, messages=[("u1", 1, encode(message(at))) for at, _ in enumerate(numbers)],
        request_key=key, stored_answer=b"answer", limits=limits, prefixes=prefixes,
    )  # fmt: skip


async def admit(store: AdmissionStore, *items: AdmitItem, at_ms: int = 0) -> AdmitReply:
    """at_ms: what Redis TIME is taken for."""
    now = at_ms or store.redis_ms()
    return await store.admit(items, BASE + 999, not_after_ms=now + 1_000, timeout=2.0)


async def test_ten_thousand_pumped_on_one_prefix_are_50_in_a_minute_and_none_is_billed_beyond(rig: Rig) -> None:
    store = await rig.admission()
    verdicts, waits = Counter[int](), []
    for batch in range(20):
        reply = await admit(store, *(to(b"88213%08d" % (71_230_000 + batch * 500 + n)) for n in range(500)))
        verdicts += Counter(reply.verdicts)
        waits += [int(extra) for extra in reply.extras.values()]
    assert verdicts == {ord("A"): 50, ord("V"): 9_950}
    assert min(waits) > 0 and max(waits) <= 70_000
    assert await rig.balances.balance("demo") == 1_000_000_000 - 50 * 10_000
    assert await (await rig.dispatch()).depth() == 50


async def test_pumping_all_day_brings_500_and_no_more_than_50_in_any_minute(
    rig: Rig, set_time: Callable[[int], None]
) -> None:
    """Wherever a minute begins, and over midnight; each refusal says when to try again, and that is true."""
    store = await rig.admission()
    chance = random.Random(29)
    day = int(time.time() * 1000) // DAY_MS + 1
    at_ms, until_ms = day * DAY_MS - 11 * MINUTE_MS, day * DAY_MS + 30 * MINUTE_MS
    admitted: list[int] = []
    free_at = float("inf")
    while at_ms < until_ms:
        set_time(at_ms)
        items = [to(b"447700900%03d" % n) for n in range(chance.choice((1, 3, 20, 80)))]
        reply = await admit(store, *items, at_ms=at_ms)
        letters = reply.verdicts.decode()
        assert letters == letters[: letters.count("A")] + "V" * letters.count("V")
        assert at_ms < free_at or "A" in letters
        admitted += [at_ms] * letters.count("A")
        free_at = at_ms + int(reply.extras[letters.index("V")]) if "V" in letters else float("inf")
        at_ms += chance.choice((100, 4_000, 9_000, 21_000))
    in_a_minute = max(
        sum(start <= moment < start + MINUTE_MS for moment in admitted) for start in dict.fromkeys(admitted)
    )
    assert in_a_minute == 50
    assert Counter(moment // DAY_MS for moment in admitted)[day] == 500
    assert await rig.balances.balance("demo") == 1_000_000_000 - len(admitted) * 10_000


async def test_a_steady_pace_below_the_limit_is_never_refused(rig: Rig, set_time: Callable[[int], None]) -> None:
    store = await rig.admission()
    start = (int(time.time() * 1000) // DAY_MS + 1) * DAY_MS - 3 * MINUTE_MS
    limits = Limits(velocity_per_minute=50)
    for at_ms in range(start, start + 8 * MINUTE_MS, 1_500):
        set_time(at_ms)
        assert (await admit(store, to(b"447700900123", limits=limits), at_ms=at_ms)).verdicts == b"A"


async def test_prefixes_are_a_number_less_four_digits_and_each_has_its_own_limit(rig: Rig) -> None:
    store = await rig.admission()
    limits = Limits(velocity_per_minute=2)
    numbers = [b"447700900000", b"447700909999", b"447700900001", b"447700910000", b"4477009", b"4477009"]
    assert (await admit(store, *(to(number, limits=limits) for number in numbers))).verdicts == b"AAVAAA"
    assert (await admit(store, *(to(number, limits=limits) for number in numbers))).verdicts == b"VVVAVV"


async def test_each_destination_of_a_group_counts_and_a_group_is_all_or_nothing(rig: Rig) -> None:
    store = await rig.admission()
    limits = Limits(velocity_per_minute=5)
    three = [b"447700900001", b"447700900002", b"447700900003"]
    reply = await admit(
        store,
        to(*three, limits=limits),
        to(*three, b"33612345678", limits=limits),
        to(*three[:2], b"33612345678", limits=limits),
        to(three[0], limits=limits),
        *(to(b"33612345678", limits=limits) for _ in range(5)),
    )
    assert reply.verdicts == b"AVAVAAAAV"
    assert await rig.balances.balance("demo") == 1_000_000_000 - 10 * 10_000


async def test_a_replay_counts_nothing_and_is_answered_beyond_every_limit(rig: Rig) -> None:
    store = await rig.admission()
    limits = Limits(15_000, 1, 1)
    first = await admit(store, to(b"447700900123", limits=limits, key=b"k"))
    assert first.verdicts == b"A"
    again = [to(b"447700900123", limits=limits, key=b"k") for _ in range(3)]
    reply = await admit(store, *again, to(b"447700900124", limits=limits), to(b"33612345678", limits=limits, price=4))
    assert reply.verdicts == b"DDDSA"
    assert await rig.balances.spent_today("demo") == 10_004
    assert (await admit(store, to(b"447700900124", limits=limits, price=1))).verdicts == b"V"


async def test_the_spend_of_a_day_is_never_exceeded_and_ends_at_midnight(
    rig: Rig, set_time: Callable[[int], None]
) -> None:
    store = await rig.admission()
    midnight = (int(time.time() * 1000) // DAY_MS + 1) * DAY_MS
    limits = Limits(spend_per_day_micros=35_000)
    number = b"447700900123"
    set_time(midnight - 1_500)
    reply = await admit(store, *(to(number, limits=limits) for _ in range(5)), at_ms=midnight - 1_500)
    assert (reply.verdicts, reply.extras) == (b"AAASS", {3: b"1500", 4: b"1500"})
    two = await admit(store, to(number, number, limits=limits, price=5_000), at_ms=midnight - 1_500)
    last = await admit(store, to(number, limits=limits, price=5_000), at_ms=midnight - 1_500)
    assert (two.verdicts, last.verdicts) == (b"S", b"A")
    set_time(midnight)
    assert (await admit(store, to(number, limits=limits), at_ms=midnight)).verdicts == b"A"
    assert await rig.balances.balance("demo") == 1_000_000_000 - 45_000


async def test_a_refund_gives_no_spend_back(rig: Rig) -> None:
    """Else whoever has his messages refused again and again spends without an end."""
    store = await rig.admission()
    limits = Limits(spend_per_day_micros=10_000)
    assert (await admit(store, to(b"447700900123", limits=limits))).verdicts == b"A"
    await (await rig.dispatch()).turn(Turn(refunds=[("demo", BASE, 10_000)]))
    assert await rig.balances.balance("demo") == 1_000_000_000
    assert (await admit(store, to(b"447700900123", limits=limits))).verdicts == b"S"


async def test_what_is_refused_for_another_reason_counts_nothing(rig: Rig) -> None:
    store = await rig.admission()
    limits = Limits(velocity_per_minute=1)
    full, poor = to(b"447700900123", limits=limits), to(b"447700900123", limits=limits, price=2_000_000_000)
    full.upstream_messages_max = 0
    assert (await admit(store, full)).verdicts == b"Q"
    assert (await admit(store, poor, to(b"447700900123", limits=limits))).verdicts == b"IA"


async def test_an_account_without_limits_has_no_counters(rig: Rig) -> None:
    store = await rig.admission()
    assert (await admit(store, *(to(b"447700900123", limits=None) for _ in range(200)))).verdicts == b"A" * 200
    assert await rig.raw.command("KEYS", "*:used:*") == []


async def test_counters_are_small_and_end_with_their_day(rig: Rig) -> None:
    store = await rig.admission()
    for batch in range(20):
        prefixes = range(batch * 500, batch * 500 + 500)
        await admit(store, *(to(b"44770%05d0000" % prefix) for prefix in prefixes))
    (name,) = await rig.raw.command("KEYS", "*:used:*")
    assert name == KEYS.used("demo", store.redis_ms() // DAY_MS).encode()
    assert await rig.raw.command("HLEN", name) == 10_000
    assert await rig.raw.command("MEMORY", "USAGE", name, "SAMPLES", 0) < 10_000 * 130
    left_ms = DAY_MS - store.redis_ms() % DAY_MS
    assert left_ms < await rig.raw.command("PTTL", name) < left_ms + 3 * MINUTE_MS


async def test_another_window_than_the_callers_does_nothing_and_uses_no_number_up(rig: Rig) -> None:
    store = await rig.admission()
    store.clock_offset_ms += DAY_MS
    assert (await store.admit([to(b"447700900123")], BASE, not_after_ms=2**50, timeout=2.0)).verdicts == b"A"
    assert await rig.raw.command("KEYS", "*:used:*") == [KEYS.used("demo", store.redis_ms() // DAY_MS).encode()]


async def test_a_clock_that_steps_back_takes_neither_rate_nor_velocity_from_an_account(
    rig: Rig, set_time: Callable[[int], None]
) -> None:
    store = await rig.admission()
    limits = Limits(velocity_per_minute=3)
    noon = (int(time.time() * 1000) // DAY_MS + 1) * DAY_MS + DAY_MS // 2

    async def send(at_ms: int, count: int) -> bytes:
        set_time(at_ms)
        items = [replace(to(b"447700900123", limits=limits), rate=10, burst=3) for _ in range(count)]
        return (await admit(store, *items, at_ms=at_ms)).verdicts

    assert await send(noon, 4) == b"AAAT"
    back = noon - 3_600_000
    assert await send(back, 1) == b"T", "the burst is used up, whatever the clock says"
    assert await send(back + 99, 1) == b"T"
    assert await send(back + 100, 2) == b"AT"
    assert await send(back + 1_000, 3) == b"AAV", "and the minute has 3 again"
