"""Admission of a batch: what admit.lua needs, and what it answered."""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, NamedTuple

import msgspec

from smscd.core.limits import Limits
from smscd.core.records import Outcome, ResultRecord, State
from storage.redis import scripts
from storage.redis.keys import DAY_MS, ShardKeys
from storage.redis.link import Arg
from storage.redis.session import RoleSession

ADMITTED, DUPLICATE, THROTTLED, INSUFFICIENT, QUEUE_FULL, TOO_LATE, SPEND_LIMIT, PREFIX_VELOCITY = b"ADTIQLSV"
_WITH_EXTRA = bytes((DUPLICATE, THROTTLED, SPEND_LIMIT, PREFIX_VELOCITY))
_SUBMISSION = struct.Struct(">HHIdH")
_MESSAGE = struct.Struct(">HIH")
IN_REDIS_MAX = 200_000
_encode = msgspec.msgpack.Encoder().encode


@dataclass(slots=True)
class AdmitItem:
    """One submission: admitted whole or not at all.

    messages: (upstream, priority, record) of each; one but for submit_multi. rate: messages a second, 0 for no limit.
    price_micros: of all of them. request_key: b"" when the submission has none. limits: of the account, None where it
    has none. prefixes: of each message, where the limits count them. is_strict: it waits for PostgreSQL before it is
    queued. is_scheduled: it waits in PostgreSQL alone until its time.
    """

    account: str
    rate: float
    burst: int
    floor_micros: int
    price_micros: int
    upstream_messages_max: int
    messages: list[tuple[str, int, bytes]]
    request_key: bytes = b""
    stored_answer: bytes = b""
    limits: Limits | None = None
    prefixes: Sequence[bytes] = ()
    is_strict: bool = False
    is_scheduled: bool = False


@dataclass(slots=True)
class AdmitReply:
    """verdicts: one byte a submission (ADMITTED...). extras: by index, the stored answer or the wait in ms."""

    verdicts: bytes
    time_ms: int
    journal_id: str
    extras: dict[int, bytes]


class Refusal(NamedTuple):
    """A message whose customer was refused before its verdict was known. request_key: b"" without."""

    message_id: int
    account: str
    upstream: str
    request_key: bytes


class AdmissionStore:
    """admit.lua for one shard, called by the role `ingress:<node>` of one process.

    in_redis_max: messages of an upstream that wait in Redis; what comes beyond waits in PostgreSQL alone.
    """

    def __init__(self, keys: ShardKeys, session: RoleSession, in_redis_max: int = IN_REDIS_MAX) -> None:
        self._keys = keys
        self._in_redis_max = in_redis_max
        self._session = session
        self.clock_offset_ms = session.time_offset_ms
        self._count = 0

    def redis_ms(self) -> int:
        """Redis TIME as this process follows it: this machine's own clock may step without moving it."""
        return int(time.monotonic() * 1000) + self.clock_offset_ms

    async def admit(self, items: Sequence[AdmitItem], top_id: int, *, not_after_ms: int, timeout: float) -> AdmitReply:
        """Admit at most 500 items. Raises Unanswered (ask resume()), Fenced."""
        self._count = len(items)
        while True:
            window = self.redis_ms() // DAY_MS
            keys, args = self._call(items, top_id, not_after_ms, window)
            reply = await self._session.run(scripts.ADMIT, keys, args, timeout=timeout)
            if reply[0] != b"W":
                return self._read(reply)
            self.clock_offset_ms = int(reply[1]) - int(time.monotonic() * 1000)

    async def resume(self) -> AdmitReply:
        """The answer of the call that got none; waits until Redis gives it."""
        reply = await self._session.resume()
        if reply[0] == b"W":
            return AdmitReply(bytes((TOO_LATE,)) * self._count, int(reply[1]), "", {})
        return self._read(reply)

    @property
    def place(self) -> tuple[int, int]:
        """Epoch and sequence number of the call that is under way, or was the last."""
        return self._session.epoch, self._session.last_sequence

    def verdicts_at(self, place: tuple[int, int]) -> bytes:
        """The verdicts of a call that a former process of this node made, empty when it did not run.

        It can only have been the last that ran before this process took the node; after that it is fenced.
        """
        before = self._session.before
        if place != (before.epoch, before.sequence) or not before.answer:
            return b""
        verdicts: bytes = before.answer[0]
        return verdicts

    async def cancel(self, items: Sequence[Refusal]) -> list[int]:
        """Have messages cancelled and refunded that were admitted after their refusal, and put that on record.

        Their request keys are forgotten, so that the customer's next copy is a new message. Returns the ids that are
        not cancelled, because a copy of the request has been answered with them since.
        """
        keys = [self._keys.changes, self._keys.journal]
        args: list[Arg] = [len(items)]
        now_ms = self.redis_ms()
        window = now_ms // DAY_MS
        for message_id, account, upstream, request_key in items:
            record = ResultRecord(
                message_id, 0, Outcome.UNANNOUNCED, now_ms, upstream, b"", 0, 0, State.SCHEDULED, 0, account
            )
            args += (message_id.to_bytes(8, "big"), _encode(record), request_key)
            if request_key:
                keys += (self._keys.idem(account, window - age, request_key) for age in (0, 1))
        reply = await self._session.link.evalsha(scripts.CANCEL, keys, args)
        self._session.saw(reply[0])
        return [int.from_bytes(kept, "big") for kept in reply[1:]]

    def _call(
        self, items: Sequence[AdmitItem], top_id: int, not_after_ms: int, window: int
    ) -> tuple[list[str], list[Arg]]:
        names = self._keys
        accounts: dict[str, _Payer] = {}
        queues: dict[tuple[str, int, str, str], _Queue] = {}
        requests = _Requests(names, items, window)
        metas = []
        for item in items:
            account = item.account
            payer = accounts.get(account)
            if payer is None:
                payer = accounts[account] = _Payer(len(accounts) + 1, item)
            count = len(item.messages)
            payer.cost += count
            payer.price_micros += item.price_micros
            request = requests.number() if item.request_key else 0
            metas.append(_SUBMISSION.pack(payer.number, request, count, item.price_micros, count))
            prefixes = payer.count(item.prefixes) if item.prefixes else repeat(0)
            waits = "2" if item.is_scheduled else "1" if item.is_strict else ""
            for (upstream, priority, record), prefix in zip(item.messages, prefixes, strict=False):
                place = (upstream, priority, account, waits)
                queue = queues.get(place)
                if queue is None:
                    queue = queues[place] = _Queue(len(queues) + 1, item.upstream_messages_max, [])
                queue.records.append(record)
                metas.append(_MESSAGE.pack(queue.number, len(record), prefix))
        limited = {name: payer for name, payer in accounts.items() if payer.limits is not None}
        args: list[Arg] = [
            not_after_ms, top_id, window, len(accounts), len(queues), requests.buckets, len(limited), len(items),
            "1" if requests.is_repeated else "", names.bell, b"".join(metas), self._in_redis_max,
        ]  # fmt: skip
        keys = [names.journal, names.depth, names.strict, names.overflow]
        for name, payer in accounts.items():
            keys.append(names.acct(name))
            args += payer.args()
        for (upstream, priority, account, waits), queue in queues.items():
            keys += (names.queue(upstream, priority, account), names.ready(upstream))
            args += (
                upstream, queue.messages_max, waits, len(queue.records), b"".join(queue.records)
            )  # fmt: skip
        keys += requests.keys
        args += requests.args
        for name, payer in limited.items():
            keys += (names.used(name, window), names.used(name, window - 1))
            args += payer.limit_args()
        return keys, args

    def _read(self, reply: Any) -> AdmitReply:
        verdicts: bytes = reply[0]
        extras: dict[int, bytes] = {}
        if len(reply) > 3:
            at = 3
            for index, verdict in enumerate(verdicts):
                if verdict in _WITH_EXTRA:
                    extras[index] = reply[at]
                    at += 1
        self._session.saw(reply[2])
        time_ms = int(reply[1])
        self.clock_offset_ms = time_ms - int(time.monotonic() * 1000)
        return AdmitReply(verdicts, time_ms, reply[2].decode(), extras)


