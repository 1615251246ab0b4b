"""Redis, played by the test: one shard as far as the stores of an upstream's two sides show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from smscd.core.callback_records import CallbackRecord
from smscd.core.records import (
    ChangeRequest,
    HeldPart,
    MatchRequest,
    MessageRecord,
    OrphanRecord,
    ParkedReceipt,
    ResultRecord,
    SentContext,
    Via,
)
from storage.redis.blobs import pack_array
from storage.redis.dispatch import Move, MoveReply, QueueEntry, Turn, TurnReply
from storage.redis.errors import Fenced, StorageUnavailable
from storage.redis.receipts import Effect, Parked, ReceiptBatch, Waiting
from tests.unit.smscd.egress.doubles import NOW_MS, QUEUE, encode

decode_results = msgspec.msgpack.Decoder(ResultRecord).decode
decode_callback = msgspec.msgpack.Decoder(CallbackRecord).decode


@dataclass
class FakeRedis:
    """The data of one shard and one upstream, with the semantics of the Lua scripts."""

    queues: dict[str, dict[str, bytes]] = field(default_factory=dict)
    open: dict[tuple[str, str], dict[bytes, bytes]] = field(default_factory=dict)
    rest: dict[int, bytes] = field(default_factory=dict)
    later: list[tuple[int, str, bytes]] = field(default_factory=list)
    states: dict[int, int] = field(default_factory=dict)
    parts: dict[tuple[int, int], int] = field(default_factory=dict)
    refunded: dict[int, int] = field(default_factory=dict)
    out: dict[str, list[bytes]] = field(default_factory=dict)
    hooks: list[bytes] = field(default_factory=list)
    depth: int = 0
    turn_records: list[bytes] = field(default_factory=list)
    receipt_records: list[object] = field(default_factory=list)
    inbound_records: list[object] = field(default_factory=list)
    corr: dict[bytes, bytes] = field(default_factory=dict)
    park: dict[bytes, list[bytes]] = field(default_factory=dict)
    marks: set[tuple[int, bytes]] = field(default_factory=set)
    inbound_marks: dict[bytes, int] = field(default_factory=dict)
    join: dict[tuple[int, int], bytes] = field(default_factory=dict)
    last_marks: tuple[int, list[bytes]] = (0, [])
    changes: set[int] = field(default_factory=set)
    asks: dict[int, ChangeRequest | bytes] = field(default_factory=dict)
    orphans: dict[bytes, OrphanRecord] = field(default_factory=dict)
    matches: dict[int, MatchRequest | Effect] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    replaced: list[bytes] = field(default_factory=list)
    kept: list[bytes] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    standings: list[str] = field(default_factory=list)
    moved: dict[tuple[str, int, str], list[bytes]] = field(default_factory=dict)
    unavailable: int = 0
    fenced: bool = False
    sequence: int = 0

    def admit(self, *records: MessageRecord, queue: str = QUEUE) -> str:
        """Queue a blob as admission does; return its entry id."""
        self.sequence += 1
        entry_id = f"{NOW_MS}-{self.sequence}"
        self.queues.setdefault(queue, {})[entry_id] = pack_array([encode(record) for record in records])
        self.depth += len(records)
        return entry_id

    def check(self) -> None:
        """Be away as often as the test said."""
        if self.unavailable:
            self.unavailable -= 1
            raise StorageUnavailable("away")
        if self.fenced:
            raise Fenced("another one")

    def results(self) -> list[ResultRecord]:
        """What the journal says of attempts, oldest first."""
        return [decode_results(blob) for blob in self.turn_records]

    def callbacks(self, account: str = "acme") -> list[CallbackRecord]:
        """What is due to an account's ESME."""
        return [decode_callback(blob) for blob in self.out.get(account, [])]


