"""The doors of a worker: the SMPP and the HTTP listener with the admitter behind them, and what watches over them."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from smscd.admin.key_office import Office
from smscd.core.verdicts import Admitter
from smscd.ingress.admission import BatchAdmitter
from smscd.ingress.http.account_keys import AccountKeys
from smscd.ingress.http.cancelling import Cancelling
from smscd.ingress.http.client_addresses import ClientAddresses
from smscd.ingress.http.connections import ConnectionLimits
from smscd.ingress.http.documents import Documents
from smscd.ingress.http.events import Events
from smscd.ingress.http.figures import HttpFigures
from smscd.ingress.http.inbound import Inbound
from smscd.ingress.http.keys import Keys
from smscd.ingress.http.listing import Listing
from smscd.ingress.http.record import Record
from smscd.ingress.http.resources import Resources
from smscd.ingress.http.server import HttpServer
from smscd.ingress.http.transactions import Transactions
from smscd.ingress.http.views import Health as HealthView
from smscd.ingress.refusals import RefusalNote
from smscd.ingress.smpp.auth import Authenticator
from smscd.ingress.smpp.binds import BindDesk
from smscd.ingress.smpp.operations import Operations
from smscd.ingress.smpp.outbinds import Outbinds
from smscd.ingress.smpp.server import SmppServer
from smscd.ingress.strict import StrictAdmitter
from smscd.monitoring.observers import admission_metrics
from smscd.monitoring.samples import http_samples, smpp_samples
from smscd.monitoring.vitals import Vitals
from smscd.roles.role import RoleService
from smscd.roles.services import Service, TaskService
from smscd.transport.connection import SmppConnection
from smscd.transport.trace import Traceable
from smscd.worker import smpp_door, webhook_door
from smscd.worker.certificates import CertificateWatch
from smscd.worker.congestion import Congestion
from smscd.worker.dropin import DropinDoors
from smscd.worker.gate import AdmissionGate
from storage.redis.accounts import Balances
from storage.redis.admission import AdmissionStore
from storage.redis.binds import BindStore
from storage.redis.journal import JournalReader
from storage.redis.monitor import read_depths
from storage.redis.outbox import unserved
from storage.redis.strict import StrictStore

if TYPE_CHECKING:
    from smscd.daemon import Composition


class Doors:
    """Both interfaces with the admitter behind them: opened last, closed first."""

    name = "doors"

    def __init__(self, parts: Composition) -> None:
        self._parts = parts
        self._services: list[Service] = []
        self._smpp: SmppServer | None = None
        self._http: HttpServer | None = None
        self._dropin: DropinDoors | None = None

    async def start(self) -> None:
        """Construct what needs the node's ids, and listen. Raises OSError."""
        parts, config = self._parts, self._parts.config
        gate = AdmissionGate(
            parts.link("gate"),
            memory_share_max=config.admission.memory_share_max,
            disk_free_bytes_min=config.admission.disk_free_bytes_min,
            data_dir=Path(config.state_dir),
        )
        admitter = BatchAdmitter(
            AdmissionStore(parts.keys, parts.node.session, config.admission.queue_in_redis_max),
            metrics=admission_metrics(parts.metrics),
            on_admitted=parts.wake_upstreams,
            is_open=lambda: gate.is_open,
            note=RefusalNote(Path(config.state_dir) / f"refused-{parts.worker.index}"),
            pending_max=config.admission.pending_messages_max,
        )
        behind = parts.metrics.counter("smscd_admission_messages_total", "both", "record_behind")

        def on_behind(messages: int) -> None:
            behind.value += messages

        strict = StrictAdmitter(
            admitter,
            StrictStore(parts.keys, parts.link("strict")),
            recorded=parts.database.recorded_offset,
            has_strict=lambda: parts.directory.get().has_strict,
            on_behind=on_behind,
            lag_seconds_max=config.admission.strict_lag_seconds,
            wait_seconds=config.admission.strict_seconds,
        )
        desk = self._bind_desk()
        tls = parts.tls
        self._services = [
            TaskService("gate", gate.run),
            TaskService("admission", admitter.run, drain=admitter.drain),
            TaskService("strict", strict.run, drain=strict.drain),
            TaskService("binds", desk.run, drain=desk.leave),
        ]
        if tls is not None:
            look = CertificateWatch(tls, config.smpp.tls_look_seconds)
            parts.bells.subscribe(b"config", look.look_soon)
            self._services.append(TaskService("certificates", look.run))
        self._smpp, self._http = self._smpp_server(strict, desk), self._http_server(strict)
        self._dropin = DropinDoors(parts, strict)
        self._services += [self._congestion(gate, admitter, self._smpp), self._outbinds(self._smpp)]
        for service in self._services:
            await service.start()
        await self._smpp.start(
            config.smpp.host,
            config.smpp.port if config.smpp.is_plain_open else None,
            reuse_port=True,
            tls_port=config.smpp.tls_port,
            tls=tls,
        )
        await self._http.start(config.http.host, config.http.port, reuse_port=True)
        await self._dropin.start()

    def _congestion(self, gate: AdmissionGate, admitter: BatchAdmitter, server: SmppServer) -> Service:
        parts = self._parts
        pending_max = parts.config.admission.pending_messages_max
        congestion = Congestion(
            pending_share=lambda: admitter.pending / pending_max,
            memory_share=lambda: gate.memory_share,
            is_open=lambda: gate.is_open,
            depths=lambda: read_depths(parts.shared, parts.keys),
            directory=parts.directory.get,
            tell=server.tell_congestion,
        )
        return TaskService("congestion", congestion.run)

    def _outbinds(self, server: SmppServer) -> Service:
        parts = self._parts
        outbinds = Outbinds(
            server=server,
            directory=parts.directory.get,
            waiting=lambda accounts: unserved(parts.shared, parts.keys, accounts, parts.redis_ms()),
            clock=time.monotonic,
            chance=random.random,
            certificate=smpp_door.server_files(parts.config.smpp),
        )

        async def finish() -> None:
            """The server calls nobody while it drains."""

        return RoleService("outbind", parts.session("outbind"), parts.leases, outbinds.run, finish)

    def _bind_desk(self) -> BindDesk:
        parts, config = self._parts, self._parts.config.smpp
        store = BindStore(
            parts.keys,
            parts.link("binds"),
            worker=parts.worker.owner,
            boot=secrets.token_hex(8),
            guesses_max=config.bind_failures_max,
            window_seconds=config.bind_failures_window_seconds,
        )
        limits = smpp_door.bind_limits(config, parts.worker.index, parts.worker.workers)
        return BindDesk(Authenticator(parts.config.pepper.encode()), parts.directory.get, limits, store)

    def _smpp_server(self, admitter: Admitter, desk: BindDesk) -> SmppServer:
        parts, config = self._parts, self._parts.config.smpp
        server = SmppServer(
            config=smpp_door.session_config(config),
            directory=parts.directory.get,
            admitter=admitter,
            ids=parts.node.ids,
            authenticator=desk,
            operations=Operations(parts.changes, parts.directory.get, parts.redis_ms),
            sessions=parts.sessions,
            now_ms=parts.redis_ms,
            sink=parts.outbox,
            request_key_tag=config.request_key_tag,
            limits=smpp_door.listener_limits(config),
            opened=parts.tracer.opened,
        )
        parts.metrics.add_source(lambda: smpp_samples(server))
        return server

    def _http_server(self, admitter: Admitter) -> HttpServer:
        parts, config = self._parts, self._parts.config.http
        figures = HttpFigures()
        vitals = Vitals(
            parts.link("vitals"),
            parts.keys,
            parts.count_upstreams,
            version=parts.worker.version,
            workers_expected=parts.worker.workers,
            memory_share_max=parts.config.admission.memory_share_max,
            disk_free_bytes_min=parts.config.admission.disk_free_bytes_min,
            data_dir=Path(parts.config.state_dir),
        )

        async def health() -> HealthView:
            found = await vitals.health()
            return HealthView(status=found.body["status"], version=found.body["version"], checks=found.body["checks"])

        record = Record(parts.database.get, JournalReader(parts.keys, parts.shared), parts.directory.get)
        resources = Resources(
            admitter=admitter,
            directory=parts.directory.get,
            ids=parts.node.ids,
            clock_ms=parts.redis_ms,
            messages=record,
            balance=Balances(parts.keys, parts.shared).balance,
            health=health,
            figures=figures,
            version=parts.worker.version,
            request_seconds=config.request_seconds,
        )
        parts.metrics.add_source(lambda: http_samples(figures))
        return HttpServer(
            [
                *resources.routes(),
                *Cancelling(parts.changes, record).routes(),
                *Inbound(parts.database.get, parts.record, parts.redis_ms).routes(),
                *Events(parts.database.get, parts.directory.get).routes(),
                *Transactions(parts.database.get).routes(),
                *Listing(parts.database.get, parts.redis_ms).routes(),
                *AccountKeys(Office(parts.database.get, parts.tell_of_change)).routes(),
                *webhook_door.resource(parts).routes(),
                *Documents().routes(),
            ],
            keys=Keys(parts.directory.get, parts.redis_ms, parts.key_uses, ClientAddresses(config.proxies)),
            figures=figures,
            limits=ConnectionLimits(
                connections_max=config.connections_max,
                head_seconds=config.header_seconds,
                idle_seconds=config.keepalive_seconds,
            ),
            request_seconds=config.request_seconds,
        )

    def bound(self) -> Iterator[SmppConnection]:
        """The sessions of ESMEs that are bound."""
        return self._smpp.bound() if self._smpp is not None else iter(())

    def disconnect(self, connection: SmppConnection) -> None:
        """End one of them in good order."""
        if self._smpp is not None:
            self._smpp.disconnect(connection)

    def traceable(self) -> Iterator[Traceable]:
        """The connections of ESMEs."""
        return self._smpp.traceable() if self._smpp is not None else iter(())

    async def drain(self) -> None:
        """Take nothing new; answer what was taken; say goodbye to everybody."""
        work = [self._http.stop()] if self._http is not None else []
        work += [self._dropin.stop()] if self._dropin is not None else []
        work += [self._smpp.drain()] if self._smpp is not None else []
        await asyncio.gather(*work)
        for service in self._services:
            await service.drain()

    async def stop(self) -> None:
        """End both interfaces."""
        if self._smpp is not None:
            self._smpp.stop()
        if self._http is not None:
            await self._http.stop()
        if self._dropin is not None:
            await self._dropin.stop()
        for service in reversed(self._services):
            await service.stop()