class _Payer:
    """An account of a batch: all that its submissions cost together, and how many messages go to each prefix."""

    __slots__ = ("_item", "_prefixes", "_sent", "cost", "limits", "number", "price_micros")

    def __init__(self, number: int, item: AdmitItem) -> None:
        self.number = number
        self.limits = item.limits
        self.cost = 0
        self.price_micros = 0
        self._item = item
        self._prefixes: dict[bytes, int] = {}
        self._sent = [0]

    def count(self, prefixes: Sequence[bytes]) -> list[int]:
        """Count a message to each; the numbers of these prefixes, from 1."""
        numbers = []
        for prefix in prefixes:
            number = self._prefixes.setdefault(prefix, len(self._sent))
            if number == len(self._sent):
                self._sent.append(0)
            self._sent[number] += 1
            numbers.append(number)
        return numbers

    def args(self) -> tuple[Arg, ...]:
        """What the script is told of it."""
        item = self._item
        interval = round(1_000_000 / item.rate) if item.rate > 0 else 0
        burst = interval * item.burst if interval else 1
        return interval, burst, item.floor_micros, self.cost, self.price_micros

    def limit_args(self) -> list[Arg]:
        """What the script is told of its limits."""
        limits = self.limits
        assert limits is not None
        args: list[Arg] = [
            self.number,
            "" if limits.spend_per_day_micros is None else limits.spend_per_day_micros,
            limits.velocity_per_minute or "",
            limits.velocity_per_day or "",
            len(self._prefixes),
        ]
        for prefix, number in self._prefixes.items():
            args += (prefix, self._sent[number])
        return args


class _Queue(NamedTuple):
    """A queue of a batch, and what it gets."""

    number: int
    messages_max: int
    records: list[bytes]


class _Requests:
    """The submissions of a batch that have a request key, by the hash that their key is in, numbered through from 1."""

    def __init__(self, names: ShardKeys, items: Sequence[AdmitItem], window: int) -> None:
        self.keys: list[str] = []
        self.args: list[Arg] = []
        buckets: dict[str, list[tuple[int, AdmitItem]]] = {}
        asked = 0
        for item in items:
            key = item.request_key
            if key:
                name = names.idem(item.account, window, key)
                bucket = buckets.get(name)
                if bucket is None:
                    bucket = buckets[name] = []
                    self.keys += (name, names.idem(item.account, window - 1, key))
                bucket.append((asked, item))
                asked += 1
        numbers = [0] * asked
        different = count = 0
        for held in buckets.values():
            self.args.append(len(held))
            different += len({item.request_key for _, item in held})
            for at, item in held:
                self.args += (item.request_key, item.stored_answer)
                count += 1
                numbers[at] = count
        self.buckets = len(buckets)
        self.is_repeated = different < count
        self._numbers = iter(numbers)

    def number(self) -> int:
        """The number of the next submission that has a request key."""
        return next(self._numbers)


__all__ = [
    "ADMITTED", "DUPLICATE", "INSUFFICIENT", "PREFIX_VELOCITY", "QUEUE_FULL", "SPEND_LIMIT", "THROTTLED", "TOO_LATE",
    "AdmissionStore", "AdmitItem", "AdmitReply",
]  # fmt: skip
