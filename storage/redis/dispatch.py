"""What the dispatcher of one upstream asks of Redis: queues, intents, results, retries, correlation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from smscd.core.records import ChangeRequest, ParkedReceipt
from storage.redis import scripts
from storage.redis.blobs import KeyList, pack_array, split_sized
from storage.redis.breakers import BELIEVED_MS
from storage.redis.changes import ANSWER_MARK
from storage.redis.keys import HOUR_MS, ShardKeys, UpstreamKeys
from storage.redis.link import Arg, RedisLink
from storage.redis.session import RoleSession

HOT_SECONDS = 26 * 3600
_parked = msgspec.msgpack.Decoder(ParkedReceipt)
_request = msgspec.msgpack.Decoder(ChangeRequest)


@dataclass(slots=True)
class QueueEntry:
    """One blob of a queue: a msgpack array of MessageRecords."""

    queue: str
    entry_id: str
    blob: bytes


@dataclass(slots=True)
class Intent:
    """A segment that is about to be written to a bind. field: b"<message index>.<segment>"."""

    queue: str
    entry_id: str
    field: bytes
    message_id: int
    attempt: int


class End(NamedTuple):
    """A message's final state. callback: for the account's ESMEs, or for the hooks when no account is given; b"" when
    nobody is told. until_ms: as SentContext.states_until_ms."""

    message_id: int
    state: int
    callback: bytes = b""
    account: str = ""
    until_ms: int = 0


@dataclass(slots=True)
class Turn:
    """Results of the last turn and intents of the next; see turn.lua for each list.

    hooks: callbacks that tell no end.
    """

    intents: list[Intent] = field(default_factory=list)
    settled: list[tuple[str, str, bytes]] = field(default_factory=list)
    finished: list[tuple[str, str]] = field(default_factory=list)
    later: list[tuple[int, str, bytes]] = field(default_factory=list)
    rest_set: list[tuple[int, bytes]] = field(default_factory=list)
    rest_del: list[int] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)
    refunds: list[tuple[str, int, int]] = field(default_factory=list)
    hooks: list[bytes] = field(default_factory=list)
    depth_delta: int = 0
    journal: list[bytes] = field(default_factory=list)
    replaced: list[bytes] = field(default_factory=list)
    answers: list[tuple[int, bytes]] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """True when there is nothing to record."""
        return not (
            self.intents or self.settled or self.finished or self.later or self.rest_set or self.rest_del
            or self.ends or self.refunds or self.hooks or self.depth_delta or self.journal
            or self.answers or self.dropped
        )  # fmt: skip


@dataclass(slots=True)
class TurnReply:
    """withheld: indexes of intents not to be sent, their message was cancelled before. refunded: one for each refund.

    late_changes: ids of messages whose cancellation came after they had been sent. untold: indexes of ends that are
    none, because a receipt had ended the message before.
    """

    time_ms: int
    journal_id: str
    withheld: set[int]
    refunded: list[bool]
    late_changes: list[int]
    untold: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Move:
    """Messages that were never sent, on their way to another upstream; see move.lua.

    upstream: the other. added: (priority, account, records) for its queues. journal: all those records.
    """

    upstream: str
    queue_messages_max: int
    count: int
    settled: list[tuple[str, str, bytes]] = field(default_factory=list)
    finished: list[tuple[str, str]] = field(default_factory=list)
    added: list[tuple[int, str, list[bytes]]] = field(default_factory=list)
    journal: list[bytes] = field(default_factory=list)


class MoveReply(NamedTuple):
    """is_done: False when the other upstream has not room for all of them; then nothing moved. room: what it has."""

    is_done: bool
    room: int


def id8(message_id: int) -> bytes:
    """A message id as Redis sees it: eight opaque bytes."""
    return message_id.to_bytes(8, "big")


def kept_seconds(until_ms: int, now_ms: int) -> int:
    """How long from now a hash of states is kept that must be known until an hour: for as long after it as others."""
    return HOT_SECONDS + max(0, (until_ms // HOUR_MS + 1) * HOUR_MS - now_ms) // 1000


class DispatchStore:
    """The state of one upstream's work; called by the role `dispatch:<upstream>` alone.

    reads: a link for reading that is not the session's, so that a read need not wait for a turn.
    """

    def __init__(
        self, upstream: str, keys: ShardKeys, upstream_keys: UpstreamKeys, session: RoleSession, reads: RedisLink
    ) -> None:
        self._upstream = upstream
        self._keys = keys
        self._upstream_keys = upstream_keys
        self._session = session
        self._reads = reads

    async def queues(self) -> list[str]:
        """The queues that hold anything, highest priority first."""
        names = await self._reads.command("SMEMBERS", self._keys.ready(self._upstream))
        start = len(self._keys.queue(self._upstream, 0, "")) - 2
        return sorted((name.decode() for name in names), key=lambda name: (name[start:].split(":", 1)[0], name))

    async def read(self, cursors: Mapping[str, str], count: int) -> list[QueueEntry]:
        """At most count entries of each queue after its cursor ("0-0" for the start), oldest first."""
        if not cursors:
            return []
        reply = await self._reads.command("XREAD", "COUNT", count, "STREAMS", *cursors.keys(), *cursors.values())
        entries = []
        for queue, items in reply or ():
            name = queue.decode()
            for entry_id, fields in items:
                entries.append(QueueEntry(name, entry_id.decode(), fields[1]))
        return entries

    async def opens(self, entries: Sequence[QueueEntry]) -> list[dict[bytes, bytes]]:
        """Intents and results of these blobs: field to b"i<attempt>" or b"d". Asked for after a takeover only."""
        names = [self._keys.open(entry.queue, entry.entry_id) for entry in entries]
        replies = await self._reads.pipeline([("HGETALL", name) for name in names])
        return [_pairs(reply) for reply in replies]

    async def rest(self) -> dict[int, bytes]:
        """Every unsettled message whose blob is gone: message id to its RestRecord."""
        reply = await self._reads.command("HGETALL", self._keys.rest(self._upstream))
        return {int.from_bytes(key, "big"): value for key, value in _pairs(reply).items()}

    async def asks(self) -> list[ChangeRequest]:
        """Requests to change messages that are not answered yet."""
        reply = await self._reads.command("HVALS", self._keys.asks(self._upstream))
        return [_request.decode(value) for value in reply if not value.startswith(ANSWER_MARK)]

    async def gone(self) -> set[int]:
        """Messages in unread blobs that are to be dropped."""
        reply = await self._reads.command("SMEMBERS", self._keys.gone(self._upstream))
        return {int.from_bytes(member, "big") for member in reply}

    async def depth(self) -> int:
        """How many admitted messages wait for this upstream."""
        held = await self._reads.command("HGET", self._keys.depth, self._upstream)
        return int(held or 0)

    async def turn(self, turn: Turn) -> TurnReply:
        """Record results and intents in one step. Waits for Redis as long as it takes. Raises Fenced."""
        keys, args = self._turn_call(turn)
        reply = await self._session.run(scripts.TURN, keys, args)
        self._session.saw(reply[1])
        withheld = {int(index) for index in reply[3].split(b",")} if reply[3] else set()
        late = [int.from_bytes(reply[4][i : i + 8], "big") for i in range(0, len(reply[4]), 8)]
        untold = [at for at, digit in enumerate(reply[5]) if digit == 0x30]
        return TurnReply(int(reply[0]), reply[1].decode(), withheld, [flag == 0x31 for flag in reply[2]], late, untold)

    def _turn_call(self, turn: Turn) -> tuple[list[str], list[Arg]]:
        names = self._keys
        upstream = self._upstream
        keys = KeyList(
            [
                names.journal, names.changes, names.depth, names.later(upstream), names.rest(upstream), names.hooks,
                names.ready(upstream), names.asks(upstream), names.gone(upstream),
            ],
            skipped=1,
        )  # fmt: skip
        number = keys.number
        args: list[Arg] = [
            upstream, turn.depth_delta, names.bell, HOT_SECONDS, pack_array(turn.journal), pack_array(turn.hooks),
            pack_array(turn.replaced),
        ]  # fmt: skip
        opens: dict[tuple[str, str], int] = {}

        def open_number(queue: str, entry_id: str) -> int:
            place = (queue, entry_id)
            known = opens.get(place)
            if known is None:
                known = opens[place] = number(names.open(queue, entry_id))
            return known

        args.append(len(turn.intents))
        for intent in turn.intents:
            args += (
                open_number(intent.queue, intent.entry_id), intent.field, b"i%d" % intent.attempt,
                intent.message_id.to_bytes(8, "big"),
            )  # fmt: skip
        args.append(len(turn.settled))
        for queue, entry_id, part in turn.settled:
            args += (open_number(queue, entry_id), part)
        args.append(len(turn.finished))
        for queue, entry_id in turn.finished:
            args += (number(queue), open_number(queue, entry_id), entry_id)
        args.append(len(turn.later))
        for due_ms, queue, record in turn.later:
            args += (due_ms, later_member(queue, record))
        args.append(len(turn.rest_set))
        for message_id, blob in turn.rest_set:
            args += (id8(message_id), blob)
        args.append(len(turn.rest_del))
        args += [id8(message_id) for message_id in turn.rest_del]
        args.append(len(turn.ends))
        bells: dict[int, bytes] = {}
        kept: dict[int, int] = {}
        for end in turn.ends:
            stream = 0
            if end.callback:
                stream = number(names.out(end.account) if end.account else names.hooks)
                bells[stream] = b"o:" + end.account.encode() if end.account else b"h"
            state = number(names.state(end.message_id, end.until_ms))
            if end.until_ms:
                kept[state] = kept_seconds(end.until_ms, self._session.redis_ms())
            args += (state, id8(end.message_id), int(end.state), stream, end.callback)
        args.append(len(bells))
        for stream, payload in bells.items():
            args += (stream, payload)
        args.append(len(turn.refunds))
        for account, message_id, micros in turn.refunds:
            args += (number(names.acct(account)), number(names.refunded(message_id)), id8(message_id), micros)
        args.append(len(turn.answers))
        for message_id, answer in turn.answers:
            args += (id8(message_id), answer)
        args.append(len(turn.gone))
        args += [id8(message_id) for message_id in turn.gone]
        args.append(len(turn.dropped))
        args += [id8(message_id) for message_id in turn.dropped]
        args.append(len(kept))
        for state, seconds in kept.items():
            args += (state, seconds)
        return keys.names, args

    async def promote(self, now_ms: int, limit: int = 500) -> int:
        """Move retries that are due back into their queues; how many there were."""
        due = await self._reads.command(
            "ZRANGEBYSCORE", self._keys.later(self._upstream), "-inf", now_ms, "LIMIT", 0, limit
        )
        if not due:
            return 0
        keys = KeyList([self._keys.later(self._upstream), self._keys.ready(self._upstream)], skipped=1)
        args: list[Arg] = [len(due)]
        for member in due:
            size = int.from_bytes(member[:2], "big")
            args += (keys.number(member[2 : 2 + size].decode()) - 3, member, member[2 + size :])
        reply = await self._session.run(scripts.PROMOTE, keys.names, args)
        return int(reply[0])

    async def publish_standing(self, standing: str) -> None:
        """Say how the upstream stands (breakers.encode_standing); "" when it is closed. Raises Fenced."""
        await self._session.run(
            scripts.BREAKER, [self._keys.breakers], [self._upstream, standing, BELIEVED_MS, self._keys.bell]
        )

    async def move(self, move: Move) -> MoveReply:
        """Move messages to another upstream's queues in one step, or none of them. Raises Fenced."""
        names, other = self._keys, move.upstream
        keys = KeyList([names.journal, names.depth, names.ready(self._upstream), names.ready(other)], skipped=1)
        number = keys.number
        args: list[Arg] = [
            self._upstream, other, move.queue_messages_max, move.count, names.bell, pack_array(move.journal),
            len(move.settled),
        ]  # fmt: skip
        for queue, entry_id, part in move.settled:
            args += (number(names.open(queue, entry_id)), part)
        args.append(len(move.finished))
        for queue, entry_id in move.finished:
            args += (number(queue), number(names.open(queue, entry_id)), entry_id)
        args.append(len(move.added))
        for priority, account, records in move.added:
            args += (number(names.queue(other, priority, account)), pack_array(records))
        reply = await self._session.run(scripts.MOVE, keys.names, args)
        is_done = reply[0] == b"1"
        if is_done:
            self._session.saw(reply[2])
        return MoveReply(is_done, int(reply[1]))

    async def next_due_ms(self) -> int | None:
        """When the first retry is due, or None."""
        first = await self._reads.command("ZRANGE", self._keys.later(self._upstream), 0, 0, "WITHSCORES")
        return int(float(first[1])) if first else None

    async def correlate(
        self, items: Sequence[tuple[bytes, bytes]], at_ms: int
    ) -> list[tuple[int, list[ParkedReceipt]]]:
        """Remember (canonical id, SentContext) of accepted segments; (index, receipts) for those that came first.

        To be called before the turn that records the acceptances, so that no crash leaves a result whose receipt
        cannot be found. Raises StorageUnavailable; calling again is harmless.
        """
        names = self._upstream_keys
        hour = at_ms // HOUR_MS
        buckets: dict[int, list[int]] = {}
        for index, item in enumerate(items):
            buckets.setdefault(names.bucket(item[0]), []).append(index)
        parked: list[tuple[int, list[ParkedReceipt]]] = []
        for bucket, indexes in buckets.items():
            args: list[Arg] = [HOT_SECONDS, len(indexes)]
            for index in indexes:
                args += items[index]
            keys = [names.corr(bucket, hour), names.corr(bucket, hour - 1), names.park(bucket)]
            reply = await self._reads.evalsha(scripts.CORRELATE, keys, args)
            for at in range(0, len(reply), 2):
                receipts = [_parked.decode(blob) for blob in split_sized(reply[at + 1])]
                parked.append((indexes[int(reply[at])], receipts))
        return parked


def later_member(queue: str, record: bytes) -> bytes:
    """A member of the `later` set: which queue it goes back to, and the record."""
    name = queue.encode()
    return len(name).to_bytes(2, "big") + name + record


def _pairs(reply: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(reply[::2], reply[1::2], strict=True))
