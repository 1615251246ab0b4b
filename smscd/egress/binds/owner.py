"""One upstream as this process owns it, or waits to: takes the roles, works, and lets everything go when they end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

import structlog

from protocols.smpp.limits import SessionConfig
from smscd.core.breaker import Breaker, breaker_config
from smscd.core.directory_index import DirectoryIndex
from smscd.core.upstream import Upstream
from smscd.egress.binds.outbinds import OutbindDoor
from smscd.egress.binds.pool import UpstreamPool
from smscd.egress.binds.ports import Dial
from smscd.egress.dispatch.dispatcher import Dispatcher
from smscd.egress.dispatch.failover import Failover
from smscd.egress.dispatch.halting import Halting, halting_of
from smscd.egress.figures import UpstreamFigures
from smscd.egress.receipts.receipts import Receipts
from smscd.egress.receipts.record import ColdRecord
from smscd.egress.wake import Wake
from smscd.roles.leases import LeaseKeeper
from smscd.roles.services import run_supervised
from smscd.transport.connection import Callbacks, SmppConnection
from smscd.transport.outbinds import OutbindLimits
from smscd.transport.tls import ClientTls
from smscd.transport.trace import Traceable, traceable_by_address
from storage.redis.dispatch import DispatchStore
from storage.redis.errors import Fenced, StorageUnavailable
from storage.redis.receipts import ReceiptStore
from storage.redis.session import RoleSession

TAKE_AGAIN_SECONDS: Final = 1.0
DRAIN_LOOK_SECONDS: Final = 0.02
DRAIN_RECEIPTS_SECONDS: Final = 1.0

_log = structlog.get_logger(__name__)


class UpstreamStores(NamedTuple):
    """What one upstream needs of Redis: the stores and the sessions of `dispatch:<id>` and `receipts:<id>`."""

    dispatch: DispatchStore
    dispatch_session: RoleSession
    receipts: ReceiptStore
    receipts_session: RoleSession


class OpenStores(Protocol):
    """Makes the stores of an upstream."""

    def __call__(self, upstream: str) -> UpstreamStores: ...


class Surroundings(NamedTuple):
    """What every upstream of a process shares.

    ids: IdSource.take. clock: time.monotonic, the clock of the leases. wall_ms: milliseconds since the epoch that do
    not step. chance: uniform in 0..1. outbinds: where upstreams may call; None: nowhere. opened: told of each new
    connection that was dialed, before anything has passed, for traces. record: for receipts that Redis knows nothing
    of. move_after_seconds, no_bind_seconds, throttled_seconds: see core.failover.
    """

    open_stores: OpenStores
    leases: LeaseKeeper
    dial: Dial
    directory: Callable[[], DirectoryIndex]
    ids: Callable[[int, int], list[int]]
    clock: Callable[[], float]
    wall_ms: Callable[[], int]
    chance: Callable[[], float]
    outbinds: OutbindLimits | None = None
    opened: Callable[[Traceable], None] | None = None
    record: ColdRecord | None = None
    move_after_seconds: float = 5.0
    no_bind_seconds: float = 5.0
    throttled_seconds: float = 60.0


class UpstreamOwner:
    """Owns an upstream whenever nobody else does. pool: its binds, None while it is not ours."""

    def __init__(self, profile: Upstream, around: Surroundings, figures: UpstreamFigures) -> None:
        self.profile = profile
        self.figures = figures
        self.is_owner = False
        self._around = around
        self._stores = around.open_stores(profile.id)
        self._breaker = Breaker(breaker_config(profile))
        self._halting = halting_of(profile.id, around.directory(), around.wall_ms)
        self._dispatcher: Dispatcher | None = None
        self._receipts: Receipts | None = None
        self.pool: UpstreamPool | None = None
        self.door: OutbindDoor | None = None
        self._over = asyncio.Event()
        self._stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._is_stopping = False

    # --- what happens to it -----------------------------------------------------------------------------------------

    def wake(self) -> None:
        """There are new messages for it."""
        if self._dispatcher is not None:
            self._dispatcher.wake()

    def asked(self) -> None:
        """Somebody wants messages of it changed."""
        if self._dispatcher is not None:
            self._dispatcher.asked()

    def matched(self) -> None:
        """Operators have matched orphans of it."""
        if self._receipts is not None:
            self._receipts.matched()

    def reconfigure(self, profile: Upstream) -> None:
        """Go on under a changed profile."""
        self.profile = profile
        self._breaker.configure(breaker_config(profile))
        if self._dispatcher is not None and self._receipts is not None and self.pool is not None:
            self._dispatcher.reconfigure(profile)
            self._receipts.reconfigure(profile)
            self.pool.reconfigure(profile)
            if self.door is not None:
                self.door.changed()

    def halt(self, halting: Halting) -> None:
        """Follow what operators paused, drained and resumed."""
        if halting == self._halting:
            return
        if (halting.is_paused, halting.is_drained) != (self._halting.is_paused, self._halting.is_drained):
            _log.info("upstream.halted", upstream=self.profile.id, paused=halting.is_paused, drained=halting.is_drained)
        self._halting = halting
        if self._dispatcher is not None:
            self._dispatcher.halt(halting)

    async def run(self) -> None:
        """Own the upstream again and again, until end() is called."""
        while not self._is_stopping:
            try:
                if await self._take():
                    await self._own()
            except Exception:  # noqa: BLE001  # the top of a task: logged, and tried again after the pause
                _log.exception("upstream.crashed", upstream=self.profile.id)
            if not self._is_stopping:
                await asyncio.wait((self._stopped,), timeout=TAKE_AGAIN_SECONDS * (0.5 + self._around.chance()))

    async def drain(self) -> None:
        """Send nothing new; return when every answer that is awaited has come and is recorded."""
        self._is_stopping = True
        dispatcher, receipts, pool = self._dispatcher, self._receipts, self.pool
        if dispatcher is None or receipts is None or pool is None:
            return
        dispatcher.drain()
        while self.is_owner and (pool.pending or dispatcher.has_unrecorded):
            await asyncio.wait((self._stopped,), timeout=DRAIN_LOOK_SECONDS)
        # Receipts may never cease to come; what is not answered when we unbind comes again.
        quiet_by = self._around.clock() + DRAIN_RECEIPTS_SECONDS
        while self.is_owner and not receipts.is_idle and self._around.clock() < quiet_by:
            await asyncio.wait((self._stopped,), timeout=DRAIN_LOOK_SECONDS)

    def end(self) -> None:
        """Let go of everything; run() returns when that is done."""
        self._is_stopping = True
        self._over.set()
        if not self._stopped.done():
            self._stopped.set_result(None)

    # --- inside -----------------------------------------------------------------------------------------------------

    async def _take(self) -> bool:
        stores = self._stores
        try:
            if not await stores.dispatch_session.take():
                return False
            if await stores.receipts_session.take():
                return True
        except StorageUnavailable as error:
            _log.info("upstream.cannot_take", upstream=self.profile.id, error=str(error))
        await self._around.leases.give_up([stores.dispatch_session])
        return False

    def _build(self) -> tuple[Dispatcher, Receipts, UpstreamPool]:
        around, stores, figures = self._around, self._stores, self.figures
        receipts = Receipts(
            self.profile,
            store=stores.receipts,
            directory=around.directory,
            ids=around.ids,
            correlated=lambda: dispatcher.gate.wait(),
            reported=lambda *receipt: dispatcher.reported(*receipt),
            hold_reading=lambda is_held: pool.hold_reading(is_held),
            figures=figures,
            clock=around.clock,
            wall_ms=around.wall_ms,
            record=around.record,
        )
        pool = UpstreamPool(
            self.profile,
            dial=self._dial,
            delivers=receipts,
            figures=figures,
            clock=around.clock,
            chance=around.chance,
        )
        dispatcher = Dispatcher(
            self.profile,
            store=stores.dispatch,
            session=stores.dispatch_session,
            senders=pool,
            parked=receipts,
            figures=figures,
            breaker=self._breaker,
            clock=around.clock,
            wall_ms=around.wall_ms,
            chance=around.chance,
            failover=Failover(
                self.profile.id,
                stores.dispatch,
                around.directory,
                figures,
                grace_seconds=around.move_after_seconds,
                no_bind_seconds=around.no_bind_seconds,
                throttled_seconds=around.throttled_seconds,
            ),
        )
        return dispatcher, receipts, pool

    async def _dial(
        self, host: str, port: int, *, config: SessionConfig, callbacks: Callbacks, tls: ClientTls | None = None
    ) -> SmppConnection:
        def on_open(connection: SmppConnection) -> None:
            if self._around.opened is not None:
                self._around.opened(traceable_by_address(connection, self.profile.id))
            callbacks.on_open(connection)

        told = callbacks._replace(on_open=on_open)
        return await self._around.dial(host, port, config=config, callbacks=told, tls=tls)

    async def _own(self) -> None:
        """From taking the roles to losing or giving them up."""
        sessions = [self._stores.dispatch_session, self._stores.receipts_session]
        self._over.clear()
        if self._is_stopping:
            self._over.set()
        for session in sessions:
            self._around.leases.add(session, self._over.set)
        dispatcher, receipts, pool = self._build()
        dispatcher.halt(self._halting)
        self._dispatcher, self._receipts, self.pool = dispatcher, receipts, pool
        self.is_owner = True
        _log.info("upstream.owned", upstream=self.profile.id, epoch=sessions[0].epoch)
        work = [
            asyncio.create_task(dispatcher.run(), name=f"dispatch {self.profile.id}"),
            asyncio.create_task(receipts.run(), name=f"receipts {self.profile.id}"),
        ]
        if self._around.outbinds is not None:
            door = self.door = OutbindDoor(pool, self._around.outbinds, Wake(asyncio.get_running_loop()))
            work.append(asyncio.create_task(_keep_open(door), name=f"outbind {self.profile.id}"))
        over = asyncio.create_task(self._over.wait())
        pool.start(dispatcher, is_heir=sessions[0].was_abandoned)
        try:
            await asyncio.wait((*work, over), return_when=asyncio.FIRST_COMPLETED)
            for sending in (work[0], *work[2:]):
                sending.cancel()
            if self._is_stopping and all(session.is_held for session in sessions):
                # Receipts that come while we unbind are still taken.
                await pool.stop()
        finally:
            self.is_owner = False
            self._dispatcher = self._receipts = self.pool = self.door = None
            for task in (*work, over):
                task.cancel()
            await pool.cut()
            pool.count()
            results = await asyncio.gather(*work, over, return_exceptions=True)
            await self._around.leases.give_up(sessions)
            self._report(results)

    def _report(self, results: Sequence[object]) -> None:
        for result in results:
            if isinstance(result, Fenced):
                _log.warning("upstream.fenced", upstream=self.profile.id, detail=str(result))
            elif isinstance(result, Exception):
                _log.error("upstream.crashed", upstream=self.profile.id, exc_info=result)


async def _keep_open(door: OutbindDoor) -> None:
    """A door that fails is no reason to give the upstream up."""
    await run_supervised("outbind door", door.run)
