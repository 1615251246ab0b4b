"""Egress as a daemon composes it, for tests: on a real Redis, a carrier process, and ESMEs over TCP.

Run as a module (with the URL of Redis and the port of the carrier) it is that egress as a process to be killed.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import msgspec

from protocols.smpp import events as ev
from protocols.smpp.limits import SessionConfig
from protocols.smpp.pdu import BindReceiver, BindTransceiver, DeliverSm
from protocols.smpp.receipt import Receipt, parse_receipt
from smscd.core.callback_records import CallbackResult
from smscd.core.directory import Account, Credential, MoNumber, Snapshot
from smscd.core.directory_index import DirectoryIndex
from smscd.core.ids import IdSource
from smscd.core.planning import Planned
from smscd.core.records import InboundRecord, LedgerRecord, MessageRecord, ReceiptRecord, ResultRecord, Via
from smscd.core.upstream import Upstream
from smscd.core.verdicts import Admitter, VerdictSink
from smscd.egress.binds.owner import Surroundings, UpstreamStores
from smscd.egress.binds.ports import Dial
from smscd.egress.binds.upstreams import Upstreams
from smscd.egress.esme.outbox import Outbox
from smscd.egress.figures import OutboxFigures
from smscd.egress.receipts.record import ColdRecord
from smscd.ingress.smpp.auth import Authenticator, password_hmac
from smscd.ingress.smpp.operations import Operations
from smscd.ingress.smpp.server import SmppServer
from smscd.roles.leases import LeaseKeeper
from smscd.transport.connection import Callbacks, SmppConnection
from smscd.transport.dial import connect
from smscd.transport.outbinds import OutbindLimits
from smscd.transport.registry import BoundSessions
from storage.redis.accounts import Balances
from storage.redis.admission import AdmissionStore, AdmitItem
from storage.redis.bell import Bells
from storage.redis.dispatch import DispatchStore
from storage.redis.journal import JournalReader
from storage.redis.keys import ShardKeys, UpstreamKeys
from storage.redis.link import RedisLink
from storage.redis.outbox import OutboxStore
from storage.redis.receipts import ReceiptStore
from storage.redis.session import RoleSession
from tests.integration.changes_fake import FakeChanges

KEYS = ShardKeys(0)
PEPPER = b"pepper"
PRICE = 10_000
BALANCE = 1_000_000_000
ROOT = Path(__file__).resolve().parents[2]

encode = msgspec.msgpack.Encoder().encode
_DECODERS: dict[bytes, Any] = {
    b"A": msgspec.msgpack.Decoder(list[MessageRecord]),
    b"P": msgspec.msgpack.Decoder(list[MessageRecord]),
    b"T": msgspec.msgpack.Decoder(list[ResultRecord]),
    b"R": msgspec.msgpack.Decoder(list[ReceiptRecord]),
    b"M": msgspec.msgpack.Decoder(list[InboundRecord]),
    b"C": msgspec.msgpack.Decoder(list[CallbackResult]),
    b"L": msgspec.msgpack.Decoder(list[LedgerRecord]),
}


def directory(carrier_port: int, account: Mapping[str, Any] | None = None, **changes: object) -> DirectoryIndex:
    """One account with an ESME and two numbers, 777 by webhook, and one upstream. account: how it writes."""
    fields: dict[str, Any] = {
        "id": "carrier", "host": "127.0.0.1", "port": carrier_port, "system_id": "us", "password": "secret", **changes,
    }  # fmt: skip
    return DirectoryIndex(
        Snapshot(
            accounts=(Account(id="acme", binds_max=10, **(account or {})),),
            credentials=(
                Credential(system_id="esme", account="acme", password_hmac=password_hmac(PEPPER, b"password")),
            ),
            upstreams=(Upstream(**fields),),
            mo_numbers=(
                MoNumber(number="12345", account="acme"),
                MoNumber(number="777", account="acme", via="webhook"),
            ),
        )
    )


class NoAdmission:
    """These ESMEs only receive."""

    def submit(self, planned: list[Planned], on_verdicts: VerdictSink) -> None:
        raise AssertionError("nobody submits here")


class Egress:
    """One process' egress, with the SMPP server that ESMEs bind to."""

    def __init__(
        self,
        url: str,
        index: DirectoryIndex,
        owner: str = "test/0",
        *,
        dial: Dial = connect,
        outbinds: OutbindLimits | None = None,
        admitter: Admitter | None = None,
        node: int = 1,
        record: ColdRecord | None = None,
        failover_seconds: float = 5.0,
    ) -> None:
        self.index = index
        self.url = url
        self._owner = owner
        self._links: list[RedisLink] = []
        self._reads = self.link()
        self.leases = LeaseKeeper(self.link())
        self.bells = Bells(url, [KEYS.bell])
        self.sessions = BoundSessions()
        ids = IdSource(node)
        around = Surroundings(
            open_stores=self._open_stores,
            leases=self.leases,
            dial=dial,
            directory=lambda: self.index,
            ids=ids.take,
            clock=time.monotonic,
            wall_ms=wall_ms,
            chance=random.random,
            outbinds=outbinds,
            record=record,
            move_after_seconds=failover_seconds,
            no_bind_seconds=failover_seconds,
        )
        self.upstreams = Upstreams(around, subscribe=self.bells.subscribe, unsubscribe=self.bells.unsubscribe)
        self.outbox = Outbox(
            open_outbox=self._open_outbox,
            leases=self.leases,
            sessions=self.sessions,
            subscribe=self.bells.subscribe,
            unsubscribe=self.bells.unsubscribe,
            directory=lambda: self.index,
            figures=OutboxFigures(),
            clock=time.monotonic,
            wall_ms=wall_ms,
            chance=random.random,
        )
        self.server = SmppServer(
            config=SessionConfig(),
            directory=lambda: self.index,
            admitter=admitter or NoAdmission(),
            ids=ids,
            authenticator=Authenticator(PEPPER),
            operations=Operations(FakeChanges(), lambda: self.index, wall_ms),  # type: ignore[arg-type]  # nobody asks here
            sessions=self.sessions,
            now_ms=wall_ms,
            sink=self.outbox,
        )
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def figures(self) -> Any:
        """Those of the upstream."""
        return self.upstreams.figures["carrier"]

    def link(self) -> RedisLink:
        link = RedisLink(self.url, name="egress-test")
        self._links.append(link)
        return link

    def _open_stores(self, upstream: str) -> UpstreamStores:
        names = UpstreamKeys(upstream)
        dispatch = RoleSession(self.link(), KEYS, f"dispatch:{upstream}", self._owner)
        receipts = RoleSession(self.link(), KEYS, f"receipts:{upstream}", self._owner)
        return UpstreamStores(
            DispatchStore(upstream, KEYS, names, dispatch, self._reads),
            dispatch,
            ReceiptStore(KEYS, names, receipts, self._reads, lambda: KEYS.session("ingress:1")),
            receipts,
        )

    def _open_outbox(self, account: str) -> tuple[OutboxStore, RoleSession]:
        session = RoleSession(self.link(), KEYS, f"deliver:{account}", self._owner)
        return OutboxStore(account, KEYS, session, self._reads), session

    async def start(self) -> None:
        self._tasks = [asyncio.create_task(self.leases.run()), asyncio.create_task(self.bells.run())]
        await self.upstreams.start()
        await self.server.start("127.0.0.1", 0)
        await self.outbox.start()

    async def stop(self, drain_seconds: float = 3.0) -> None:
        """As SIGTERM does."""
        try:
            async with asyncio.timeout(drain_seconds):
                await self.outbox.drain()
                await self.upstreams.drain()
        except TimeoutError:
            pass
        await self.outbox.stop()
        await self.upstreams.stop()
        self.server.stop()
        await self._close()

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for link in self._links:
            await link.close()

    async def bound(self) -> None:
        """Wait until the upstream's binds are up."""
        await until(lambda: self._is_bound(), seconds=10)

    def _is_bound(self) -> bool:
        owner = self.upstreams.owner("carrier")
        if owner is None or owner.pool is None:
            return False
        owner.pool.count()
        return bool(self.figures.binds_bound == len(owner.pool.links) > 0)


