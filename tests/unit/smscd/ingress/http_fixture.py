"""A whole HTTP interface on a free port, with everything behind it played by the test."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec

from smscd.core.directory import Account, ApiKey, Price, Route, Snapshot
from smscd.core.directory_index import DirectoryIndex
from smscd.core.idempotency import duplicate_of
from smscd.core.ids import IdSource
from smscd.core.planning import Planned
from smscd.core.reasons import Reason
from smscd.core.upstream import Upstream, VendorTlv
from smscd.core.verdicts import Accepted, Refused, Verdict, VerdictSink
from smscd.ingress.changes import Change
from smscd.ingress.http.account_keys import AccountKeys, KeyList, KeyRequest, NewKey, RevokedKey
from smscd.ingress.http.cancelling import Cancelling
from smscd.ingress.http.client_addresses import ClientAddresses
from smscd.ingress.http.connections import ConnectionLimits
from smscd.ingress.http.documents import Documents
from smscd.ingress.http.events import Events
from smscd.ingress.http.figures import HttpFigures
from smscd.ingress.http.inbound import Inbound
from smscd.ingress.http.keys import Keys, KeyUses
from smscd.ingress.http.listing import Listing
from smscd.ingress.http.resources import Resources
from smscd.ingress.http.server import HttpServer
from smscd.ingress.http.transactions import Transactions
from smscd.ingress.http.views import Health, MessageDetail, Money, TimelineItem
from smscd.ingress.http.webhooks import Webhooks
from storage.postgres.messages import StoredMessage
from storage.postgres.pool import Pool

KEY = "smk_test_0123456789abcdef0123456789abcdef"
OTHER_KEY = "smk_test_of_another_account_0123456789ab"
SUSPENDED_KEY = "smk_test_of_a_suspended_account_012345678"
REVOKED_KEY = "smk_test_that_was_revoked_0123456789abcde"
SENDING_KEY = "smk_test_that_may_send_0123456789abcdef01"
READING_KEY = "smk_test_that_may_read_0123456789abcdef01"
EXPIRED_KEY = "smk_test_that_has_expired_0123456789abcde"
WALLED_KEY = "smk_test_of_a_walled_account_0123456789ab"
NETWORKS = frozenset({"10.0.0.0/8", "2001:db8::/32"})
VENDOR_TLVS = (
    VendorTlv(tag=0x1400, name="dlt_entity_id", kind="c_octets", size_min=2, size_max=31),
    VendorTlv(tag=0x1403, name="campaign", kind="integer", size_min=1, size_max=2),
    VendorTlv(tag=0x1404, name="trace", kind="octets", size_min=0, size_max=8),
)
BODY: dict[str, Any] = {"to": "+447700900123", "from": "ACME", "text": "Code 123456", "client_ref": "order-77"}


def snapshot() -> Snapshot:
    """Upstreams, one price, and accounts in several moods; to +46 a message needs the TLV dlt_entity_id."""
    carrier = Upstream(id="carrier", host="127.0.0.1", port=1, system_id="s", password="p", vendor_tlvs=VENDOR_TLVS)
    needed = msgspec.structs.replace(VENDOR_TLVS[0], is_required=True)

    def key(text: str, account: str, **terms: Any) -> ApiKey:
        return ApiKey(key_hash=sha256(text.encode()).digest(), account=account, **terms)

    return Snapshot(
        accounts=(
            Account(id="acme", senders=frozenset({"ACME", "447700900100"}), credit_limit_micros=5_000_000),
            Account(id="other", any_sender=True),
            Account(id="sleepy", any_sender=True, is_suspended=True),
            Account(id="walled", any_sender=True, http_networks=NETWORKS),
        ),
        api_keys=(
            key(KEY, "acme"),
            key(OTHER_KEY, "other"),
            key(SUSPENDED_KEY, "sleepy"),
            key(REVOKED_KEY, "acme", is_revoked=True),
            key(SENDING_KEY, "acme", scopes=frozenset({"send"})),
            key(READING_KEY, "acme", scopes=frozenset({"read"})),
            key(EXPIRED_KEY, "acme", expires_at=datetime(2026, 1, 1, tzinfo=UTC)),
            key(WALLED_KEY, "walled"),
        ),
        upstreams=(
            carrier,
            msgspec.structs.replace(carrier, id="paused", is_enabled=False),
            msgspec.structs.replace(carrier, id="strict", vendor_tlvs=(needed, *VENDOR_TLVS[1:])),
            msgspec.structs.replace(carrier, id="bare", vendor_tlvs=()),
        ),
        routes=tuple(
            Route(prefix=prefix, upstreams=(upstream,))
            for prefix, upstream in (("44", "carrier"), ("49", "paused"), ("46", "strict"), ("48", "bare"))
        ),
        prices=(Price(plan="default", prefix="4", price_micros=10_000),),
    )


class FakeAdmitter:
    """Admits everything in the next turn of the loop, and knows keys again, unless the test says otherwise."""

    def __init__(self) -> None:
        self.admitted: list[Planned] = []
        self.refusal: Refused | None = None
        self.is_silent = False
        self.held: list[tuple[list[Planned], VerdictSink]] = []
        self._answers: dict[tuple[str, bytes], bytes] = {}

    def submit(self, planned: list[Planned], on_verdicts: VerdictSink) -> None:
        if self.is_silent:
            self.held.append((planned, on_verdicts))
            return
        asyncio.get_running_loop().call_soon(lambda: on_verdicts(0, [self._verdict(each) for each in planned]))

    def release(self) -> None:
        """Decide what was held."""
        held, self.held, self.is_silent = self.held, [], False
        for planned, sink in held:
            sink(0, [self._verdict(each) for each in planned])

    def _verdict(self, planned: Planned) -> Verdict:
        if self.refusal is not None:
            return self.refusal
        record = planned.record
        if planned.idem_key is not None:
            stored = self._answers.setdefault((record.account, planned.idem_key), planned.idem_value)
            if stored is not planned.idem_value:
                return duplicate_of(stored, planned.body_hash)
        self.admitted.append(planned)
        return Accepted(record.id, record.price_micros, len(record.segments))


class FakeRecord:
    """The record: what the writer wrote, and how far it is."""

    def __init__(self) -> None:
        self.messages: dict[tuple[str, int], MessageDetail] = {}
        self.journalled = "5-0"
        self.recorded = "5-0"
        self.finds = 0
        self.error: Exception | None = None
        self.on_find: Callable[[], None] = lambda: None

    async def find(self, account: str, message_id: int) -> MessageDetail | None:
        self.finds += 1
        self.on_find()
        if self.error is not None:
            raise self.error
        return self.messages.get((account, message_id))

    async def recorded_until(self, account: str) -> str:
        return self.recorded

    async def journalled_until(self, account: str) -> str:
        return self.journalled

    def write(self, account: str, message_id: int) -> None:
        """Put a delivered message into the record."""
        self.messages[account, message_id] = MessageDetail(
            id=str(message_id),
            status="delivered",
            to="+447700900123",
            sender="ACME",
            encoding="gsm7",
            segments=1,
            price=Money("0.0100", "EUR"),
            created_at="2026-11-22T14:48:34.504Z",
            timeline=[TimelineItem(at="2026-11-22T14:48:34.504Z", what="admitted", upstream="carrier")],
        )


class FakeOffice:
    """Keeps no keys."""

    async def listed(self, account: str) -> KeyList:
        return KeyList(data=[])

    async def make(self, account: str, asked: KeyRequest, by: str) -> NewKey:
        return NewKey(
            key="smk_live_abcd", api_key="smk_live_abcd-of-" + account, label=asked.label, scopes=asked.scopes,
            expires_at=None, replaces=asked.replaces,
        )  # fmt: skip

    async def revoke(self, account: str, key: str, by: str) -> RevokedKey:
        return RevokedKey(key=f"{key} of {account} by {by}", changed=True)


class FakeChanges:
    """Cancels what the record has, unless the test says otherwise. error: raised when the record is to catch up."""

    def __init__(self, record: FakeRecord) -> None:
        self._record = record
        self.outcome: Change | None = None
        self.error: Exception | None = None

    async def cancel(self, account: str, message_id: int) -> Change:
        if self.outcome is not None:
            return self.outcome
        found = self._record.messages.get((account, message_id))
        if found is None:
            return Change.NOT_FOUND
        found.status = "canceled"
        return Change.DONE

    async def catch_up(self) -> None:
        if self.error is not None:
            raise self.error


@dataclass(slots=True)
class Reply:
    """One answer as the wire had it."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def problem(self) -> Any:
        """The document of a refusal, checked to be a whole one."""
        assert self.headers["content-type"] == "application/problem+json"
        document = self.json
        assert {"type", "title", "status", "code", "detail", "instance", "request_id"} <= set(document)
        assert document["status"] == self.status
        assert document["type"] == "/problems/" + document["code"]
        return document


