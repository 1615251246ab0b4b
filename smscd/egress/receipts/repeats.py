"""Mobile-originated messages that an upstream delivers once more because it did not see our answer: each counts once.

A receipt is known again by the state of its message, for as long as that is kept. A message from a phone has no id of
the upstream's, so that the same words twice may be meant twice: it is a repeat only within a short window.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import structlog

from smscd.egress.binds.ports import Delivered
from smscd.egress.figures import UpstreamFigures
from storage.redis.errors import StorageUnavailable
from storage.redis.receipts import ReceiptStore

MARK_SIZE: Final = 12
STORAGE_RETRY_SECONDS: Final = 0.1

_log = structlog.get_logger(__name__)


class InboundRepeats:
    """What one upstream delivered of late.

    Asked before a message is recorded and told after. The marks of the last batch are kept by the call that recorded
    it, too, so that a crash between the two makes no message twice: recall() comes first. window_ms: how long one that
    comes again is a repeat; 0 is never.
    """

    def __init__(self, store: ReceiptStore, figures: UpstreamFigures) -> None:
        self._store = store
        self._figures = figures

    async def recall(self, now_ms: int, window_ms: int) -> None:
        """Remember what the owner before, or a call that failed, recorded last. Raises StorageUnavailable."""
        came_ms, marks = await self._store.last_marks()
        if window_ms and marks and came_ms > now_ms - window_ms:
            await self._store.remember_inbound(marks, min(came_ms, now_ms), window_ms)

    async def leave_out(
        self, messages: Sequence[Delivered], now_ms: int, window_ms: int
    ) -> tuple[list[Delivered], list[bytes]]:
        """Those that did not come before, and their marks, which are to be remembered once they are durable."""
        if not window_ms:
            return list(messages), []
        marks = [inbound_mark(pdu) for pdu in messages]
        seen = await self._seen(marks, now_ms, window_ms)
        fresh: dict[bytes, Delivered] = {}
        for pdu, mark, was_seen in zip(messages, marks, seen, strict=True):
            if not was_seen:
                fresh.setdefault(mark, pdu)
        repeated = len(messages) - len(fresh)
        if repeated:
            self._figures.inbound_repeated += repeated
            _log.info("inbound.repeated", upstream=self._figures.upstream, count=repeated)
        return list(fresh.values()), list(fresh)

    async def remember(self, marks: Sequence[bytes], now_ms: int, window_ms: int) -> None:
        """These are durable now."""
        try:
            await self._store.remember_inbound(marks, now_ms, window_ms)
        except StorageUnavailable as error:
            # One that comes again is then a second message, as it would be without a window.
            _log.info("inbound.not_remembered", upstream=self._figures.upstream, error=str(error))

    async def _seen(self, marks: Sequence[bytes], now_ms: int, window_ms: int) -> list[bool]:
        while True:
            try:
                return await self._store.seen_inbound(marks, now_ms, window_ms)
            except StorageUnavailable as error:
                _log.info("inbound.waiting_for_storage", upstream=self._figures.upstream, error=str(error))
                await asyncio.sleep(STORAGE_RETRY_SECONDS)


def inbound_mark(pdu: Delivered) -> bytes:
    """What is the same in a message that comes again: all of it but the sequence_number."""
    digest = blake2b(digest_size=MARK_SIZE)
    for part in (
        pdu.source_addr,
        pdu.destination_addr,
        bytes((pdu.esm_class & 0xFF, pdu.data_coding & 0xFF)),
        pdu.short_message,
        pdu.tlvs,
    ):
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.digest()