class Books:
    """What Redis holds, read by the test; and admission without an ingress."""

    def __init__(self, url: str) -> None:
        self.link = RedisLink(url, name="test-books")
        self._admission_link = RedisLink(url, name="test-admission")
        self.balances = Balances(KEYS, self.link)
        self.journal = JournalReader(KEYS, self.link)
        self._store: AdmissionStore | None = None
        self._ids = IdSource(2)

    async def open(self) -> None:
        session = RoleSession(self._admission_link, KEYS, "ingress:2", "test/books")
        assert await session.take()
        self._store = AdmissionStore(KEYS, session)
        await self.balances.top_up(LedgerRecord("acme", "topup", BALANCE, "first", 1))

    async def close(self) -> None:
        await self.link.close()
        await self._admission_link.close()

    async def admit(self, dests: Iterable[bytes], **changes: object) -> list[int]:
        """Admit a message to each destination, a hundred a call; their ids."""
        assert self._store is not None
        wanted = list(dests)
        ids = self._ids.take(wall_ms(), len(wanted))
        records = [message_of(message_id, dest, **changes) for message_id, dest in zip(ids, wanted, strict=True)]
        for at in range(0, len(records), 100):
            items = [
                AdmitItem(
                    account=record.account, rate=0, burst=0, floor_micros=0, price_micros=PRICE,
                    upstream_messages_max=10**6, messages=[("carrier", record.priority, encode(record))],
                )
                for record in records[at : at + 100]
            ]  # fmt: skip
            reply = await self._store.admit(items, ids[-1], not_after_ms=self._store.redis_ms() + 2000, timeout=2.0)
            assert reply.verdicts == b"A" * len(items)
        return ids

    async def records(self, kind: bytes) -> list[Any]:
        """Every record of a kind in the journal, oldest first."""
        found: list[Any] = []
        after = "0-0"
        while entries := await self.journal.read(after, 500):
            after = entries[-1].id
            for entry in entries:
                if entry.kind == kind:
                    found += _DECODERS[kind].decode(entry.blob)
        return found

    async def depth(self) -> int:
        return int(await self.link.command("HGET", KEYS.depth, "carrier") or 0)

    async def leftovers(self) -> list[str]:
        """Keys of work that is not done: queues, open blobs, rest, retries, outboxes."""
        names = [name.decode() for name in await self.link.command("KEYS", "*")]
        working = (":q:", ":open:", ":rest:", ":later:", ":out:", ":ready:")
        return sorted(name for name in names if any(part in name for part in working))

    async def balance(self) -> int:
        held = await self.balances.balance("acme")
        assert held is not None
        return held


