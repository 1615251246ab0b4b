"""Looks again and again at the receipts that are parked: whose response is known by now, or is of another form.

A process may have died between writing one half of a pair and the other, and a carrier may spell its ids in two ways.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from protocols.smpp.message_ids import canonical_id
from smscd.core.records import ParkedReceipt, SentContext
from smscd.core.upstream import Upstream
from smscd.egress.figures import UpstreamFigures
from smscd.egress.receipts.cold import LOOK_EVERY_MS, ColdReceipts
from smscd.egress.receipts.forms import FormWatch, former_keys, meant, other_keys
from smscd.egress.receipts.record import ColdRecord
from storage.redis.errors import StorageUnavailable
from storage.redis.receipts import ReceiptStore

SWEEP_SECONDS: Final = 5.0
SWEPT_AT_ONCE: Final = 200
RIPE_MS: Final = 5_000
AMBIGUOUS_TOLD_MAX: Final = 1_000

Pair = tuple[bytes, SentContext, list[ParkedReceipt]]
_log = structlog.get_logger(__name__)


class ParkedReceipts:
    """Those of one upstream. apply(pairs): makes the pairs durable and forgets that they were parked.

    reported: as of Receipts; told again, because the doubt that a receipt settles may be known later than the receipt.
    record: for what Redis has forgotten. pause_seconds: until the next sweep, unless it is to come at once.
    """

    def __init__(
        self,
        profile: Upstream,
        store: ReceiptStore,
        figures: UpstreamFigures,
        apply: Callable[[list[Pair]], Awaitable[None]],
        reported: Callable[[bytes, bytes, bytes, int], None],
        record: ColdRecord | None = None,
    ) -> None:
        self._upstream = profile.id
        self._store = store
        self._figures = figures
        self._apply = apply
        self._reported = reported
        self._cold = ColdReceipts(profile, store, record, figures, apply)
        self.pause_seconds = SWEEP_SECONDS
        self._watch = FormWatch(profile.receipt_id)
        self._matched_before = self._matched
        self._passed_over = 0
        self._told: set[bytes] = set()

    def reconfigure(self, profile: Upstream) -> None:
        """The profile is another; what was learned of another form of ids counts no more."""
        self._cold.reconfigure(profile)
        if profile.receipt_id != self._watch.pinned:
            self._watch = FormWatch(profile.receipt_id)
            self._matched_before = self._matched

    @property
    def _matched(self) -> int:
        return self._figures.receipts - self._figures.receipts_parked

    @property
    def _in_profiles_form(self) -> int:
        return self._matched - self._matched_before

    async def sweep(self, now_ms: int) -> bool:
        """Look at the next SWEPT_AT_ONCE; True when so many were settled that the next look should come at once."""
        try:
            parked = await self._store.find_parked(self._passed_over, SWEPT_AT_ONCE, now_ms)
            others = await self._in_other_forms(parked.unmatched, now_ms)
        except StorageUnavailable:
            return False
        pairs = parked.pairs + others
        if pairs:
            await self._apply(pairs)
        settled = {key for key, _, _ in others}
        for key, receipts in parked.unmatched:
            if (
                key not in settled
                and key not in self._told
                and receipts[0].upstream_message_id
                and now_ms - receipts[0].at_ms >= RIPE_MS
            ):
                first = receipts[0]
                self._reported(first.dest, first.source, first.upstream_message_id, first.at_ms)
        self._passed_over = self._passed_over + parked.seen - len(pairs) if parked.seen == SWEPT_AT_ONCE else 0
        is_more = 2 * len(pairs) >= SWEPT_AT_ONCE
        try:
            is_pressed = await self._cold.sweep(now_ms)
            self._figures.parked = await self._store.parked_count()
        except StorageUnavailable:
            return is_more
        self.pause_seconds = LOOK_EVERY_MS / 1000 if is_pressed else SWEEP_SECONDS
        return is_more

    async def _in_other_forms(self, unmatched: list[tuple[bytes, list[ParkedReceipt]]], now_ms: int) -> list[Pair]:
        """Those of them that mean one message, and one alone, by a key that is not the one of the profile's form.

        Only once its response must have come: before that, the one that fits may not be there yet.
        """
        keys_of = self._any_keys if self._watch.is_open(self._in_profiles_form) else former_keys
        asked = [
            (key, receipts, keys_of(receipts[0].upstream_message_id, self._watch.pinned))
            for key, receipts in unmatched
            if receipts[0].upstream_message_id and now_ms - receipts[0].at_ms >= RIPE_MS
        ]
        wanted = list(dict.fromkeys(other for _, _, others in asked for other in others))
        if not wanted:
            return []
        known = await self._store.known(wanted, now_ms)
        pairs: list[Pair] = []
        for key, receipts, others in asked:
            found = meant(receipts, others, known)
            if isinstance(found, tuple):
                response, context = found
                pairs.append((key, context, receipts))
                self._note(response, receipts)
            elif found is False and key not in self._told and len(self._told) < AMBIGUOUS_TOLD_MAX:
                self._told.add(key)
                self._figures.receipts_ambiguous += 1
                _log.warning("receipt.ambiguous", upstream=self._upstream, upstream_message_id=_shown(key))
        return pairs

    @staticmethod
    def _any_keys(receipt_id: bytes, pinned: str) -> dict[bytes, bytes]:
        return other_keys(receipt_id, pinned) | former_keys(receipt_id, pinned)

    def _note(self, response: bytes, receipts: list[ParkedReceipt]) -> None:
        receipt_id, pinned = receipts[0].upstream_message_id, self._watch.pinned
        if canonical_id(response, pinned) == canonical_id(receipt_id, pinned, is_receipt=True):
            return  # in the profile's form, but sent before it was
        form = self._watch.matched(response, receipt_id)
        figures = self._figures
        figures.receipts_by_form[form] = figures.receipts_by_form.get(form, 0) + len(receipts)
        suggestion = self._watch.suggestion(self._in_profiles_form)
        if suggestion is not None:
            _log.warning(
                "upstream.receipt_id_suggested",
                upstream=self._upstream,
                receipt_id=suggestion,
                what=f'its receipts write the ids of its responses in another form: set receipt_id = "{suggestion}"'
                " in its profile, and they are matched at once instead of after some seconds",
            )


def _shown(octets: bytes) -> str:
    return octets.decode("ascii", "backslashreplace")
