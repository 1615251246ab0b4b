"""Receipts whose message Redis does not know (any more): looked up in the record once, and then orphans.

Each id that is parked is looked up once, when it has been parked for a little while, oldest first and so many a second:
what no message has costs PostgreSQL one look. What was looked up and matched nothing is kept in the record as well from
then on, in case that Redis is lost, and told to it as an orphan after a while, for operators to match.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from hashlib import blake2b
from typing import Final

import msgspec
import structlog

from protocols.smpp.message_ids import canonical_id, responses
from smscd.core.ids import first_id
from smscd.core.planning import LIFE_MAX_MS
from smscd.core.records import OrphanRecord, ParkedReceipt, SentContext
from smscd.core.upstream import Upstream
from smscd.egress.figures import UpstreamFigures
from smscd.egress.receipts.forms import is_about
from smscd.egress.receipts.record import ColdFound, ColdRecord, RecordAway
from storage.redis.receipts import PARKED_MAX, ReceiptStore, Waiting

RIPE_MS: Final = 10_000
LOOK_EVERY_MS: Final = 1_000
SPELLED_AT_ONCE: Final = 1_000
ORPHANED_AFTER_MS: Final = 900_000
ORPHANED_AT_ONCE: Final = 1_000
CROWDED: Final = PARKED_MAX // 2
CROWDED_AFTER_MS: Final = 60_000
AMBIGUOUS_MAX: Final = 10_000
BACK_MS: Final = LIFE_MAX_MS + 7 * 86_400_000

Pair = tuple[bytes, SentContext, list[ParkedReceipt]]
_encode = msgspec.msgpack.Encoder().encode
_log = structlog.get_logger(__name__)


def decide(receipts: Sequence[ParkedReceipt], form: str, found: Iterable[ColdFound]) -> ColdFound | str:
    """The segment that receipts of one id speak of, or why there is none: unknown, ambiguous or unreadable.

    found: what the record has under any of the ids that are asked for. One that has the canonical id is believed;
    of several, one whose number alone the receipts are about.
    """
    receipt_id = receipts[0].upstream_message_id
    if not receipt_id:
        return "unreadable"
    wanted = canonical_id(receipt_id, form, is_receipt=True)
    fitting: dict[tuple[int, int], ColdFound] = {}
    for one in found:
        if canonical_id(one.response_id, form) == wanted:
            if one.is_one_of_many:
                return "ambiguous"
            fitting[one.context.id, one.context.segment] = one
    if len(fitting) > 1:
        about = [one for one in fitting.values() if all(is_about(one.context, receipt) for receipt in receipts)]
        return about[0] if len(about) == 1 else "ambiguous"
    return next(iter(fitting.values()), "unknown")


class ColdReceipts:
    """Those of one upstream, for as long as its role is held.

    apply(pairs): makes them durable and forgets that they were parked. record: None where there is none to ask.
    """

    def __init__(
        self,
        profile: Upstream,
        store: ReceiptStore,
        record: ColdRecord | None,
        figures: UpstreamFigures,
        apply: Callable[[list[Pair]], Awaitable[None]],
    ) -> None:
        self._profile = profile
        self._store = store
        self._record = record
        self._figures = figures
        self._apply = apply
        self._seen_ms = 0
        self._seen_then: set[bytes] = set()
        self._next_ms = 0
        self._is_away = False
        self._ambiguous: set[bytes] = set()

    def reconfigure(self, profile: Upstream) -> None:
        """What is parked may be understood in another form of ids now: all of it is looked up anew."""
        if profile.receipt_id != self._profile.receipt_id:
            self._seen_ms, self._seen_then = 0, set()
        self._profile = profile

    async def sweep(self, now_ms: int) -> bool:
        """Look up the next, and tell of orphans; True when there is more to be done soon. Raises StorageUnavailable."""
        if self._record is None or now_ms < self._next_ms:
            return False
        self._next_ms = now_ms + LOOK_EVERY_MS
        is_more = await self._look_up(self._record, now_ms)
        return await self._orphan(now_ms) or is_more

    async def _look_up(self, record: ColdRecord, now_ms: int) -> bool:
        form = self._profile.receipt_id
        waiting = await self._store.parked_between(
            self._seen_ms, now_ms - RIPE_MS, SPELLED_AT_ONCE + len(self._seen_then)
        )
        asked: list[Waiting] = []
        spelled: dict[bytes, None] = {}
        for one in waiting:
            if len(spelled) >= SPELLED_AT_ONCE:
                break
            if one.parked_ms == self._seen_ms and one.key in self._seen_then:
                continue
            asked.append(one)
            for receipt in one.receipts[:1]:
                spelled.update(dict.fromkeys(responses(receipt.upstream_message_id, form)))
        is_more = len(spelled) >= SPELLED_AT_ONCE
        hot = await self._store.known([one.key for one in asked], now_ms) if asked else {}
        try:
            found = await record.find(self._profile.id, list(spelled), first_id(now_ms - BACK_MS)) if spelled else []
        except RecordAway as error:
            if not self._is_away:
                _log.warning("receipts.record_away", upstream=self._profile.id, error=str(error))
            self._is_away = True
            return False
        self._is_away = False
        self._figures.receipts_looked_up += len(asked)
        by_key: dict[bytes, list[ColdFound]] = {}
        for segment in found:
            by_key.setdefault(canonical_id(segment.response_id, form), []).append(segment)
        # One whose response is known by now is left to the other sweep.
        await self._settle([one for one in asked if one.receipts and hot.get(one.key) is None], by_key)
        if not is_more:
            self._seen_ms, self._seen_then = now_ms - RIPE_MS + 1, set()
            return False
        for one in asked:
            if one.parked_ms > self._seen_ms:
                self._seen_ms, self._seen_then = one.parked_ms, set()
            self._seen_then.add(one.key)
        return True

    async def _settle(self, asked: Sequence[Waiting], by_key: dict[bytes, list[ColdFound]]) -> None:
        pairs: list[Pair] = []
        states: list[tuple[SentContext, bytes, int]] = []
        unmatched: list[OrphanRecord] = []
        for one in asked:
            verdict = decide(one.receipts, self._profile.receipt_id, by_key.get(one.key, ()))
            if isinstance(verdict, ColdFound):
                context = verdict.context
                pairs.append((one.key, context, one.receipts))
                states += [(context, suffix, value) for suffix, value in verdict.states]
                continue
            unmatched += (orphan_of(self._profile.id, receipt, verdict) for receipt in one.receipts)
            if verdict == "ambiguous":
                if len(self._ambiguous) < AMBIGUOUS_MAX:
                    self._ambiguous.add(one.key)
                self._figures.receipts_ambiguous += 1
                _log.warning(
                    "receipt.ambiguous",
                    upstream=self._profile.id,
                    upstream_message_id=one.key.decode("ascii", "backslashreplace"),
                )
        if unmatched:
            await self._store.keep(unmatched)
        if pairs:
            if states:
                await self._store.remember(states)
            await self._apply(pairs)
            self._figures.receipts_cold += sum(len(receipts) for _, _, receipts in pairs)

    async def _orphan(self, now_ms: int) -> bool:
        """Only what was looked up can be an orphan: while PostgreSQL is away, nothing is."""
        after_ms = ORPHANED_AFTER_MS if self._figures.parked < CROWDED else CROWDED_AFTER_MS
        last_ms = min(now_ms - after_ms, self._seen_ms - 1)
        waiting = await self._store.parked_between(0, last_ms, ORPHANED_AT_ONCE)
        if not waiting:
            return False
        known = await self._store.known([one.key for one in waiting], now_ms)
        orphans = [one for one in waiting if known.get(one.key) is None]
        ambiguous = self._ambiguous.union(known)
        records = [
            orphan_of(self._profile.id, receipt, "ambiguous" if one.key in ambiguous else "unknown")
            for one in orphans
            for receipt in one.receipts
        ]
        if records:
            await self._store.orphan(records)
            self._figures.receipts_orphaned += len(records)
            _log.warning("receipts.orphaned", upstream=self._profile.id, count=len(records))
        await self._store.unpark([one.key for one in orphans])
        self._ambiguous.difference_update(one.key for one in orphans)
        return len(waiting) == ORPHANED_AT_ONCE


def orphan_of(upstream: str, receipt: ParkedReceipt, reason: str) -> OrphanRecord:
    """The orphan that a parked receipt becomes. reason: unless it has no id that can be read."""
    mark = blake2b(_encode((upstream, receipt)), digest_size=16).digest()
    return OrphanRecord(upstream, mark, reason if receipt.upstream_message_id else "unreadable", receipt)
