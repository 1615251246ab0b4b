"""/v1/webhooks with everything behind it: PostgreSQL, Redis, the deliverer, the writer, and a receiver over TCP."""

from __future__ import annotations

import asyncio
import io
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import msgspec

from protocols.webhooks import make_secret
from smscd.archive.writer import Writer
from smscd.core.callback_records import CallbackKind, CallbackRecord
from smscd.core.directory import Account, ApiKey
from smscd.core.directory_index import DirectoryIndex
from smscd.core.ids import IdSource, first_id
from smscd.core.records import State
from smscd.egress.webhooks.post import Poster
from smscd.egress.webhooks.sending import Sender
from smscd.egress.webhooks.webhooks import WebhookFigures, Webhooks
from smscd.ingress.http.client_addresses import ClientAddresses
from smscd.ingress.http.figures import HttpFigures
from smscd.ingress.http.keys import Keys, KeyUses
from smscd.ingress.http.server import HttpServer
from smscd.ingress.http.webhooks import Webhooks as WebhookResource
from smscd.roles.leases import LeaseKeeper
from storage.postgres.configuration import add_account, add_api_key, load_snapshot
from storage.postgres.pool import Pool, open_pool
from storage.redis.journal import JournalReader
from storage.redis.keys import ShardKeys
from storage.redis.link import RedisLink
from storage.redis.outbox import HookFeed, HookStore
from storage.redis.session import RoleSession
from tests.integration.webhook_receiver import Receiver
from tests.integration.writer_fixture import QUICK, Observed, connector
from tests.unit.smscd.ingress.http_fixture import Connection, Reply

KEYS = ShardKeys(0)
DAY_MS = 86_400_000
SECRET = make_secret(bytes(32))


@dataclass(slots=True)
class WebhookRig:
    """acme and other may be called at private addresses, public may not. ahead_ms: of the clock that all of it sees."""

    redis_url: str
    dsn: str
    pool: Pool
    poster: Poster
    port: int = 0
    receiver_port: int = 0
    ahead_ms: int = 0
    record: io.StringIO = field(default_factory=io.StringIO)
    figures: WebhookFigures = field(default_factory=WebhookFigures)
    links: list[RedisLink] = field(default_factory=list)
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)
    index: DirectoryIndex | None = None
    is_told: bool = True
    changes_at_once: int = 1_000
    webhooks: Webhooks | None = None
    chance: Callable[[], float] = field(default_factory=lambda: random.Random(1).random)

    def link(self) -> RedisLink:
        link = RedisLink(self.redis_url, name="test")
        self.links.append(link)
        return link

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead_ms

    def directory(self) -> DirectoryIndex:
        assert self.index is not None
        return self.index

    async def tell(self) -> None:
        """What a notification does in every process."""
        if self.is_told:
            self.index = DirectoryIndex(await load_snapshot(self.pool))

    async def serve(self) -> HttpServer:
        """The resource, on a free port."""
        sender = Sender(post=self.poster.post, ask=self.poster.ask, wall_ms=self.now_ms, allows_private=False)
        resource = WebhookResource(
            pool=lambda: self.pool,
            ids=IdSource(1),
            clock_ms=self.now_ms,
            tell=self.tell,
            push=HookFeed(KEYS, self.link()).push,
            test=sender.test,
            changes_at_once=self.changes_at_once,
        )
        server = HttpServer(
            resource.routes(),
            keys=Keys(self.directory, lambda: int(time.time() * 1000), KeyUses(), ClientAddresses()),
            figures=HttpFigures(),
        )
        self.port = await server.start("127.0.0.1", 0)
        return server

    async def deliver(self, **options: Any) -> None:
        """Take the role and deliver; write what the journal says."""
        session = RoleSession(self.link(), KEYS, "hooks", "test/0")
        assert await session.take()
        leases = LeaseKeeper(self.link())
        leases.add(session, lambda: None)
        self.webhooks = webhooks = Webhooks(
            store=HookStore(KEYS, session, self.link()),
            is_held=lambda: session.is_held,
            post=self.poster.post,
            ask=self.poster.ask,
            directory=self.directory,
            figures=self.figures,
            clock=time.monotonic,
            wall_ms=self.now_ms,
            chance=self.chance,
            **options,
        )
        self.tasks += [asyncio.create_task(webhooks.run()), asyncio.create_task(leases.run())]

    def write(self) -> None:
        """Write what the journal says, from now on."""
        writer = Writer(
            shard=0,
            journal=JournalReader(KEYS, self.link()),
            connect=connector(self.dsn),
            observer=Observed(),
            now_ms=self.now_ms,
            limits=QUICK,
        )
        self.tasks.append(asyncio.create_task(writer.run()))

    async def kill(self) -> None:
        """End all but the listeners as a crash would."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()

    async def ask(
        self, method: str, path: str = "", body: Any = None, *, account: str = "acme", raw: bytes = b""
    ) -> Reply:
        """A request to /v1/webhooks<path> on a connection of its own."""
        connection = Connection(*await asyncio.open_connection("127.0.0.1", self.port))
        headers = {"X-Api-Key": f"key-of-{account}"}
        data = raw or (b"" if body is None else json.dumps(body).encode())
        if data:
            headers["Content-Type"] = "application/json"
        try:
            return await connection.ask(method, f"/v1/webhooks{path}", headers, data)
        finally:
            connection.writer.close()

    def to(self, path: str) -> str:
        """A URL of the receiver."""
        return f"http://127.0.0.1:{self.receiver_port}{path}"

    async def make(self, path: str = "/status/204", *, account: str = "acme", **fields: Any) -> dict[str, Any]:
        """An endpoint at the receiver."""
        reply = await self.ask("POST", "", {"url": self.to(path), **fields}, account=account)
        assert reply.status == 201, reply.body
        made: dict[str, Any] = reply.json
        return made

    async def add(self, *records: CallbackRecord) -> None:
        """One entry of the hooks stream, as receipt.lua writes it."""
        await HookFeed(KEYS, self.links[0]).push([msgspec.msgpack.encode(record) for record in records])

    def requests(self, path: str = "") -> list[dict[str, Any]]:
        """The receiver's own record, by path."""
        lines = [json.loads(line) for line in self.record.getvalue().splitlines()]
        return [line for line in lines if line.get("path", "").startswith(path) and "path" in line]

    async def deliveries(self, endpoint: dict[str, Any], *, account: str = "acme") -> list[dict[str, Any]]:
        """What the interface says."""
        reply = await self.ask("GET", f"/{endpoint['id']}/deliveries", account=account)
        assert reply.status == 200, reply.body
        data: list[dict[str, Any]] = reply.json["data"]
        return data

    async def until(
        self, condition: Callable[[], Awaitable[object]] | Callable[[], object], seconds: float = 15.0
    ) -> Any:
        """Wait until something holds; what it is."""
        async with asyncio.timeout(seconds):
            while True:
                found = condition()
                found = await found if asyncio.iscoroutine(found) else found
                if found:
                    return found
                for task in self.tasks:
                    assert not task.done(), task
                if self.webhooks is not None:
                    self.webhooks.ring()
                await asyncio.sleep(0.01)