def message_of(message_id: int, dest: bytes, **changes: object) -> MessageRecord:
    fields: dict[str, Any] = {
        "id": message_id, "account": "acme", "upstream": "carrier", "priority": 1, "door": 1, "source_ton": 5,
        "source_npi": 0, "source": b"ACME", "dest_ton": 1, "dest_npi": 1, "dest": dest, "esm_class": 0,
        "protocol_id": 0, "data_coding": 0, "registered_delivery": 1, "segments": [b"%d text" % message_id],
        "price_micros": PRICE, "valid_until_ms": wall_ms() + 3_600_000, "via": int(Via.SMPP), **changes,
    }  # fmt: skip
    return MessageRecord(**fields)


def wall_ms() -> int:
    """Milliseconds since the epoch."""
    return int(time.time() * 1000)


class Esme:
    """A bound ESME that answers every deliver_sm with ESME_ROK."""

    def __init__(self) -> None:
        self.received: list[DeliverSm] = []
        self.connection: SmppConnection | None = None
        self.is_bound = False

    async def bind(self, port: int, kind: type[BindReceiver] | type[BindTransceiver] = BindTransceiver) -> None:
        callbacks = Callbacks(lambda connection: None, self._on_events, self._on_closed)
        self.connection = await connect("127.0.0.1", port, config=SessionConfig(window_size=1000), callbacks=callbacks)
        self.connection.session.bind(kind(system_id=b"esme", password=b"password", interface_version=0x34), 0.0)
        self.connection.flush()
        await until(lambda: self.is_bound)

    def receipts(self) -> dict[int, list[Receipt]]:
        """Receipts by message id."""
        found: dict[int, list[Receipt]] = {}
        for pdu in self.received:
            receipt = parse_receipt(pdu)
            if receipt is not None:
                found.setdefault(int(receipt.message_id), []).append(receipt)
        return found

    def _on_events(self, connection: SmppConnection, events: list[ev.Event]) -> None:
        for event in events:
            if isinstance(event, ev.BindAccepted):
                self.is_bound = True
            elif isinstance(event, ev.DeliversReceived):
                self.received += event.pdus
                connection.session.answer_delivers([(pdu.sequence_number, 0) for pdu in event.pdus])
        connection.flush()

    def _on_closed(self, connection: SmppConnection, reason: str) -> None:
        self.is_bound = False

    def close(self) -> None:
        if self.connection is not None:
            self.connection.abort()


class CarrierProcess:
    """The simulated carrier as a process."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, control_port: int, record: Path) -> None:
        self.process = process
        self.port = port
        self.control_port = control_port
        self._record = record

    async def stats(self) -> dict[str, Any]:
        """What it says of itself."""

        def ask() -> dict[str, Any]:
            with urlopen(f"http://127.0.0.1:{self.control_port}/stats", timeout=5) as answer:
                found: dict[str, Any] = json.load(answer)
                return found

        return await asyncio.to_thread(ask)

    async def submits(self, count: int) -> list[list[str]]:
        """Lines of its record that tell of a submit_sm, once there are as many (they are written a little late).

        A line is: kind ms token id status source dest part.
        """
        await until(lambda: len(self._submits()) >= count)
        return self._submits()

    def _submits(self) -> list[list[str]]:
        if not self._record.exists():
            return []
        lines = [line.split("\t") for line in self._record.read_text().splitlines()]
        return [line for line in lines if line[0] == "submit"]


@asynccontextmanager
async def carrier_process(folder: Path, *options: str) -> AsyncIterator[CarrierProcess]:
    """Start a carrier on free ports; it is gone afterwards."""
    record = folder / "carrier.record"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tools.carrier", "--port", "0", "--control", "0", "--json", "--record", str(record),
        *options, stdout=asyncio.subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            ready = json.loads(await process.stdout.readline())
        yield CarrierProcess(process, ready["port"], ready["control_port"], record)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for a condition, with a deadline."""
    async with asyncio.timeout(seconds):
        while not condition():  # a condition of the outside, not an event of ours
            await asyncio.sleep(0.01)


@asynccontextmanager
async def egress_process(
    url: str, carrier_port: int, owner: str = "killed/0", binds: int = 1
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Egress as a process of its own; it is killed afterwards if the test has not done so."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.egress_rig", url, str(carrier_port), owner, str(binds), cwd=ROOT,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _serve(url: str, port: int, owner: str, binds: int) -> None:
    egress = Egress(url, directory(port, binds=binds), owner=owner)
    await egress.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