class FakeDispatchStore:
    """DispatchStore over a FakeRedis."""

    def __init__(self, redis: FakeRedis) -> None:
        self.redis = redis
        self.opens_asked = 0

    async def queues(self) -> list[str]:
        self.redis.check()
        return sorted(self.redis.queues, key=lambda name: name.split(":q:carrier:", 1)[1])

    async def read(self, cursors: Mapping[str, str], count: int) -> list[QueueEntry]:
        self.redis.check()
        entries = []
        for queue, cursor in cursors.items():
            held = self.redis.queues.get(queue, {})
            after = [(entry, blob) for entry, blob in held.items() if order(entry) > order(cursor)]
            entries += [QueueEntry(queue, entry, blob) for entry, blob in after[:count]]
        return entries

    async def opens(self, entries: Sequence[QueueEntry]) -> list[dict[bytes, bytes]]:
        self.redis.check()
        self.opens_asked += len(entries)
        return [dict(self.redis.open.get((entry.queue, entry.entry_id), {})) for entry in entries]

    async def rest(self) -> dict[int, bytes]:
        self.redis.check()
        return dict(self.redis.rest)

    async def asks(self) -> list[ChangeRequest]:
        self.redis.check()
        return [ask for ask in self.redis.asks.values() if isinstance(ask, ChangeRequest)]

    async def gone(self) -> set[int]:
        self.redis.check()
        return set(self.redis.gone)

    async def depth(self) -> int:
        self.redis.check()
        return self.redis.depth

    async def promote(self, now_ms: int, limit: int = 500) -> int:
        self.redis.check()
        due = [entry for entry in sorted(self.redis.later) if entry[0] <= now_ms][:limit]
        for entry in due:
            self.redis.later.remove(entry)
            self.redis.sequence += 1
            self.redis.queues.setdefault(entry[1], {})[f"{NOW_MS}-{self.redis.sequence}"] = pack_array([entry[2]])
        return len(due)

    async def correlate(
        self, items: Sequence[tuple[bytes, bytes]], at_ms: int
    ) -> list[tuple[int, list[ParkedReceipt]]]:
        redis = self.redis
        redis.check()
        parked = []
        for index, (key, context) in enumerate(items):
            known = redis.corr.get(key)
            redis.corr[key] = b"!" if known not in (None, context) else context
            if key in redis.park:
                parked.append((index, [msgspec.msgpack.decode(blob, type=ParkedReceipt) for blob in redis.park[key]]))
        return parked

    async def publish_standing(self, standing: str) -> None:
        self.redis.check()
        self.redis.standings.append(standing)

    async def move(self, move: Move) -> MoveReply:
        redis = self.redis
        redis.check()
        room = move.queue_messages_max - sum(len(records) for records in redis.moved.values())
        if room < move.count:
            return MoveReply(False, max(room, 0))
        for queue, entry_id, name in move.settled:
            redis.open.setdefault((queue, entry_id), {})[name] = b"d"
        for queue, entry_id in move.finished:
            redis.queues[queue].pop(entry_id)
            redis.open.pop((queue, entry_id), None)
            if not redis.queues[queue]:
                del redis.queues[queue]
        for priority, account, records in move.added:
            redis.moved.setdefault((move.upstream, priority, account), []).extend(records)
        redis.replaced += move.journal
        redis.depth -= move.count
        return MoveReply(True, room - move.count)

    async def turn(self, turn: Turn) -> TurnReply:
        redis = self.redis
        redis.check()
        redis.turns.append(turn)
        withheld = {at for at, intent in enumerate(turn.intents) if intent.message_id in redis.changes}
        over = {end.message_id for end in turn.ends if end.message_id in redis.states}
        late = []
        for end in turn.ends:
            if end.message_id in redis.changes:
                redis.changes.discard(end.message_id)
                if end.state != 9 or end.message_id in over:
                    late.append(end.message_id)
        refunded = [message_id not in redis.refunded and message_id not in over for _, message_id, _ in turn.refunds]
        for (_, message_id, micros), is_new in zip(turn.refunds, refunded, strict=True):
            if is_new:
                redis.refunded[message_id] = micros
        redis.turn_records += turn.journal
        for at, intent in enumerate(turn.intents):
            assert intent.entry_id in redis.queues[intent.queue], "an intent for a blob that is gone"
            if at not in withheld:
                fields = redis.open.setdefault((intent.queue, intent.entry_id), {})
                fields[intent.field] = b"i%d" % intent.attempt
        for queue, entry_id, name in turn.settled:
            redis.open.setdefault((queue, entry_id), {})[name] = b"d"
        redis.later += turn.later
        redis.rest.update(turn.rest_set)
        for message_id in turn.rest_del:
            redis.rest.pop(message_id, None)
        for queue, entry_id in turn.finished:
            redis.queues[queue].pop(entry_id)
            redis.open.pop((queue, entry_id), None)
            if not redis.queues[queue]:
                del redis.queues[queue]
        for end in turn.ends:
            if end.message_id not in over:
                redis.states[end.message_id] = end.state
                if end.callback:
                    (redis.out.setdefault(end.account, []) if end.account else redis.hooks).append(end.callback)
        redis.hooks += turn.hooks
        redis.asks.update(turn.answers)
        redis.replaced += turn.replaced
        redis.gone = (redis.gone | set(turn.gone)) - set(turn.dropped)
        redis.depth += turn.depth_delta
        untold = [at for at, end in enumerate(turn.ends) if end.message_id in over]
        return TurnReply(NOW_MS, "1-1", withheld, refunded, late, untold)


