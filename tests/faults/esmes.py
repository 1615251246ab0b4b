"""ESMEs as hostile or as many as a test needs: small, raw, and knowing nothing of the daemon's own session."""

from __future__ import annotations

import asyncio
import json
import os
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

import uvloop

from smscd.core.directory import Account, Credential
from smscd.core.records import LedgerRecord
from smscd.supervision.locate import RUN_FILE, locate
from smscd.supervision.processes import process_tree
from smscd.supervision.ready import read_run
from smscd.supervision.seed import password_hmac
from storage.postgres import configuration
from tests.faults.rig import Rig
from tools.bench.processes import load_average

TX, RX, TRX = 0x2, 0x1, 0x9
SUBMIT, DELIVER, UNBIND, ENQUIRE_LINK, NACK = 0x4, 0x5, 0x6, 0x15, 0x80000000
RESPONSE = 0x80000000
INVALID_PASSWORD, THROTTLED = 0x0E, 0x58
PASSWORD = "s3cret"
WAIT_SECONDS = 60.0
NO_RATES = {
    "SMSCD_SMPP_CONNECTIONS_PER_SECOND_PER_ADDRESS": "0",
    "SMSCD_SMPP_BINDS_PER_SECOND_PER_ADDRESS": "0",
}


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """In a loop of its own, a fast one: the test must not be slower than what it tests."""
    return uvloop.run(work)


def tell(row: str, **figures: object) -> None:
    """Print a row's figures, with the load of the machine."""
    print(json.dumps({"row": row, "load_average": load_average(), **figures}))


def pdu(command_id: int, sequence_number: int, body: bytes = b"", status: int = 0) -> bytes:
    """A PDU's octets."""
    head = (len(body) + 16, command_id, status, sequence_number)
    return b"".join(part.to_bytes(4, "big") for part in head) + body


def bind_pdu(system_id: str, password: str, kind: int = TRX) -> bytes:
    """A bind request."""
    body = system_id.encode() + b"\0" + password.encode() + b"\0\0\x34\0\0\0"
    return pdu(kind, 1, body)


def submit_pdu(sequence_number: int, text: bytes, destination: bytes = b"447700900123") -> bytes:
    """A submit_sm that asks for a receipt."""
    head = b"\0\x05\0ACME\0\x01\x01" + destination + b"\0\0\0\0\0\0\x01\0\0\0"
    return pdu(SUBMIT, sequence_number, head + bytes([len(text)]) + text)


class Esme(asyncio.Protocol):
    """Binds when it is connected, and answers what it is asked.

    status: of the bind's answer, None before it. probes: enquire_link that it answered. answers: of submit_sm, called
    back with (sequence number, command_status, message id). receipts: called back with each deliver_sm's octets.
    is_reading: False reads nothing once it is bound.
    """

    __slots__ = (
        "_buffer", "_first", "answered", "answers", "bound", "closed", "is_reading", "probes", "receipts", "seconds",
        "started", "status", "transport",
    )  # fmt: skip

    def __init__(self, system_id: str = "", password: str = PASSWORD, kind: int = TRX, first: bytes = b"") -> None:
        self._buffer = b""
        self._first = first or bind_pdu(system_id, password, kind)
        self.answers: Callable[[int, int, bytes], None] | None = None
        self.receipts: Callable[[bytes], None] | None = None
        self.is_reading = True
        self.status: int | None = None
        self.probes = 0
        self.answered: Counter[int] | None = None
        self.transport: Any = None
        self.started = self.seconds = 0.0
        loop = asyncio.get_running_loop()
        self.bound: asyncio.Future[int] = loop.create_future()
        self.closed: asyncio.Future[float] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.started = time.monotonic()
        self.transport.write(self._first)

    def bind_again(self, system_id: str, password: str) -> None:
        """Another attempt on the same connection."""
        self.bound = asyncio.get_running_loop().create_future()
        self.started = time.monotonic()
        self.transport.write(bind_pdu(system_id, password))

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        at, out = 0, []
        while len(buffer) - at >= 16 and len(buffer) - at >= (length := int.from_bytes(buffer[at : at + 4], "big")):
            command_id, status = (int.from_bytes(buffer[at + n : at + n + 4], "big") for n in (4, 8))
            number = buffer[at + 12 : at + 16]
            if command_id == DELIVER:
                out.append(pdu(DELIVER | RESPONSE, int.from_bytes(number, "big"), b"\0"))
                if self.receipts is not None:
                    self.receipts(buffer[at : at + length])
            elif command_id == SUBMIT | RESPONSE:
                if self.answers is not None:
                    self.answers(int.from_bytes(number, "big"), status, buffer[at + 16 : at + length].rstrip(b"\0"))
            elif command_id in (ENQUIRE_LINK, UNBIND):
                out.append(pdu(command_id | RESPONSE, int.from_bytes(number, "big")))
                self.probes += command_id == ENQUIRE_LINK
            elif command_id & ~RESPONSE in (TX, RX, TRX):
                self.status, self.seconds = status, time.monotonic() - self.started
                if not self.is_reading:
                    self.transport.pause_reading()
                if not self.bound.done():
                    self.bound.set_result(status)
            at += length
        self._buffer = buffer[at:]
        if out and not self.transport.is_closing():
            self.transport.write(b"".join(out))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.bound.done():
            self.bound.set_exception(ConnectionError("closed before the bind was answered"))
            self.bound.exception()
        self.closed.set_result(time.monotonic() - self.started)

    @property
    def is_bound(self) -> bool:
        """True while it is bound."""
        return self.status == 0 and not self.closed.done()

    def close(self) -> None:
        """End the connection."""
        if self.transport is not None:
            self.transport.abort()


