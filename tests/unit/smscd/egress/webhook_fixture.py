"""Webhooks with a store in memory and a clock of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec
from yarl import URL

from protocols.webhooks import make_secret
from smscd.core.callback_forms import CallbackRequest
from smscd.core.callback_records import CallbackKind, CallbackRecord, CallbackResult
from smscd.core.directory import Account, Snapshot
from smscd.core.directory_index import DirectoryIndex
from smscd.core.records import State
from smscd.egress.webhooks.schedule import Posted
from smscd.egress.webhooks.webhooks import WebhookFigures, Webhooks
from storage.redis.errors import StorageUnavailable

SECRET = make_secret(bytes(range(32)))
START_MS = 1_795_358_914_000
ACCOUNTS = (
    Account(id="acme", webhook_url="https://hooks.example/in", webhook_secret=SECRET),
    Account(id="local", webhook_secret=SECRET, allows_private_callbacks=True),
    Account(id="open", webhook_secret=SECRET),
    Account(id="unsigned", webhook_url="https://hooks.example/in", webhook_secret="nonsense"),
)


def callback(number: int = 1, account: str = "acme", url: str | None = None, attempt: int = 0) -> CallbackRecord:
    """A receipt that is due to a customer."""
    return CallbackRecord(
        int(CallbackKind.RECEIPT), number, account, int(State.DELIVERED), b"DELIVRD", b"000", START_MS, START_MS,
        5, 0, b"ACME", 1, 1, b"447700900123", 0, 0, 1, b"Code", 1, f"order-{number}", url, attempt,
    )  # fmt: skip


class MemoryStore:
    """A HookStore that does what the scripts do."""

    def __init__(self) -> None:
        self.stream: dict[str, bytes] = {}
        self.later: dict[bytes, int] = {}
        self.results: list[CallbackResult] = []
        self.settles = 0
        self.is_away = False
        self._number = 0

    def add(self, *records: CallbackRecord) -> None:
        """One entry of the stream."""
        self.add_blob(msgspec.msgpack.encode(records))

    def add_blob(self, blob: bytes) -> None:
        self._number += 1
        self.stream[f"{self._number}-0"] = blob

    async def read(self, after: str, count: int) -> list[tuple[str, bytes]]:
        self._check()
        start = int(after.partition("-")[0])
        return [item for item in self.stream.items() if int(item[0].partition("-")[0]) > start][:count]

    async def due(self, now_ms: int, limit: int) -> list[bytes]:
        self._check()
        return sorted((member for member, due in self.later.items() if due <= now_ms), key=self.later.__getitem__)[
            :limit
        ]

    async def settle(
        self,
        finished: Sequence[str],
        later: Sequence[tuple[int, bytes]],
        promoted: Sequence[bytes],
        results: Sequence[bytes],
    ) -> None:
        self._check()
        await asyncio.sleep(0)
        self.settles += 1
        self.results += [msgspec.msgpack.decode(result, type=CallbackResult) for result in results]
        for member in promoted:
            self.later.pop(member, None)
        for due_ms, member in later:
            self.later[member] = due_ms
        for entry_id in finished:
            del self.stream[entry_id]

    def kept(self) -> list[tuple[int, CallbackRecord]]:
        """What is due later: (seconds after the start, record), soonest first."""
        soonest = sorted(self.later.items(), key=lambda item: item[1])
        return [
            ((due - START_MS) // 1000, msgspec.msgpack.decode(member, type=CallbackRecord)) for member, due in soonest
        ]

    def _check(self) -> None:
        if self.is_away:
            raise StorageUnavailable("away")


@dataclass(slots=True)
class Sent:
    """One attempt as the receiver saw it."""

    url: URL
    headers: dict[str, str]
    body: bytes
    account: str
    allows_private: bool
    at_ms: int


@dataclass
class Rig:
    """The webhooks under test, and everything around them."""

    store: MemoryStore = field(default_factory=MemoryStore)
    figures: WebhookFigures = field(default_factory=WebhookFigures)
    sent: list[Sent] = field(default_factory=list)
    asked: list[CallbackRequest] = field(default_factory=list)
    now_ms: int = START_MS
    elapsed: float = 0.0
    is_held: bool = True
    index: DirectoryIndex = field(default_factory=lambda: DirectoryIndex(Snapshot(accounts=ACCOUNTS)))
    answer: Callable[[URL], Posted] = lambda _: Posted(204)
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    webhooks: Webhooks = field(init=False)
    task: asyncio.Task[None] = field(init=False)

    async def post(
        self, url: URL, headers: dict[str, str], body: bytes, *, account: str, allows_private: bool
    ) -> Posted:
        self.sent.append(Sent(url, headers, body, account, allows_private, self.now_ms))
        gate = self.gates.get(url.host or "")
        if gate is not None:
            await gate.wait()
        return self.answer(url)

    async def ask(self, url: URL, request: CallbackRequest, *, account: str, allows_private: bool) -> Posted:
        self.asked.append(request)
        return await self.post(url, request.headers, request.body, account=account, allows_private=allows_private)

    async def until(self, condition: Callable[[], object], seconds: float = 5.0) -> None:
        """Wait until something holds."""
        async with asyncio.timeout(seconds):
            while not condition():
                assert not self.task.done(), self.task
                await asyncio.sleep(0)

    async def idle_after(self, attempts: int) -> None:
        """Wait until so many attempts were made and none is under way."""
        await self.until(lambda: len(self.sent) == attempts and not self.figures.active)

    async def pass_time(self, seconds: float) -> None:
        """Let the wall clock pass, and have the webhooks look."""
        self.now_ms += int(seconds * 1000)
        self.webhooks.ring()
        for _ in range(50):
            await asyncio.sleep(0)


@asynccontextmanager
async def rig(*, requests_max: int = 200, per_endpoint_max: int = 10, chance: float = 0.0) -> AsyncIterator[Rig]:
    """Run webhooks for a test."""
    found = Rig()

    def make() -> Webhooks:
        return Webhooks(
            store=found.store,
            is_held=lambda: found.is_held,
            post=found.post,
            ask=found.ask,
            directory=lambda: found.index,
            figures=found.figures,
            clock=lambda: asyncio.get_running_loop().time() + found.elapsed,
            wall_ms=lambda: found.now_ms,
            chance=lambda: chance,
            requests_max=requests_max,
            per_endpoint_max=per_endpoint_max,
        )

    found.webhooks = make()
    found.task = asyncio.create_task(found.webhooks.run())
    try:
        yield found
    finally:
        found.task.cancel()
        await asyncio.gather(found.task, return_exceptions=True)
