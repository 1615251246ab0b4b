"""The admitter: forms the next batch while the last one is under way, and hands each sink its verdicts.

No timers and no added latency: at low load a batch is one message and costs one round trip, at high load it grows to
500. A submission whose verdict does not come within its deadline is refused; what Redis admitted after that all the
same (its reply was lost) is found when the answer is asked for again, and cancelled.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import msgspec
import structlog

from smscd.core.idempotency import duplicate_of
from smscd.core.limits import prefix_of
from smscd.core.planning import Planned
from smscd.core.reasons import Reason
from smscd.core.verdicts import Accepted, Refused, Verdict, VerdictSink
from smscd.ingress.refusals import RefusalNote, RefusedBatch
from storage.redis.admission import (
    ADMITTED,
    DUPLICATE,
    INSUFFICIENT,
    PREFIX_VELOCITY,
    QUEUE_FULL,
    SPEND_LIMIT,
    THROTTLED,
    TOO_LATE,
    AdmissionStore,
    AdmitItem,
    AdmitReply,
    Refusal,
)
from storage.redis.errors import StorageUnavailable, Unanswered

BATCH_MESSAGES_MAX = 500
BATCH_BYTES_MAX = 256 * 1024
ANSWER_SECONDS = 0.9
MARGIN_SECONDS = 0.2
UNAVAILABLE = Refused(Reason.STORAGE_UNAVAILABLE, 1.0)
FULL = Refused(Reason.QUEUE_FULL, 1.0)
_FIXED: dict[int, Verdict] = {
    INSUFFICIENT: Refused(Reason.INSUFFICIENT_BALANCE),
    QUEUE_FULL: FULL,
    TOO_LATE: UNAVAILABLE,
}
_WAITS = {
    THROTTLED: Reason.RATE_LIMITED,
    SPEND_LIMIT: Reason.SPEND_LIMIT,
    PREFIX_VELOCITY: Reason.PREFIX_VELOCITY,
}
_encode = msgspec.msgpack.Encoder().encode
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class AdmissionMetrics:
    """What the admitter reports, once a batch. seconds: from submit() to the verdict, of the batch's oldest message."""

    on_batch: Callable[[int, float, bytes], None]
    on_refused_yet_admitted: Callable[[int], None]


@dataclass(slots=True)
class _Group:
    """What one submit() brought: planned messages from `start` on have no verdict yet."""

    planned: list[Planned]
    sink: VerdictSink
    arrived: float
    start: int = 0


