"""A shard of the money machine seen from outside: where every message is, and what the journal adds up to."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from smscd.core.idempotency import StoredAnswer
from smscd.core.records import MessageRecord, ReceiptRecord, ResultRecord
from storage.redis.dispatch import DispatchStore
from storage.redis.journal import JournalEntry, JournalReader
from storage.redis.keys import ShardKeys
from storage.redis.link import RedisLink
from tests.integration.money_model import Place

KEYS = ShardKeys(0)
UPSTREAM = "u1"
BASE_MS = int(time.time() * 1000)
BASE = (BASE_MS - 1_577_836_800_000) << 22
READ_MAX = 20_000
_messages = msgspec.msgpack.Decoder(list[MessageRecord])
_message = msgspec.msgpack.Decoder(MessageRecord)
_answer = msgspec.msgpack.Decoder(StoredAnswer)


@dataclass(slots=True)
class Spot:
    """Where in which blob of a queue a message waits, whether it may be on its way, and which of the blob's messages
    are not settled."""

    queue: str
    entry_id: str
    field: bytes
    is_begun: bool
    unsettled: set[int]


@dataclass(slots=True)
class Books:
    """What the journal says, added up by account and by message, with nobody's help.

    refunds: how often a message was refunded, and with how much in all.
    """

    balances: Counter[str]
    prices: dict[int, int]
    refunds: dict[int, list[int]]


class View:
    """recorded: what the journal had before Redis was lost, as far as the record has it. brought: messages that do not
    wait in PostgreSQL alone any more.
    """

    dispatch: DispatchStore

    def __init__(self, raw: RedisLink) -> None:
        self.raw = raw
        self.journal = JournalReader(KEYS, raw)
        self.recorded: list[JournalEntry] = []
        self.brought: set[int] = set()

    async def spots(self) -> dict[int, Spot]:
        """The messages that wait in queues. A message that waits twice fails here."""
        entries = await self.dispatch.read(dict.fromkeys(await self.dispatch.queues(), "0-0"), READ_MAX)
        assert len(entries) < READ_MAX
        found: dict[int, Spot] = {}
        for entry, opens in zip(entries, await self.dispatch.opens(entries), strict=True):
            unsettled: set[int] = set()
            for index, record in enumerate(_messages.decode(entry.blob)):
                part = b"%d.0" % index
                mark = opens.get(part, b"")
                if mark != b"d":
                    assert record.id - BASE not in found, "in two queues"
                    found[record.id - BASE] = Spot(entry.queue, entry.entry_id, part, mark.startswith(b"i"), unsettled)
                    unsettled.add(record.id - BASE)
        return found

    async def places(self, queued: dict[int, Spot]) -> dict[int, Place]:
        """Where every message is; queued: spots(). One that is in two places, or was ended twice, fails here."""
        states = await self._hashes(f"{KEYS.tag}:state:*")
        ended = {int.from_bytes(name, "big") - BASE for name, _ in states if len(name) == 8}
        waiting = await self.raw.command("ZRANGE", KEYS.later(UPSTREAM), 0, -1)
        later = [_message.decode(member[2 + int.from_bytes(member[:2], "big") :]).id - BASE for member in waiting]
        sent = {int(name) for name, _ in await self._hashes("{u:u1:0}:corr:*")} - ended - queued.keys() - set(later)
        places = (
            [(id, Place.APART) for id in await self.apart()]
            + [(id, Place.ENDED) for id in ended]
            + [(id, Place.LATER) for id in later]
            + [(id, Place.QUEUED) for id in queued]
            + [(id, Place.SENT) for id in sent]
        )
        assert len(places) == len(dict(places)), f"in two places: {places}"
        return dict(places)

    async def apart(self) -> list[int]:
        """The messages that wait in PostgreSQL alone, as the journal says; the server has counted them."""
        tails = [int(count) for _, count in await self._hashes(KEYS.overflow)]
        counted = int(await self.raw.command("HGET", KEYS.depth, f"\0{UPSTREAM}") or 0)
        found: list[int] = []
        for entry in self.recorded + await self.journal.read("0-0", READ_MAX) if tails else ():
            if entry.kind == b"A" and entry.effects:
                ids = [record.id - BASE for record in _messages.decode(entry.blob)]
                found += (id for id, effect in zip(ids, entry.effects, strict=True) if effect == 0x31)
        found = [id for id in found if id not in self.brought]
        assert sum(tails) == counted == len(found)
        return found

    async def states(self) -> dict[int, int]:
        """The final states."""
        states = await self._hashes(f"{KEYS.tag}:state:*")
        return {int.from_bytes(name, "big") - BASE: int(value) for name, value in states if len(name) == 8}

    async def cancels(self) -> set[int]:
        """Of which messages the cancellation is asked for."""
        return {int.from_bytes(name, "big") - BASE for name, _ in await self._hashes(KEYS.changes)}

    async def keys(self, accounts: Iterable[str]) -> dict[tuple[str, bytes], tuple[int, bytes]]:
        """What is stored under request keys."""
        found = {}
        for account in accounts:
            for key, value in await self._hashes(f"{KEYS.tag}:idem:{account}:*"):
                if not key.startswith(b"\0"):
                    answer = _answer.decode(value)
                    found[account, key] = (answer.id - BASE, answer.body_hash)
        return found

    async def _hashes(self, pattern: str) -> list[tuple[bytes, bytes]]:
        fields: list[tuple[bytes, bytes]] = []
        for name in await self.raw.command("KEYS", pattern):
            reply = await self.raw.command("HGETALL", name)
            fields += zip(reply[::2], reply[1::2], strict=True)
        return fields

    async def books(self) -> Books:
        """Add the journal up, with what was in it before Redis was lost."""
        books = Books(Counter(), {}, {})
        entries = await self.journal.read("0-0", READ_MAX)
        assert len(entries) < READ_MAX
        for entry in self.recorded + entries:
            records = msgspec.msgpack.decode(entry.blob)
            if entry.kind == b"L":
                for account, _kind, micros, *_ in records:
                    books.balances[account] += micros
            elif entry.kind == b"A":
                for record in _messages.decode(entry.blob):
                    assert record.id not in books.prices, "charged twice"
                    books.prices[record.id - BASE] = record.price_micros
                    books.balances[record.account] -= record.price_micros
            elif entry.kind in (b"T", b"R"):
                kind: Any = ResultRecord if entry.kind == b"T" else ReceiptRecord
                proposed = [msgspec.convert(record, kind) for record in records]
                made = entry.effects if entry.kind == b"T" else entry.refunds
                refunds = [record for record in proposed if record.refund_micros]
                for record, flag in zip(refunds, made, strict=True):
                    if flag == 0x31:
                        books.refunds.setdefault(record.id - BASE, []).append(record.refund_micros)
                        books.balances[record.account] += record.refund_micros
        return books
