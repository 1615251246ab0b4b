"""The supervisor: one light process that prepares the storage, runs the workers, answers operators, and ends in order.

It moves no message. Everything that can be lost with it is told to it again at its next start; its workers and the
embedded servers end with it, however it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import structlog

from smscd.admin.api import AdminApi
from smscd.admin.desk import Desk
from smscd.admin.everything import operations
from smscd.admin.listener import AdminListener
from smscd.admin.low_balance import SECONDS_MAX, low_balance_samples
from smscd.admin.operators import Operators
from smscd.config import Config
from smscd.ingress.http.client_addresses import ClientAddresses
from smscd.monitoring.in_time import InTime
from smscd.monitoring.metrics import Metrics, Sample
from smscd.monitoring.vitals import Vitals
from smscd.supervision.carrier import CarrierFailed, CarrierProcess
from smscd.supervision.control import WorkerConfig
from smscd.supervision.describe import describe, url_of
from smscd.supervision.instance import InstanceError, StateDirectory
from smscd.supervision.locate import RUN_FILE, register
from smscd.supervision.ports import HeldPort, PortTaken, hold_dropin_ports
from smscd.supervision.processes import cpu_samples
from smscd.supervision.ready import (
    ReadyFile,
    RunFile,
    is_alive,
    process_start,
    read_run,
    write_ready,
    write_run,
)
from smscd.supervision.seed import DemoSecrets, demo_secrets, seed, simulated_upstream, upstream_of_url
from smscd.supervision.startup import Prepared, Servers, StartupError, prepare
from smscd.supervision.steps import Steps, step
from smscd.supervision.systemd import notify, watchdog_seconds
from smscd.supervision.workers import WorkerFailed, WorkerPool
from storage.postgres.pool import acquired
from storage.redis.accounts import Balances
from storage.redis.bell import CONFIG_CHANNEL
from storage.redis.depths import waiting
from storage.redis.errors import StorageUnavailable

LOCK_SECONDS = 10.0
REFUSALS = (StartupError, InstanceError, PortTaken, WorkerFailed, CarrierFailed)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """What a demo has that a service has not. upstream_urls: instead of the simulated carrier."""

    carrier_port: int = 2776
    upstream_urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What to run. demo: None for a service. on_ready: called once it serves."""

    config: Config
    state_dir: Path
    is_temporary: bool
    version: str
    is_console: bool
    demo: Demo | None = None
    ready_file: Path | None = None
    on_ready: Callable[[ReadyFile], None] = lambda ready: None


