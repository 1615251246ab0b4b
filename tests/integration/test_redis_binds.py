"""Binds and wrong passwords counted in a real Redis, by workers that come, die and come again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from storage.redis import binds
from storage.redis.binds import NO_LIMIT, RX, TRX, TX, AccountBinds, BindRequest, BindStore
from storage.redis.errors import StorageUnavailable
from storage.redis.keys import ShardKeys
from storage.redis.link import RedisLink

KEYS = ShardKeys(0)
PEER = "192.0.2.1"


@pytest.fixture
async def link(valkey_url: str) -> AsyncIterator[RedisLink]:
    link = RedisLink(valkey_url, name="binds-test")
    yield link
    await link.close()


def worker(link: RedisLink, name: str, boot: str = "boot1", **more: Any) -> BindStore:
    given: dict[str, Any] = {"guesses_max": 10, "window_seconds": 900.0}
    return BindStore(KEYS, link, worker=name, boot=boot, **(given | more))


def asking(
    *kinds: int, here: tuple[int, int, int] = (0, 0, 0), limits: tuple[int, int, int, int] = (3, -1, -1, -1),
    account: str = "acme", system_id: bytes = b"esme",
) -> AccountBinds:  # fmt: skip
    return AccountBinds(account, here, limits, [BindRequest(kind, PEER, system_id) for kind in kinds])


async def test_the_limit_is_of_all_workers_together(link: RedisLink) -> None:
    one, other = worker(link, "n/0"), worker(link, "n/1")
    assert await one.settle([asking(TRX, TX)]) == ["AA"]
    assert await other.settle([asking(RX, TRX)]) == ["AT"]
    assert await one.settle([asking(TRX, here=(1, 0, 0))]) == ["A"]
    assert await other.settle([asking(TRX, here=(0, 1, 0))]) == ["T"]


async def test_types_have_limits_of_their_own(link: RedisLink) -> None:
    one, other = worker(link, "n/0"), worker(link, "n/1")
    limits = (10, 1, 0, NO_LIMIT)
    assert await one.settle([asking(TX, RX, TRX, limits=limits)]) == ["AKA"]
    assert await other.settle([asking(TX, TRX, limits=limits)]) == ["KA"]


async def test_several_accounts_are_told_in_one_call(link: RedisLink) -> None:
    one = worker(link, "n/0")
    told = [asking(TRX, TRX), asking(account="other"), asking(TX, account="third", limits=(0, -1, -1, -1))]
    assert await one.settle(told) == ["AA", "", "T"]


async def test_a_call_that_is_repeated_counts_nothing_twice(link: RedisLink) -> None:
    one, other = worker(link, "n/0"), worker(link, "n/1")
    for _ in range(3):
        assert await one.settle([asking(TRX, TRX)]) == ["AA"]
    assert await other.settle([asking(TRX, TRX)]) == ["AT"]


async def test_a_worker_that_starts_again_does_not_count_its_former_self(link: RedisLink) -> None:
    assert await worker(link, "n/0", "boot1").settle([asking(TRX, TRX, TRX)]) == ["AAA"]
    other = worker(link, "n/1")
    assert await other.settle([asking(TRX)]) == ["T"]
    assert await worker(link, "n/0", "boot2").settle([]) == []
    assert await other.settle([asking(TRX, TRX)]) == ["AA"]
    assert await worker(link, "n/0", "boot2").settle([asking(TRX, TRX)]) == ["AT"]


async def test_binds_of_a_dead_worker_count_for_its_lease_and_no_longer(
    link: RedisLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binds, "LEASE_SECONDS", 0.3)
    dead = worker(link, "n/0")
    assert await dead.settle([asking(TRX, TRX, TRX)]) == ["AAA"]
    other = worker(link, "n/1")
    assert await other.settle([asking(TRX)]) == ["T"]
    async with asyncio.timeout(5):
        while await other.settle([asking(TRX)]) != ["A"]:
            await asyncio.sleep(0.02)
    assert await link.command("HKEYS", KEYS.binds("acme")) == [b"n/1"]


async def test_a_worker_that_renews_its_door_keeps_its_binds(link: RedisLink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binds, "LEASE_SECONDS", 0.3)
    one, other = worker(link, "n/0"), worker(link, "n/1")
    assert await one.settle([asking(TRX, TRX, TRX)]) == ["AAA"]
    loop = asyncio.get_running_loop()
    end = loop.time() + 0.7
    while loop.time() < end:
        assert await one.settle([]) == []
        assert await other.settle([asking(TRX)]) == ["T"]
        await asyncio.sleep(0.05)


async def test_who_leaves_in_good_order_counts_no_more(link: RedisLink) -> None:
    one, other = worker(link, "n/0"), worker(link, "n/1")
    await one.settle([asking(TRX, TRX, TRX)])
    await one.leave()
    assert await other.settle([asking(TRX)]) == ["A"]


async def test_an_account_without_binds_leaves_nothing_behind(link: RedisLink) -> None:
    one = worker(link, "n/0")
    await one.settle([asking(TRX)])
    await one.settle([asking()])
    assert await link.command("EXISTS", KEYS.binds("acme")) == 0


# --- guesses --------------------------------------------------------------------------------------------------------


async def test_ten_wrong_passwords_at_whatever_worker_lock_the_pair(link: RedisLink) -> None:
    workers = [worker(link, f"n/{number}") for number in range(4)]
    numbers = []
    for attempt in range(12):
        ((number, seconds),) = await workers[attempt % 4].guess([(PEER, b"esme")])
        numbers.append(number)
        assert 0 < seconds <= 900
    assert numbers == [*range(1, 11), 11, 11]
    for each in workers:
        assert await each.settle([asking(TRX)]) == ["L"]
    assert await workers[0].settle([asking(TRX, system_id=b"other")]) == ["A"]
    elsewhere = AccountBinds("acme", (0, 0, 0), (3, -1, -1, -1), [BindRequest(TRX, "192.0.2.2", b"esme")])
    assert await workers[1].settle([elsewhere]) == ["A"]


async def test_guesses_of_one_batch_are_counted_one_by_one(link: RedisLink) -> None:
    numbers = [number for number, _ in await worker(link, "n/0").guess([(PEER, b"esme")] * 12)]
    assert numbers == [*range(1, 11), 11, 11]


async def test_the_right_password_wipes_the_slate_for_all_workers(link: RedisLink) -> None:
    one, other = worker(link, "n/0"), worker(link, "n/1")
    await one.guess([(PEER, b"esme")] * 9)
    assert await other.settle([asking(TRX)]) == ["A"]
    assert [number for number, _ in await one.guess([(PEER, b"esme")])] == [1]


async def test_the_lock_ends_with_its_window(link: RedisLink) -> None:
    one = worker(link, "n/0", window_seconds=0.3)
    await one.guess([(PEER, b"esme")] * 10)
    assert await one.settle([asking(TRX)]) == ["L"]
    async with asyncio.timeout(5):
        while await one.settle([asking(TRX)]) != ["A"]:
            await asyncio.sleep(0.02)
    assert await link.command("EXISTS", KEYS.guesses(PEER)) == 0


async def test_inventing_ids_gives_no_fresh_guesses_and_takes_bounded_memory(link: RedisLink) -> None:
    one = worker(link, "n/0")
    await one.guess([(PEER, b"esme")] * 9)
    await one.guess([(PEER, b"invented%d" % number) for number in range(500)])
    assert await link.command("HLEN", KEYS.guesses(PEER)) == binds.SYSTEM_IDS_PER_PEER_MAX + 1
    assert [number for number, _ in await one.guess([(PEER, b"yet another")])] == [11]
    assert await one.settle([asking(TRX, system_id=b"yet another")]) == ["L"]
    assert [number for number, _ in await one.guess([(PEER, b"esme")])] == [10]


async def test_a_redis_that_is_away_is_said_within_the_time(unused_tcp_port: int) -> None:
    link = RedisLink(f"redis://127.0.0.1:{unused_tcp_port}", name="nobody")
    with pytest.raises(StorageUnavailable):
        await worker(link, "n/0").settle([asking(TRX)])
    with pytest.raises(StorageUnavailable):
        await worker(link, "n/0").guess([(PEER, b"esme")])
