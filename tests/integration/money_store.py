"""A shard on a real server as the money machine drives it, through the project's stores."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from protocols.smpp.constants import CommandStatus
from smscd.core.idempotency import StoredAnswer, duplicate_of, encode_answer
from smscd.core.records import (
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
from storage.embedded.valkey import EmbeddedValkey
from storage.redis.accounts import Balances
from storage.redis.admission import AdmissionStore, AdmitItem, Refusal
from storage.redis.dispatch import DispatchStore, End, Intent, Turn
from storage.redis.errors import StorageUnavailable, Unanswered
from storage.redis.journal import entry_order
from storage.redis.keys import UpstreamKeys
from storage.redis.link import RedisLink
from storage.redis.overflow import OverflowStore, Refill
from storage.redis.overflow import Place as OverflowPlace
from storage.redis.receipts import Effect, ReceiptBatch, ReceiptItem, ReceiptStore
from storage.redis.session import RoleSession
from tests.aof import cut, newest_file
from tests.integration.money_model import Asked, Message, Model
from tests.integration.money_record import Record
from tests.integration.money_view import BASE, BASE_MS, KEYS, READ_MAX, UPSTREAM, View

UPSTREAM_KEYS = UpstreamKeys(UPSTREAM)
PATIENCE_MS = 60_000
VALIDITY_MS = 86_400_000
REFUSALS = 10
IN_REDIS_MAX = 4
encode = msgspec.msgpack.Encoder().encode


class Shard(View):
    """Two nodes that admit, one dispatcher, one reader of receipts, on a server that can be killed, and lost."""

    def __init__(
        self,
        server: EmbeddedValkey,
        directory: Path,
        record: Record | None = None,
        in_redis_max: int = IN_REDIS_MAX,
    ) -> None:
        self.server = server
        self.in_redis_max = in_redis_max
        self.directory = directory
        self.record = record
        self.last_ms = 0
        super().__init__(self._link())
        self.links = [self.raw]
        self.balances = Balances(KEYS, self.raw)

    def _link(self) -> RedisLink:
        return RedisLink(self.server.url, name="machine")

    async def open(self) -> None:
        """Empty the shard and take every role."""
        await self.raw.command("FLUSHALL")
        await self.take()

    async def take(self) -> None:
        """Become the owner of every role, as a daemon does that starts."""
        for link in self.links[1:]:
            await link.close()
        del self.links[1:]
        self.nodes = [AdmissionStore(KEYS, await self._role(f"ingress:{node}"), self.in_redis_max) for node in (1, 2)]
        self.overflow = OverflowStore(KEYS, await self._role("overflow"), self.raw)
        self.dispatch = DispatchStore(UPSTREAM, KEYS, UPSTREAM_KEYS, await self._role("dispatch:u1"), self.raw)
        self.receipts = ReceiptStore(
            KEYS, UPSTREAM_KEYS, await self._role("receipts:u1"), self.raw, lambda: KEYS.session("ingress:1")
        )

    async def _role(self, name: str) -> RoleSession:
        link = self._link()
        self.links.append(link)
        session = RoleSession(link, KEYS, name, "machine/0", ttl_seconds=600.0)
        assert await session.take()
        return session

    async def close(self) -> None:
        """Close the connections, and drop the record."""
        for link in self.links:
            await link.close()
        if self.record is not None:
            await self.record.close()

    def at_ms(self) -> int:
        """When something happens: later than all before, because the record tells by the time what came first."""
        self.last_ms = max(self.last_ms + 1, _now_ms())
        return self.last_ms

    # --- what is done -----------------------------------------------------------------------------------------------

    async def top_up(self, account: str, reference: str, micros: int) -> int:
        """The balance afterwards. Asked again when there was no answer, as an operator would."""
        if self.record is not None and await self.record.knows(reference):
            return await self.balances.balance(account) or 0
        record = LedgerRecord(account, "topup", micros, reference, self.at_ms())
        try:
            return (await self.balances.top_up(record)).balance_micros
        except StorageUnavailable:
            return (await self.balances.top_up(record)).balance_micros

    async def admit(self, batch: list[Asked], model: Model, node: int = 0) -> list[str]:
        """The verdicts, as the model writes them."""
        store = self.nodes[node]
        items = [self._item(asked, model) for asked in batch]
        limit = store.redis_ms() + PATIENCE_MS
        reply = await store.admit(items, BASE + 10**6, not_after_ms=limit, timeout=PATIENCE_MS / 1000)
        verdicts = []
        for index, verdict in enumerate(reply.verdicts):
            if index in reply.extras:
                known = duplicate_of(reply.extras[index], batch[index].body)
                verdicts.append(f"D {known.id - BASE} {'same' if known.same_body else 'another'}")
            else:
                verdicts.append(chr(verdict))
        return verdicts

    def _item(self, asked: Asked, model: Model) -> AdmitItem:
        account = model.accounts[asked.account]
        answer = encode_answer(StoredAnswer(BASE + asked.messages[0], asked.body, asked.price, 1, 0))
        records = [_record(id, asked, account.tariff) for id in asked.messages]
        if asked.key:
            records[0].stored_answer = answer
        messages = [(UPSTREAM, 1, encode(record)) for record in records]
        return AdmitItem(
            account=asked.account, rate=0, burst=0, floor_micros=account.floor,
            price_micros=asked.price * len(messages), upstream_messages_max=model.depth_max, messages=messages,
            request_key=asked.key, stored_answer=answer,
        )  # fmt: skip

    async def bring(self, ids: list[int], messages: dict[int, Message]) -> int:
        """Bring back what waits in PostgreSQL alone, and what was brought before; how many came by this."""
        noted = {id - BASE for id in await self.overflow.refilled()}
        back = []
        for id in sorted({*ids, *noted}):
            message = messages[id]
            record = encode(_record(id, Asked(message.account, [id], message.price), message.tariff))
            back.append(Refill(OverflowPlace(UPSTREAM, 1, message.account), BASE + id, False, 0, record))
        came = await self.overflow.refill(UPSTREAM, back, [])
        self.brought.update(ids)
        return came

    async def begin(self, id: int) -> bool:
        """Record the intent; False when it was withheld."""
        spot = (await self.spots())[id]
        intent = Intent(spot.queue, spot.entry_id, spot.field, BASE + id, 0)
        return not (await self.dispatch.turn(Turn(intents=[intent]))).withheld

    async def accept(self, id: int, message: Message) -> list[ParkedReceipt]:
        """The carrier took it: correlate, then record; the receipts that had come before."""
        found = await self.dispatch.correlate([(_upstream_id(id), encode(_context(id, message)))], _now_ms())
        await self.record_acceptance(id)
        return [receipt for _, receipts in found for receipt in receipts]

    async def record_acceptance(self, id: int) -> None:
        """The turn that ends a message's wait in its blob."""
        result = self._result(id, "", Outcome.ACCEPTED, State.SENT)
        await self.dispatch.turn(await self._settling(id, Turn(journal=[result], depth_delta=-1)))

    async def retry(self, id: int, message: Message) -> None:
        """Refused for now: out of its blob, due at once."""
        spot = (await self.spots())[id]
        record = encode(_record(id, Asked(message.account, [id], message.price), message.tariff))
        result = self._result(id, message.account, Outcome.RETRIED, State.QUEUED)
        turn = Turn(later=[(1, spot.queue, record)], journal=[result])
        await self.dispatch.turn(await self._settling(id, turn))

    async def doubt(self, id: int, message: Message) -> None:
        """Its connection ended before the answer: it is sent again, flagged."""
        spot = (await self.spots())[id]
        result = self._result(id, message.account, Outcome.DOUBTED, State.SENDING)
        intent = Intent(spot.queue, spot.entry_id, spot.field, BASE + id, 1)
        await self.dispatch.turn(Turn(intents=[intent], journal=[result]))

    async def end(self, id: int, message: Message, state: State) -> tuple[bool, bool]:
        """It ends unsent; whether it was refunded by this, and whether a cancellation came too late."""
        outcome = {State.EXPIRED: Outcome.EXPIRED, State.CANCELED: Outcome.CANCELED}.get(state, Outcome.FAILED)
        turn = Turn(
            ends=[End(BASE + id, state)],
            refunds=[(message.account, BASE + id, message.price)],
            journal=[self._result(id, message.account, outcome, state, message.price)],
            depth_delta=-1,
        )
        reply = await self.dispatch.turn(await self._settling(id, turn))
        return reply.refunded[0], reply.late_changes == [BASE + id]

    async def refund(self, id: int, message: Message) -> bool:
        """Propose a refund and nothing else; whether it was made."""
        turn = Turn(
            refunds=[(message.account, BASE + id, message.price)],
            journal=[self._result(id, message.account, Outcome.FAILED, State(message.state), message.price)],
        )
        return (await self.dispatch.turn(turn)).refunded[0]

    async def promote(self) -> int:
        """Everything that waits for its next attempt goes back to its queue: its time has come."""
        return await self.dispatch.promote(_now_ms() + VALIDITY_MS)

    async def receipt(self, id: int, message: Message, state: State, refund: int) -> str:
        """A receipt from the carrier, matched and applied, or parked."""
        parked = ParkedReceipt(_upstream_id(id), b"STAT", b"000", state, 1, b"raw", 1)
        [found] = await self.receipts.match([(_upstream_id(id), encode(parked))])
        if found is None:
            return "parked"
        assert (found.id, found.price_micros, found.tariff) == (BASE + id, message.price, message.tariff)
        return await self.apply(id, message, state, refund)

    async def apply(self, id: int, message: Message, state: State, refund: int) -> str:
        """Apply a receipt of which it is known what it speaks of."""
        record = ReceiptRecord(
            BASE + id, 0, 1, message.account, self.at_ms(), UPSTREAM, _upstream_id(id), state, b"STAT", b"000", 1,
            b"raw", refund,
        )  # fmt: skip
        [effect] = await self.receipts.apply(ReceiptBatch([ReceiptItem(record, True)]))
        return {Effect.FINAL: "final", Effect.REPEATED: "repeated"}[effect]

    async def unpark(self, id: int) -> None:
        """Forget the receipts that were applied."""
        await self.receipts.unpark([_upstream_id(id)])

    async def cancel(self, id: int, message: Message, key: bytes) -> bool:
        """Its customer was refused; False when it is kept."""
        return not await self.nodes[0].cancel([Refusal(BASE + id, message.account, UPSTREAM, key)])

    async def _settling(self, id: int, turn: Turn) -> Turn:
        """The turn, which takes a message out of its blob as well; the last one takes the blob away."""
        spot = (await self.spots())[id]
        if spot.unsettled == {id}:
            turn.finished.append((spot.queue, spot.entry_id))
        else:
            turn.settled.append((spot.queue, spot.entry_id, spot.field))
        return turn

    def _result(self, id: int, account: str, outcome: Outcome, state: State, refund: int = 0) -> bytes:
        upstream_id = _upstream_id(id) if outcome is Outcome.ACCEPTED else b""
        status, attempt = (CommandStatus.ESME_RMSGQFUL, REFUSALS) if outcome is Outcome.RETRIED else (0, 0)
        return encode(
            ResultRecord(
                BASE + id, 0, outcome, self.at_ms(), UPSTREAM, upstream_id, status, attempt, state, refund, account
            )
        )

    # --- how it is killed -------------------------------------------------------------------------------------------

    def synced_octets(self) -> int:
        """How long the append-only file is; between two calls all of it is synced."""
        return newest_file(self.directory).stat().st_size

    async def crash(self, length: int | None = None) -> None:
        """kill -9, cut the append-only file to `length`, start again. Who is connected finds out by itself."""
        assert self.server.pid is not None
        os.killpg(self.server.pid, signal.SIGKILL)
        while self.server.pid is not None:
            await asyncio.sleep(0.002)
        await self.server.stop()
        if length is not None:
            cut(newest_file(self.directory), length)
        await self.server.start()
        for link in self.links:
            while True:
                try:
                    await link.command("PING")
                    break
                except StorageUnavailable:
                    await asyncio.sleep(0.01)

    async def torn(self, link: RedisLink, call: Callable[[], Awaitable[Any]], share: float, survives: bool) -> Any:
        """Lose the power while a call that writes over `link` is under way: `share` of what it wrote is on the disk.

        survives: the caller asks again once the server is back, and its answer is returned. Otherwise the caller is
        gone with the power; then the return value says whether the call is whole.
        """
        real = link.evalsha
        ran, back = asyncio.Event(), asyncio.Event()

        async def run_but_lose_the_reply(*args: Any, **kwargs: Any) -> Any:
            if ran.is_set():
                await back.wait()
                return await real(*args, **kwargs)
            await real(*args, **kwargs)
            ran.set()
            raise Unanswered("the power is gone")

        before = self.synced_octets()
        link.evalsha = run_but_lose_the_reply  # type: ignore[method-assign]
        asking = asyncio.ensure_future(call())
        async with asyncio.timeout(10):
            await ran.wait()
        tail = self.synced_octets() - before
        kept = tail if share == 1.0 else min(round(tail * share), tail - 1)
        if not survives:
            asking.cancel()
            await asyncio.wait([asking])
        await self.crash(before + kept)
        back.set()
        answer = await asking if survives else kept == tail
        link.evalsha = real  # type: ignore[method-assign]
        return answer

    async def position(self) -> str:
        """Where the journal ends."""
        return await self.journal.last_id()

    async def lose(self, recorded_id: str, batch_records: int, *, is_gone: bool) -> None:
        """Lose what the journal has after recorded_id: write up to there, lose Redis, recover it, take every role.

        is_gone: Redis is empty; otherwise it is there, and is built anew all the same.
        """
        assert self.record is not None
        entries = await self.journal.read("0-0", READ_MAX)
        known = [entry for entry in entries if entry_order(entry.id) <= entry_order(recorded_id)]
        await self.record.write(known, recorded_id, _now_ms(), batch_records)
        await self.record.forget([BASE + id for id in self.brought])
        if is_gone:
            await self.raw.command("FLUSHALL")
        await self.record.recover(self.server.url, is_forced=not is_gone)
        self.recorded += known
        await self.take()


def _upstream_id(id: int) -> bytes:
    return b"%d" % id


def _now_ms() -> int:
    return int(time.time() * 1000)


def _record(id: int, asked: Asked, tariff: int) -> MessageRecord:
    return MessageRecord(
        id=BASE + id, account=asked.account, upstream=UPSTREAM, priority=1, door=1, source_ton=5, source_npi=0,
        source=b"ACME", dest_ton=1, dest_npi=1, dest=b"447700900123", esm_class=0, protocol_id=0, data_coding=0,
        registered_delivery=1, segments=[b"hello"], price_micros=asked.price,
        valid_until_ms=BASE_MS + VALIDITY_MS, via=Via.SMPP, tariff=tariff, request_key=asked.key.decode() or None,
    )  # fmt: skip


def _context(id: int, message: Message) -> SentContext:
    return SentContext(
        id=BASE + id, segment=0, segments=1, account=message.account, via=Via.SMPP, registered_delivery=1,
        source_ton=5, source_npi=0, source=b"ACME", dest_ton=1, dest_npi=1, dest=b"447700900123", data_coding=0,
        price_micros=message.price, tariff=message.tariff,
    )  # fmt: skip
