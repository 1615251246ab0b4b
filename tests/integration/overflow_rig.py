"""A queue whose tail waits in PostgreSQL: a real Redis and PostgreSQL, a writer, an egress and a carrier."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from typing import Any

from protocols.smpp import events as ev
from protocols.smpp.pdu import SubmitSm
from smscd.archive.overflow import OverflowTask
from smscd.archive.writer import Writer
from smscd.core.ids import IdSource
from smscd.core.records import LedgerRecord, MessageRecord, State
from smscd.ingress.changes import MessageChanges
from smscd.ingress.record import RecordReader
from smscd.transport.connection import Callbacks, SmppConnection
from storage.postgres.messages import get_message
from storage.postgres.overflow import OverflowTable
from storage.postgres.pool import Pool, open_pool
from storage.redis.accounts import Balances
from storage.redis.admission import AdmissionStore, AdmitItem
from storage.redis.changes import ChangeAsks
from storage.redis.dispatch import DispatchStore
from storage.redis.journal import JournalReader
from storage.redis.keys import UpstreamKeys
from storage.redis.link import RedisLink
from storage.redis.overflow import OverflowStore
from storage.redis.session import RoleSession
from tests.integration.egress_rig import KEYS, PRICE, Egress, directory, encode, message_of, wall_ms
from tests.integration.local_carrier import local_carrier
from tests.integration.writer_fixture import QUICK, Observed, connector, until

IN_REDIS_MAX = 200
BALANCE = 1_000_000_000


class OverflowRig:
    """taken: what the carrier was sent, in order."""

    def __init__(self, url: str, dsn: str, pool: Pool, port: int, taken: list[SubmitSm], stack: AsyncExitStack) -> None:
        self.url, self.dsn, self.pool, self.port, self.taken = url, dsn, pool, port, taken
        self._stack = stack
        self._ids = IdSource(2)
        self._owners = count()
        self._bringing: asyncio.Task[None] | None = None
        self.waiting: dict[str, int] = {}
        self.redis = self.link()
        self.balances = Balances(KEYS, self.redis)
        self.changes = MessageChanges(
            RecordReader(lambda: pool, JournalReader(KEYS, self.redis)), ChangeAsks(KEYS, self.redis)
        )
        self.store: AdmissionStore

    def link(self) -> RedisLink:
        made = RedisLink(self.url, name="test")
        self._stack.push_async_callback(made.close)
        return made

    async def session(self, role: str, owner: str = "test/0") -> RoleSession:
        made = RoleSession(self.link(), KEYS, role, owner)
        async with asyncio.timeout(10):
            while not await made.take():
                await asyncio.sleep(0.05)
        return made

    async def open(self) -> None:
        self.store = AdmissionStore(KEYS, await self.session("ingress:2"), IN_REDIS_MAX)
        for account in ("acme", "other", "otp"):
            if await self.balances.balance(account) is None:
                await self.balances.top_up(LedgerRecord(account, "topup", BALANCE, f"first of {account}", 1))
        journal = JournalReader(KEYS, self.link())
        writer = Writer(
            shard=0, journal=journal, connect=connector(self.dsn), observer=Observed(), now_ms=wall_ms, limits=QUICK
        )
        task = asyncio.create_task(writer.run())
        self._stack.callback(task.cancel)

    async def admit(self, messages: int, account: str = "acme", *, priority: int = 1, **changes: Any) -> list[int]:
        """Admit messages, fifty a call, each with its number as its text; their ids."""
        ids = self._ids.take(wall_ms(), messages)
        for first in range(0, messages, 50):
            items = []
            for message_id in ids[first : first + 50]:
                record = message_of(message_id, b"447700900000", account=account, priority=priority, **changes)
                items.append(self.item(record))
            not_after_ms = self.store.redis_ms() + 2000
            reply = await self.store.admit(items, ids[-1], not_after_ms=not_after_ms, timeout=2.0)
            assert reply.verdicts == b"A" * len(items)
        return ids

    def item(self, record: MessageRecord) -> AdmitItem:
        return AdmitItem(
            account=record.account, rate=0, burst=0, floor_micros=0, price_micros=PRICE, upstream_messages_max=10**7,
            messages=[(record.upstream, record.priority, encode(record))], is_scheduled=record.send_at_ms > 0,
        )  # fmt: skip

    async def bring(self) -> None:
        """Begin the role `overflow`, as another process would."""
        session = await self.session("overflow", f"test/{next(self._owners)}")
        task = OverflowTask(
            OverflowStore(KEYS, session, self.link()), OverflowTable(self.pool), in_redis_max=IN_REDIS_MAX,
            now_ms=wall_ms, away=(), waiting=self.waiting,
        )  # fmt: skip
        self._bringing = asyncio.create_task(task.run())
        self._stack.callback(self._bringing.cancel)

    async def kill_bringing(self) -> None:
        """End it at once, whatever it is at, without a word to Redis; its lease is over."""
        assert self._bringing is not None
        self._bringing.cancel()
        await asyncio.gather(self._bringing, return_exceptions=True)
        await self.redis.command("HSET", KEYS.session("overflow"), "until", 0)

    async def serve(self, port: int | None = None) -> Egress:
        """Begin to send. port: where the carrier is believed to be."""
        egress = Egress(self.url, directory(port or self.port, window_size=50), admitter=None)
        await egress.start()
        self._stack.push_async_callback(egress.stop, 0.5)
        return egress

    async def queued(self) -> int:
        """Messages in the queues of Redis, those that are being sent included."""
        store = DispatchStore(
            "carrier", KEYS, UpstreamKeys("carrier"), RoleSession(self.redis, KEYS, "", ""), self.redis
        )
        entries = await store.read(dict.fromkeys(await store.queues(), "0-0"), 1_000_000)
        return sum(
            int.from_bytes(entry.blob[1:3], "big") if entry.blob[0] == 0xDC else entry.blob[0] & 15 for entry in entries
        )

    async def depth(self) -> tuple[int, int]:
        """How many messages wait, and how many of them in PostgreSQL alone."""
        counts = await self.redis.command("HMGET", KEYS.depth, "carrier", "\0carrier")
        return int(counts[0] or 0), int(counts[1] or 0)

    async def depth_alone(self) -> int:
        return (await self.depth())[0]

    async def rows(self) -> int:
        return int(await self.pool.fetchval("SELECT count(*) FROM overflow"))

    async def state(self, message_id: int) -> State:
        """As the record has it once it has caught up."""
        await self.changes.catch_up()
        found = await get_message(self.pool, message_id)
        assert found is not None
        return found.state

    async def is_at_rest(self) -> bool:
        """True when nothing waits anywhere, and PostgreSQL knows."""
        if await self.depth() != (0, 0) or await self.rows():
            return False
        return bool(await self.pool.fetchval("SELECT count(*) = 0 FROM messages WHERE state < 3"))

    async def assert_ledger_agrees(self, accounts: Sequence[str] = ("acme", "other", "otp")) -> None:
        """Redis's balance is the ledger's, and what was charged is what was admitted less what went back."""
        await self.changes.catch_up()
        for account in accounts:
            ledger = await self.pool.fetchval(
                "SELECT sum(amount_micros) FROM ledger_entries WHERE account = $1", account
            )
            paid = await self.pool.fetchval(
                "SELECT coalesce(sum(price_micros - refunded_micros), 0) FROM messages WHERE account = $1", account
            )
            held = await self.balances.balance(account)
            assert held == ledger == BALANCE - paid, account

    def sent(self) -> list[int]:
        """The number of each message that the carrier was sent, which is its text."""
        return [int(pdu.short_message.split()[0]) for pdu in self.taken]


@asynccontextmanager
async def overflow_rig(url: str, dsn: str) -> AsyncIterator[OverflowRig]:
    """Nothing is sent or brought back before serve() and bring()."""
    taken: list[SubmitSm] = []

    def wrap(callbacks: Callbacks) -> Callbacks:
        def on_events(connection: SmppConnection, events: list[ev.Event]) -> None:
            for event in events:
                if isinstance(event, ev.SubmitsReceived):
                    taken.extend(event.pdus)
            callbacks.on_events(connection, events)

        return callbacks._replace(on_events=on_events)

    async with local_carrier(wrap=wrap) as (_, listener), AsyncExitStack() as stack:
        pool = await open_pool(dsn, name="test")
        stack.push_async_callback(pool.close)
        rig = OverflowRig(url, dsn, pool, listener.port, taken, stack)
        await rig.open()
        yield rig


__all__ = ["BALANCE", "IN_REDIS_MAX", "OverflowRig", "overflow_rig", "until"]