class BatchAdmitter:
    """The admitter of one process and shard; see smscd.core.verdicts.Admitter for the interface.

    pending_max: messages that may wait; beyond it they are refused at once with QUEUE_FULL.
    on_admitted(upstreams): told which upstreams have new work, so that a dispatcher here need not wait for its bell.
    note: where a refused batch is kept until it is resolved.
    is_open(): False stops admission (memory or disk low).
    """

    def __init__(
        self,
        store: AdmissionStore,
        *,
        metrics: AdmissionMetrics,
        on_admitted: Callable[[set[str]], None],
        is_open: Callable[[], bool],
        note: RefusalNote,
        pending_max: int = 20_000,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._on_admitted = on_admitted
        self._is_open = is_open
        self._note = note
        self._pending_max = pending_max
        self._groups: deque[_Group] = deque()
        self._pending = 0
        self._wanted = asyncio.Event()

    @property
    def pending(self) -> int:
        """Messages that wait for their batch."""
        return self._pending

    def submit(self, planned: list[Planned], on_verdicts: VerdictSink) -> None:
        """Take planned messages for admission; see smscd.core.verdicts.Admitter.submit."""
        if not planned:
            return
        if self._pending + len(planned) > self._pending_max or not self._is_open():
            on_verdicts(0, [FULL] * len(planned))
            return
        self._groups.append(_Group(planned, on_verdicts, time.monotonic()))
        self._pending += len(planned)
        self._wanted.set()

    async def run(self) -> None:
        """Admit until cancelled. Raises Fenced when the role was lost; what waits is refused then."""
        reaper = asyncio.create_task(self._refuse_late())
        try:
            await self._resolve_former()
            while True:
                await self._wanted.wait()
                if not self._groups:
                    self._wanted.clear()
                    continue
                await self._admit(self._take_batch())
        finally:
            reaper.cancel()
            self._refuse_all()

    async def cancel(self, refused: list[Refusal]) -> list[int]:
        """Cancel what was admitted, before its customer is refused; returns the ids that are not cancelled."""
        self._metrics.on_refused_yet_admitted(len(refused))
        return await self._cancel(refused)

    async def drain(self) -> None:
        """Wait until nothing is pending."""
        while self._pending:  # noqa: ASYNC110  # once, at the end of the process
            await asyncio.sleep(0.01)

    def _take_batch(self) -> list[tuple[_Group, int, list[Planned]]]:
        """The next batch: slices (group, start, planned) in the order of arrival."""
        parts: list[tuple[_Group, int, list[Planned]]] = []
        room = BATCH_MESSAGES_MAX
        while self._groups and room > 0:
            group = self._groups[0]
            start = group.start
            taken = group.planned[start : start + room]
            parts.append((group, start, taken))
            group.start += len(taken)
            room -= len(taken)
            if group.start >= len(group.planned):
                self._groups.popleft()
        self._pending -= BATCH_MESSAGES_MAX - room
        return parts

    async def _admit(self, parts: list[tuple[_Group, int, list[Planned]]]) -> None:
        planned = [message for part in parts for message in part[2]]
        items: list[AdmitItem] = []
        size = 0
        for message in planned:
            record = message.record
            blob = _encode(record)
            size += len(blob)
            price_micros, messages = record.price_micros, [(record.upstream, record.priority, blob)]
            for other in message.others:
                blob = _encode(other)
                size += len(blob)
                price_micros += other.price_micros
                messages.append((other.upstream, other.priority, blob))
            item = AdmitItem(
                record.account,
                message.rate_per_second,
                message.burst,
                message.floor_micros,
                price_micros,
                message.queue_messages_max,
                messages,
                message.idem_key or b"",
                message.idem_value,
            )
            if message.is_strict:
                item.is_strict = True
            if record.send_at_ms:
                item.is_scheduled = True
            if message.limits is not None:
                item.limits = message.limits
                if message.limits.has_velocity:
                    item.prefixes = [prefix_of(record.dest) for record in message.records]
            items.append(item)
        at = 0
        rest = iter(items)
        while at < len(items):
            count = _fitting(items, at, size)
            await self._admit_items(parts, planned, at, list(islice(rest, count)))
            at += count

    async def _admit_items(
        self, parts: list[tuple[_Group, int, list[Planned]]], planned: list[Planned], at: int, items: list[AdmitItem]
    ) -> None:
        arrived = parts[0][0].arrived
        left = arrived + ANSWER_SECONDS - time.monotonic()
        chosen = planned[at : at + len(items)]
        if left <= MARGIN_SECONDS:
            self._deliver(parts, at, [UNAVAILABLE] * len(items))
            return
        not_after_ms = self._store.redis_ms() + int((left - MARGIN_SECONDS) * 1000)
        top_id = max(message.others[-1].id if message.others else message.record.id for message in chosen)
        try:
            reply = await self._store.admit(items, top_id, not_after_ms=not_after_ms, timeout=left)
        except Unanswered:
            refused = [
                [
                    Refusal(record.id, record.account, record.upstream, message.idem_key or b"")
                    for record in message.records
                ]
                for message in chosen
            ]
            self._note.write(RefusedBatch(self._store.place, refused))
            self._deliver(parts, at, [UNAVAILABLE] * len(items))
            await self._resolve(refused, (await self._store.resume()).verdicts)
            return
        except Exception:
            self._deliver(parts, at, [UNAVAILABLE] * (len(planned) - at))
            raise
        self._metrics.on_batch(len(items), time.monotonic() - arrived, reply.verdicts)
        if reply.journal_id:
            self._on_admitted({record.upstream for message in chosen for record in message.records})
        self._deliver(parts, at, _verdicts(chosen, reply))

    async def _resolve_former(self) -> None:
        """Do for a former process of this node what it was killed before: see RefusalNote."""
        batch = self._note.read()
        if batch is not None:
            verdicts = self._store.verdicts_at(batch.place)
            await self._resolve(batch.refusals, verdicts or bytes((TOO_LATE,)) * len(batch.refusals))

    async def _resolve(self, refused: list[list[Refusal]], verdicts: bytes) -> None:
        """Cancel what was admitted although its customer was refused. verdicts: what became of the batch."""
        admitted = [
            refusal
            for refusals, verdict in zip(refused, verdicts, strict=True)
            if verdict == ADMITTED
            for refusal in refusals
        ]
        if admitted:
            _log.warning("admission.refused_yet_admitted", messages=len(admitted))
            self._metrics.on_refused_yet_admitted(len(admitted))
            confirmed = await self._cancel(admitted)
            if confirmed:
                _log.info("admission.confirmed_by_a_copy", messages=len(confirmed))
        self._note.clear()

    async def _cancel(self, admitted: list[Refusal]) -> list[int]:
        while True:
            try:
                return await self._store.cancel(admitted)
            except StorageUnavailable:
                await asyncio.sleep(0.05)

    def _deliver(self, parts: list[tuple[_Group, int, list[Planned]]], at: int, verdicts: list[Verdict]) -> None:
        """Hand out verdicts for the batch's messages from number `at` on."""
        first, end = 0, at + len(verdicts)
        for group, start, taken in parts:
            last = first + len(taken)
            if last > at and first < end:
                low, high = max(first, at), min(last, end)
                group.sink(start + low - first, verdicts[low - at : high - at])
            first = last

    async def _refuse_late(self) -> None:
        """Refuse what has waited too long behind a batch that Redis does not answer."""
        while True:
            await asyncio.sleep(0.05)
            limit = time.monotonic() - ANSWER_SECONDS
            while self._groups and self._groups[0].arrived <= limit:
                self._refuse(self._groups.popleft())

    def _refuse_all(self) -> None:
        while self._groups:
            self._refuse(self._groups.popleft())

    def _refuse(self, group: _Group) -> None:
        left = len(group.planned) - group.start
        self._pending -= left
        group.sink(group.start, [UNAVAILABLE] * left)


def _fitting(items: list[AdmitItem], at: int, size: int) -> int:
    """How many items from `at` on fit one call; size: of all records together."""
    if size <= BATCH_BYTES_MAX:
        return len(items) - at
    total = 0
    for index in range(at, len(items)):
        total += sum(len(message[2]) for message in items[index].messages)
        if total > BATCH_BYTES_MAX and index > at:
            return index - at
    return len(items) - at


def _verdicts(planned: list[Planned], reply: AdmitReply) -> list[Verdict]:
    verdicts: list[Verdict] = []
    for index, letter in enumerate(reply.verdicts):
        message = planned[index]
        if letter == ADMITTED:
            record = message.record
            price_micros = record.price_micros
            if message.others:
                price_micros += sum(other.price_micros for other in message.others)
            verdicts.append(Accepted(record.id, price_micros, record.parts))
        elif letter == DUPLICATE:
            verdicts.append(duplicate_of(reply.extras[index], message.body_hash))
        elif letter in _WAITS:
            verdicts.append(Refused(_WAITS[letter], int(reply.extras[index]) / 1000))
        else:
            verdicts.append(_FIXED[letter])
    return verdicts
