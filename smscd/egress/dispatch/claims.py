"""Claiming: which entries of an upstream's queues this process has read, and what their readers may have left open."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Protocol

import msgspec
import structlog

from smscd.egress.dispatch.backlog import Backlog, ClaimPlan
from smscd.egress.dispatch.blobs import SENDING, Blob, Item, open_blob
from storage.redis.dispatch import QueueEntry

START: Final = "0-0"

_log = structlog.get_logger(__name__)


class QueueReader(Protocol):
    """The reading half of DispatchStore."""

    async def queues(self) -> list[str]: ...

    async def read(self, cursors: dict[str, str], count: int) -> list[QueueEntry]: ...

    async def opens(self, entries: Sequence[QueueEntry]) -> list[dict[bytes, bytes]]: ...


class Claims:
    """The open blobs of one owner, and a cursor for each queue that has any.

    A queue without an open blob is read from its start: all that is left in it is unread, and its stream may have been
    made anew with smaller ids.
    """

    def __init__(self, upstream: str, store: QueueReader) -> None:
        self._upstream = upstream
        self._store = store
        self._plan = ClaimPlan()
        self._is_rung = True
        self._unread: dict[str, str] = {}
        self._cursors: dict[str, str] = {}
        self._open: dict[str, dict[str, Blob]] = {}
        self._caught_up: set[str] = set()

    def ring(self) -> None:
        """There may be entries that were not read."""
        self._is_rung = True

    def blobs(self) -> list[Blob]:
        """The open blobs."""
        return [blob for blobs in self._open.values() for blob in blobs.values()]

    def items(self) -> Iterator[Item]:
        """The messages of the open blobs, those that are over included."""
        return (item for blobs in self._open.values() for blob in blobs.values() for item in blob.items)

    async def claim(self, backlog: Backlog, wanted: int, now_ms: int) -> list[tuple[Item, int]]:
        """Read until about `wanted` messages wait in the backlog, or the queues are read; one call to Redis, or none.

        Return the segments that an owner before this one may have sent. Raises StorageUnavailable.
        """
        if self._is_rung:
            self._is_rung = False
            try:
                names = await self._store.queues()
            except BaseException:
                self._is_rung = True
                raise
            self._unread = {name: self._owner(name)[0] for name in names}
        if not self._unread:
            return []
        queues = list(self._unread.items())
        if backlog.held.waits is not None:
            queues = [found for found in queues if backlog.held.may_read(found[0], self._owner(found[0])[1])]
        chosen, count = self._plan.choose(queues, backlog, wanted)
        if not chosen:
            return []
        entries = await self._store.read({name: self._cursors.get(name, START) for name in chosen}, count)
        new = [entry for entry in entries if entry.entry_id not in self._open.get(entry.queue, ())]
        marks = await self._marks(new)
        lost = self._add(backlog, new, marks, now_ms)
        self._note_ends(chosen, entries, count)
        return lost

    def _owner(self, queue: str) -> tuple[str, str]:
        """Priority and account of a queue."""
        priority, _, account = queue.split(f":q:{self._upstream}:", 1)[1].partition(":")
        return priority, account

    async def _marks(self, entries: list[QueueEntry]) -> dict[tuple[str, str], dict[bytes, bytes]]:
        """What the owner before noted of entries in queues that were not yet read to their end since the takeover."""
        asked = [entry for entry in entries if entry.queue not in self._caught_up]
        if not asked:
            return {}
        found = await self._store.opens(asked)
        return {(entry.queue, entry.entry_id): marks for entry, marks in zip(asked, found, strict=True) if marks}

    def _add(
        self,
        backlog: Backlog,
        entries: Iterable[QueueEntry],
        marks: dict[tuple[str, str], dict[bytes, bytes]],
        now_ms: int,
    ) -> list[tuple[Item, int]]:
        lost: list[tuple[Item, int]] = []
        blobs = messages = 0
        for entry in entries:
            opened = marks.get((entry.queue, entry.entry_id))
            try:
                blob = open_blob(entry, now_ms, opened)
            except msgspec.DecodeError as error:
                _log.error("queue.unreadable", queue=entry.queue, entry_id=entry.entry_id, error=str(error))
                blob = Blob(entry.queue, entry.entry_id, now_ms)
            self._open.setdefault(entry.queue, {})[entry.entry_id] = blob
            self._cursors[entry.queue] = entry.entry_id
            blobs += 1
            messages += len(blob.items)
            if opened is None:
                backlog.add(entry.queue, self._unread.get(entry.queue, "9"), blob.items)
                continue
            for item in blob.items:
                segments = [segment for segment, state in enumerate(item.states) if state == SENDING]
                lost += [(item, segment) for segment in segments]
                if not item.is_over and not segments:
                    backlog.add(entry.queue, self._unread.get(entry.queue, "9"), (item,))
        self._plan.learn(blobs, messages)
        return lost

    def _note_ends(self, chosen: list[str], entries: list[QueueEntry], count: int) -> None:
        """A queue that gave less than was asked for is read to its end, until the bell rings again."""
        read: dict[str, int] = {}
        for entry in entries:
            read[entry.queue] = read.get(entry.queue, 0) + 1
        for name in chosen:
            if read.get(name, 0) < count:
                self._unread.pop(name, None)
                self._caught_up.add(name)

    def forget(self, blobs: Iterable[Blob]) -> None:
        """These are done and deleted."""
        for blob in blobs:
            opened = self._open.get(blob.queue)
            if opened is None:
                continue
            opened.pop(blob.entry_id, None)
            if not opened:
                del self._open[blob.queue]
                self._cursors.pop(blob.queue, None)
