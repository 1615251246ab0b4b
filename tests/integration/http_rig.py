"""The HTTP interface over a real Redis and PostgreSQL, with the real admitter and writer, for tests."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from smscd.archive.writer import Writer
from smscd.core.directory import Account, ApiKey, Price, Route, Snapshot
from smscd.core.directory_index import DirectoryIndex
from smscd.core.ids import IdSource
from smscd.core.records import LedgerRecord
from smscd.core.upstream import Upstream
from smscd.ingress.admission import AdmissionMetrics, BatchAdmitter
from smscd.ingress.changes import MessageChanges
from smscd.ingress.http.cancelling import Cancelling
from smscd.ingress.http.client_addresses import ClientAddresses
from smscd.ingress.http.documents import Documents
from smscd.ingress.http.events import Events
from smscd.ingress.http.figures import HttpFigures
from smscd.ingress.http.inbound import Inbound
from smscd.ingress.http.keys import Keys, KeyUses
from smscd.ingress.http.listing import Listing
from smscd.ingress.http.record import Record
from smscd.ingress.http.resources import Resources
from smscd.ingress.http.server import HttpServer
from smscd.ingress.http.transactions import Transactions
from smscd.ingress.http.views import Health
from smscd.ingress.record import RecordReader
from smscd.ingress.refusals import RefusalNote
from smscd.roles.leases import LeaseKeeper
from storage.postgres.pool import open_pool
from storage.redis.accounts import Balances
from storage.redis.admission import AdmissionStore
from storage.redis.changes import ChangeAsks
from storage.redis.journal import JournalReader
from storage.redis.keys import ShardKeys
from storage.redis.link import RedisLink
from storage.redis.session import RoleSession
from tests.integration.writer_fixture import QUICK, Observed, connector
from tests.unit.smscd.ingress.http_fixture import Connection, Reply

KEYS = ShardKeys(0)
BODY: dict[str, Any] = {"to": "+447700900123", "from": "ACME", "text": "Code 123456", "client_ref": "order-77"}
ACCOUNTS = (
    Account(id="acme", any_sender=True, rate_per_second=100_000.0, burst=100_000),
    Account(id="slow", any_sender=True, rate_per_second=2.0, burst=3),
    Account(id="poor", any_sender=True),
    Account(id="small", any_sender=True),
)


def snapshot() -> Snapshot:
    """Each account has the key `key-of-<account>`; a message costs 0.01; the upstream "tiny" has room for two."""
    return Snapshot(
        accounts=ACCOUNTS,
        api_keys=tuple(
            ApiKey(key_hash=sha256(f"key-of-{account.id}".encode()).digest(), account=account.id)
            for account in ACCOUNTS
        ),
        upstreams=(
            Upstream(id="carrier", host="127.0.0.1", port=1, system_id="s", password="p"),
            Upstream(id="tiny", host="127.0.0.1", port=1, system_id="s", password="p", queue_messages_max=2),
        ),
        routes=(Route(prefix="44", upstreams=("carrier",)), Route(prefix="46", upstreams=("tiny",))),
        prices=(Price(plan="default", prefix="4", price_micros=10_000),),
    )


@dataclass(slots=True)
class HttpRig:
    """One process' HTTP interface. restart() makes a new one, as a process that was killed would."""

    redis_url: str
    dsn: str
    directory: Path
    port: int = 0
    index: DirectoryIndex = field(default_factory=lambda: DirectoryIndex(snapshot()))
    figures: HttpFigures = field(default_factory=HttpFigures)
    links: list[RedisLink] = field(default_factory=list)
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)
    writer: Writer | None = None
    admitter: BatchAdmitter | None = None
    _server: HttpServer | None = None
    _generation: int = 0

    def link(self) -> RedisLink:
        link = RedisLink(self.redis_url, name="test")
        self.links.append(link)
        return link

    @property
    def balances(self) -> Balances:
        return Balances(KEYS, self.links[0])

    async def start(self) -> None:
        """Take a node, and serve."""
        self._generation += 1
        shared = self.link()
        session = RoleSession(self.link(), KEYS, f"ingress:{self._generation}", "test/0")
        assert await session.take()
        leases = LeaseKeeper(self.link())
        leases.add(session, lambda: None)
        store = AdmissionStore(KEYS, session)
        self.admitter = admitter = BatchAdmitter(
            store,
            metrics=AdmissionMetrics(lambda *_: None, lambda _: None),
            on_admitted=lambda _: None,
            is_open=lambda: True,
            note=RefusalNote(self.directory / "refused"),
        )
        pool = await open_pool(self.dsn, name="http test")

        async def health() -> Health:
            return Health(status="healthy", version="1", checks={})

        reader = JournalReader(KEYS, shared)
        record = Record(lambda: pool, reader, lambda: self.index)
        rows = RecordReader(lambda: pool, reader)
        changes = MessageChanges(rows, ChangeAsks(KEYS, shared))
        resources = Resources(
            admitter=admitter,
            directory=lambda: self.index,
            ids=IdSource(self._generation),
            clock_ms=store.redis_ms,
            messages=record,
            balance=Balances(KEYS, shared).balance,
            health=health,
            figures=self.figures,
            version="1",
        )
        self._server = HttpServer(
            [
                *resources.routes(),
                *Cancelling(changes, record).routes(),
                *Inbound(lambda: pool, rows, store.redis_ms).routes(),
                *Events(lambda: pool, lambda: self.index).routes(),
                *Transactions(lambda: pool).routes(),
                *Listing(lambda: pool, store.redis_ms).routes(),
                *Documents().routes(),
            ],
            keys=Keys(lambda: self.index, store.redis_ms, KeyUses(), ClientAddresses()),
            figures=self.figures,
        )
        self.port = await self._server.start("127.0.0.1", 0)

        async def close_pool() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await pool.close()

        self.tasks += [asyncio.create_task(work) for work in (leases.run(), admitter.run(), close_pool())]

    async def write(self) -> None:
        """Run the writer from now on."""
        self.writer = Writer(
            shard=0,
            journal=JournalReader(KEYS, self.link()),
            connect=connector(self.dsn),
            observer=Observed(),
            now_ms=lambda: time.time_ns() // 1_000_000,
            limits=QUICK,
        )
        self.tasks.append(asyncio.create_task(self.writer.run()))

    async def stop(self) -> None:
        """End everything without a word to Redis, as a crash would."""
        for connection in self.connections:
            connection.writer.close()
        self.connections.clear()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()
        if self._server is not None:
            await self._server.stop()

    async def restart(self) -> None:
        """A new process in the place of this one."""
        await self.stop()
        await self.start()

    async def close(self) -> None:
        await self.stop()
        for link in self.links:
            await link.close()

    async def top_up(self, account: str, micros: int) -> None:
        record = LedgerRecord(account, "topup", micros, f"first of {account}", time.time_ns() // 1_000_000)
        await self.balances.top_up(record)

    async def send(
        self, body: Any = None, *, account: str = "acme", key: str = "", path: str = "/v1/messages"
    ) -> Reply:
        """POST /v1/messages, or to another path, on a connection of its own."""
        connection = await self._connect()
        headers = {"Content-Type": "application/json", "X-Api-Key": f"key-of-{account}"}
        if key:
            headers["X-Request-ID"] = key
        return await connection.ask("POST", path, headers, json.dumps(BODY if body is None else body).encode())

    async def get(self, path: str, *, account: str = "acme", method: str = "GET") -> Reply:
        return await (await self._connect()).ask(method, path, {"X-Api-Key": f"key-of-{account}"})

    async def _connect(self) -> Connection:
        connection = Connection(*await asyncio.open_connection("127.0.0.1", self.port))
        self.connections.append(connection)
        return connection


@asynccontextmanager
async def http_rig(redis_url: str, dsn: str) -> AsyncIterator[HttpRig]:
    """Serve for a test; every account but "poor" has money for a thousand messages."""
    with TemporaryDirectory() as directory:
        rig = HttpRig(redis_url, dsn, Path(directory))
        try:
            await rig.start()
            for account in ("acme", "slow", "small"):
                await rig.top_up(account, 10_000_000)
            yield rig
        finally:
            await rig.close()
