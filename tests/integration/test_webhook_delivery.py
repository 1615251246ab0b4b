"""Webhooks from the real Redis to a receiver in a process of its own, over TCP: W1 and W2 of the fault catalogue."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from protocols.webhooks import make_secret, verify
from smscd.core.callback_records import CallbackKind, CallbackOutcome, CallbackRecord, CallbackResult
from smscd.core.directory import Account, Snapshot
from smscd.core.directory_index import DirectoryIndex
from smscd.core.records import State
from smscd.egress.webhooks.post import Poster
from smscd.egress.webhooks.webhooks import WebhookFigures, Webhooks
from smscd.roles.leases import LeaseKeeper
from storage.redis.blobs import pack_array
from storage.redis.journal import JournalReader
from storage.redis.keys import ShardKeys
from storage.redis.link import RedisLink
from storage.redis.outbox import HookStore
from storage.redis.session import RoleSession

KEYS = ShardKeys(0)
SECRET = make_secret(bytes(32))
BASE = 1 << 62


@dataclass(slots=True)
class Hooks:
    """A deliverer on a real Redis. clock_ms is the wall clock that it sees: Redis TIME plus `ahead_ms`."""

    url: str
    record: Path
    port: int
    links: list[RedisLink] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    figures: WebhookFigures = field(default_factory=WebhookFigures)
    ahead_ms: int = 0
    webhooks: Webhooks | None = None
    poster: Poster | None = None

    def link(self) -> RedisLink:
        link = RedisLink(self.url, name="test")
        self.links.append(link)
        return link

    def to(self, path: str) -> str:
        """A URL of the receiver."""
        return f"http://127.0.0.1:{self.port}{path}"

    async def start(self, *, seconds: float = 15.0, per_endpoint_max: int = 10) -> None:
        """Take the role and deliver."""
        session = RoleSession(self.link(), KEYS, "hooks", "test/0")
        assert await session.take()
        leases = LeaseKeeper(self.link())
        leases.add(session, lambda: None)
        accounts = (
            Account(
                id="acme", webhook_url=self.to("/status/204"), webhook_secret=SECRET, allows_private_callbacks=True
            ),
            Account(
                id="other", webhook_url=self.to("/status/204"), webhook_secret=SECRET, allows_private_callbacks=True
            ),
            Account(id="public", webhook_secret=SECRET),
        )
        index = DirectoryIndex(Snapshot(accounts=accounts))
        self.poster = Poster(user_agent="smscd/test", request_seconds=seconds)
        self.webhooks = Webhooks(
            store=HookStore(KEYS, session, self.link()),
            is_held=lambda: session.is_held,
            post=self.poster.post,
            ask=self.poster.ask,
            directory=lambda: index,
            figures=self.figures,
            clock=time.monotonic,
            wall_ms=lambda: time.time_ns() // 1_000_000 + self.ahead_ms,
            chance=random.Random(1).random,
            per_endpoint_max=per_endpoint_max,
        )
        self.tasks += [asyncio.create_task(self.webhooks.run()), asyncio.create_task(leases.run())]

    async def stop(self) -> None:
        """End as a crash would."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()
        if self.poster is not None:
            await self.poster.close()

    async def add(self, *records: CallbackRecord) -> None:
        """One entry of the hooks stream, as receipt.lua writes it."""
        await self.links[0].command(
            "XADD", KEYS.hooks, "*", "b", pack_array([msgspec.msgpack.encode(r) for r in records])
        )

    async def results(self) -> list[CallbackResult]:
        """What the journal says."""
        entries = await JournalReader(KEYS, self.links[0]).read("0-0", 10_000)
        assert {entry.kind for entry in entries} <= {b"C"}
        return [r for entry in entries for r in msgspec.msgpack.decode(entry.blob, type=list[CallbackResult])]

    async def until_results(self, count: int, seconds: float = 20.0) -> list[CallbackResult]:
        async with asyncio.timeout(seconds):
            while len(found := await self.results()) < count:
                assert all(not task.done() for task in self.tasks)
                await asyncio.sleep(0.02)
        return found

    async def until(self, condition: Callable[[], bool], seconds: float = 20.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.01)

    def requests(self, path: str = "") -> list[dict[str, Any]]:
        """The receiver's own record."""
        lines = [json.loads(line) for line in self.record.read_text().splitlines()]
        return [line for line in lines if line.get("path", "").startswith(path) and "path" in line]

    async def all_requests(self) -> list[dict[str, Any]]:
        """The record once everything that was on its way is in it: a request of our own comes after all of that."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        names = "webhook-id: last\r\nwebhook-timestamp: 0\r\nwebhook-signature: none\r\n"
        writer.write(f"POST /status/200 HTTP/1.1\r\ncontent-length: 0\r\n{names}\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        return self.requests("/slow")

    def connections(self) -> int:
        return sum("connection" in json.loads(line) for line in self.record.read_text().splitlines())

    async def left(self) -> tuple[int, int]:
        """Entries in the stream, members in the later set."""
        return (
            await self.links[0].command("XLEN", KEYS.hooks),
            await self.links[0].command("ZCARD", KEYS.hooks_later),
        )


@asynccontextmanager
async def hooks_on(url: str, directory: Path) -> AsyncIterator[Hooks]:
    """A receiver process, and a deliverer that is not started yet."""
    record = directory / "requests"
    record.touch()
    root = Path(__file__).resolve().parents[2]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.integration.webhook_receiver",
        str(record),
        cwd=root,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    hooks = Hooks(url, record, int(await process.stdout.readline()))
    hooks.link()
    try:
        yield hooks
    finally:
        await hooks.stop()
        for link in hooks.links:
            await link.close()
        process.kill()
        await process.communicate()


def callback(number: int, url: str | None = None, account: str = "acme") -> CallbackRecord:
    now_ms = time.time_ns() // 1_000_000
    return CallbackRecord(
        int(CallbackKind.RECEIPT), BASE + number, account, int(State.DELIVERED), b"DELIVRD", b"000", now_ms, now_ms,
        5, 0, b"ACME", 1, 1, b"447700900123", 0, 0, 1, b"Code", 1, f"order-{number}", url,
    )  # fmt: skip


async def test_a_thousand_callbacks_arrive_once_signed_over_few_connections(valkey_url: str, tmp_path: Path) -> None:
    async with hooks_on(valkey_url, tmp_path) as hooks:
        for first in range(0, 1_000, 50):
            await hooks.add(*(callback(number) for number in range(first, first + 50)))
        await hooks.start()
        results = await hooks.until_results(1_000)
        assert Counter(result.outcome for result in results) == {int(CallbackOutcome.DELIVERED): 1_000}
        requests = hooks.requests()
        assert len({request["id"] for request in requests}) == len(requests) == 1_000
        for request in requests:
            verify(
                request["id"], request["timestamp"], request["body"].encode(), request["signature"], (SECRET,),
                float(request["timestamp"]),
            )  # fmt: skip
        assert {json.loads(request["body"])["data"]["client_ref"] for request in requests} == {
            f"order-{number}" for number in range(1_000)
        }
        assert hooks.connections() <= 10
        assert await hooks.left() == (0, 0)


async def test_each_kind_of_failure_has_its_end(valkey_url: str, tmp_path: Path) -> None:
    async with hooks_on(valkey_url, tmp_path) as hooks:
        paths = ["/status/500", "/status/410", "/redirect", "/hang", "/drop", "/flaky/503/2", "/status/200"]
        await hooks.add(*(callback(number, hooks.to(path)) for number, path in enumerate(paths)))
        await hooks.start(seconds=0.3)
        for attempt in range(1, 11):
            await hooks.until(lambda attempt=attempt: len(hooks.requests("/status/500")) >= attempt)  # type: ignore[misc]
            await hooks.until(lambda: hooks.figures.active == 0)
            hooks.ahead_ms += 27 * 3_600_000
        by_path = {paths[result.id - BASE]: result for result in await hooks.until_results(7)}
        assert {path: (result.outcome, result.attempts, result.detail) for path, result in by_path.items()} == {
            "/status/500": (2, 10, "status 500"),
            "/status/410": (2, 1, "status 410"),
            "/redirect": (2, 10, "status 302"),
            "/hang": (2, 10, "time-out"),
            "/drop": (2, 10, "connection lost"),
            "/flaky/503/2": (1, 3, ""),
            "/status/200": (1, 1, ""),
        }
        assert Counter(request["path"] for request in hooks.requests()) == {
            "/status/500": 10, "/status/410": 1, "/redirect": 10, "/hang": 10, "/drop": 10, "/flaky/503/2": 3,
            "/status/200": 1,
        }  # fmt: skip
        assert await hooks.left() == (0, 0)


async def test_one_bad_receiver_holds_up_nobody(valkey_url: str, tmp_path: Path) -> None:
    async with hooks_on(valkey_url, tmp_path) as hooks:
        for first in range(0, 500, 25):
            await hooks.add(*(callback(number, hooks.to("/hang")) for number in range(first, first + 25)))
            await hooks.add(*(callback(10_000 + number, None, "other") for number in range(first, first + 25)))
        await hooks.start(seconds=5.0)
        began = time.monotonic()
        results = await hooks.until_results(500)
        assert time.monotonic() - began < 4.5
        assert {result.account for result in results} == {"other"}
        assert len(hooks.requests("/hang")) == 10


async def test_after_a_crash_nothing_is_lost_and_a_drained_deliverer_repeats_nothing(
    valkey_url: str, tmp_path: Path
) -> None:
    async with hooks_on(valkey_url, tmp_path) as hooks:
        await hooks.add(*(callback(number, hooks.to("/slow/0.2")) for number in range(20)))
        await hooks.start()
        await hooks.until(lambda: len(hooks.requests("/slow")) >= 15)
        await hooks.stop()
        before = {request["id"] for request in await hooks.all_requests()}
        await hooks.start()
        results = await hooks.until_results(20)
        assert {result.id - BASE for result in results} == set(range(20))
        assert len(results) == 20
        again = Counter(request["id"] for request in hooks.requests("/slow"))
        assert len(again) == 20
        assert {webhook_id for webhook_id, count in again.items() if count > 1} <= before

        await hooks.add(*(callback(100 + number, hooks.to("/slow/0.2")) for number in range(30)))
        await hooks.until(lambda: len(hooks.requests("/slow")) >= sum(again.values()) + 5)
        assert hooks.webhooks is not None
        await hooks.webhooks.finish()
        await hooks.stop()
        await hooks.start()
        await hooks.until_results(50)
        counts = Counter(request["id"] for request in hooks.requests("/slow"))
        assert {counts[webhook_id] for webhook_id in counts if webhook_id not in again} == {1}
        assert await hooks.left() == (0, 0)


async def test_no_callback_address_that_leads_inside_is_connected_to(valkey_url: str, tmp_path: Path) -> None:
    async with hooks_on(valkey_url, tmp_path) as hooks:
        hosts = [
            "127.0.0.1", "localhost", "127.1", "2130706433", "0177.0.0.1", "0x7f.1", "0.0.0.0", "[::ffff:127.0.0.1]",
            "10.0.0.1", "100.64.0.1", "169.254.169.254", "[::1]", "[fe80::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]",
        ]  # fmt: skip
        urls = [f"http://{host}:{hooks.port}/status/200" for host in hosts]
        await hooks.add(*(callback(number, url, "public") for number, url in enumerate(urls)))
        await hooks.start(seconds=2.0)
        await hooks.until(lambda: hooks.figures.retried == len(hosts))
        assert hooks.connections() == 0
        assert hooks.figures.delivered == 0
