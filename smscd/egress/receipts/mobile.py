"""Messages from phones that one upstream delivers: repeats are left out, parts wait for each other, ids are given."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from smscd.core.directory_index import DirectoryIndex
from smscd.core.ids import ClockSteppedError
from smscd.core.joining import Waits
from smscd.core.upstream import Upstream
from smscd.egress.binds.ports import Delivered
from smscd.egress.figures import UpstreamFigures
from smscd.egress.receipts.inbound import InboundReader, Taken
from smscd.egress.receipts.repeats import InboundRepeats
from storage.redis.errors import StorageUnavailable
from storage.redis.receipts import ReceiptBatch, ReceiptStore

STORAGE_RETRY_SECONDS: Final = 0.1
OVERDUE_PARTS: Final = 1_000
"""How many parts, about, are told as partial in one step."""

_log = structlog.get_logger(__name__)


class MobileMessages:
    """Those of one upstream, for as long as the role `receipts:<upstream>` is held.

    A batch that add() or add_overdue() filled is to be applied next: whoever does not know whether it was calls
    forget(). Parameters as of Receipts.
    """

    def __init__(
        self,
        profile: Upstream,
        *,
        store: ReceiptStore,
        directory: Callable[[], DirectoryIndex],
        ids: Callable[[int, int], list[int]],
        figures: UpstreamFigures,
        wall_ms: Callable[[], int],
    ) -> None:
        self._store = store
        self._directory = directory
        self._ids = ids
        self._figures = figures
        self._wall_ms = wall_ms
        self._repeats = InboundRepeats(store, figures)
        self._waits: Waits | None = None
        self.reconfigure(profile)

    def reconfigure(self, profile: Upstream) -> None:
        """What comes or is told from now on is read by this profile, and waits as long as it says."""
        self._profile = profile
        self._window_ms = profile.mo_join_seconds * 1000
        self._reader = InboundReader(profile)

    async def load(self) -> None:
        """Read what waits in Redis, unless that is known; without Redis it is read the next time."""
        await self._loaded()

    def forget(self) -> None:
        """What waits is only known to Redis now."""
        self._waits = None
        self._figures.inbound_waiting = 0

    async def add(self, batch: ReceiptBatch, messages: Sequence[Delivered], now_ms: int) -> list[bytes]:
        """Add what came to a batch; returns marks for remember(), once the batch is applied."""
        waits = await self._when_loaded()
        fresh, marks = await self._repeats.leave_out(messages, now_ms, self._profile.mo_repeat_seconds * 1000)
        if fresh:
            reader = self._reader
            ids = await self._take_ids(now_ms, reader.ids_wanted(fresh))
            batch.marks = now_ms, marks
            taken = reader.take(fresh, ids, waits, self._directory(), now_ms)
            figures = self._figures
            figures.inbound += len(taken.items) - taken.joined - taken.partial
            figures.inbound_unknown += sum(not (item.record.account or item.record.group_id) for item in taken.items)
            figures.inbound_repeated += taken.repeated
            self._fill(batch, taken, waits)
        return marks

    def add_overdue(self, batch: ReceiptBatch, now_ms: int) -> None:
        """Add to a batch what has waited long enough for its missing parts."""
        waits = self._waits
        if waits is not None and (ended := waits.overdue(now_ms, self._window_ms, OVERDUE_PARTS)):
            taken = Taken()
            self._reader.tell(ended, taken, self._directory(), now_ms)
            self._fill(batch, taken, waits)

    def seconds_to_overdue(self, now_ms: int, at_most: float) -> float:
        """How long until add_overdue() has something to add."""
        latest_ms = now_ms + int(at_most * 1000)
        due_ms = self._waits.next_due_ms(self._window_ms, latest_ms) if self._waits is not None else latest_ms
        return at_most if due_ms >= latest_ms else max(0.0, (due_ms - now_ms) / 1000)

    async def remember(self, marks: Sequence[bytes], now_ms: int) -> None:
        """Those that add() returned are durable now."""
        await self._repeats.remember(marks, now_ms, self._profile.mo_repeat_seconds * 1000)

    def _fill(self, batch: ReceiptBatch, taken: Taken, waits: Waits) -> None:
        batch.inbound += taken.items
        held, dropped = waits.changes()
        batch.held += held
        batch.dropped += dropped
        figures = self._figures
        figures.inbound_joined += taken.joined
        figures.inbound_partial += taken.partial
        figures.inbound_waiting = waits.parts

    async def _when_loaded(self) -> Waits:
        while True:
            waits = await self._loaded()
            if waits is not None:
                return waits
            await asyncio.sleep(STORAGE_RETRY_SECONDS)

    async def _loaded(self) -> Waits | None:
        if self._waits is None:
            try:
                now_ms = self._wall_ms()
                await self._repeats.recall(now_ms, self._profile.mo_repeat_seconds * 1000)
                held = await self._store.held_parts()
            except StorageUnavailable as error:
                _log.info("inbound.waiting_for_storage", upstream=self._profile.id, error=str(error))
                return None
            self._waits = Waits(held, now_ms)
            self._figures.inbound_waiting = self._waits.parts
        return self._waits

    async def _take_ids(self, now_ms: int, count: int) -> list[int]:
        while True:
            try:
                return self._ids(now_ms, count)
            except ClockSteppedError as error:
                _log.warning("inbound.waiting_for_clock", upstream=self._profile.id, error=str(error))
                await asyncio.sleep(STORAGE_RETRY_SECONDS)
                now_ms = self._wall_ms()