class Supervisor:
    """Runs one instance from its start to its end."""

    def __init__(self, launch: Launch, steps: Steps, environment: Mapping[str, str]) -> None:
        self._launch = launch
        self._steps = steps
        self._environment = environment
        self._state = StateDirectory(launch.state_dir)
        self._metrics = Metrics()
        self._stopping = asyncio.Event()
        self._signals = 0
        self._pool: WorkerPool | None = None
        self._prepared: Prepared | None = None
        self._background: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Start, serve until told to stop, and end in order. Raises one of REFUSALS when it cannot start."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self._asked_to_reload)
        async with contextlib.AsyncExitStack() as stack:
            self._run_behind(self._feed_watchdog(), stack)
            starting = asyncio.create_task(self._start(stack))
            stopping = asyncio.create_task(self._stopping.wait())
            await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                starting.cancel()
            try:
                await starting
            except asyncio.CancelledError:
                stopping.cancel()
                return
            except BaseException:
                stopping.cancel()
                raise
            await stopping
            notify("STOPPING=1")
            _log.info("supervisor.stopping")

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        """Everything up to "it serves"; what is opened goes on the stack, to be closed in the reverse order."""
        launch, demo = self._launch, self._launch.demo
        config = launch.config
        self._state.prepare()
        await self._lock()
        stack.callback(self._state.release)
        ports = self._hold_smpp_ports(config, stack)
        http = HeldPort(config.http.host, config.http.port, "--http-port" if demo else "[http] port")
        stack.callback(http.close)
        config = hold_dropin_ports(config, lambda held: stack.callback(held.close))
        servers = Servers(config, launch.state_dir, self._count_server_restart)
        stack.push_async_callback(servers.stop)
        pool = self._pool = self._make_pool(config)
        stack.push_async_callback(pool.drain, 0.0)
        carrier = CarrierProcess(self._state.path, demo.carrier_port) if demo and not demo.upstream_urls else None
        await self._start_processes(servers, pool, carrier, stack)
        self._run_behind(servers.watch(), stack)
        config = self._resolved(servers.resolve(config), ports, http.port)
        prepared = self._prepared = await prepare(config, self._steps, stack, redis_is_ours=servers.valkey is not None)
        secrets = await self._seed(prepared, config, demo, carrier) if demo else None
        await self._start_workers(pool, config, prepared, stack)
        admin = await self._start_admin(config, prepared, pool, stack)
        ready = describe(config, admin.port, secrets, carrier)
        self._announce(ready, config, stack)

    def _hold_smpp_ports(self, config: Config, stack: contextlib.AsyncExitStack) -> tuple[int, int]:
        """The port without TLS and the one with it; 0 for what is not opened. Raises PortTaken."""
        smpp, is_demo = config.smpp, self._launch.demo is not None
        wanted = (
            (smpp.is_plain_open, smpp.port, "--smpp-port" if is_demo else "[smpp] port"),
            (config.smpp_has_tls, smpp.tls_port, "[smpp] tls_port"),
        )
        found = [0, 0]
        for at, (is_open, port, option) in enumerate(wanted):
            if is_open:
                held = HeldPort(smpp.host, port, option)
                stack.callback(held.close)
                found[at] = held.port
        return found[0], found[1]

    def _resolved(self, config: Config, smpp_ports: tuple[int, int], http_port: int) -> Config:
        """The configuration with what was found: URLs, ports, secrets."""
        replace = msgspec.structs.replace
        return replace(
            config,
            state_dir=str(self._launch.state_dir),
            pepper=config.pepper or self._state.pepper(),
            smpp=replace(config.smpp, port=smpp_ports[0], tls_port=smpp_ports[1]),
            http=replace(config.http, port=http_port),
            admin=replace(config.admin, token=config.admin.token or self._state.token()),
        )

    async def _lock(self) -> None:
        """Take the state directory; workers of a killed supervisor need a moment to be gone."""
        deadline = time.monotonic() + LOCK_SECONDS
        while not self._state.try_lock():
            other = read_run(self._state.path / RUN_FILE)
            if time.monotonic() > deadline or (other is not None and is_alive(other)):
                raise InstanceError(
                    f"Another smscd is running on {self._state.path}. Stop it first, or use another directory."
                )
            await asyncio.sleep(0.05)

    async def _start_processes(
        self, servers: Servers, pool: WorkerPool, carrier: CarrierProcess | None, stack: contextlib.AsyncExitStack
    ) -> None:
        """Servers, carrier and workers side by side: each of them takes most of a second to come up."""

        async def start_carrier() -> None:
            if carrier is not None:
                with step(self._steps, "Carrier") as note:
                    await carrier.start()
                    note.detail = f"simulated, smpp://127.0.0.1:{carrier.port}"
                self._run_behind(carrier.watch(), stack)

        if carrier is not None:
            stack.push_async_callback(carrier.stop)
        outcomes = await asyncio.gather(
            servers.start(self._steps), start_carrier(), pool.spawn(), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    def _make_pool(self, config: Config) -> WorkerPool:
        restarts = self._metrics.counter("smscd_worker_restarts_total")

        def count() -> None:
            restarts.value += 1

        return WorkerPool(config.workers_wanted, self._state.lock_fd, on_restart=count)

    async def _seed(
        self, prepared: Prepared, config: Config, demo: Demo, carrier: CarrierProcess | None
    ) -> DemoSecrets:
        secrets = demo_secrets(self._state.path / "demo.json")
        if carrier is not None:
            upstreams = [simulated_upstream("127.0.0.1", carrier.port)]
        else:
            upstreams = [upstream_of_url(url, f"upstream{at}") for at, url in enumerate(demo.upstream_urls, 1)]
        with step(self._steps, "Seed") as note:
            balances = Balances(prepared.keys, prepared.link)
            await seed(prepared.pool, balances, pepper=config.pepper, demo=secrets, upstreams=upstreams)
            note.detail = f"account demo, {len(upstreams)} upstream{'s' if len(upstreams) > 1 else ''}"
        return secrets

    async def _start_workers(
        self, pool: WorkerPool, config: Config, prepared: Prepared, stack: contextlib.AsyncExitStack
    ) -> None:
        template = WorkerConfig(
            config=config,
            instance=config.node or self._state.name(),
            installation_id=prepared.installation_id,
            index=0,
            workers=config.workers_wanted,
            generation=0,
            supervisor_pid=os.getpid(),
            version=self._launch.version,
            is_console=self._launch.is_console,
            clock_offset_ms=prepared.clock_offset_ms,
        )
        with step(self._steps, "Workers") as note:
            await pool.start(template)
            note.detail = f"{template.workers} serving SMPP and HTTP"
        stack.push_async_callback(pool.drain, config.drain_seconds)
        self._run_behind(pool.watch(), stack)

    async def _start_admin(
        self, config: Config, prepared: Prepared, pool: WorkerPool, stack: contextlib.AsyncExitStack
    ) -> AdminListener:
        async def count_upstreams() -> int:
            async with acquired(prepared.pool) as connection:
                return int(await connection.fetchval("SELECT count(*) FROM upstreams WHERE is_enabled"))

        vitals = Vitals(
            prepared.link,
            prepared.keys,
            count_upstreams,
            version=self._launch.version,
            workers_expected=config.workers_wanted,
            memory_share_max=config.admission.memory_share_max,
            disk_free_bytes_min=config.admission.disk_free_bytes_min,
            data_dir=self._state.path,
        )
        self._metrics.add_source(lambda: self._own_samples(pool))
        balances = Balances(prepared.keys, prepared.link)
        low = InTime(lambda: low_balance_samples(prepared.pool, balances), SECONDS_MAX)

        async def collect() -> list[list[Sample]]:
            try:
                told = await low.answer()
            except TimeoutError:
                told = []
            return [self._metrics.snapshot(), told, *await pool.samples()]

        desk = Desk(
            database=prepared.pool,
            balances=balances,
            link=prepared.link,
            keys=prepared.keys,
            tell=self._tell_of_change,
            waiting=partial(waiting, prepared.link, prepared.keys),
            now_ms=lambda: int(time.time() * 1000),
            wait_seconds=config.admin.ledger_seconds,
            pepper=config.pepper,
            new_account=config.limits.new_account,
        )
        addresses = ClientAddresses(config.admin.proxies)
        api = AdminApi(Operators(prepared.pool, time.monotonic), operations(desk), addresses)
        admin = AdminListener(token=config.admin.token, collect=collect, health=vitals.health, api=api)
        option = "--admin-port" if self._launch.demo else "[admin] port"
        with step(self._steps, "Admin") as note:
            try:
                await admin.start(config.admin.host, config.admin.port)
            except OSError as error:
                raise PortTaken(
                    f"Cannot listen on {config.admin.host}:{config.admin.port} ({error.strerror}). Stop the program "
                    f"that uses it, or choose another port with {option} (0 picks a free one)."
                ) from error
            note.detail = f"{url_of(config.admin.host, admin.port)}/metrics and /health/"
        stack.push_async_callback(admin.stop)
        return admin

    def _own_samples(self, pool: WorkerPool) -> list[Sample]:
        return [
            Sample("smscd_workers", (), pool.alive),
            Sample("smscd_build_info", (self._launch.version,), 1),
            *cpu_samples(os.getpid()),
        ]

    def _announce(self, ready: ReadyFile, config: Config, stack: contextlib.AsyncExitStack) -> None:
        """Tell everybody who waits: our commands, the ready file, systemd, and whoever launched us."""
        launch = self._launch
        run = RunFile(
            kind="demo" if launch.demo else "serve",
            started_at=time.time(),
            process_start=process_start(os.getpid()) or 0,
            data_dir=str(launch.state_dir.resolve()),
            is_temporary=launch.is_temporary,
            pepper=config.pepper,
            postgres_owner_dsn=config.postgres_owner_dsn,
            ready=ready,
        )
        write_run(self._state.path / RUN_FILE, run)
        stack.callback((self._state.path / RUN_FILE).unlink, missing_ok=True)
        entry = register(run, self._environment)
        if entry is not None:
            stack.callback(entry.unlink, missing_ok=True)
        if launch.ready_file is not None:
            write_ready(launch.ready_file, ready)
        notify("READY=1")
        launch.on_ready(ready)

    async def _feed_watchdog(self) -> None:
        """Tell systemd that the loop turns, as long as it does."""
        every = watchdog_seconds()
        while every is not None:
            notify("WATCHDOG=1")
            await asyncio.sleep(every)

    def _run_behind(self, work: Awaitable[None], stack: contextlib.AsyncExitStack) -> None:
        """Run something for as long as the instance lives; it is ended before what was opened earlier is closed."""

        async def whole() -> None:
            try:
                await work
            except asyncio.CancelledError:
                raise
            except Exception:  # noqa: BLE001  # the top of a task: without it the instance is blind, so it ends
                _log.exception("supervisor.task_crashed")
                self._stopping.set()

        task = asyncio.create_task(whole())
        self._background.add(task)

        async def end() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self._background.discard(task)

        stack.push_async_callback(end)

    def _count_server_restart(self, server: str) -> None:
        self._metrics.counter("smscd_server_restarts_total", server).value += 1

    def _asked_to_stop(self) -> None:
        """First signal: drain and stop. Second: do not wait for the workers. Third: now."""
        self._signals += 1
        self._stopping.set()
        if self._signals == 2 and self._pool is not None:
            self._pool.kill()
        elif self._signals > 2:
            os._exit(130)

    async def _tell_of_change(self) -> None:
        """Have every process read the configuration again. Raises StorageUnavailable."""
        if self._prepared is not None:
            await self._prepared.link.command("PUBLISH", CONFIG_CHANNEL, "changed")

    def _asked_to_reload(self) -> None:
        """SIGHUP: have every process read accounts, routes and prices again."""

        async def reload() -> None:
            with contextlib.suppress(StorageUnavailable):
                await self._tell_of_change()
                _log.info("supervisor.reloaded")

        task = asyncio.create_task(reload())
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def raise_file_limit() -> None:
    """As many open files as we are allowed: each connection is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 1_048_576), hard))
