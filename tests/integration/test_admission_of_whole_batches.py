"""A batch that fits is admitted at one look: what comes of it is what comes of looking at each submission by itself."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from redis import Redis

from smscd.core.limits import Limits
from storage.redis import scripts
from storage.redis.admission import AdmitItem
from storage.redis.keys import DAY_MS
from storage.redis.scripts import Script
from tests.integration.redis_rig import BASE, KEYS, Rig

pytest_plugins = ("tests.integration.script_clock",)

ACCOUNTS = {
    "free": (None, 0, 0),
    "limited": (Limits(spend_per_day_micros=400_000, velocity_per_minute=4, velocity_per_day=30), 50.0, 40),
    "paced": (None, 20.0, 25),
}
BATCHES = 40


def submission(chance: random.Random, number: int) -> AdmitItem:
    """Anything that a customer may send: one message or a group, over one upstream or two, with a key or without."""
    account = chance.choice(list(ACCOUNTS))
    limits, rate, burst = ACCOUNTS[account]
    count = chance.choice((1, 1, 1, 2, 3))
    upstreams = [chance.choice(("u1", "u2")) for _ in range(count)]
    return AdmitItem(
        account=account, rate=rate, burst=burst, floor_micros=-20_000, price_micros=count * chance.choice((0, 7_001)),
        upstream_messages_max=230,
        messages=[(name, chance.choice((0, 1)), b"\x91%c" % (number % 128)) for name in upstreams],
        request_key=b"key %d" % chance.randrange(500) if chance.random() < 0.3 else b"",
        stored_answer=b"answer %d" % number, limits=limits,
        prefixes=[b"4477%d" % chance.randrange(40) for _ in range(count)] if limits else (),
        is_strict=chance.random() < 0.1,
    )  # fmt: skip


def content(url: str) -> dict[str, Any]:
    """All that Redis holds, but for the names of stream entries and who is at work."""
    found: dict[str, Any] = {}
    with Redis.from_url(url) as store:
        for name in sorted(store.keys("*")):
            match store.type(name):
                case b"hash" if b":session:" not in name:
                    found[name.decode()] = store.hgetall(name)
                case b"set":
                    found[name.decode()] = store.smembers(name)
                case b"stream":
                    entries = [fields for _, fields in store.xrange(name)]
                    found[name.decode()] = [
                        {key: value for key, value in fields.items() if key != b"j"} for fields in entries
                    ]
            found[f"{name.decode()} expires"] = store.ttl(name) > 0
    return found


async def life(rig: Rig, set_time: Callable[[int], None], seed: int) -> list[tuple[bytes, dict[int, bytes]]]:
    """What is answered to batches of one seed, small and large, over two minutes."""
    chance = random.Random(seed)
    store = await rig.admission()
    for account in ACCOUNTS:
        await rig.raw.command("HSET", KEYS.acct(account), "balance", 450_000)
    answers = []
    at_ms = (int(time.time() * 1000) // DAY_MS + 1) * DAY_MS + 30_000
    for number in range(BATCHES):
        at_ms += chance.choice((5, 400, 11_000))
        set_time(at_ms)
        items = [submission(chance, number * 40 + n) for n in range(chance.choice((1, 2, 5, 40)))]
        reply = await store.admit(items, BASE + number, not_after_ms=at_ms + 1_000, timeout=2.0)
        answers.append((reply.verdicts, reply.extras))
    return answers


@pytest.fixture
async def rig(valkey_url: str) -> AsyncIterator[Rig]:
    made = Rig(valkey_url)
    yield made
    await made.close()


async def test_one_look_at_a_batch_decides_as_a_look_at_each_submission(
    rig: Rig, set_time: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_by_one(at_ms: int) -> None:
        set_time(at_ms)
        script, asked = scripts.ADMIT, b"local fits = ARGV[11] ~= '1'"
        assert asked in script.source
        source = script.source.replace(asked, b"local fits = false")
        monkeypatch.setattr(scripts, "ADMIT", Script("admit", source, script.sha[:-1] + "x"))

    seen = Counter[str]()
    for seed in range(5):
        at_once = await life(rig, set_time, seed)
        held = content(rig.url)
        await rig.raw.command("FLUSHALL")
        assert at_once == await life(rig, one_by_one, seed)
        assert held == content(rig.url)
        await rig.raw.command("FLUSHALL")
        seen += Counter("".join(verdicts.decode() for verdicts, _ in at_once))
        seen["whole batches"] += sum(set(verdicts) == {ord("A")} and len(verdicts) > 4 for verdicts, _ in at_once)
    assert set("ADTSVIQ") <= set(seen) and seen["whole batches"] > 10, seen