def errors_of(reply: Reply) -> dict[str, str]:
    """Field errors by pointer."""
    assert reply.status == 422
    document = reply.problem
    assert document["code"] == "validation_failed"
    return {error["pointer"]: error["detail"] for error in document["errors"]}


class Connection:
    """One HTTP/1.1 connection with nothing between the test and the bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def reply(self, *, has_body: bool = True) -> Reply:
        """Read one answer; ConnectionError when there is none."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 15)
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:] if ": " in line)}
        length = int(headers.get("content-length", "0")) if has_body else 0
        return Reply(int(lines[0].split()[1]), headers, await self.reader.readexactly(length))

    async def ask(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Reply:
        """One request and its answer."""
        lines = [f"{method} {path} HTTP/1.1", "Host: test", *(f"{k}: {v}" for k, v in (headers or {}).items())]
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        self.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
        return await self.reply(has_body=method != "HEAD")

    async def is_closed_by_peer(self, seconds: float = 5.0) -> bool:
        """True when the server closes within the time."""
        try:
            async with asyncio.timeout(seconds):
                while await self.reader.read(65536):
                    pass
        except TimeoutError:
            return False
        except ConnectionError:
            pass
        return True


@dataclass(slots=True)
class Service:
    """The running interface, and what stands behind it."""

    admitter: FakeAdmitter
    record: FakeRecord
    changes: FakeChanges
    figures: HttpFigures
    balances: dict[str, int | None]
    health: Health
    uses: KeyUses
    stop: Callable[[], Awaitable[None]]
    port: int = 0
    health_calls: int = 0
    connections: list[Connection] = field(default_factory=list)

    async def connect(self) -> Connection:
        connection = Connection(*await asyncio.open_connection("127.0.0.1", self.port))
        self.connections.append(connection)
        return connection

    async def send(
        self, body: Any = None, *, key: str | None = KEY, path: str = "/v1/messages", **headers: str
    ) -> Reply:
        """POST /v1/messages, or another path, on a connection of its own. headers: with _ for -."""
        connection = await self.connect()
        given = {"Content-Type": "application/json"} | ({"X-Api-Key": key} if key else {})
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if isinstance(body, bytes) else json.dumps(BODY if body is None else body).encode()
        return await connection.ask("POST", path, given, data)

    async def get(self, path: str, *, key: str | None = KEY, method: str = "GET", **headers: str) -> Reply:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return await (await self.connect()).ask(method, path, given | ({"X-Api-Key": key} if key else {}))


@asynccontextmanager
async def service(
    limits: ConnectionLimits | None = None,
    *,
    request_seconds: float = 10.0,
    pending_bytes_max: int = 1 << 24,
    trusted: tuple[str, ...] = (),
) -> AsyncIterator[Service]:
    """Run the interface for a test. trusted: proxies."""
    admitter, record, figures, uses = FakeAdmitter(), FakeRecord(), HttpFigures(), KeyUses()
    changes = FakeChanges(record)
    health_now = Health(status="healthy", version="1", checks={"redis": {}})
    index = DirectoryIndex(snapshot())

    async def balance(account: str) -> int | None:
        return running.balances.get(account)

    async def health() -> Health:
        running.health_calls += 1
        return running.health

    resources = Resources(
        admitter=admitter,
        directory=lambda: index,
        ids=IdSource(1),
        clock_ms=lambda: time.time_ns() // 1_000_000,
        messages=record,
        balance=balance,
        health=health,
        figures=figures,
        version="1.2.3",
        request_seconds=request_seconds,
        pending_bytes_max=pending_bytes_max,
    )

    async def unused(*_: object) -> Any:
        raise AssertionError("asked for without a database")

    webhooks = Webhooks(
        pool=no_pool,
        ids=IdSource(2),
        clock_ms=lambda: time.time_ns() // 1_000_000,
        tell=unused,
        push=unused,
        test=unused,
    )
    server = HttpServer(
        [
            *resources.routes(),
            *Cancelling(changes, record).routes(),
            *Inbound(no_pool, NoRows(), lambda: time.time_ns() // 1_000_000).routes(),
            *Events(no_pool, lambda: index).routes(),
            *Transactions(no_pool).routes(),
            *Listing(no_pool, lambda: time.time_ns() // 1_000_000).routes(),
            *AccountKeys(FakeOffice()).routes(),
            *webhooks.routes(),
            *Documents().routes(),
        ],
        keys=Keys(lambda: index, lambda: time.time_ns() // 1_000_000, uses, ClientAddresses(trusted)),
        figures=figures,
        limits=limits,
        request_seconds=request_seconds,
    )
    running = Service(admitter, record, changes, figures, {"acme": 12_345_678}, health_now, uses, server.stop)
    running.port = await server.start("127.0.0.1", 0)
    try:
        yield running
    finally:
        for connection in running.connections:
            connection.writer.close()
        await server.stop()


class NoRows:
    """PostgreSQL is away."""

    async def find(self, account: str, message_ids: Sequence[int]) -> dict[int, StoredMessage]:
        raise ConnectionRefusedError

    async def catch_up(self) -> None:
        raise ConnectionRefusedError


def no_pool() -> Pool:
    """PostgreSQL is away."""
    raise ConnectionRefusedError


def throttled(seconds: float) -> Refused:
    """A verdict: the account's own rate."""
    return Refused(Reason.RATE_LIMITED, seconds)
