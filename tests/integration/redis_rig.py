"""One process on a fresh Redis: its links, its roles, and plain messages and receipts for the scripts."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import msgspec
import pytest

from smscd.core.records import LedgerRecord, MessageRecord, ParkedReceipt, ReceiptRecord, SentContext, State, Via
from storage.redis.accounts import Balances
from storage.redis.admission import AdmissionStore, AdmitItem, AdmitReply
from storage.redis.dispatch import DispatchStore, QueueEntry
from storage.redis.journal import JournalReader
from storage.redis.keys import ShardKeys, UpstreamKeys
from storage.redis.link import RedisLink
from storage.redis.receipts import ReceiptItem, ReceiptStore
from storage.redis.session import RoleSession

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


def context(number: int, segment: int = 0, segments: int = 1) -> SentContext:
    return SentContext(
        id=BASE + number, segment=segment, segments=segments, account="demo", via=Via.SMPP, registered_delivery=1,
        source_ton=5, source_npi=0, source=b"ACME", dest_ton=1, dest_npi=1, dest=b"447700900123", data_coding=0,
        price_micros=10_000, tariff=1,
    )  # fmt: skip


def parked(name: bytes) -> bytes:
    return encode(ParkedReceipt(name, b"DELIVRD", b"000", State.DELIVERED, 1, b"raw", 1))


def receipt(
    number: int, state: State, *, segment: int = 0, segments: int = 1, refund: int = 0, until_ms: int = 0
) -> ReceiptItem:
    record = ReceiptRecord(
        BASE + number, segment, segments, "demo", 1, "u1", b"up", state, b"STAT", b"000", 1, b"raw", refund
    )
    callback = encode(["callback", number, segment])
    return ReceiptItem(record, state.is_final, Via.SMPP, callback, until_ms=until_ms)
