"""Callbacks to the bound ESMEs of one account, read and settled in batches by whoever holds the account's role.

A callback leaves `out:<account>` only when an ESME has answered it; nothing is read ahead beyond the windows, so that
one ESME that does not read costs no more than its window. DESIGN section 1, law 8.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import structlog

from protocols.smpp.errors import EncodeError
from protocols.smpp.negotiation import takes_tlvs
from smscd.core.callback_records import CallbackOutcome
from smscd.core.directory_index import DirectoryIndex
from smscd.egress.esme.delivering import Delivering, Delivery
from smscd.egress.esme.delivers import SHORT_MESSAGE_MAX, DeliverEncoder
from smscd.egress.figures import OutboxFigures, observe_all
from smscd.egress.wake import Wake
from smscd.roles.leases import LeaseKeeper
from smscd.transport.connection import SmppConnection
from smscd.transport.registry import BoundSessions
from storage.redis.errors import Fenced, StorageUnavailable
from storage.redis.outbox import OutboxStore
from storage.redis.session import RoleSession

POLL_SECONDS: Final = 1.0
TAKE_AGAIN_SECONDS: Final = 1.0
ENTRIES_MAX: Final = 200
SETTLED_AT_ONCE: Final = 1000
RESULTS_GATHERED: Final = 50
GATHER_SECONDS: Final = 0.01
WINDOW_DEFAULT: Final = 100
BLOB_CALLBACKS_GUESS: Final = 200.0

_log = structlog.get_logger(__name__)


class AccountOutbox:
    """Serves one account while it has receivers here. clock: monotonic seconds, as RoleSession.deadline."""

    def __init__(
        self,
        account: str,
        *,
        store: OutboxStore,
        session: RoleSession,
        leases: LeaseKeeper,
        sessions: BoundSessions,
        directory: Callable[[], DirectoryIndex],
        encoder: DeliverEncoder,
        figures: OutboxFigures,
        clock: Callable[[], float],
        wall_ms: Callable[[], int],
        chance: Callable[[], float],
    ) -> None:
        self.account = account
        self._store = store
        self._session = session
        self._leases = leases
        self._sessions = sessions
        self._directory = directory
        self._encoder = encoder
        self._figures = figures
        self._clock = clock
        self._wall_ms = wall_ms
        self._chance = chance
        self._loop = asyncio.get_running_loop()
        self._wake = Wake(self._loop)
        self._work = Delivering(account, chance)
        self._cursor = "0-0"
        self._is_rung = True
        self._blob_callbacks = BLOB_CALLBACKS_GUESS
        self._turn = 0
        self._is_leaving = False

    # --- what happens to it -----------------------------------------------------------------------------------------

    def ring(self) -> None:
        """There may be callbacks that were not read, or a receiver more."""
        self._is_rung = True
        self._wake.set()

    def leave(self) -> None:
        """The last receiver is gone, or the process stops: send nothing more, settle what is answered, then end."""
        self._is_leaving = True
        self._wake.set()

    def stay(self) -> None:
        """A receiver has come back before we were gone."""
        self._is_leaving = False
        self.ring()

    def answered(self, answers: Sequence[tuple[Delivery, int]], now: float) -> None:
        """An ESME answered; the freed window is filled at once."""
        work, figures = self._work, self._figures
        observe_all(figures.response_seconds, [now - delivery.sent_at for delivery, _ in answers])
        work.answered(answers, now, self._wall_ms())
        self._send(now)
        self._wake.set()

    def timed_out(self, deliveries: Sequence[Delivery], now: float) -> None:
        """An ESME did not answer these in time."""
        self._figures.timed_out += len(deliveries)
        self._work.timed_out(deliveries, now)
        self._wake.set()

    def lost(self, deliveries: Sequence[Delivery]) -> None:
        """A session ended with these unanswered: another one gets them, or they stay in the outbox."""
        self._figures.unanswered += len(deliveries)
        self._work.unanswered(deliveries)
        self._wake.set()

    # --- the loop ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until told to leave; returns with the role given up."""
        while not self._is_leaving:
            try:
                is_ours = await self._session.take()
            except StorageUnavailable:
                is_ours = False
            if not is_ours:
                self._wake.clear()
                await self._wake.wait(TAKE_AGAIN_SECONDS)
                continue
            self._leases.add(self._session, self._wake.set)
            try:
                await self._serve()
            except Fenced:
                _log.info("outbox.lost", account=self.account)
            finally:
                await self._leases.give_up([self._session])
                self._forget()

    def _forget(self) -> None:
        """What was read belongs to the next owner."""
        self._work = Delivering(self.account, self._chance)
        self._cursor = "0-0"
        self._is_rung = True

    async def _serve(self) -> None:
        while True:
            self._wake.clear()
            began = self._loop.time()
            now = self._clock()
            next_due = self._work.wake(now)
            await self._settle()
            if not self._session.epoch or (self._is_leaving and not self._work.in_flight):
                return
            may_read_more = not self._is_leaving and await self._read()
            self._send(self._clock())
            if may_read_more:
                continue
            pause = POLL_SECONDS if next_due is None else min(POLL_SECONDS, max(0.001, next_due - now))
            if await self._wake.wait(pause):
                await self._wake.gather(began + GATHER_SECONDS, self._has_enough)
            else:
                self._is_rung = True

    def _has_enough(self) -> bool:
        return self._is_leaving or not self._session.epoch or len(self._work.results) >= RESULTS_GATHERED

    async def _settle(self) -> None:
        work = self._work
        while work.finished or work.results:
            finished, work.finished = work.finished[:SETTLED_AT_ONCE], work.finished[SETTLED_AT_ONCE:]
            results, work.results = work.results[:SETTLED_AT_ONCE], work.results[SETTLED_AT_ONCE:]
            await self._store.settle(finished, results)
        self._count()

    def _count(self) -> None:
        work, figures = self._work, self._figures
        figures.delivered += work.delivered
        figures.refused += work.retried
        figures.dead += work.dead
        work.delivered = work.retried = work.dead = 0

    async def _read(self) -> bool:
        """Read what the windows can take twice over, and not while as much as that has not ended.

        True when there may be more to read and room for it.
        """
        wanted = 2 * sum(self._window(connection) for connection in self._sessions.sessions(self.account))
        if not self._is_rung or self._work.ready >= wanted or self._work.held >= 2 * wanted:
            return False
        asked = min(ENTRIES_MAX, int(wanted / self._blob_callbacks) + 2)
        try:
            entries = await self._store.read(self._cursor, asked)
        except StorageUnavailable as error:
            _log.info("outbox.waiting_for_storage", account=self.account, error=str(error))
            return False
        self._is_rung = len(entries) == asked
        if not entries:
            if not self._work.held:
                # All of it has ended, and an emptied stream begins anew, perhaps with smaller ids.
                self._cursor = "0-0"
            return False
        held = self._work.held
        now_ms = self._wall_ms()
        for entry_id, blob in entries:
            self._cursor = entry_id
            try:
                self._work.add(entry_id, blob, now_ms)
            except msgspec.DecodeError as error:
                _log.error("outbox.unreadable", account=self.account, entry_id=entry_id, error=str(error))
        self._blob_callbacks += ((self._work.held - held) / len(entries) - self._blob_callbacks) * 0.3
        return self._is_rung

    def _window(self, connection: SmppConnection) -> int:
        """The delivery window of one session; 0 for one that takes none now."""
        if not (connection.is_writable and connection.session.can_deliver):
            return 0
        account = self._directory().account(self.account)
        return account.window_size if account is not None else WINDOW_DEFAULT

    def _send(self, now: float) -> None:
        """Fill the windows of the account's receivers, in turn, one flush for each."""
        work = self._work
        if not work.ready or self._is_leaving or now >= self._session.deadline:
            return
        room = [
            (connection, free)
            for connection in self._sessions.sessions(self.account)
            if (free := self._window(connection) - connection.session.pending_count) > 0
        ]
        if not room:
            return
        self._turn += 1
        start = self._turn % len(room)
        room = room[start:] + room[:start]
        if len(room) > 1:
            # What an ESME of before 3.4 does not take is left to those after it.
            room.sort(key=lambda place: takes_tlvs(place[0].session.peer_interface_version))
        for at, (connection, free) in enumerate(room):
            share = -(-work.ready // (len(room) - at))
            self._send_over(connection, work.take(min(free, share)), now)

    def _has_newer(self) -> bool:
        """Whether a session of the account takes message_payload."""
        return any(takes_tlvs(one.session.peer_interface_version) for one in self._sessions.sessions(self.account))

    def _send_over(self, connection: SmppConnection, deliveries: list[Delivery], now: float) -> None:
        items: list[tuple[bytes, Delivery]] = []
        unfit: list[Delivery] = []
        body = self._encoder.body
        entry = self._directory().entry(self.account)
        alphabet = entry.dialect.default if entry is not None else None
        is_before_3_4 = not takes_tlvs(connection.session.peer_interface_version)
        for delivery in deliveries:
            try:
                if is_before_3_4 and len(delivery.record.body) > SHORT_MESSAGE_MAX:
                    if self._has_newer():
                        unfit.append(delivery)
                        continue
                    raise EncodeError("the text fits message_payload only, which an ESME before 3.4 does not have")
                items.append((body(delivery.record, alphabet), delivery))
            except EncodeError as error:
                _log.error("callback.unsendable", message_id=delivery.record.id, error=str(error))
                self._work.end(delivery, CallbackOutcome.DEAD, self._wall_ms(), "does not fit into deliver_sm")
                continue
            delivery.sent_at = now
        if unfit:
            self._work.unanswered(unfit)
        if items:
            self._figures.sent += len(items)
            connection.session.send_delivers(items, now)
            connection.flush()