def callback(
    number: int,
    account: str = "acme",
    url: str | None = None,
    state: State = State.DELIVERED,
    now_ms: int | None = None,
) -> CallbackRecord:
    """A receipt that is due to a customer."""
    at_ms = now_ms or time.time_ns() // 1_000_000
    return CallbackRecord(
        int(CallbackKind.RECEIPT), first_id(at_ms) + number, account, int(state), b"DELIVRD", b"000", at_ms, at_ms,
        5, 0, b"ACME", 1, 1, b"447700900123", 0, 0, 1, b"Code", 1, f"order-{number}", url,
    )  # fmt: skip


@asynccontextmanager
async def webhook_rig(redis_url: str, dsn: str, request_seconds: float = 2.0) -> AsyncIterator[WebhookRig]:
    """Serve for a test, with a receiver; nothing is delivered or written yet."""
    pool = await open_pool(dsn, name="webhook test")
    poster = Poster(user_agent="smscd/test", request_seconds=request_seconds)
    rig = WebhookRig(redis_url, dsn, pool, poster)
    for account in ("acme", "other", "public"):
        await add_account(
            pool,
            Account(id=account, any_sender=True, allows_private_callbacks=account != "public", webhook_secret=SECRET),
        )
        await add_api_key(pool, ApiKey(key_hash=sha256(f"key-of-{account}".encode()).digest(), account=account))
    await rig.tell()
    rig.link()
    serving: set[asyncio.Task[None]] = set()
    receiver = Receiver(rig.record)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(receiver.serve(reader, writer))
        serving.add(task)
        await asyncio.wait([task])
        serving.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    rig.receiver_port = server.sockets[0].getsockname()[1]
    http = await rig.serve()
    try:
        yield rig
    finally:
        await rig.kill()
        await http.stop()
        await rig.poster.close()
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        for link in rig.links:
            await link.close()
        await pool.close()