async def connect(rig: Rig, esme: Esme, source: str = "127.0.0.1") -> Esme:
    """Connect from an address of the loopback network."""
    loop = asyncio.get_running_loop()
    address = rig.demo.ready.smpp
    await loop.create_connection(lambda: esme, address.host, address.port, local_addr=(source, 0))
    return esme


async def bind(rig: Rig, *arguments: Any, source: str = "127.0.0.1", **options: Any) -> Esme:
    """Connect, bind, and wait for the answer."""
    esme = await connect(rig, Esme(*arguments, **options), source)
    async with asyncio.timeout(WAIT_SECONDS):
        await esme.bound
    return esme


async def until(condition: Callable[[], object], seconds: float = WAIT_SECONDS, what: str = "the condition") -> None:
    """Wait for a condition."""
    try:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.02)
    except TimeoutError as error:
        raise AssertionError(f"{what} did not come true within {seconds} s") from error


async def add_accounts(rig: Rig, accounts: Iterable[Account], *, balance_micros: int = 0) -> None:
    """Make customers whose system_id is their name and whose password is PASSWORD; wait until they are known."""
    from smscd.cli.storage import opened

    run = read_run(rig.demo.data / RUN_FILE)
    assert run is not None
    location = locate(config_file=None, data_dir=rig.demo.data, environment=os.environ)
    hashed = password_hmac(run.pepper, PASSWORD)
    made = list(accounts)
    async with opened(location) as storage:
        for account in made:
            await configuration.add_account(storage.database, account)
            credential = Credential(system_id=account.id, account=account.id, password_hmac=hashed)
            await configuration.add_credential(storage.database, credential)
            if balance_micros:
                entry = LedgerRecord(
                    account=account.id, kind="topup", amount_micros=balance_micros, reference=f"rig-{account.id}",
                    at_ms=int(time.time() * 1000), operator="rig", note="",
                )  # fmt: skip
                await storage.balances.top_up(entry)
        loaded = metric(rig, "smscd_directory_loads_total")
        await storage.tell_of_change()
    workers = metric(rig, "smscd_workers")
    await until(lambda: metric(rig, "smscd_directory_loads_total") >= loaded + workers, what="the directory is loaded")


def metrics(rig: Rig) -> dict[str, float]:
    """The daemon's metrics page: each line up to its value."""
    with urllib.request.urlopen(rig.demo.ready.admin.url.rstrip("/") + "/metrics", timeout=10) as page:
        lines = page.read().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines) if name[:1] != "#"}


def metric(rig: Rig, name: str) -> float:
    """One line of the metrics page; 0 when it is not there."""
    return metrics(rig).get(name, 0.0)


def bound_of(before: dict[str, float], after: dict[str, float], histogram: str, quantile: float) -> float:
    """The upper bound of the bucket in which a quantile of what was observed between two readings lies, in seconds."""
    name = f"{histogram}_bucket"
    counts = {
        float(line.partition('le="')[2].partition('"')[0]): value - before.get(line, 0.0)
        for line, value in after.items()
        if line.startswith(name)
    }
    total = max(counts.values(), default=0.0)
    assert total > 0, f"{histogram} has no observations"
    return min(bound for bound, count in counts.items() if count >= quantile * total)


def worker_ids(rig: Rig) -> list[int]:
    """The processes of the daemon's workers."""
    found = process_tree(rig.demo.pid)
    return [pid for pid in found if b"smscd.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def resident_bytes(pids: Iterable[int]) -> int:
    """Resident memory of some processes."""
    page = os.sysconf("SC_PAGE_SIZE")
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page for pid in pids)


def unsent_bytes(port: int, peer_port: int) -> int:
    """What the kernel holds at `port` for the peer at `peer_port`, both on this machine, and has not sent."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        local, remote = (int(fields[at].partition(":")[2], 16) for at in (1, 2))
        if (local, remote) == (port, peer_port):
            return int(fields[4].partition(":")[0], 16)
    return 0
