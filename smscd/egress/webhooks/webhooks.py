"""Webhooks: reads callbacks that are due from storage, posts them, and records what became of each.

One loop reads, leases and settles in batches; a task posts one callback. Everything that is not settled stands in
storage: a stream entry is deleted, and a member of the later set removed, only by the call that records the end or
keeps the next attempt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec
import structlog

from smscd.core.callback_forms import read_form
from smscd.core.callback_records import CallbackOutcome, CallbackRecord, CallbackResult
from smscd.core.directory_index import DirectoryIndex
from smscd.egress.webhooks.endpoints import Endpoint, Endpoints, Group, Job
from smscd.egress.webhooks.ports import Ask, HookStore, Post
from smscd.egress.webhooks.post import url_of
from smscd.egress.webhooks.receivers import Receivers, fanned, step
from smscd.egress.webhooks.schedule import (
    GONE,
    NOT_SENT,
    Meaning,
    Posted,
    delay_seconds,
    meaning_of,
    parse_retry_after,
)
from smscd.egress.webhooks.sending import NOWHERE, Sender
from smscd.monitoring.metrics import Histogram
from storage.redis.errors import StorageUnavailable

HELD_MAX: Final = 5_000
ENTRIES_MAX: Final = 20
MEMBERS_MAX: Final = 200
SETTLED_MAX: Final = 500
LEASE_MS: Final = 60_000
LOOK_SECONDS: Final = 1.0
SHED_SECONDS: Final = 1.0
PAUSE_SECONDS: Final = 0.2
POSTPONED_SECONDS_MIN: Final = 2.0
POSTPONED_SECONDS_MAX: Final = 3_600.0
FIRST_ENTRY: Final = "0-0"

_decode_records = msgspec.msgpack.Decoder(list[CallbackRecord]).decode
_decode_record = msgspec.msgpack.Decoder(CallbackRecord).decode
_encode = msgspec.msgpack.Encoder().encode
_log = structlog.get_logger(__name__)


class WebhookFigures:
    """What webhooks count. Gauges are set, the rest only grows."""

    __slots__ = ("active", "dead", "delivered", "endpoints", "postponed", "retried", "seconds", "waiting")

    def __init__(self) -> None:
        self.delivered = 0
        self.retried = 0
        self.dead = 0
        self.postponed = 0
        self.active = 0
        self.waiting = 0
        self.endpoints = 0
        self.seconds = Histogram()


class Webhooks:
    """The deliveries of one shard, while the role `hooks` is held: run() until cancelled, finish() to drain.

    is_held: False as soon as the role may be another's; nothing is sent then. clock: monotonic seconds. wall_ms: Redis
    TIME. chance: uniform in 0..1. allows_private: the operator allows private addresses for all accounts.
    """

    def __init__(
        self,
        *,
        store: HookStore,
        is_held: Callable[[], bool],
        post: Post,
        ask: Ask,
        directory: Callable[[], DirectoryIndex],
        figures: WebhookFigures,
        clock: Callable[[], float],
        wall_ms: Callable[[], int],
        chance: Callable[[], float],
        requests_max: int = 200,
        per_endpoint_max: int = 10,
        allows_private: bool = False,
    ) -> None:
        self._store = store
        self._is_held = is_held
        self._sender = Sender(post=post, ask=ask, wall_ms=wall_ms, allows_private=allows_private)
        self._directory = directory
        self._figures = figures
        self._clock = clock
        self._wall_ms = wall_ms
        self._chance = chance
        self._requests_max = requests_max
        self._per_endpoint_max = per_endpoint_max
        self._woken = asyncio.Event()
        self._receivers = Receivers()
        self._forget()

    def _forget(self) -> None:
        """Begin with nothing in memory: all of it is in storage."""
        self._endpoints = Endpoints(self._requests_max, self._per_endpoint_max)
        self._tasks: set[asyncio.Task[None]] = set()
        self._cursor = FIRST_ENTRY
        self._held = 0
        self._members: set[bytes] = set()
        self._ended: list[Group] = []
        self._is_draining = False
        self._shed_at = self._clock()
        self._drained = asyncio.Event()

    def ring(self) -> None:
        """The bell of the shard's hooks: look now."""
        self._woken.set()

    async def run(self) -> None:
        """Deliver until cancelled. Raises Fenced when the role was lost."""
        self._forget()
        try:
            while True:
                self._woken.clear()
                is_busy = await self._turn()
                if self._is_draining and not self._held and not self._ended:
                    self._drained.set()
                if not is_busy:
                    await self._wait()
        finally:
            self._drained.set()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def finish(self) -> None:
        """Begin no more attempts; return when those under way have ended and are recorded."""
        self._is_draining = True
        for job in self._endpoints.take_all():
            self._keep(job, self._wall_ms(), job.record.attempt)
        self._woken.set()
        await self._drained.wait()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self._woken.wait()
        except TimeoutError:
            pass

    async def _turn(self) -> bool:
        """Settle what has ended and take in what is due; True when there may be more at once."""
        try:
            settled = await self._settle()
            taken = 0
            if not self._is_draining and self._held < HELD_MAX:
                taken = await self._read() + await self._promote()
        except StorageUnavailable:
            await asyncio.sleep(PAUSE_SECONDS)
            return False
        now = self._clock()
        if now - self._shed_at >= SHED_SECONDS:
            self._shed_at = now
            for endpoint, job in self._endpoints.shed(now):
                self._postpone(endpoint, job)
        self._begin()
        return bool(settled or taken)

    # --- in --------------------------------------------------------------------------------------------------------

    async def _read(self) -> int:
        """Take in new entries of the stream."""
        entries = await self._store.read(self._cursor, ENTRIES_MAX)
        for entry_id, blob in entries:
            self._cursor = entry_id
            try:
                records = _decode_records(blob)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                _log.error("webhook.unreadable", entry=entry_id, error=type(error).__name__)
                records = []
            group = Group(len(records), entry_id=entry_id)
            self._held += group.size
            if not records:
                self._ended.append(group)
            take = self._take
            if any(len(self._receivers.of(record, self._directory()) or ()) > 1 for record in records):
                take = self._pass_on
            for record in records:
                take(record, group)
        return len(entries)

    async def _promote(self) -> int:
        """Take in what is due again, first leased: it is due once more later, should this process die."""
        now_ms = self._wall_ms()
        due = await self._store.due(now_ms, MEMBERS_MAX)
        if not due:
            return 0
        await self._store.settle((), [(now_ms + LEASE_MS, member) for member in due], (), ())
        for member in due:
            if member in self._members:
                continue
            self._members.add(member)
            self._held += 1
            group = Group(1, member=member)
            try:
                record = _decode_record(member)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                _log.error("webhook.unreadable", error=type(error).__name__)
                self._ended.append(group)
                continue
            self._take(record, group)
        return len(due)

    def _pass_on(self, record: CallbackRecord, group: Group) -> None:
        """A callback becomes one for each of its endpoints, due now; one of another kind is due now as it is.

        So each has an end of its own, and none waits for another's to be recorded.
        """
        found = self._receivers.of(record, self._directory())
        if found is None or len(found) == 1:
            self._keep(Job(record, group, NOWHERE), self._wall_ms(), record.attempt)
            return
        now_ms = self._wall_ms()
        records, results = fanned(record, found, now_ms)
        group.later += [(now_ms, _encode(one)) for one in records]
        group.results += results
        self._settled(group)

    def _take(self, record: CallbackRecord, group: Group) -> None:
        """Queue a callback for its receiver, or say at once what becomes of it."""
        directory = self._directory()
        found = self._receivers.of(record, directory)
        if found is not None:
            if len(found) != 1:
                self._pass_on(record, group)
                return
            record = msgspec.structs.replace(record, endpoint=found[0])
        account = directory.account(record.account)
        if record.endpoint:
            receiver = self._receivers.find(record.endpoint, directory)
            if isinstance(receiver, str):
                self._bury(Job(record, group, NOWHERE), receiver)
                return
            text: str | None = receiver.url
        else:
            form = read_form(record.url)
            text = form.url if form is not None else record.url
        url = url_of(text or (account.webhook_url if account is not None else None))
        if account is None or url is None:
            self._failed(Job(record, group, NOWHERE), Posted(0, "no URL" if account else "no account"))
            return
        endpoint = self._endpoints.of(record.account, url, record.endpoint)
        job = Job(record, group, url, self._clock())
        if group.member and endpoint.beyond:
            endpoint.beyond -= 1
        if self._is_draining:
            self._keep(job, self._wall_ms(), record.attempt)
        elif endpoint.has_room:
            self._endpoints.add(endpoint, job)
        else:
            self._postpone(endpoint, job)

    def _postpone(self, endpoint: Endpoint, job: Job) -> None:
        """Send a callback back to storage because its receiver is too slow for all that waits.

        While nothing gets through at all, that counts as a failed attempt, so that a dead receiver's callbacks come
        to their end; else it is due before its turn should come, since that is but a guess.
        """
        endpoint.beyond += 1
        self._figures.postponed += 1
        if endpoint.is_failing:
            self._failed(job, Posted(0, "receiver is failing"))
            return
        seconds = min(max(endpoint.wait_seconds() / 2, POSTPONED_SECONDS_MIN), POSTPONED_SECONDS_MAX)
        self._keep(job, self._wall_ms() + int(seconds * 1000), job.record.attempt)

    # --- attempts ----------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Begin as many attempts as may be under way."""
        while self._is_held() and not self._is_draining and (found := self._endpoints.next()) is not None:
            task = asyncio.create_task(self._attempt(*found))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        figures = self._figures
        figures.active, figures.waiting = self._endpoints.active, self._endpoints.waiting
        figures.endpoints = len(self._endpoints)

    async def _attempt(self, endpoint: Endpoint, job: Job) -> None:
        """One attempt, and what follows from it."""
        began = self._clock()
        record, directory = job.record, self._directory()
        receiver = self._receivers.find(record.endpoint, directory) if record.endpoint else None
        if isinstance(receiver, str):
            self._endpoints.ended(endpoint)
            self._bury(job, receiver)
            return
        posted = await self._sender.send(record, job.url, directory.account(record.account), receiver)
        if receiver is not None:
            posted = msgspec.structs.replace(posted, revision=receiver.revision)
        seconds = self._clock() - began
        self._figures.seconds.observe(seconds)
        is_success = 200 <= posted.status < 300
        endpoint.answered(began + seconds, seconds, is_success=is_success, is_slow=posted.is_slow)
        self._endpoints.ended(endpoint)
        if is_success:
            self._end(job, CallbackOutcome.DELIVERED, "", posted)
        else:
            self._failed(job, posted)
        self._begin()

    def _failed(self, job: Job, posted: Posted) -> None:
        attempts = job.record.attempt + 1
        if meaning_of(posted, attempts) is Meaning.DEAD:
            if posted.status == GONE and job.record.endpoint:
                self._receivers.gone(job.record.endpoint, posted.revision)
            self._end(job, CallbackOutcome.DEAD, posted.detail, posted)
            return
        now_ms = self._wall_ms()
        asked = parse_retry_after(posted.retry_after, now_ms / 1000) if posted.retry_after else 0.0
        self._figures.retried += 1
        self._keep(job, now_ms + int(delay_seconds(attempts, asked, self._chance()) * 1000), attempts, posted)

    # --- out ---------------------------------------------------------------------------------------------------------

    def _keep(self, job: Job, due_ms: int, attempts: int, posted: Posted = NOT_SENT) -> None:
        """The callback is due again. What is only put off is no news of a callback that is kept already."""
        record = msgspec.structs.replace(job.record, attempt=attempts)
        job.group.later.append((due_ms, _encode(record)))
        if record.endpoint and (posted is not NOT_SENT or not job.group.member):
            pending = CallbackOutcome.PENDING
            news = step(record, pending, self._wall_ms(), code=posted.status, detail=posted.failure, next_ms=due_ms)
            job.group.results.append(_encode(news))
        self._settled(job.group)

    def _bury(self, job: Job, why: str) -> None:
        """The callback's endpoint is no more: no attempt is made."""
        self._figures.dead += 1
        self._ended_at_endpoint(job.record, job.group, CallbackOutcome.DEAD, why, NOT_SENT)

    def _end(self, job: Job, outcome: CallbackOutcome, detail: str, posted: Posted = NOT_SENT) -> None:
        """The callback was delivered, or it is dead."""
        record = job.record
        if outcome is CallbackOutcome.DELIVERED:
            self._figures.delivered += 1
        else:
            self._figures.dead += 1
            _log.debug("webhook.dead", message_id=record.id, account=record.account, reason=detail)
        attempts = record.attempt + 1
        if record.endpoint:
            record = msgspec.structs.replace(record, attempt=attempts)
            self._ended_at_endpoint(record, job.group, outcome, detail, posted)
            return
        result = CallbackResult(record.id, record.kind, record.account, int(outcome), self._wall_ms(), attempts, detail)
        result.is_replay = record.is_replay
        job.group.results.append(_encode(result))
        self._settled(job.group)

    def _ended_at_endpoint(
        self, record: CallbackRecord, group: Group, outcome: CallbackOutcome, detail: str, posted: Posted
    ) -> None:
        result = step(record, outcome, self._wall_ms(), code=posted.status, detail=detail, revision=posted.revision)
        group.results.append(_encode(result))
        self._settled(group)

    def _settled(self, group: Group) -> None:
        group.unsettled -= 1
        if not group.unsettled:
            self._ended.append(group)
            self._woken.set()

    async def _settle(self) -> int:
        """Record the groups that have ended, a bounded number of callbacks in one call."""
        groups: list[Group] = []
        size = 0
        for group in self._ended:
            if groups and size + group.size > SETTLED_MAX:
                break
            groups.append(group)
            size += group.size
        if not groups:
            return 0
        later = [kept for group in groups for kept in group.later]
        members = [group.member for group in groups if group.member]
        kept_members = {member for _, member in later}
        await self._store.settle(
            [group.entry_id for group in groups if group.entry_id],
            later,
            [member for member in members if member not in kept_members],
            [result for group in groups for result in group.results],
        )
        del self._ended[: len(groups)]
        self._members.difference_update(members)
        self._held -= size
        return len(groups)
