"""One worker of the gateway in the simulation: the daemon's own parts, over simulated links, sockets and clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

from protocols.smpp.limits import SessionConfig
from smscd.core.directory_index import DirectoryIndex
from smscd.egress.binds.owner import Surroundings, UpstreamStores
from smscd.egress.binds.upstreams import Upstreams
from smscd.egress.esme.outbox import Outbox
from smscd.egress.figures import OutboxFigures
from smscd.ingress.admission import AdmissionMetrics, BatchAdmitter
from smscd.ingress.refusals import RefusedBatch
from smscd.ingress.smpp.auth import Authenticator
from smscd.ingress.smpp.operations import Operations
from smscd.ingress.smpp.server import SmppServer
from smscd.roles.leases import LeaseKeeper
from smscd.roles.node import Node
from smscd.roles.services import TaskService
from smscd.transport.dial import connect
from smscd.transport.registry import BoundSessions
from storage.redis.admission import AdmissionStore
from storage.redis.dispatch import DispatchStore
from storage.redis.errors import StorageUnavailable
from storage.redis.keys import ShardKeys, UpstreamKeys
from storage.redis.link import RedisLink
from storage.redis.outbox import OutboxStore
from storage.redis.receipts import ReceiptStore
from storage.redis.session import RoleSession
from tests.integration.changes_fake import FakeChanges
from tests.simulation.loop import Host, VirtualLoop
from tests.simulation.store import SimulatedRedis

KEYS = ShardKeys(0)
PEPPER = b"pepper"
STOP_SECONDS = 8.0


class Note:
    """RefusalNote on a disk that outlives the process."""

    def __init__(self, disk: dict[str, RefusedBatch], name: str) -> None:
        self._disk = disk
        self._name = name

    def write(self, batch: RefusedBatch) -> None:
        self._disk[self._name] = batch

    def read(self) -> RefusedBatch | None:
        return self._disk.get(self._name)

    def clear(self) -> None:
        self._disk.pop(self._name, None)


class Bells:
    """Rung now and then: a bell may be missed, and may ring for nothing."""

    def __init__(self) -> None:
        self._listeners: dict[bytes, list[Callable[[], None]]] = {}

    def subscribe(self, payload: bytes, callback: Callable[[], None]) -> None:
        self._listeners.setdefault(payload, []).append(callback)

    def unsubscribe(self, payload: bytes, callback: Callable[[], None]) -> None:
        self._listeners[payload].remove(callback)

    def ring(self) -> None:
        for callbacks in list(self._listeners.values()):
            for callback in tuple(callbacks):
                callback()


class Gateway:
    """A worker. name: its owner's name in leases, and where its SMPP server listens."""

    def __init__(
        self,
        name: str,
        loop: VirtualLoop,
        redis: SimulatedRedis,
        directory: Callable[[], DirectoryIndex],
        disk: dict[str, RefusedBatch],
        chance: Random,
        ended: Callable[[Gateway], None],
    ) -> None:
        self.name = name
        self.host = Host(name)
        self.bells = Bells()
        self.is_stopping = False
        self._loop = loop
        self._redis = redis
        self._directory = directory
        self._disk = disk
        self._chance = chance
        self._ended = ended
        self.task = loop.create_task(self._run(), context=self.host.context)

    def _link(self, purpose: str) -> RedisLink:
        return self._redis.link(f"{self.name}-{purpose}")

    def _session(self, role: str) -> RoleSession:
        return RoleSession(self._link(role), KEYS, role, self.name)

    def redis_ms(self) -> int:
        """As the daemon follows it: a step of Redis TIME moves nothing here."""
        return int(self._loop.now * 1000) + self.node.session.clock_offset_ms

    def _open_stores(self, upstream: str) -> UpstreamStores:
        names = UpstreamKeys(upstream)
        dispatch, receipts = self._session(f"dispatch:{upstream}"), self._session(f"receipts:{upstream}")
        return UpstreamStores(
            DispatchStore(upstream, KEYS, names, dispatch, self._link(f"reads:{upstream}")),
            dispatch,
            ReceiptStore(KEYS, names, receipts, self._link(f"matches:{upstream}"), lambda: self.node.session.key),
            receipts,
        )

    def _open_outbox(self, account: str) -> tuple[OutboxStore, RoleSession]:
        session = self._session(f"deliver:{account}")
        return OutboxStore(account, KEYS, session, self._link("shared")), session

    async def _run(self) -> None:
        loop, chance = self._loop, self._chance
        self.leases = LeaseKeeper(self._link("leases"))
        self.node = Node(self.name, self._session, self.leases, lambda: self._ended(self))
        leases = TaskService("leases", self.leases.run)
        await leases.start()
        while True:
            try:
                await self.node.start()
                break
            except StorageUnavailable:
                await asyncio.sleep(0.5)
        self.sessions = BoundSessions()
        around = Surroundings(
            open_stores=self._open_stores,
            leases=self.leases,
            dial=connect,
            directory=self._directory,
            ids=self.node.take_ids,
            clock=loop.time,
            wall_ms=self.redis_ms,
            chance=chance.random,
        )
        self.upstreams = Upstreams(around, subscribe=self.bells.subscribe, unsubscribe=self.bells.unsubscribe)
        self.outbox = Outbox(
            open_outbox=self._open_outbox,
            leases=self.leases,
            sessions=self.sessions,
            subscribe=self.bells.subscribe,
            unsubscribe=self.bells.unsubscribe,
            directory=self._directory,
            figures=OutboxFigures(),
            clock=loop.time,
            wall_ms=self.redis_ms,
            chance=chance.random,
        )
        admitter = BatchAdmitter(
            AdmissionStore(KEYS, self.node.session),
            metrics=AdmissionMetrics(lambda count, seconds, verdicts: None, lambda count: None),
            on_admitted=lambda upstreams: [self.upstreams.wake(name) for name in sorted(upstreams)] and None,
            is_open=lambda: True,
            note=Note(self._disk, self.name),  # type: ignore[arg-type]  # on a disk of ours
        )
        admission = TaskService("admission", admitter.run, drain=admitter.drain)
        server = SmppServer(
            config=SessionConfig(response_seconds=5.0, enquire_link_seconds=10.0),
            directory=self._directory,
            admitter=admitter,
            ids=self.node.ids,
            authenticator=Authenticator(PEPPER),
            operations=Operations(FakeChanges(), self._directory, self.redis_ms),  # type: ignore[arg-type]  # unasked
            sessions=self.sessions,
            now_ms=self.redis_ms,
            sink=self.outbox,
        )
        await self.upstreams.start()
        await admission.start()
        await server.start(self.name, 2775)
        await self.outbox.start()
        self._stop = loop.create_future()
        await self._stop
        self.is_stopping = True
        for part in (self.outbox, self.upstreams, server, admission):
            try:
                async with asyncio.timeout(STOP_SECONDS / 4):
                    await part.drain()
            except TimeoutError:
                pass
        await self.outbox.stop()
        server.stop()
        await self.upstreams.stop()
        await self.node.stop()
        self._ended(self)

    def terminate(self) -> None:
        """SIGTERM."""
        stop = getattr(self, "_stop", None)
        if stop is not None and not stop.done():
            stop.set_result(None)

    @property
    def is_up(self) -> bool:
        """True once it serves."""
        return hasattr(self, "_stop") and not self.is_stopping
