"""Money in the scripts on a real server where it is most easily lost: at a failing write, and in the last digit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from redis.exceptions import ResponseError

from smscd.core.records import LedgerRecord
from storage.redis.accounts import Balances
from storage.redis.admission import AdmissionStore, AdmitItem
from storage.redis.keys import ShardKeys
from storage.redis.link import RedisLink
from storage.redis.session import RoleSession

KEYS = ShardKeys(0)
PAID_IN = 2**53 - 1
PATIENCE_MS = 10_000


@dataclass(slots=True)
class Till:
    """One node that admits for one account."""

    link: RedisLink
    balances: Balances
    store: AdmissionStore

    async def admit(self, *prices: int) -> bytes:
        """Ask for a message at each price; the verdicts."""
        items = [
            AdmitItem(
                account="demo", rate=0, burst=0, floor_micros=0, price_micros=price, upstream_messages_max=1_000,
                messages=[("u1", 1, b"\x90")], request_key=b"", stored_answer=b"",
            )
            for price in prices
        ]  # fmt: skip
        limit = self.store.redis_ms() + PATIENCE_MS
        return (await self.store.admit(items, 1, not_after_ms=limit, timeout=2.0)).verdicts

    async def balance(self) -> int | None:
        """What the account has."""
        return await self.balances.balance("demo")


@pytest.fixture
async def till(valkey_url: str) -> AsyncIterator[Till]:
    links = [RedisLink(valkey_url, name="test") for _ in range(2)]
    session = RoleSession(links[1], KEYS, "ingress:1", "test/0")
    assert await session.take()
    made = Till(links[0], Balances(KEYS, links[0]), AdmissionStore(KEYS, session))
    await made.balances.top_up(LedgerRecord("demo", "topup", PAID_IN, "first", 1))
    yield made
    for link in links:
        await link.close()


@pytest.mark.parametrize("price", [1, 2**24 + 1, 2**31 + 1, 10**14 + 1, 2**52 + 1])
async def test_a_price_is_charged_to_the_last_micro(till: Till, price: int) -> None:
    assert await till.admit(price) == b"A"
    assert await till.balance() == PAID_IN - price


async def test_prices_of_one_batch_add_up_to_the_last_micro(till: Till) -> None:
    prices = [10**14 + 1, 1, 2**24 + 1, 2**52 + 1]
    assert await till.admit(*prices) == b"AAAA"
    assert await till.balance() == PAID_IN - sum(prices)


async def test_a_balance_is_spent_to_the_last_micro_and_no_further(till: Till) -> None:
    assert await till.admit(PAID_IN - 1, 2, 1, 1) == b"AIAI"
    assert await till.balance() == 0


async def test_a_journal_that_cannot_be_written_charges_nothing(till: Till) -> None:
    """A script does not roll back: what may fail comes before the money."""
    await till.link.command("DEL", KEYS.journal)
    await till.link.command("SET", KEYS.journal, "no stream")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await till.admit(10_000)
    assert await till.balance() == PAID_IN
    await till.link.command("DEL", KEYS.journal)
    assert await till.admit(10_000) == b"A"
    assert await till.balance() == PAID_IN - 10_000
