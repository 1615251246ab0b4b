"""The turn loop of one upstream: results of the last turn and intents of the next in one call, then the bytes.

One call is in flight at a time; what comes in meanwhile (answers, time-outs, lost binds, bells) is the next turn's
work, so a turn is one message at low load and hundreds at high load. DESIGN sections 3 and 4.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import chain
from typing import Final, TypeVar

import structlog

from smscd.core.breaker import Breaker, BreakerState
from smscd.core.error_table import ErrorTable
from smscd.core.upstream import Upstream
from smscd.egress.binds.links import Link
from smscd.egress.binds.ports import ParkedSink, Senders
from smscd.egress.dispatch.backlog import Backlog
from smscd.egress.dispatch.blobs import DOUBTED, SENDING, WAITING, Item, open_rest
from smscd.egress.dispatch.brake import Brake
from smscd.egress.dispatch.changes import Changes
from smscd.egress.dispatch.claims import Claims
from smscd.egress.dispatch.doubts import Doubts
from smscd.egress.dispatch.failover import Failover
from smscd.egress.dispatch.halting import Halting
from smscd.egress.dispatch.intake import Intake
from smscd.egress.dispatch.leaving import Leaving
from smscd.egress.dispatch.outcomes import outcomes, slowing
from smscd.egress.dispatch.resting import Resting
from smscd.egress.dispatch.sending import Sending
from smscd.egress.dispatch.turn import Answers, Draft, Ref
from smscd.egress.figures import UpstreamFigures, observe_all
from smscd.egress.wake import Wake
from storage.redis.dispatch import DispatchStore, TurnReply
from storage.redis.errors import StorageUnavailable
from storage.redis.session import RoleSession

GATHER_SECONDS: Final = 0.02
SWEEP_SECONDS: Final = 1.0
STORAGE_RETRY_SECONDS: Final = 0.1
PROMOTED_AT_ONCE: Final = 500

T = TypeVar("T")
_log = structlog.get_logger(__name__)


class Dispatcher:
    """Works one upstream's queues off, for as long as its role is held. gate: for the receipts' side to wait at.

    clock: monotonic seconds, the clock of RoleSession.deadline. wall_ms: milliseconds since the epoch that do not
    step. chance: uniform in 0..1. All methods are to be called on the event loop's thread.
    """

    def __init__(
        self,
        profile: Upstream,
        *,
        store: DispatchStore,
        session: RoleSession,
        senders: Senders,
        parked: ParkedSink,
        figures: UpstreamFigures,
        breaker: Breaker,
        clock: Callable[[], float],
        wall_ms: Callable[[], int],
        chance: Callable[[], float],
        failover: Failover | None = None,
    ) -> None:
        self.profile = profile
        self.breaker = breaker
        self.figures = figures
        self._store = store
        self._senders = senders
        self._parked = parked
        self._clock = clock
        self._wall_ms = wall_ms
        self._chance = chance
        self._errors = ErrorTable(profile)
        self._slow = 0
        self._is_cut = False
        self._backlog = Backlog()
        self._claims = Claims(profile.id, store)
        self._doubts = Doubts()
        self._rest: dict[int, Item] = {}
        self._resting = Resting()
        self._loop = asyncio.get_running_loop()
        self._wake = Wake(self._loop)
        self._changes = Changes()
        self._intake = Intake(wall_ms)
        self._brake = Brake(profile.id, self._backlog)
        self._sending = Sending(
            profile, backlog=self._backlog, breaker=breaker, senders=senders, session=session, figures=figures,
            clock=clock,
        )  # fmt: skip
        self._leaving = Leaving(
            failover, backlog=self._backlog, claims=self._claims, breaker=breaker, senders=senders, figures=figures
        )
        self.gate = self._intake.gate
        self._next_sweep = 0.0
        self._next_promote_ms = 0

    # --- what happens to it -----------------------------------------------------------------------------------------

    def wake(self) -> None:
        """New messages may be in the queues (a bell, the admitter of this process, or nobody knows)."""
        self._claims.ring()
        self._wake.set()

    def asked(self) -> None:
        """Somebody wants messages changed (a bell), or nobody knows."""
        self._changes.ring()
        self._wake.set()

    def links_changed(self) -> None:
        """A bind came up or went."""
        self._senders.count()
        self._wake.set()

    def answered(self, link: Link, answers: Answers, now: float) -> None:
        """A bind was answered. Called once for each read of its socket."""
        self._intake.answered(answers)
        waited = [now - ref[0].sent_at for ref, _, _ in answers]
        observe_all(self.figures.response_seconds, waited)
        if self.profile.breaker_slow_seconds:
            self._slow += sum(seconds > self.profile.breaker_slow_seconds for seconds in waited)
        throttled, full = slowing(answers, self._errors)
        link.rated(throttled, now, full, len(answers))
        self._wake.set()

    def timed_out(self, refs: list[Ref]) -> None:
        """A bind did not answer these in time."""
        self._intake.timed_out(refs)
        self._wake.set()

    def lost(self, link: Link, refs: list[Ref]) -> None:
        """A bind is gone; refs are what it never answered: one failure, however many they are."""
        self._intake.lost(refs)
        self._is_cut = self._is_cut or bool(refs)
        for item in link.begun:
            if not item.is_over and not item.due_ms:
                self._backlog.add_begun(item)
        link.begun.clear()
        self._wake.set()

    def unreached(self, times: int) -> None:
        """A bind could not be made, so many times in a row: a failure each, while no other bind can send."""
        is_alone = times >= self.profile.breaker_failures_max and not self._senders.senders()
        if is_alone and self.breaker.unreachable(self._clock()):
            self._breaker_changed()
            self._wake.set()

    def reported(self, source: bytes, dest: bytes, upstream_message_id: bytes, came_ms: int) -> None:
        """A receipt came at came_ms for a message from source to dest, with an id that no answer gave.

        When it must be of the one segment in doubt between the two, it is the answer that was missing: that is
        correlated, and the receipt, which is parked by now, found by it.
        """
        ref = self._doubts.find(source, dest, came_ms, self._held())
        if ref is not None:
            item, segment = ref
            item.states[segment] = SENDING  # until the answer is taken in: the next receipt is of another one
            self.figures.doubts_settled += 1
            _log.info("doubt.settled", upstream=self.profile.id, message_id=item.record.id)
            self._intake.answered([(ref, 0, upstream_message_id)])
            self._wake.set()

    def drain(self) -> None:
        """Send nothing new; what is on the way is still recorded when it is answered."""
        self._brake.is_draining = True
        self._wake.set()

    def halt(self, halting: Halting) -> None:
        """Follow what operators paused and resumed: what was not begun waits, or goes on."""
        self._brake.halt(halting)
        self.wake()

    def reconfigure(self, profile: Upstream) -> None:
        """Go on under a changed profile."""
        self.profile = profile
        self._sending.reconfigure(profile)
        self._errors = ErrorTable(profile)
        self._wake.set()

    @property
    def has_unrecorded(self) -> bool:
        """True while an answer came in whose turn is not done."""
        return self._intake.has_any or self._is_in_cycle

    _is_in_cycle = False
    _gives_no_ids = False

    # --- the loop ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until cancelled. Raises Fenced when the role was lost."""
        try:
            await self.take_rest_over()
            while True:
                self._wake.clear()
                began = self._loop.time()
                self._is_in_cycle = True
                is_idle = await self.cycle()
                self._is_in_cycle = False
                if is_idle:
                    await self._wake.wait(self._pause(self._clock()))
                else:
                    await self._wake.gather(began + GATHER_SECONDS, self._has_enough)
        finally:
            self._is_in_cycle = False
            self.figures.forget_standing()
            self.gate.correlated(self.gate.seen)

    def _has_enough(self) -> bool:
        return self._brake.is_draining or self._intake.has_enough(self.profile.window_size)

    async def cycle(self) -> bool:
        """One turn; True when there was nothing to do."""
        now, now_ms = self._clock(), self._wall_ms()
        draft = Draft(self.profile, now_ms, self._chance, self._errors)
        taken = self._intake.give(draft)
        self._judge(draft, now)
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP_SECONDS
            self._sweep(draft)
            await self._count_queued()
        await self._leaving.look(now, now_ms)
        for item in self._resting.take_due(now_ms):
            self._begin_again(item)
        if now_ms >= self._next_promote_ms:
            await self._promote(now_ms)
        if draft.correlated:
            await self._correlate(draft)
        self.gate.correlated(taken)
        links = self._sending.links()
        free = sum(link.free for link in links)
        held = self._backlog.held.size
        if self._brake.takes_new:
            await self._claim(draft, free)
        await self._changes.take(self._store, draft, self._held)
        self._send_again(draft)
        lots = self._sending.assign(draft, links, takes_new=self._brake.takes_new)
        turn = draft.finish()
        if turn.is_empty:
            has_more = self._backlog.held.size > held  # what may go stands behind what waits
            return not (await self._move_on(now, now_ms) or has_more)
        reply = await self._store.turn(turn)
        self._recorded(draft, reply)
        self._intake.withheld(self._sending.write(lots, reply.withheld))
        await self._move_on(now, now_ms)
        return False

    def _judge(self, draft: Draft, now: float) -> None:
        """Tell the breaker what the answers say of the upstream."""
        tally = draft.tally
        may_narrow = bool(tally.queue_full) and any(link.can_narrow for link in self._senders.senders())
        self._leaving.answered(tally, now)
        succeeded, failed = outcomes(tally, self._slow, may_narrow=may_narrow)
        failed += self._is_cut
        self._slow, self._is_cut = 0, False
        if (succeeded or failed) and self.breaker.record(succeeded, failed, now):
            self._breaker_changed()

    def _sweep(self, draft: Draft) -> None:
        """Once a second: what only time brings, and another look at the queues."""
        draft.time_passed(self._claims.blobs(), self._rest.values())
        self._leaving.must_look = True
        self._claims.ring()
        figures = self.figures
        figures.doubts, oldest_ms = self._doubts.prune()
        figures.doubt_oldest_seconds = (draft.now_ms - oldest_ms) / 1000 if figures.doubts else 0.0
        self._backlog.held.prune()
        self._changes.prune(draft.now_ms)
        self._changes.ring()
        self._senders.count()
        figures.claimed = len(self._backlog)
        figures.rest = len(self._rest)
        figures.breaker_state = self.breaker.state.value

    async def _count_queued(self) -> None:
        before = self.figures.queued
        try:
            self.figures.queued = await self._store.depth()
        except StorageUnavailable:
            return  # the gauge stays what it was; whatever else needs Redis waits for it
        self._brake.counted(before, self.figures.queued)

    async def _move_on(self, now: float, now_ms: int) -> bool:
        return self._brake.takes_new and await self._leaving.move_on(now, now_ms)

    async def _promote(self, now_ms: int) -> None:
        try:
            moved = await self._store.promote(now_ms, PROMOTED_AT_ONCE)
        except StorageUnavailable:
            moved = 0
        if moved:
            self._claims.ring()
        self._next_promote_ms = now_ms if moved >= PROMOTED_AT_ONCE else now_ms + 1000

    async def _correlate(self, draft: Draft) -> None:
        """Before the turn that records the acceptances: no crash may leave one whose receipt cannot be found."""
        found = await self._insist(lambda: self._store.correlate(draft.correlated, draft.now_ms))
        if found:
            parked = [(draft.correlated[index][0], draft.contexts[index], receipts) for index, receipts in found]
            await self._parked.apply_parked(parked)

    async def _claim(self, draft: Draft, free: int) -> None:
        wanted = max(2 * free, min(64, 2 * self.profile.window_size))
        wanted = self._leaving.wanted(wanted, self._clock())
        try:
            lost = await self._claims.claim(self._backlog, wanted, draft.now_ms)
        except StorageUnavailable as error:
            _log.info("dispatch.claim_failed", upstream=self.profile.id, error=str(error))
            self._claims.ring()
            return
        if lost:
            draft.lost(lost)
        self._changes.claimed(draft, self._claims.items)

    def _send_again(self, draft: Draft) -> None:
        for item in draft.again:
            if item.is_over:
                continue
            if item.due_ms > draft.now_ms:
                self._resting.add(item)
            else:
                item.due_ms = 0
                self._begin_again(item)

    def _begin_again(self, item: Item) -> None:
        if not self._backlog.held.keeps(item):
            self._backlog.add_begun(item)

    def _recorded(self, draft: Draft, reply: TurnReply) -> None:
        """The turn is durable: forget what it ended."""
        self._doubts.add(draft.doubtful)
        self._claims.forget(draft.finished_blobs)
        for message_id, item in draft.rests.items():
            if item.is_over:
                self._rest.pop(message_id, None)
            else:
                self._rest[message_id] = item
        if draft.turn.later:
            self._next_promote_ms = min(self._next_promote_ms, min(due for due, _, _ in draft.turn.later))
        if reply.untold:
            _log.info(
                "message.ended_by_receipt", upstream=self.profile.id, message_ids=draft.untold(reply.untold)[:10],
                count=len(reply.untold),
            )  # fmt: skip
        self.figures.tally.add(draft.tally)
        self.figures.turns += 1
        if draft.tally.without_id and not self._gives_no_ids:
            self._gives_no_ids = True
            _log.warning("upstream.accepted_without_id", upstream=self.profile.id, count=draft.tally.without_id)
        if reply.late_changes:
            _log.warning(
                "message.cancelled_too_late", upstream=self.profile.id, message_ids=reply.late_changes[:10],
                count=len(reply.late_changes),
            )  # fmt: skip

    # --- around it --------------------------------------------------------------------------------------------------

    async def take_rest_over(self) -> None:
        """What the owner before left without a blob: what it had sent is in doubt, what it was to send again is due."""
        self._changes.gone = await self._insist(self._store.gone)
        blobs = await self._insist(self._store.rest)
        for message_id, blob in blobs.items():
            item = open_rest(blob)
            self._rest[message_id] = item
            lost = [(item, segment) for segment, state in enumerate(item.states) if state == SENDING]
            self._intake.lost(lost)
            if DOUBTED in item.states:
                self._doubts.add((item,))
            if not lost and WAITING in item.states:
                self._resting.add(item)
        self.wake()

    def _held(self) -> Iterator[Item]:
        """Every message that is here."""
        return chain(self._claims.items(), self._rest.values())

    async def _insist(self, call: Callable[[], Awaitable[T]]) -> T:
        """Ask until Redis answers; only for what is harmless to ask twice."""
        while True:
            try:
                return await call()
            except StorageUnavailable as error:
                _log.info("dispatch.waiting_for_storage", upstream=self.profile.id, error=str(error))
                await asyncio.sleep(STORAGE_RETRY_SECONDS)

    def _pause(self, now: float) -> float:
        """How long nothing can become due by itself."""
        until = self._next_sweep
        if self._backlog.size and self._brake.takes_new:
            room_at = self._sending.next_room_at(now)
            until = until if room_at is None else min(until, room_at)
        due_ms = min(self._next_promote_ms, self._resting.next_due_ms or self._next_promote_ms)
        return max(0.001, min(until - now, (due_ms - self._wall_ms()) / 1000))

    def _breaker_changed(self) -> None:
        state = self.breaker.state
        self.figures.breaker_state = state.value
        self._leaving.must_look = True
        if state is BreakerState.OPEN:
            self.figures.breaker_opened += 1
            _log.warning("breaker.opened", upstream=self.profile.id)
        else:
            _log.info("breaker.closed", upstream=self.profile.id)
