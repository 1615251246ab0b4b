"""The composition root of a worker: all that it is made of, but its doors and its archive (smscd.worker)."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from smscd.egress.binds.owner import Surroundings, UpstreamStores
from smscd.egress.binds.upstreams import Upstreams
from smscd.egress.esme.outbox import Outbox
from smscd.egress.figures import OutboxFigures
from smscd.egress.receipts.record import PostgresRecord
from smscd.egress.webhooks.post import Poster
from smscd.egress.webhooks.webhooks import WebhookFigures, Webhooks
from smscd.ingress.changes import MessageChanges
from smscd.ingress.http.keys import KeyUses
from smscd.ingress.record import RecordReader
from smscd.monitoring.health import Heartbeat, UpstreamBeat
from smscd.monitoring.metrics import Metrics, Sample
from smscd.monitoring.samples import outbox_samples, tls_samples, upstream_samples, webhook_samples
from smscd.monitoring.standstill import ROUTES_NAMED_MAX, halt_samples
from smscd.monitoring.vitals import Pulse
from smscd.roles.leases import LeaseKeeper
from smscd.roles.node import Node
from smscd.roles.role import RoleService
from smscd.roles.services import Service, TaskService
from smscd.supervision.control import WorkerConfig
from smscd.transport.dial import connect
from smscd.transport.outbinds import OutbindLimits
from smscd.transport.registry import BoundSessions
from smscd.transport.tls import ServerTls
from smscd.transport.trace import Tracer
from smscd.worker import smpp_door
from smscd.worker.archive import Archive
from smscd.worker.database import Database
from smscd.worker.directory_feed import DirectoryFeed
from smscd.worker.doors import Doors
from smscd.worker.key_uses import KeyUseWriter
from smscd.worker.sessions import SessionDesk
from smscd.worker.standings import Standings
from storage.postgres import pool as postgres
from storage.postgres.configuration import ConfigurationInvalid
from storage.redis.bell import CONFIG_CHANNEL, Bells
from storage.redis.breakers import Breakers
from storage.redis.changes import ChangeAsks
from storage.redis.dispatch import DispatchStore
from storage.redis.errors import StorageUnavailable
from storage.redis.guard import Guard
from storage.redis.journal import JournalReader
from storage.redis.keys import ShardKeys, UpstreamKeys
from storage.redis.link import RedisLink
from storage.redis.outbox import HookStore, OutboxStore
from storage.redis.receipts import ReceiptStore
from storage.redis.session import RoleSession
from storage.redis.sessions import BELL, SessionAsks
from storage.redis.traces import Traces

AWAY: tuple[type[BaseException], ...] = (StorageUnavailable, *postgres.UNAVAILABLE)


class StartRefused(Exception):
    """The worker must not start as things are: unsafe settings, a Redis behind the record. The text says what to do."""


def compose(worker: WorkerConfig, metrics: Metrics, on_fatal: Callable[[], None]) -> list[Service]:
    """All services of one worker, in the order in which they start; they drain and stop in the reverse order.

    on_fatal: called when this process must end and be replaced (its node id was lost).
    """
    return Composition(worker, metrics, on_fatal).services()


class Composition:
    """What the parts of one worker share, and the parts."""

    def __init__(self, worker: WorkerConfig, metrics: Metrics, on_fatal: Callable[[], None]) -> None:
        self.worker = worker
        self.config = worker.config
        self.metrics = metrics
        self.keys = ShardKeys(0)
        self.database = Database(self.config.postgres_dsn)
        self.guard = Guard(self.keys, worker.installation_id, self.config.shards, self.database.recorded_offset)
        self.links: list[RedisLink] = []
        self.bells = Bells(self.config.redis_url, [self.keys.bell])
        self.directory = DirectoryFeed(
            self.database.load_directory,
            (*postgres.UNAVAILABLE, ConfigurationInvalid),
            self.config.admission.validity_seconds * 1000,
            self.config.admission.schedule_seconds_max * 1000,
        )
        metrics.add_source(lambda: [Sample("smscd_directory_loads_total", (), self.directory.loads)])
        metrics.add_source(lambda: halt_samples(self.directory.current.snapshot.halts, self.redis_ms()))
        self.leases = LeaseKeeper(self.link("leases"))
        self.shared = self.link("shared")
        self.node = Node(worker.owner, self.session, self.leases, on_fatal)
        self.sessions = BoundSessions()
        self.tls: ServerTls | None = None
        self.tracer = self._tracer()
        self.upstreams = self._upstreams()
        self.record = RecordReader(self.database.get, JournalReader(self.keys, self.shared))
        self.changes = MessageChanges(self.record, ChangeAsks(self.keys, self.shared))
        self.outbox_figures = OutboxFigures()
        self.outbox = self._outbox()
        self.archive = Archive(self)
        self.key_uses = KeyUses()
        self.doors = Doors(self)

    # --- what is shared ---------------------------------------------------------------------------------------------

    def link(self, purpose: str) -> RedisLink:
        """A connection for one purpose."""
        link = RedisLink(self.config.redis_url, name=f"smscd-{self.worker.index}-{purpose}", verify=self.guard.verify)
        self.links.append(link)
        return link

    def session(self, role: str) -> RoleSession:
        """The session of a role, on a link of its own."""
        return RoleSession(
            self.link(role), self.keys, role, self.worker.owner,
            saw=self.guard.saw, clock_offset_ms=self.worker.clock_offset_ms,
        )  # fmt: skip

    def redis_ms(self) -> int:
        """The time of this daemon: Redis TIME as it was at its start, and has gone on since. See decisions/0039."""
        return self.node.session.redis_ms()

    async def tell_of_change(self) -> None:
        """Have all processes read the configuration again."""
        await self.shared.command("PUBLISH", CONFIG_CHANNEL, "changed")

    def open_certificate(self) -> None:
        """Read the SMPP listener's certificate, if it has one. Raises StartRefused."""
        files = smpp_door.server_files(self.config.smpp)
        if files is None:
            return
        try:
            tls = self.tls = ServerTls(files)
        except OSError as error:
            raise StartRefused(
                f"The certificate of [smpp] cannot be used ({error}). Check tls_certificate, tls_key and tls_client_ca."
            ) from error
        self.metrics.add_source(lambda: tls_samples(tls))

    def wake_upstreams(self, upstreams: set[str]) -> None:
        """Messages for these were admitted here: their dispatchers need not wait for the bell."""
        for upstream in upstreams:
            self.upstreams.wake(upstream)

    async def count_upstreams(self) -> int:
        """How many upstreams are enabled, asked of PostgreSQL: the health check's question."""
        return sum(upstream.is_enabled for upstream in await self.database.load_upstreams())

    # --- the parts --------------------------------------------------------------------------------------------------

    def services(self) -> list[Service]:
        """In the order in which they start."""
        return [
            Foundation(self),
            TaskService("bells", self.bells.run),
            TaskService("leases", self.leases.run),
            TaskService("directory", self.directory.run),
            self.node,
            self._standings(),
            *self.archive.services(),
            self.upstreams,
            self._webhooks(),
            self._key_uses(),
            self.doors,
            self.outbox,  # after the doors, so that it drains before they say goodbye to the ESMEs
            self._pulse(),
            TaskService("tracer", self.tracer.run),
            TaskService("sessions", self._session_desk().run),
        ]

    def _upstreams(self) -> Upstreams:
        def open_stores(upstream: str) -> UpstreamStores:
            names = UpstreamKeys(upstream)
            dispatch, receipts = self.session(f"dispatch:{upstream}"), self.session(f"receipts:{upstream}")
            reads, receipt_reads = self.link(f"reads:{upstream}"), self.link(f"matches:{upstream}")
            return UpstreamStores(
                DispatchStore(upstream, self.keys, names, dispatch, reads),
                dispatch,
                ReceiptStore(self.keys, names, receipts, receipt_reads, lambda: self.node.session.key),
                receipts,
            )

        around = Surroundings(
            open_stores=open_stores,
            leases=self.leases,
            dial=connect,
            directory=self.directory.get,
            ids=self.node.take_ids,
            clock=time.monotonic,
            wall_ms=self.redis_ms,
            chance=random.random,
            outbinds=self._outbind_limits(),
            opened=self.tracer.opened,
            record=PostgresRecord(self.database.get),
            move_after_seconds=self.config.failover.move_after_seconds,
            no_bind_seconds=self.config.failover.no_bind_seconds,
            throttled_seconds=self.config.failover.throttled_seconds,
        )
        upstreams = Upstreams(around, subscribe=self.bells.subscribe, unsubscribe=self.bells.unsubscribe)
        self.directory.on_change.append(upstreams.reconfigure)
        self.metrics.add_source(lambda: upstream_samples(upstreams))
        return upstreams

    def _standings(self) -> Service:
        standings = Standings(Breakers(self.keys, self.shared).read, self.redis_ms, self.directory.go_around)
        self.bells.subscribe(b"b", standings.ring)
        return TaskService("standings", standings.run)

    def _outbind_limits(self) -> OutbindLimits | None:
        config = self.config.outbind
        if not config.host:
            return None
        return OutbindLimits(
            host=config.host,
            networks=config.networks,
            open_seconds=config.open_seconds,
            connections_max=config.connections_max,
        )

    def _outbox(self) -> Outbox:
        def open_outbox(account: str) -> tuple[OutboxStore, RoleSession]:
            session = self.session(f"deliver:{account}")
            return OutboxStore(account, self.keys, session, self.shared), session

        self.metrics.add_source(lambda: outbox_samples(self.outbox_figures))
        return Outbox(
            open_outbox=open_outbox,
            leases=self.leases,
            sessions=self.sessions,
            subscribe=self.bells.subscribe,
            unsubscribe=self.bells.unsubscribe,
            directory=self.directory.get,
            figures=self.outbox_figures,
            clock=time.monotonic,
            wall_ms=self.redis_ms,
            chance=random.random,
        )

    def _webhooks(self) -> Service:
        config = self.config.webhooks
        figures = WebhookFigures()
        session = self.session("hooks")
        poster = self.poster = Poster(user_agent=f"smscd/{self.worker.version}", request_seconds=config.request_seconds)
        webhooks = Webhooks(
            store=HookStore(self.keys, session, self.link("hooks-reads")),
            is_held=lambda: session.is_held,
            post=poster.post,
            ask=poster.ask,
            directory=self.directory.get,
            figures=figures,
            clock=time.monotonic,
            wall_ms=self.redis_ms,
            chance=random.random,
            requests_max=config.concurrency_max,
            per_endpoint_max=config.concurrency_per_host_max,
            allows_private=config.allows_private_addresses,
        )
        self.bells.subscribe(b"h", webhooks.ring)
        self.metrics.add_source(lambda: webhook_samples(figures))
        return RoleService("hooks", session, self.leases, webhooks.run, webhooks.finish)

    def _key_uses(self) -> Service:
        writer = KeyUseWriter(self.key_uses, self.database.get)
        return TaskService("key uses", writer.run, drain=writer.write)

    def _pulse(self) -> Service:
        pulse = Pulse(self.link("pulse"), self.keys, self.heartbeat)
        return TaskService("pulse", pulse.run, drain=pulse.end)

    def _tracer(self) -> Tracer:
        traces = Traces(self.keys, self.link("traces"))
        tracer = Tracer(
            watched=traces.watched,
            publish=traces.publish,
            connections=lambda: (*self.doors.traceable(), *self.upstreams.traceable()),
            now_ms=self.redis_ms,
            away=(StorageUnavailable,),
        )
        self.bells.subscribe(b"t", tracer.ring)
        return tracer

    def _session_desk(self) -> SessionDesk:
        desk = SessionDesk(
            SessionAsks(self.keys, self.shared),
            self.worker.owner,
            door=self.doors,
            upstreams=self.upstreams,
            directory=self.directory.get,
            now_ms=self.redis_ms,
        )
        self.bells.subscribe(BELL, desk.ring)
        return desk

    def heartbeat(self, at_ms: int) -> Heartbeat:
        """What this worker says of itself once a second."""
        beats: dict[str, UpstreamBeat] = {}
        for profile in self.directory.current.snapshot.upstreams:
            owner = self.upstreams.owner(profile.id)
            if owner is not None and owner.is_owner:
                figures = owner.figures
                beats[profile.id] = UpstreamBeat(
                    is_up=figures.binds_bound > 0 and figures.breaker_state != "open",
                    binds=figures.binds_bound,
                    is_out=figures.out_since_ms > 0,
                )
        directory = self.directory.current
        pauses = [halt.since_ms for halt in directory.snapshot.halts if halt.state == "paused"]
        return Heartbeat(
            owner=self.worker.owner,
            at_ms=at_ms,
            version=self.worker.version,
            upstreams=beats,
            writer_lag_seconds=self.archive.writer_lag_seconds,
            ledger_differences=self.archive.ledger_differences,
            paused=len(pauses),
            drained=len(directory.snapshot.halts) - len(pauses),
            paused_since_ms=min(pauses, default=0),
            routes_unusable=tuple(route.label for route in directory.rules.unusable[:ROUTES_NAMED_MAX]),
            clock_ahead_seconds=round((at_ms - self.redis_ms()) / 1000),
        )


class Foundation:
    """What everything else stands on: Redis is fit to be used, and the directory is loaded. Closes what was opened."""

    name = "foundation"

    def __init__(self, parts: Composition) -> None:
        self._parts = parts

    async def start(self) -> None:
        """Read the certificate, check Redis, load the directory. Raises StartRefused."""
        parts = self._parts
        parts.open_certificate()
        await parts.database.open()
        try:
            await parts.shared.command("PING")
            await parts.directory.refresh()
        except AWAY as error:
            raise StartRefused(str(error)) from error
        parts.bells.subscribe(b"config", parts.directory.refresh_soon)

    async def drain(self) -> None:
        """Nothing is under way here."""

    async def stop(self) -> None:
        """Close every connection to Redis and PostgreSQL."""
        await self._parts.poster.close()
        for link in self._parts.links:
            await link.close()
        await self._parts.database.close()
