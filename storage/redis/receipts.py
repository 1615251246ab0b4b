"""What the receipts' side of one upstream asks of Redis: correlation, parking, and applying what was found."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

import msgspec

from smscd.core.records import (
    HeldPart,
    InboundRecord,
    JournalKind,
    MatchRequest,
    OrphanRecord,
    ParkedReceipt,
    ReceiptRecord,
    SentContext,
    Via,
)
from storage.redis import scripts
from storage.redis.blobs import KeyList, pack_array, split_sized
from storage.redis.dispatch import HOT_SECONDS, id8, kept_seconds
from storage.redis.keys import HOUR_MS, ShardKeys, UpstreamKeys
from storage.redis.link import Arg, RedisLink
from storage.redis.matches import ANSWERS, decode_request, is_answer
from storage.redis.session import RoleSession

PARKED_MAX = 1_000_000
INBOUND_MARKS_MAX = 100_000
HOT_HOURS = 25
AMBIGUOUS = b"!"
HELD_PARTS_AT_ONCE = 1_000
ORPHANS_AT_ONCE = 500
ORPHANS_BYTES = 256 * 1024
_parked = msgspec.msgpack.Decoder(ParkedReceipt)
_marks = msgspec.msgpack.Decoder(tuple[int, list[bytes]])
_held = msgspec.msgpack.Decoder(HeldPart)
_context = msgspec.msgpack.Decoder(SentContext)
_encode = msgspec.msgpack.Encoder().encode


class Effect(IntEnum):
    """What a receipt did: nothing new, recorded (not the message's end), or the message's final state."""

    REPEATED = 0
    RECORDED = 1
    FINAL = 2


@dataclass(slots=True)
class ReceiptItem:
    """One matched receipt. callback: an encoded CallbackRecord, sent at the final effect, or for an intermediate
    notification when it is recorded; None when the customer asked for nothing.

    awaited: how many segments have to be delivered before the message is; 0 for all of them. mark: of one that is not
    final, what is the same when it comes again. until_ms: as SentContext.states_until_ms."""

    record: ReceiptRecord
    is_final: bool
    via: int = Via.NONE
    callback: bytes | None = None
    callback_is_intermediate: bool = False
    awaited: int = 0
    mark: bytes = b""
    until_ms: int = 0


@dataclass(slots=True)
class InboundItem:
    """One mobile-originated message, or a part of one, and, when a number of ours matched, its callback.

    is_whole: joined of parts; its id is that of the first of them, and may be older than others that were given since.
    """

    record: InboundRecord
    via: int = Via.NONE
    callback: bytes | None = None
    is_whole: bool = False


@dataclass(slots=True)
class Parked:
    """Receipts that are parked. seen: how many ids were looked at. pairs: id, what it speaks of, its receipts.
    unmatched: those whose id no response had."""

    seen: int = 0
    pairs: list[tuple[bytes, SentContext, list[ParkedReceipt]]] = field(default_factory=list)
    unmatched: list[tuple[bytes, list[ParkedReceipt]]] = field(default_factory=list)


class Waiting(NamedTuple):
    """An id with its parked receipts, and when the first of them was parked."""

    parked_ms: int
    key: bytes
    receipts: list[ParkedReceipt]


@dataclass(slots=True)
class ReceiptBatch:
    """What is applied in one step.

    held: parts that wait from now on. dropped: (whole, sequence) of those that wait no more. marks: what tells the
    inbound from what comes again, and when they came.
    """

    items: list[ReceiptItem] = field(default_factory=list)
    inbound: list[InboundItem] = field(default_factory=list)
    held: list[HeldPart] = field(default_factory=list)
    dropped: list[tuple[int, int]] = field(default_factory=list)
    marks: tuple[int, list[bytes]] = (0, [])


class ReceiptStore:
    """Called by the role `receipts:<upstream>` alone. reads: a link that is not the session's.

    node_key(): the session key of the node whose ids the mobile-originated messages get; the highest is kept there.
    """

    def __init__(
        self,
        keys: ShardKeys,
        upstream_keys: UpstreamKeys,
        session: RoleSession,
        reads: RedisLink,
        node_key: Callable[[], str],
    ) -> None:
        self._node_key = node_key
        self._top_field = f"top:{session.role}"
        self._keys = keys
        self._upstream_keys = upstream_keys
        self._session = session
        self._reads = reads

    async def match(self, items: Sequence[tuple[bytes, bytes]], now_ms: int | None = None) -> list[SentContext | None]:
        """Find what (canonical id, encoded ParkedReceipt) speak of; None for those that are parked durably now.

        Raises StorageUnavailable (also when PARKED_MAX are parked); calling again is harmless.
        """
        names = self._upstream_keys
        at_ms = int(time.time() * 1000) if now_ms is None else now_ms
        hour = at_ms // HOUR_MS
        buckets: dict[int, list[int]] = {}
        for index, item in enumerate(items):
            buckets.setdefault(names.bucket(item[0]), []).append(index)
        found: list[SentContext | None] = [None] * len(items)
        for bucket, indexes in buckets.items():
            args: list[Arg] = [at_ms, PARKED_MAX, len(indexes)]
            for index in indexes:
                args += items[index]
            keys = [names.park(bucket), names.park_times(bucket)]
            keys += [names.corr(bucket, hour - back) for back in range(-1, HOT_HOURS)]
            reply = await self._reads.evalsha(scripts.MATCH, keys, args)
            for index, blob in zip(indexes, reply, strict=True):
                if blob:
                    found[index] = _context.decode(blob)
        return found

    async def apply(self, batch: ReceiptBatch) -> list[Effect]:
        """State, refund, journal and outbox for a batch, in one step. Waits for Redis. Raises Fenced."""
        names = self._keys
        keys = KeyList([names.journal, self._node_key()], skipped=1)
        number = keys.number
        args: list[Arg] = [
            names.bell, HOT_SECONDS,
            pack_array([_encode(item.record) for item in batch.items]),
            pack_array([_encode(item.record) for item in batch.inbound]),
            self._top_field, max((item.record.id for item in batch.inbound if not item.is_whole), default=0),
            number(names.join(self._upstream_keys.upstream)) if batch.held or batch.dropped else 0,
            _encode(batch.marks) if batch.marks[1] else b"",
            len(batch.items),
        ]  # fmt: skip
        bells: dict[int, bytes] = {}
        kept: dict[int, int] = {}
        for item in batch.items:
            record = item.record
            state = number(names.state(record.id, item.until_ms))
            if item.until_ms:
                kept[state] = kept_seconds(item.until_ms, self._session.redis_ms())
            stream = self._stream(item.via, record.account, keys, bells) if item.callback is not None else 0
            args += (
                state, id8(record.id), record.segment, item.awaited or record.segments,
                b"F" if item.is_final else b"N", int(record.state) if item.is_final else item.mark,
                number(names.refunded(record.id)) if record.refund_micros else 0,
                number(names.acct(record.account)) if record.refund_micros else 0,
                record.refund_micros, stream, item.callback or b"", b"I" if item.callback_is_intermediate else b"F",
            )  # fmt: skip
        inbound = [item for item in batch.inbound if item.callback is not None]
        args.append(len(inbound))
        for due in inbound:
            args += (self._stream(due.via, due.record.account, keys, bells), due.callback or b"")
        args.append(len(bells))
        for stream, payload in bells.items():
            args += (stream, payload)
        args.append(len(batch.held))
        for part in batch.held:
            args += (part_field(part.whole, part.sequence), encode_part(part))
        args.append(len(batch.dropped))
        args += [part_field(whole, sequence) for whole, sequence in batch.dropped]
        args.append(len(kept))
        for state, seconds in kept.items():
            args += (state, seconds)
        reply = await self._session.run(scripts.RECEIPT, keys.names, args)
        self._session.saw(reply[2])
        return [Effect(digit - 0x30) for digit in reply[0]]

    def _stream(self, via: int, account: str, keys: KeyList, bells: dict[int, bytes]) -> int:
        if via == Via.WEBHOOK:
            stream = keys.number(self._keys.hooks)
            bells[stream] = b"h"
        else:
            stream = keys.number(self._keys.out(account))
            bells[stream] = b"o:" + account.encode()
        return stream

    async def unpark(self, canonical_ids: Sequence[bytes]) -> None:
        """Forget parked receipts that were applied."""
        names = self._upstream_keys
        buckets: dict[int, list[bytes]] = {}
        for canonical_id in canonical_ids:
            buckets.setdefault(names.bucket(canonical_id), []).append(canonical_id)
        commands: list[list[Arg]] = []
        for bucket, ids in buckets.items():
            commands.append(["HDEL", names.park(bucket), *ids])
            commands.append(["ZREM", names.park_times(bucket), *ids])
        await self._reads.pipeline(commands)

    async def find_parked(self, start: int, limit: int, now_ms: int) -> Parked:
        """What is parked, longest first, and what it speaks of where the submit_sm_resp is known by now.

        A process that died between correlate() and applying what it returned leaves such pairs. start: how many ids to
        pass over in each bucket; limit: how many to look at. Raises StorageUnavailable.
        """
        names = self._upstream_keys
        result = Parked()
        for bucket in range(names.buckets):
            ids = await self._reads.command("ZRANGE", names.park_times(bucket), start, start + limit - 1)
            result.seen = max(result.seen, len(ids))
            if not ids:
                continue
            held = await self._reads.command("HMGET", names.park(bucket), *ids)
            known = await self._known_in(bucket, ids, now_ms)
            for canonical_id, blob in zip(ids, held, strict=True):
                if not blob:
                    continue
                receipts = [_parked.decode(receipt) for receipt in split_sized(blob)]
                context = known.get(canonical_id)
                if context is not None:
                    result.pairs.append((canonical_id, context, receipts))
                elif canonical_id not in known:
                    result.unmatched.append((canonical_id, receipts))
        return result

    async def parked_between(self, first_ms: int, last_ms: int, limit: int) -> list[Waiting]:
        """What was first parked from first_ms to last_ms, longest first. Raises StorageUnavailable."""
        names, found = self._upstream_keys, list[Waiting]()
        for bucket in range(names.buckets):
            reply = await self._reads.command(
                "ZRANGEBYSCORE", names.park_times(bucket), first_ms, last_ms, "WITHSCORES", "LIMIT", 0, limit
            )
            if not reply:
                continue
            held = await self._reads.command("HMGET", names.park(bucket), *reply[::2])
            found += (
                Waiting(int(score), key, [_parked.decode(receipt) for receipt in split_sized(blob)] if blob else [])
                for key, score, blob in zip(reply[::2], reply[1::2], held, strict=True)
            )
        found.sort(key=lambda waiting: waiting[:2])
        return found[:limit]

    async def remember(self, states: Sequence[tuple[SentContext, bytes, int]]) -> None:
        """What the record knows of messages that Redis has forgotten: (of which, what follows its id, value).

        For receipts that are applied next, so that they change nothing twice. What Redis knows stays as it is.
        """
        commands: list[list[Arg]] = []
        now_ms = self._session.redis_ms()
        for context, suffix, value in states:
            until_ms = context.states_until_ms
            name = self._keys.state(context.id, until_ms)
            seconds = kept_seconds(until_ms, now_ms) if until_ms else HOT_SECONDS
            commands += [["HSETNX", name, id8(context.id) + suffix, value], ["EXPIRE", name, seconds]]
        await self._reads.pipeline(commands)

    async def orphan(self, records: Sequence[OrphanRecord]) -> None:
        """Tell the record of these; told twice they are one. Waits for Redis. Raises Fenced."""
        await self._tell(JournalKind.ORPHANS, records)

    async def keep(self, records: Sequence[OrphanRecord]) -> None:
        """Have the record keep these for a while, in case that Redis is lost before they match. As orphan()."""
        await self._tell(JournalKind.PARKED, records)

    async def _tell(self, kind: bytes, records: Sequence[OrphanRecord]) -> None:
        part: list[bytes] = []
        size = 0
        for number, record in enumerate(records, 1):
            part.append(_encode(record))
            size += len(part[-1])
            if size >= ORPHANS_BYTES or len(part) == ORPHANS_AT_ONCE or number == len(records):
                reply = await self._session.run(scripts.ORPHAN, [self._keys.journal], [kind, pack_array(part)])
                self._session.saw(reply[1])
                part, size = [], 0

    async def matches(self) -> dict[int, MatchRequest]:
        """Orphans that operators have matched and that are not applied yet, by number. Raises StorageUnavailable."""
        reply = await self._reads.command("HGETALL", self._keys.matches(self._upstream_keys.upstream))
        return {
            int.from_bytes(number, "big"): decode_request(value)
            for number, value in zip(reply[::2], reply[1::2], strict=True)
            if not is_answer(value)
        }

    async def answer_matches(self, effects: Mapping[int, Effect]) -> None:
        """Tell who asked what these came to. Raises StorageUnavailable."""
        name = self._keys.matches(self._upstream_keys.upstream)
        fields = [part for number, effect in effects.items() for part in (id8(number), ANSWERS[effect])]
        await self._reads.command("HSET", name, *fields)

    async def known(self, canonical_ids: Sequence[bytes], now_ms: int) -> dict[bytes, SentContext | None]:
        """What these ids of responses speak of, as far as they are known; None for one that is several messages'."""
        names = self._upstream_keys
        buckets: dict[int, list[bytes]] = {}
        for canonical_id in canonical_ids:
            buckets.setdefault(names.bucket(canonical_id), []).append(canonical_id)
        found: dict[bytes, SentContext | None] = {}
        for bucket, ids in buckets.items():
            found |= await self._known_in(bucket, ids, now_ms)
        return found

    async def _known_in(self, bucket: int, ids: Sequence[bytes], now_ms: int) -> dict[bytes, SentContext | None]:
        hour = now_ms // HOUR_MS
        names = [self._upstream_keys.corr(bucket, hour - back) for back in range(-1, HOT_HOURS)]
        there = await self._reads.pipeline([("EXISTS", name) for name in names])
        replies = await self._reads.pipeline(
            [("HMGET", name, *ids) for name, count in zip(names, there, strict=True) if count]
        )
        found: dict[bytes, SentContext | None] = {}
        for reply in replies:
            for canonical_id, blob in zip(ids, reply, strict=True):
                if blob and canonical_id not in found:
                    found[canonical_id] = _context.decode(blob) if blob != AMBIGUOUS else None
        return found

    async def held_parts(self) -> list[HeldPart]:
        """All parts of messages from phones that wait for others, in any order. Raises StorageUnavailable."""
        name, found = self._keys.join(self._upstream_keys.upstream), dict[bytes, HeldPart]()
        cursor: bytes | int = 0
        while True:
            cursor, fields = await self._reads.command("HSCAN", name, cursor, "COUNT", HELD_PARTS_AT_ONCE)
            found.update(zip(fields[::2], map(_held.decode, fields[1::2]), strict=True))
            if int(cursor) == 0:
                return list(found.values())

    async def last_marks(self) -> tuple[int, list[bytes]]:
        """The marks of the last batch that had some, whoever applied it. Raises StorageUnavailable."""
        found = await self._reads.command("HGET", self._session.key, "marks")
        return _marks.decode(found) if found else (0, [])

    async def seen_inbound(self, marks: Sequence[bytes], now_ms: int, window_ms: int) -> list[bool]:
        """Which of these messages came within the window. Raises StorageUnavailable."""
        names = [self._upstream_keys.inbound(now_ms // window_ms - back) for back in (0, 1)]
        now, before = await self._reads.pipeline([("HMGET", name, *marks) for name in names])
        limit = now_ms - window_ms
        return [int(one or other or 0) > limit for one, other in zip(now, before, strict=True)]

    async def remember_inbound(self, marks: Sequence[bytes], now_ms: int, window_ms: int) -> None:
        """These messages came and are durable. Beyond INBOUND_MARKS_MAX a window no more are remembered."""
        name = self._upstream_keys.inbound(now_ms // window_ms)
        if int(await self._reads.command("HLEN", name)) + len(marks) > INBOUND_MARKS_MAX:
            return
        fields = [part for mark in marks for part in (mark, now_ms)]
        await self._reads.pipeline([("HSET", name, *fields), ("PEXPIRE", name, 2 * window_ms)])

    async def parked_count(self) -> int:
        """How many upstream ids have receipts that nothing matched yet."""
        names = self._upstream_keys
        counts = await self._reads.pipeline([("ZCARD", names.park_times(b)) for b in range(names.buckets)])
        return sum(int(count) for count in counts)


def encode_part(part: HeldPart) -> bytes:
    """A part as `join` holds it."""
    return _encode(part)


def part_field(whole: int, sequence: int) -> bytes:
    """The field of a part in `join`."""
    return id8(whole) + bytes((sequence,))
