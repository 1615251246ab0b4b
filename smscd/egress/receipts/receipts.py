"""What an upstream delivers: receipts and mobile-originated messages, durable before they are answered.

They come as deliver_sm or as data_sm, which are treated alike. A batch is what came in while the last one was under
way: two calls to Redis (match or park, then apply), one answer and one flush for each bind. DESIGN section 1, laws 7
and 8.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

import msgspec
import structlog

from protocols.smpp.constants import CommandStatus
from protocols.smpp.pdu import AlertNotification, DataSm
from protocols.smpp.receipt import Receipt
from smscd.core.directory_index import DirectoryIndex
from smscd.core.lifecycle import state_of_receipt
from smscd.core.reading import Reader
from smscd.core.records import ParkedReceipt, SentContext, State
from smscd.core.upstream import Upstream
from smscd.egress.binds.links import Link
from smscd.egress.binds.ports import Delivered
from smscd.egress.figures import UpstreamFigures
from smscd.egress.receipts.judging import judge_long_messages, key_of, parked_receipt, receipt_item
from smscd.egress.receipts.mobile import MobileMessages
from smscd.egress.receipts.parked import ParkedReceipts
from smscd.egress.receipts.record import ColdRecord
from smscd.egress.wake import Wake
from smscd.transport.connection import SmppConnection
from storage.redis.errors import StorageUnavailable
from storage.redis.receipts import Effect, ReceiptBatch, ReceiptStore

BATCH_MAX: Final = 500
RECEIPTS_GATHERED: Final = 50
GATHER_SECONDS: Final = 0.01
DEFER_SECONDS: Final = 10.0
STORAGE_RETRY_SECONDS: Final = 0.1
UNKNOWN_STATS_MAX: Final = 100

_ROK: Final = int(CommandStatus.ESME_ROK)
_RX_T_APPN: Final = int(CommandStatus.ESME_RX_T_APPN)

_encode = msgspec.msgpack.Encoder().encode
_log = structlog.get_logger(__name__)


class Read(NamedTuple):
    """The deliver_sm of one read of one bind, or its data_sm, to be answered together."""

    link: Link
    connection: SmppConnection
    pdus: Sequence[Delivered]
    at: float
    is_data: bool


class Receipts:
    """Takes what one upstream delivers, for as long as the role `receipts:<upstream>` is held.

    ids: IdSource.take of this process, for mobile-originated messages. correlated: returns when every answer that came
    before can be found by its receipt. reported: told (source, destination, upstream's id, when it came) of a message
    whose receipt nobody could match. hold_reading: stops and resumes reading from all binds of the upstream.
    record: for what Redis has forgotten.
    """

    def __init__(
        self,
        profile: Upstream,
        *,
        store: ReceiptStore,
        directory: Callable[[], DirectoryIndex],
        ids: Callable[[int, int], list[int]],
        correlated: Callable[[], Awaitable[None]],
        reported: Callable[[bytes, bytes, bytes, int], None],
        hold_reading: Callable[[bool], None],
        figures: UpstreamFigures,
        clock: Callable[[], float],
        wall_ms: Callable[[], int],
        record: ColdRecord | None = None,
    ) -> None:
        self.profile = profile
        self._reader = Reader(profile)
        self._store = store
        self._correlated = correlated
        self._reported = reported
        self._hold_reading = hold_reading
        self._figures = figures
        self._clock = clock
        self._wall_ms = wall_ms
        self._loop = asyncio.get_running_loop()
        self._wake = Wake(self._loop)
        self._waiting: list[Read] = []
        self._is_busy = False
        self._next_sweep = 0.0
        self._parked = ParkedReceipts(profile, store, figures, self.apply_parked, reported, record)
        self._has_matches = False
        self._mobile = MobileMessages(
            profile, store=store, directory=directory, ids=ids, figures=figures, wall_ms=wall_ms
        )
        self._unknown_stats: set[bytes] = set()

    def reconfigure(self, profile: Upstream) -> None:
        """Go on under a changed profile; what comes from now on is read by it."""
        self.profile = profile
        self._reader = Reader(profile)
        self._parked.reconfigure(profile)
        self._mobile.reconfigure(profile)

    def received(self, link: Link, pdus: Sequence[Delivered]) -> None:
        """A bind delivered these. The session itself stops reading when too many are unanswered."""
        connection = link.connection
        if connection is not None:
            self._waiting.append(Read(link, connection, pdus, self._clock(), isinstance(pdus[0], DataSm)))
            self._wake.set()

    def alerted(self, pdus: Sequence[AlertNotification]) -> None:
        """The upstream says that these numbers can be reached again: counted and logged, for the operator.

        Messages to them that wait in `later` are not touched. An alert says nothing of why those wait (most wait for
        the upstream, not for the phone), a retry before its time would break the backoff that protects the upstream,
        and a chatty or hostile upstream could make us send at a moment of its choosing.
        """
        self._figures.alerts += len(pdus)
        _log.info("upstream.alerted", upstream=self.profile.id, number=pdus[0].source_addr, count=len(pdus))

    def matched(self) -> None:
        """Operators may have matched orphans (a bell), or nobody knows."""
        self._has_matches = True
        self._wake.set()

    @property
    def is_idle(self) -> bool:
        """True when everything that came is durable and answered."""
        return not self._waiting and not self._is_busy

    async def run(self) -> None:
        """Work until cancelled. Raises Fenced when the role was lost."""
        try:
            await self._work()
        finally:
            self._mobile.forget()

    async def _work(self) -> None:
        while True:
            self._wake.clear()
            if self._has_matches:
                await self._apply_matches()
            if self._clock() >= self._next_sweep:
                await self.sweep()
            await self._tell_overdue()
            if not self._waiting:
                to_sweep = max(0.0, self._next_sweep - self._clock())
                await self._wake.wait(self._mobile.seconds_to_overdue(self._wall_ms(), to_sweep))
                continue
            began = self._loop.time()
            self._is_busy = True
            try:
                await self.work_off(self.next_batch())
            finally:
                self._is_busy = False
            await self._wake.gather(began + GATHER_SECONDS, self._has_enough)

    def _has_enough(self) -> bool:
        return sum(len(read.pdus) for read in self._waiting) >= RECEIPTS_GATHERED

    async def sweep(self) -> None:
        """Look at what is parked."""
        is_more = await self._parked.sweep(self._wall_ms())
        self._next_sweep = self._clock() + (0.0 if is_more else self._parked.pause_seconds)

    async def _apply_matches(self) -> None:
        """Apply the orphans that operators have matched, and say what they came to; once more when that fails."""
        try:
            matches = await self._store.matches()
            if matches:
                found = matches.values()
                await self._store.remember(
                    [(match.context, suffix, value) for match in found for suffix, value in match.states]
                )
                effects = await self._apply_known([(match.context, match.receipt) for match in found])
                await self._store.answer_matches(dict(zip(matches, effects, strict=True)))
            self._has_matches = False
        except StorageUnavailable as error:
            _log.info("receipts.matches_not_applied", upstream=self.profile.id, error=str(error))

    async def _tell_overdue(self) -> None:
        await self._mobile.load()
        batch = ReceiptBatch()
        self._mobile.add_overdue(batch, self._wall_ms())
        if batch.inbound:
            await self._store.apply(batch)

    def next_batch(self) -> list[Read]:
        reads: list[Read] = []
        count = 0
        for read in self._waiting:
            if count >= BATCH_MAX:
                break
            reads.append(read)
            count += len(read.pdus)
        del self._waiting[: len(reads)]
        return reads

    async def work_off(self, reads: list[Read]) -> None:
        receipts: list[tuple[Delivered, Receipt]] = []
        messages: list[Delivered] = []
        receipt_numbers: list[list[tuple[int, int]]] = []
        message_numbers: list[list[tuple[int, int]]] = []
        receipt_of = self._reader.receipt
        for read in reads:
            for_receipts: list[tuple[int, int]] = []
            for_messages: list[tuple[int, int]] = []
            for pdu in read.pdus:
                receipt = receipt_of(pdu)
                if receipt is None:
                    messages.append(pdu)
                    for_messages.append((pdu.sequence_number, _ROK))
                else:
                    receipts.append((pdu, receipt))
                    for_receipts.append((pdu.sequence_number, _ROK))
            receipt_numbers.append(for_receipts)
            message_numbers.append(for_messages)
        deferral = self._loop.call_later(DEFER_SECONDS, self._defer, reads, receipt_numbers)
        try:
            await self._make_durable(receipts, messages)
        finally:
            deferral.cancel()
        now = self._clock()
        for read, answers, more in zip(reads, receipt_numbers, message_numbers, strict=True):
            self._figures.receipt_seconds.observe(now - read.at, len(read.pdus))
            if answers or more:
                read.link.answer(read.connection, answers + more, is_data=read.is_data)
        self._hold_reading(False)

    def _defer(self, reads: list[Read], receipt_numbers: list[list[tuple[int, int]]]) -> None:
        """Storage has not answered for long: the upstream shall send its receipts again later, and we read no more.

        The batch is still made durable when storage is back; what then comes again is known already. Messages stay
        unanswered: they are known again for a short time only, see InboundRepeats.
        """
        _log.warning("receipts.deferred", upstream=self.profile.id, count=sum(map(len, receipt_numbers)))
        self._hold_reading(True)
        for read, answers in zip(reads, receipt_numbers, strict=True):
            if answers:
                self._figures.receipts_deferred += len(answers)
                deferred = [(number, _RX_T_APPN) for number, _ in answers]
                read.link.answer(read.connection, deferred, is_data=read.is_data)
                answers.clear()

    async def _make_durable(self, receipts: list[tuple[Delivered, Receipt]], messages: list[Delivered]) -> None:
        """Return when all of it is in the journal or parked."""
        now_ms = self._wall_ms()
        form = self.profile.receipt_id
        figures = self._figures
        batch = ReceiptBatch()
        if receipts:
            parked = [parked_receipt(pdu, receipt, self._state_of(receipt), now_ms) for pdu, receipt in receipts]
            if self._reader.names_tlvs:
                for kept, (pdu, _) in zip(parked, receipts, strict=True):
                    kept.named_tlvs = self._reader.named_tlvs(pdu.tlvs)
            keys = [(self._canonical(receipt, form), _encode(receipt)) for receipt in parked]
            await self._correlated()
            contexts = await self._match(keys, now_ms)
            upstream = self.profile.id
            items = batch.items
            for context, receipt, (pdu, _) in zip(contexts, parked, receipts, strict=True):
                if context is not None:
                    items.append(receipt_item(context, receipt, upstream, now_ms))
                elif receipt.upstream_message_id:
                    self._reported(pdu.destination_addr, pdu.source_addr, receipt.upstream_message_id, now_ms)
            if self.profile.receipt_segments != "all":
                judge_long_messages(items, self.profile.receipt_segments)
            figures.receipts += len(receipts)
            figures.receipts_parked += len(receipts) - len(items)
        marks = await self._mobile.add(batch, messages, now_ms) if messages else []
        if batch.items or batch.inbound:
            await self._apply_batch(batch)
        if marks:
            await self._mobile.remember(marks, now_ms)

    def _state_of(self, receipt: Receipt) -> State:
        """What it says of its message. A word that nobody knows ends nothing, and is told once."""
        state = state_of_receipt(receipt.stat, receipt.message_state, self.profile.receipt_stats)
        if state is not None:
            return state
        self._figures.receipts_unknown_stat += 1
        known = self._unknown_stats
        if receipt.stat and receipt.stat not in known and len(known) < UNKNOWN_STATS_MAX:
            known.add(receipt.stat)
            stat = receipt.stat.decode("ascii", "backslashreplace")
            _log.warning("receipt.stat_unknown", upstream=self.profile.id, stat=stat, setting="receipt_stats")
        return State.SENT

    def _canonical(self, receipt: ParkedReceipt, form: str) -> bytes:
        if not receipt.upstream_message_id:
            self._figures.receipts_unreadable += 1
        return key_of(receipt, form)

    async def _match(self, parked: list[tuple[bytes, bytes]], now_ms: int) -> list[SentContext | None]:
        while True:
            try:
                return await self._store.match(parked, now_ms)
            except StorageUnavailable as error:
                _log.info("receipts.waiting_for_storage", upstream=self.profile.id, error=str(error))
                await asyncio.sleep(STORAGE_RETRY_SECONDS)

    async def apply_parked(self, parked: list[tuple[bytes, SentContext, list[ParkedReceipt]]]) -> None:
        """Apply receipts that came before their submit_sm_resp, then forget that they were parked."""
        await self._apply_known([(context, receipt) for _, context, receipts in parked for receipt in receipts])
        try:
            await self._store.unpark([key for key, _, _ in parked])
        except StorageUnavailable as error:
            # They stay parked although they are applied: shown once more, applied never again.
            _log.info("receipts.not_unparked", upstream=self.profile.id, error=str(error))

    async def _apply_known(self, pairs: Sequence[tuple[SentContext, ParkedReceipt]]) -> list[Effect]:
        """Apply receipts whose messages are known, as if they had come now."""
        now_ms, upstream = self._wall_ms(), self.profile.id
        batch = ReceiptBatch([receipt_item(context, receipt, upstream, now_ms) for context, receipt in pairs])
        if self.profile.receipt_segments != "all":
            judge_long_messages(batch.items, self.profile.receipt_segments)
        return await self._apply_batch(batch) if batch.items else []

    async def _apply_batch(self, batch: ReceiptBatch) -> list[Effect]:
        effects = await self._store.apply(batch)
        figures = self._figures
        figures.receipts_repeated += effects.count(Effect.REPEATED)
        figures.receipts_undelivered += sum(
            effect is Effect.FINAL and item.record.state != State.DELIVERED
            for effect, item in zip(effects, batch.items, strict=True)
        )
        return effects