class FakeReceiptStore:
    """ReceiptStore over a FakeRedis."""

    def __init__(self, redis: FakeRedis) -> None:
        self.redis = redis
        self.applied = 0

    async def match(self, items: Sequence[tuple[bytes, bytes]], now_ms: int | None = None) -> list[SentContext | None]:
        redis = self.redis
        redis.check()
        found: list[SentContext | None] = []
        for key, parked in items:
            context = redis.corr.get(key)
            if context is None or context == b"!":
                held = redis.park.setdefault(key, [])
                if parked not in held:
                    held.append(parked)
                found.append(None)
            else:
                found.append(msgspec.msgpack.decode(context, type=SentContext))
        return found

    async def apply(self, batch: ReceiptBatch) -> list[Effect]:
        redis = self.redis
        redis.check()
        self.applied += 1
        effects = []
        for item in batch.items:
            record = item.record
            awaited = item.awaited or record.segments
            effect = self._effect(record.id, record.segment, awaited, record.state, item.is_final, item.mark)
            effects.append(effect)
            redis.receipt_records.append(record)
            if record.refund_micros and effect is Effect.FINAL and record.id not in redis.refunded:
                redis.refunded[record.id] = record.refund_micros
            wanted = Effect.RECORDED if item.callback_is_intermediate else Effect.FINAL
            if item.callback is not None and effect is wanted:
                redis.out.setdefault(record.account, []).append(item.callback)
        for inbound in batch.inbound:
            redis.inbound_records.append(inbound.record)
            if inbound.callback is not None:
                target = redis.hooks if inbound.via == Via.WEBHOOK else redis.out.setdefault(inbound.record.account, [])
                target.append(inbound.callback)
        redis.join.update({(part.whole, part.sequence): encode(part) for part in batch.held})
        for name in batch.dropped:
            redis.join.pop(name, None)
        if batch.marks[1]:
            redis.last_marks = batch.marks
        return effects

    async def last_marks(self) -> tuple[int, list[bytes]]:
        self.redis.check()
        return self.redis.last_marks

    async def held_parts(self) -> list[HeldPart]:
        self.redis.check()
        return [msgspec.msgpack.decode(blob, type=HeldPart) for blob in self.redis.join.values()]

    def _effect(self, message_id: int, segment: int, segments: int, state: int, is_final: bool, mark: bytes) -> Effect:
        redis = self.redis
        if not is_final:
            if message_id in redis.states or (message_id, mark) in redis.marks:
                return Effect.REPEATED
            redis.marks.add((message_id, mark))
            return Effect.RECORDED
        if segments > 1:
            if (message_id, segment) in redis.parts:
                return Effect.REPEATED
            redis.parts[(message_id, segment)] = state
            delivered = sum(state == 4 for (known, _), state in redis.parts.items() if known == message_id)
            if state == 4 and delivered < segments:
                return Effect.RECORDED
            if message_id in redis.states:
                return Effect.RECORDED
        elif message_id in redis.states:
            return Effect.REPEATED
        redis.states[message_id] = state
        return Effect.FINAL

    async def seen_inbound(self, marks: Sequence[bytes], now_ms: int, window_ms: int) -> list[bool]:
        self.redis.check()
        return [self.redis.inbound_marks.get(mark, 0) > now_ms - window_ms for mark in marks]

    async def remember_inbound(self, marks: Sequence[bytes], now_ms: int, window_ms: int) -> None:
        self.redis.check()
        self.redis.inbound_marks.update(dict.fromkeys(marks, now_ms))

    async def find_parked(self, start: int, limit: int, now_ms: int) -> Parked:
        redis = self.redis
        redis.check()
        result = Parked()
        for key in list(redis.park)[start : start + limit]:
            result.seen += 1
            receipts = [msgspec.msgpack.decode(parked, type=ParkedReceipt) for parked in redis.park[key]]
            if key not in redis.corr:
                result.unmatched.append((key, receipts))
            elif redis.corr[key] != b"!":
                result.pairs.append((key, msgspec.msgpack.decode(redis.corr[key], type=SentContext), receipts))
        return result

    async def parked_between(self, first_ms: int, last_ms: int, limit: int) -> list[Waiting]:
        self.redis.check()
        found = []
        for key, held in self.redis.park.items():
            receipts = [msgspec.msgpack.decode(blob, type=ParkedReceipt) for blob in held]
            if first_ms <= receipts[0].at_ms <= last_ms:
                found.append(Waiting(receipts[0].at_ms, key, receipts))
        return sorted(found, key=lambda waiting: waiting[:2])[:limit]

    async def parked_count(self) -> int:
        return len(self.redis.park)

    async def remember(self, states: Sequence[tuple[SentContext, bytes, int]]) -> None:
        self.redis.check()
        for context, suffix, value in states:
            if not suffix:
                self.redis.states.setdefault(context.id, value)
            elif suffix != b":n":
                self.redis.parts.setdefault((context.id, int(suffix[1:])), value)

    async def orphan(self, records: Sequence[OrphanRecord]) -> None:
        self.redis.check()
        self.redis.orphans.update({record.mark: record for record in records})

    async def keep(self, records: Sequence[OrphanRecord]) -> None:
        self.redis.check()
        self.redis.kept += [record.receipt.upstream_message_id for record in records]

    async def matches(self) -> dict[int, MatchRequest]:
        self.redis.check()
        return {number: match for number, match in self.redis.matches.items() if isinstance(match, MatchRequest)}

    async def answer_matches(self, effects: Mapping[int, Effect]) -> None:
        self.redis.check()
        self.redis.matches.update(effects)

    async def known(self, canonical_ids: Sequence[bytes], now_ms: int) -> dict[bytes, SentContext | None]:
        self.redis.check()
        corr = self.redis.corr
        return {
            key: None if corr[key] == b"!" else msgspec.msgpack.decode(corr[key], type=SentContext)
            for key in canonical_ids
            if key in corr
        }

    async def unpark(self, canonical_ids: Sequence[bytes]) -> None:
        self.redis.check()
        for key in canonical_ids:
            self.redis.park.pop(key, None)


def order(entry_id: str) -> tuple[int, int]:
    """Entry ids in their order."""
    first, second = entry_id.split("-")
    return int(first), int(second)
