"""The writer: takes the journal of one shard to PostgreSQL, batch by batch, and is never waited for by admission.

It lingers a little, so that what happens to one message falls into one batch and becomes one row. After any trouble
with the connection it forgets what it knows and reads the offset again: the offset moved in the transaction of the
rows, so it tells what is written. Only one writer works on a shard: by its lease, and by the offset if the lease fails.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import asyncpg
import structlog

from smscd.archive.announcer import Announcer
from smscd.archive.commit import Committer, WriterFenced
from smscd.archive.merge import Batch, Entry
from smscd.archive.patience import Patience
from storage.postgres.copyrows import RowBuilder
from storage.postgres.journal import Offset, read_offset
from storage.postgres.pool import UNAVAILABLE, Connection
from storage.redis.errors import StorageUnavailable

RECORDS_A_SLICE = 400
_AWAY: tuple[type[Exception], ...] = (*UNAVAILABLE, StorageUnavailable)
_TROUBLE: tuple[type[Exception], ...] = (*_AWAY, asyncpg.PostgresError)
_log = structlog.get_logger(__name__)


class JournalSource(Protocol):
    """Where the journal is read from: storage.redis.journal.JournalReader."""

    async def read(self, after: str, count: int) -> Sequence[Entry]:
        """At most count entries after an id, oldest first."""
        ...

    async def last_id(self) -> str:
        """The id of the newest entry ever written; "0-0" for none."""
        ...

    async def trim(self, below: str) -> None:
        """Delete the entries below an id."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterLimits:
    """linger_seconds: how old the oldest entry gets before a batch that is not full is written. batch_records: facts
    (admitted, sent, receipt, callback) that fill a batch. trim_*: how much of what is committed stays in the journal,
    whichever is less. answer_seconds: see Patience."""

    linger_seconds: float = 0.2
    answer_seconds: float = 5.0
    poll_seconds: float = 0.05
    batch_records: int = 20_000
    batch_bytes: int = 16 * 1024 * 1024
    read_entries: int = 1_000
    trim_after_seconds: float = 600.0
    trim_after_bytes: int = 256 * 1024 * 1024
    trim_every_seconds: float = 5.0
    backoff_seconds_first: float = 0.1
    backoff_seconds_max: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What one committed batch was. entry_ms: when each entry was written to the journal. seconds: the transaction's
    time. rows: by table, "messages_updated" for changes of earlier rows."""

    entries: int
    records: int
    entry_ms: Sequence[int]
    committed_ms: int
    seconds: float
    rows: dict[str, int]


class WriterObserver(Protocol):
    """Whom the writer tells how it does, once a batch."""

    def committed(self, commit: Commit) -> None:
        """A batch is in PostgreSQL."""
        ...

    def behind(self, seconds: float) -> None:
        """The age of the oldest entry that PostgreSQL does not have; 0 when it has all."""
        ...

    def interrupted(self, error: BaseException) -> None:
        """PostgreSQL or Redis is away, or refuses a whole batch; the writer goes on trying."""
        ...


class Writer:
    """Writes one shard. run() until it is cancelled, fenced, or drained."""

    def __init__(
        self,
        *,
        shard: int,
        journal: JournalSource,
        connect: Callable[[float], Awaitable[Connection]],
        observer: WriterObserver,
        now_ms: Callable[[], int],
        limits: WriterLimits | None = None,
        announcer: Announcer | None = None,
    ) -> None:
        """connect(seconds for an answer): a connection with WRITER_SETTINGS. now_ms: wall clock, as the journal's ids.

        announcer: has accounts warned; None: another does.
        """
        self._shard = shard
        self._journal = journal
        self._connect = connect
        self._observer = observer
        self._now_ms = now_ms
        self._limits = limits or WriterLimits()
        self._rows = RowBuilder()
        self._trimmer = _Trimmer(journal, self._limits)
        self._patience = Patience(self._limits.answer_seconds)
        self._announcer = announcer
        self._is_draining = False
        self._oldest_ms = 0
        self.offset: Offset | None = None

    def drain(self) -> None:
        """Have run() return once the journal is written to its end."""
        self._is_draining = True

    async def run(self) -> None:
        """Write until drained. Raises WriterFenced: then this process must not write this shard any more."""
        limits = self._limits
        pause = limits.backoff_seconds_first
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self._work()
                return
            except _TROUBLE as error:
                if not isinstance(error, _AWAY):
                    # Its text may quote a customer's: the state tells enough.
                    _log.error("writer.refused", shard=self._shard, sqlstate=getattr(error, "sqlstate", None))
                elif pause == limits.backoff_seconds_first:
                    _log.warning(
                        "writer.interrupted", shard=self._shard, error=type(error).__name__, reason=str(error)[:200]
                    )
                self._observer.interrupted(error)
                self._patience.failed(error)
            if loop.time() - began > 10 * limits.backoff_seconds_max:
                pause = limits.backoff_seconds_first
            await self._wait_and_tell(pause)
            pause = min(2 * pause, limits.backoff_seconds_max)

    async def _work(self) -> None:
        """On one connection, until it fails or all is drained."""
        connection = await self._connect(self._patience.seconds)
        try:
            offset = await read_offset(connection, self._shard)
            await self._check_position(offset)
            self.offset = offset
            committer = Committer(connection, self._shard, self._rows)
            self._trimmer.start(offset.last_id, self._now_ms())
            if self._announcer is not None:
                self._announcer.start(connection)
            while (batch := await self._collect(offset.last_id)) is not None:
                offset = await self._commit(committer, batch, offset)
                self._trimmer.committed(batch.last_id, batch.size_bytes, self._now_ms())
        except BaseException:
            connection.terminate()
            raise
        await connection.close()

    async def _check_position(self, offset: Offset) -> None:
        last = await self._journal.last_id()
        if _order(last) < _order(offset.last_id):
            raise StorageUnavailable(f"the journal ends at {last}, before {offset.last_id}, which is recorded already")

    async def _collect(self, after: str) -> Batch | None:
        """The next batch: all there is, up to the limits, once its oldest entry is old enough. None: drained.

        An entry is as old as its id says, or as long here: Redis's clock may have stepped ahead of ours.
        """
        limits, batch = self._limits, Batch()
        loop = asyncio.get_running_loop()
        paused, first_read = 0, 0.0
        while True:
            await self._trimmer.trim(self._now_ms())
            if self._announcer is not None:
                await self._announcer.announce(self._now_ms())
            entries = await self._journal.read(after, limits.read_entries)
            if not batch.entries:
                first_read = loop.time()
            for entry in entries:
                batch.add(entry)
                after = entry.id
                if batch.records >= limits.batch_records or batch.size_bytes >= limits.batch_bytes:
                    return batch
                if batch.records - paused >= RECORDS_A_SLICE:
                    paused = batch.records
                    await asyncio.sleep(0)  # a slice takes 1 to 2 ms; other parts of this worker have their turn
            if len(entries) == limits.read_entries:
                continue
            if batch.entries:
                self._oldest_ms = batch.entry_ms[0]
                age_seconds = max((self._now_ms() - self._oldest_ms) / 1000, loop.time() - first_read)
                left = limits.linger_seconds - age_seconds
                if left <= 0 or self._is_draining:
                    return batch
                await asyncio.sleep(min(left, limits.linger_seconds))
            elif self._is_draining:
                return None
            else:
                self._oldest_ms = 0
                self._observer.behind(0.0)
                await asyncio.sleep(limits.poll_seconds)

    async def _commit(self, committer: Committer, batch: Batch, offset: Offset) -> Offset:
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._oldest_ms = batch.entry_ms[0]
        new, rows = await committer.commit(batch, offset)
        self.offset = new
        if self._announcer is not None:
            self._announcer.committed(rows)
        now_ms = self._now_ms()
        seconds = loop.time() - began
        self._patience.answered(seconds)
        self._observer.committed(
            Commit(
                entries=batch.entries,
                records=batch.records,
                entry_ms=batch.entry_ms,
                committed_ms=now_ms,
                seconds=seconds,
                rows=rows,
            )
        )
        self._observer.behind(0.0)
        return new

    async def _wait_and_tell(self, seconds: float) -> None:
        """Pause, and say how far behind this leaves the record: at most, when the offset was not read yet."""
        if not self._oldest_ms:
            try:
                entries = await self._journal.read(self.offset.last_id if self.offset else "0-0", 1)
                self._oldest_ms = int(entries[0].id.partition("-")[0]) if entries else 0
            except StorageUnavailable:
                pass  # it is Redis that is away: the age is told when it is back
        if self._oldest_ms:
            self._observer.behind(max(0, self._now_ms() - self._oldest_ms) / 1000)
        await asyncio.sleep(seconds)


class _Trimmer:
    """Deletes from the journal what was committed long enough ago: by time, or by size when that is sooner."""

    def __init__(self, journal: JournalSource, limits: WriterLimits) -> None:
        self._journal = journal
        self._limits = limits
        self._marks: deque[tuple[str, int, int]] = deque()
        self._kept_bytes = 0
        self._next_ms = 0

    def start(self, last_id: str, now_ms: int) -> None:
        """What lies below the offset at the start is of unknown size: it goes by time, counted from now."""
        if not self._marks and last_id != "0-0":
            self._marks.append((last_id, now_ms, 0))

    def committed(self, last_id: str, size_bytes: int, now_ms: int) -> None:
        """Note a committed batch."""
        self._marks.append((last_id, now_ms, size_bytes))
        self._kept_bytes += size_bytes

    async def trim(self, now_ms: int) -> None:
        """Trim when it is time. Raises StorageUnavailable; then it is tried again later."""
        if now_ms < self._next_ms:
            return
        limits, marks = self._limits, self._marks
        self._next_ms = now_ms + int(limits.trim_every_seconds * 1000)
        oldest_ms = now_ms - int(limits.trim_after_seconds * 1000)
        below = ""
        while marks and (marks[0][1] <= oldest_ms or self._kept_bytes > limits.trim_after_bytes):
            below, _, size_bytes = marks.popleft()
            self._kept_bytes -= size_bytes
        if below:
            await self._journal.trim(below)


def _order(entry_id: str) -> tuple[int, int]:
    """A journal id as numbers that compare in its order."""
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number or 0)


__all__ = ["Commit", "JournalSource", "Writer", "WriterFenced", "WriterLimits", "WriterObserver"]
