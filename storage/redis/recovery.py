"""Builds Redis from what the record says: removes what is ours, writes page after page, marks it fit at the very end.

Until then `meta` says that it is half built, and every guard refuses it. Begun again, all of it is done again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from redis.exceptions import ResponseError

from smscd.core.records import HeldPart
from storage.redis import scripts
from storage.redis.blobs import pack_array
from storage.redis.dispatch import HOT_SECONDS, id8, kept_seconds, later_member
from storage.redis.errors import StorageUnavailable
from storage.redis.guard import RECOVERING
from storage.redis.journal import entry_order, last_journal_id
from storage.redis.keys import ShardKeys, UpstreamKeys
from storage.redis.link import Arg, RedisLink
from storage.redis.overflow import SCHEDULED_MARK, Place, Waiting
from storage.redis.receipts import encode_part, part_field

LINK_NAME = "smscd-recover"
BLOB_RECORDS = 100
BLOB_BYTES = 256 * 1024
CALLBACKS_A_BLOB = 200
COMMANDS_A_CALL = 500
FIELDS_A_COMMAND = 500
BYTES_A_CALL = 4 * 1024 * 1024
KEYS_A_SCAN = 2_000
CALL_SECONDS = 60.0
IDEM_SECONDS = 176_400
REFUNDED_SECONDS = 1_296_000
CHANGES_SECONDS = 1_987_200


@dataclass(slots=True)
class Restored:
    """What some messages of the record give Redis.

    queued: by place, each record with the marks of its segments: b"d" accepted, b"i<n>" perhaps sent, b"" not sent.
    later: (due ms, place, record). rest: (upstream, message id, RestRecord). cancels: messages whose customer was
    refused. waiting, doubtful, apart: how many of them wait for each upstream, how many may have been sent, and
    how many wait in PostgreSQL alone.
    out: by account. answers: (account, window, request key, stored answer).
    sent: by upstream and hour, (canonical id, SentContext). states: (message id, what follows it in the field, value).
    until: lifecycle.states_until() of the messages of states that have one.
    held: by upstream. hooks_later: (due ms, CallbackRecord).
    """

    queued: dict[Place, list[tuple[bytes, list[bytes]]]] = field(default_factory=dict)
    later: list[tuple[int, Place, bytes]] = field(default_factory=list)
    rest: list[tuple[str, int, bytes]] = field(default_factory=list)
    cancels: list[int] = field(default_factory=list)
    waiting: Counter[str] = field(default_factory=Counter)
    doubtful: Counter[str] = field(default_factory=Counter)
    apart: Counter[str] = field(default_factory=Counter)
    out: dict[str, list[bytes]] = field(default_factory=dict)
    hooks: list[bytes] = field(default_factory=list)
    hooks_later: list[tuple[int, bytes]] = field(default_factory=list)
    answers: list[tuple[str, int, bytes, bytes]] = field(default_factory=list)
    sent: dict[tuple[str, int], list[tuple[bytes, bytes]]] = field(default_factory=dict)
    states: list[tuple[int, bytes, int]] = field(default_factory=list)
    until: dict[int, int] = field(default_factory=dict)
    refunded: list[int] = field(default_factory=list)
    held: dict[str, list[HeldPart]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisState:
    """How a Redis was found. installation: b"" when it says nothing. is_half_built: by a recovery that did not end."""

    installation: str
    is_half_built: bool
    journal_id: str
    epoch: int
    now_ms: int


async def look(link: RedisLink, keys: ShardKeys) -> RedisState:
    """Look, and change nothing. Raises StorageUnavailable."""
    install, epoch, half_built = await link.command("HMGET", keys.meta, "install", "epoch", RECOVERING)
    seconds, micros = await link.command("TIME")
    return RedisState(
        installation=(install or b"").decode(),
        is_half_built=half_built is not None,
        journal_id=await last_journal_id(link, keys),
        epoch=int(epoch or 0),
        now_ms=int(seconds) * 1000 + int(micros) // 1000,
    )


async def users(link: RedisLink) -> list[str]:
    """What else of ours is connected to this database of the server; commands that only look are left out."""
    listed: bytes = await link.command("CLIENT", "LIST")
    lines = listed.decode("latin-1").splitlines()
    clients = [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]
    here = {client["db"] for client in clients if client["name"] == LINK_NAME}
    names = {client["name"] for client in clients if client["db"] in here}
    return sorted(name for name in names - {LINK_NAME, "smscd-command"} if name.startswith("smscd-"))


def position_after(recorded: str, now_ms: int) -> str:
    """A journal id after everything that was ever recorded, and not in the past."""
    return f"{max(now_ms, entry_order(recorded)[0] + 1)}-0"


class Rebuild:
    """One rebuilding of a shard: begin(), write() for each page and the other write_*(), set_position(), end()."""

    def __init__(self, keys: ShardKeys, link: RedisLink) -> None:
        self._keys = keys
        self._link = link
        self._entries: Counter[str] = Counter()
        self._commands: list[list[Arg]] = []
        self._size = 0
        self._now_ms = 0

    async def begin(self, now_ms: int) -> None:
        """Mark Redis as half built, and remove every key of ours but the mark."""
        self._now_ms = now_ms
        await self._link.command("HSET", self._keys.meta, RECOVERING, now_ms)
        for pattern in (f"{self._keys.tag}:*", "{u:*"):
            cursor = b"0"
            while True:
                cursor, names = await self._link.command(
                    "SCAN", cursor, "MATCH", pattern, "COUNT", KEYS_A_SCAN, timeout=CALL_SECONDS
                )
                gone = [name for name in names if name.decode() != self._keys.meta]
                if gone:
                    await self._link.command("UNLINK", *gone, timeout=CALL_SECONDS)
                if cursor == b"0":
                    break

    async def write(self, page: Restored) -> None:
        """Write what some messages give. Raises StorageUnavailable; then recovery begins anew."""
        names = self._keys
        for place, messages in page.queued.items():
            await self._queue(place, messages)
        for due_ms, (upstream, priority, account), record in page.later:
            member = later_member(names.queue(upstream, priority, account), record)
            await self._add("ZADD", names.later(upstream), due_ms, member)
        for upstream, message_id, blob in page.rest:
            await self._add("HSET", names.rest(upstream), id8(message_id), blob)
        for message_id in page.cancels:
            await self._add("HSET", names.changes, id8(message_id), b"cancel")
        if page.cancels:
            await self._add("EXPIRE", names.changes, CHANGES_SECONDS)
        for account, callbacks in page.out.items():
            await self._stream(names.out(account), callbacks, CALLBACKS_A_BLOB)
        await self._stream(names.hooks, page.hooks, CALLBACKS_A_BLOB)
        for due_ms, callback in page.hooks_later:
            await self._add("ZADD", names.hooks_later, due_ms, callback)
        fields: dict[str, list[Arg]] = {}
        for account, window, key, answer in page.answers:
            fields.setdefault(names.idem(account, window, key), []).extend((key, answer))
        await self._hashes(fields, IDEM_SECONDS)
        by_seconds: dict[int, dict[str, list[Arg]]] = {}
        for message_id, suffix, value in page.states:
            until_ms = page.until.get(message_id, 0)
            seconds = kept_seconds(until_ms, self._now_ms) if until_ms else HOT_SECONDS
            states = by_seconds.setdefault(seconds, {})
            states.setdefault(names.state(message_id, until_ms), []).extend((id8(message_id) + suffix, value))
        for seconds, states in by_seconds.items():
            await self._hashes(states, seconds)
        for message_id in page.refunded:
            await self._add("SADD", names.refunded(message_id), id8(message_id))
            await self._add("EXPIRE", names.refunded(message_id), REFUNDED_SECONDS)
        for upstream, parts in page.held.items():
            for part in parts:
                await self._add("HSET", names.join(upstream), part_field(part.whole, part.sequence), encode_part(part))
        await self._flush()
        for (upstream, hour), items in page.sent.items():
            await self._correlate(UpstreamKeys(upstream), hour, items)

    async def write_balances(self, balances: Mapping[str, int]) -> None:
        """What each account has."""
        for account, micros in balances.items():
            await self._add("HSET", self._keys.acct(account), "balance", micros)
        await self._flush()

    async def write_depths(self, waiting: Mapping[str, int]) -> None:
        """How many messages wait for each upstream, all pages together."""
        for upstream, count in waiting.items():
            await self._add("HSET", self._keys.depth, upstream, count)
        await self._flush()

    async def write_parked(self, upstream: str, receipts: Mapping[bytes, tuple[int, list[bytes]]]) -> None:
        """Receipts that wait for their message: by key when the first came, and each as match.lua holds it."""
        names = UpstreamKeys(upstream)
        for key, (at_ms, parts) in receipts.items():
            bucket = names.bucket(key)
            held = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
            await self._add("HSET", names.park(bucket), key, held)
            await self._add("ZADD", names.park_times(bucket), at_ms, key)
        await self._flush()

    async def write_overflow(self, waiting: Mapping[Place, Waiting]) -> None:
        """What waits in PostgreSQL alone, all of it."""
        apart: Counter[str] = Counter()
        for place, counts in waiting.items():
            queue = self._keys.queue(*place)
            for name, count in ((queue, counts.tail), (SCHEDULED_MARK + queue, counts.scheduled)):
                if count:
                    await self._add("HSET", self._keys.overflow, name, count)
            apart[place.upstream] += sum(counts)
        for upstream, count in apart.items():
            await self._add("HSET", self._keys.depth, f"\0{upstream}", count)
        await self._flush()

    async def set_position(self, journal_id: str) -> None:
        """An empty journal whose next entry comes after journal_id."""
        await self._add("XADD", self._keys.journal, journal_id, "k", b"", "b", b"")
        await self._add("XDEL", self._keys.journal, journal_id)
        await self._flush()

    async def end(self, installation: str, shards: int, journal_id: str, epoch: int, top_id: int) -> None:
        """Redis is whole. From now on every role's epoch is above `epoch` and every node's next id above top_id."""
        meta = self._keys.meta
        fields: list[Arg] = ["install", installation, "shards", shards, "trimmed", journal_id]
        fields += ["epoch", epoch, "top", top_id]
        await self._send([["MULTI"], ["DEL", meta], ["HSET", meta, *fields], ["EXEC"]])

    async def _queue(self, place: Place, messages: list[tuple[bytes, list[bytes]]]) -> None:
        queue = self._keys.queue(*place)
        for part in _blobs(messages):
            entry_id = await self._entry(queue, pack_array([record for record, _ in part]))
            marks: list[Arg] = []
            for index, (_, segments) in enumerate(part):
                for segment, mark in enumerate(segments):
                    if mark:
                        marks += (b"%d.%d" % (index, segment), mark)
            if marks:
                await self._hashes({self._keys.open(queue, entry_id): marks}, None)
        await self._add("SADD", self._keys.ready(place[0]), queue)

    async def _stream(self, name: str, records: list[bytes], size: int) -> None:
        for first in range(0, len(records), size):
            await self._entry(name, pack_array(records[first : first + size]))

    async def _entry(self, stream: str, blob: bytes) -> str:
        """Append to a stream; its id is known beforehand, and below those that Redis gives."""
        self._entries[stream] += 1
        entry_id = f"1-{self._entries[stream]}"
        await self._add("XADD", stream, entry_id, "b", blob)
        return entry_id

    async def _hashes(self, fields: Mapping[str, list[Arg]], seconds: int | None) -> None:
        for name, pairs in fields.items():
            for first in range(0, len(pairs), 2 * FIELDS_A_COMMAND):
                await self._add("HSET", name, *pairs[first : first + 2 * FIELDS_A_COMMAND])
            if seconds is not None:
                await self._add("EXPIRE", name, seconds)

    async def _correlate(self, names: UpstreamKeys, hour: int, items: list[tuple[bytes, bytes]]) -> None:
        buckets: dict[int, list[tuple[bytes, bytes]]] = {}
        for item in items:
            buckets.setdefault(names.bucket(item[0]), []).append(item)
        for bucket, found in buckets.items():
            keys = [names.corr(bucket, hour), names.corr(bucket, hour - 1), names.park(bucket)]
            for first in range(0, len(found), FIELDS_A_COMMAND):
                part = found[first : first + FIELDS_A_COMMAND]
                args: list[Arg] = [HOT_SECONDS, len(part)]
                for item in part:
                    args += item
                await self._link.evalsha(scripts.CORRELATE, keys, args, timeout=CALL_SECONDS)

    async def _add(self, *command: Arg) -> None:
        self._commands.append(list(command))
        self._size += sum(len(part) for part in command if isinstance(part, bytes))
        if len(self._commands) >= COMMANDS_A_CALL or self._size >= BYTES_A_CALL:
            await self._flush()

    async def _flush(self) -> None:
        commands, self._commands, self._size = self._commands, [], 0
        await self._send(commands)

    async def _send(self, commands: list[list[Arg]]) -> None:
        for reply in await self._link.pipeline(commands, timeout=CALL_SECONDS):
            if isinstance(reply, ResponseError):
                raise StorageUnavailable(f"Redis refuses to be rebuilt ({reply}): mend that, and run it again.")


def _blobs(messages: list[tuple[bytes, list[bytes]]]) -> Iterator[list[tuple[bytes, list[bytes]]]]:
    """Cut into what one entry of a queue may hold."""
    part: list[tuple[bytes, list[bytes]]] = []
    size = 0
    for message in messages:
        size += len(message[0])
        if part and (len(part) == BLOB_RECORDS or size > BLOB_BYTES):
            yield part
            part, size = [], len(message[0])
        part.append(message)
    if part:
        yield part
