"""Callbacks to bound ESMEs: an account that has a receiver in this process is served here, while the role is ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol, cast

import structlog

from smscd.core.directory_index import DirectoryIndex
from smscd.core.esme import BoundEsme
from smscd.egress.esme.account_outbox import AccountOutbox
from smscd.egress.esme.delivering import Delivery
from smscd.egress.esme.delivers import DeliverEncoder
from smscd.egress.figures import OutboxFigures
from smscd.roles.leases import LeaseKeeper
from smscd.transport.connection import SmppConnection
from smscd.transport.registry import BoundSessions
from storage.redis.outbox import OutboxStore
from storage.redis.session import RoleSession

CRASH_SECONDS: Final = 1.0

_log = structlog.get_logger(__name__)


class OpenOutbox(Protocol):
    """Makes the store of an account's outbox and its role's session."""

    def __call__(self, account: str) -> tuple[OutboxStore, RoleSession]: ...


class Outbox:
    """All accounts that have a receiver in this process; the core.esme.DeliverSink of the SMPP server.

    It is to be drained before the SMPP server, which reads no answers while it drains.
    """

    name = "outbox"

    def __init__(
        self,
        *,
        open_outbox: OpenOutbox,
        leases: LeaseKeeper,
        sessions: BoundSessions,
        subscribe: Callable[[bytes, Callable[[], None]], None],
        unsubscribe: Callable[[bytes, Callable[[], None]], None],
        directory: Callable[[], DirectoryIndex],
        figures: OutboxFigures,
        clock: Callable[[], float],
        wall_ms: Callable[[], int],
        chance: Callable[[], float],
    ) -> None:
        self._open_outbox = open_outbox
        self._leases = leases
        self._sessions = sessions
        self._subscribe = subscribe
        self._unsubscribe = unsubscribe
        self._directory = directory
        self._encoder = DeliverEncoder()
        self._figures = figures
        self._clock = clock
        self._wall_ms = wall_ms
        self._chance = chance
        self._accounts: dict[str, AccountOutbox] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._is_stopping = False

    async def start(self) -> None:
        """Serve whoever is bound already, and everybody who binds from now on."""
        self._sessions.on_change = self.changed
        for account in self._sessions.receiving_accounts():
            self.changed(account)

    async def drain(self) -> None:
        """Send nothing more; return when what was answered is settled and the roles are given up."""
        self._is_stopping = True
        for outbox in self._accounts.values():
            outbox.leave()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def stop(self) -> None:
        """End at once."""
        self._is_stopping = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- what the SMPP server and its registry tell ------------------------------------------------------------------

    def changed(self, account: str) -> None:
        """The sessions of an account changed: BoundSessions.on_change."""
        outbox = self._accounts.get(account)
        if self._sessions.can_receive(account):
            if outbox is None and not self._is_stopping:
                self._begin(account)
            elif outbox is not None and not self._is_stopping:
                outbox.stay()
        elif outbox is not None:
            outbox.leave()

    def answered(self, session: object, answers: list[tuple[object, int]]) -> None:
        """An ESME answered deliver_sm."""
        outbox = self._outbox_of(session)
        if outbox is not None:
            outbox.answered(cast("list[tuple[Delivery, int]]", answers), self._clock())

    def timed_out(self, session: object, refs: list[object]) -> None:
        """An ESME did not answer in time."""
        outbox = self._outbox_of(session)
        if outbox is not None:
            outbox.timed_out(cast("list[Delivery]", refs), self._clock())

    def lost(self, session: object, refs: list[object]) -> None:
        """A session ended with these unanswered."""
        outbox = self._outbox_of(session)
        if outbox is not None:
            outbox.lost(cast("list[Delivery]", refs))

    def _outbox_of(self, session: object) -> AccountOutbox | None:
        context = cast(SmppConnection, session).context
        return self._accounts.get(context.account) if isinstance(context, BoundEsme) else None

    def _begin(self, account: str) -> None:
        store, session = self._open_outbox(account)
        outbox = self._accounts[account] = AccountOutbox(
            account,
            store=store,
            session=session,
            leases=self._leases,
            sessions=self._sessions,
            directory=self._directory,
            encoder=self._encoder,
            figures=self._figures,
            clock=self._clock,
            wall_ms=self._wall_ms,
            chance=self._chance,
        )
        self._subscribe(b"o:" + account.encode(), outbox.ring)
        task = self._tasks[account] = asyncio.create_task(outbox.run(), name=f"outbox {account}")
        task.add_done_callback(lambda task: self._ended(account, outbox, task))

    def _ended(self, account: str, outbox: AccountOutbox, task: asyncio.Task[None]) -> None:
        self._unsubscribe(b"o:" + account.encode(), outbox.ring)
        self._accounts.pop(account, None)
        self._tasks.pop(account, None)
        if not task.cancelled() and task.exception() is not None:
            _log.error("outbox.crashed", account=account, error=repr(task.exception()))
            asyncio.get_running_loop().call_later(CRASH_SECONDS, self.changed, account)
        else:
            self.changed(account)
