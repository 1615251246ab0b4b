"""kill -9 of the real server under admission: what was acknowledged is there, what was refused is paid back."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import msgspec

from smscd.core.planning import Planned
from smscd.core.records import LedgerRecord, MessageRecord
from smscd.core.verdicts import Accepted, Refused, Verdict
from smscd.ingress.admission import AdmissionMetrics, BatchAdmitter
from smscd.ingress.refusals import RefusalNote
from storage.embedded.process import unprivileged_user
from storage.embedded.valkey import EmbeddedValkey
from storage.redis.accounts import Balances
from storage.redis.admission import AdmissionStore
from storage.redis.guard import Guard
from storage.redis.journal import JournalReader
from storage.redis.keys import ShardKeys
from storage.redis.link import RedisLink
from storage.redis.session import RoleSession

KEYS = ShardKeys(0)
BASE = (int(time.time() * 1000) - 1_577_836_800_000) << 22


def planned(number: int) -> Planned:
    record = MessageRecord(
        id=BASE + number, account="demo", upstream="u1", priority=1, door=1, source_ton=5, source_npi=0, source=b"A",
        dest_ton=1, dest_npi=1, dest=b"447700900123", esm_class=0, protocol_id=0, data_coding=0,
        registered_delivery=0, segments=[b"hi"], price_micros=100, valid_until_ms=1,
    )  # fmt: skip
    return Planned(record, 1, 0.0, 0, 0, 10**9)


async def nothing_recorded() -> str | None:
    return None


class Customer:
    """Submits small batches one after another and notes each verdict and how long it took."""

    def __init__(self, admitter: BatchAdmitter) -> None:
        self.admitter = admitter
        self.verdicts: dict[int, Verdict] = {}
        self.slowest = 0.0

    async def send(self, first: int, count: int) -> None:
        answered = asyncio.get_running_loop().create_future()
        numbers = range(first, first + count)
        started = time.monotonic()

        def sink(start: int, verdicts: list[Verdict]) -> None:
            for index, verdict in enumerate(verdicts):
                self.verdicts[BASE + numbers[start + index]] = verdict
            self.slowest = max(self.slowest, time.monotonic() - started)
            if start + len(verdicts) == count:
                answered.set_result(None)

        self.admitter.submit([planned(number) for number in numbers], sink)
        await answered


async def test_three_kills_of_redis_lose_nothing_and_charge_exactly_what_was_acknowledged(tmp_path: Path) -> None:
    if unprivileged_user() is not None:
        tmp_path.chmod(0o711)
    server = EmbeddedValkey(tmp_path / "valkey")
    await server.start()
    watch = asyncio.create_task(server.watch())
    guard = Guard(KEYS, "here", 1, nothing_recorded, is_settled=True)
    links = [RedisLink(server.url, name=f"test-{n}", verify=guard.verify) for n in range(2)]
    await Balances(KEYS, links[0]).top_up(LedgerRecord("demo", "topup", 10_000_000, "first", 1))
    session = RoleSession(links[1], KEYS, "ingress:1", "test/0")
    assert await session.take()
    late: list[int] = []
    admitter = BatchAdmitter(
        AdmissionStore(KEYS, session),
        metrics=AdmissionMetrics(lambda *_: None, late.append),
        on_admitted=lambda _: None,
        is_open=lambda: True,
        note=RefusalNote(tmp_path / "refused"),
    )
    running = asyncio.create_task(admitter.run())
    customer = Customer(admitter)
    number = 0
    for _ in range(3):
        for _ in range(20):
            await customer.send(number, 25)
            number += 25
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        killed = time.monotonic()
        while True:
            await customer.send(number, 25)
            number += 25
            if isinstance(customer.verdicts[BASE + number - 1], Accepted):
                break
            assert time.monotonic() - killed < 10
    assert customer.slowest < 1.0
    await admitter.drain()

    accepted = {message for message, verdict in customer.verdicts.items() if isinstance(verdict, Accepted)}
    assert {type(verdict) for verdict in customer.verdicts.values()} <= {Accepted, Refused}
    assert len(customer.verdicts) == number
    found: set[int] = set()
    for entry in await JournalReader(KEYS, links[0]).read("0-0", 100_000):
        if entry.kind == b"A":
            found |= {record.id for record in msgspec.msgpack.decode(entry.blob, type=list[MessageRecord])}
    assert accepted <= found
    changes = await links[0].command("HKEYS", KEYS.changes)
    assert found - accepted == {int.from_bytes(change, "big") for change in changes}
    assert sum(late) == len(found - accepted)
    assert await Balances(KEYS, links[0]).balance("demo") == 10_000_000 - 100 * len(found)

    running.cancel()
    watch.cancel()
    await asyncio.gather(running, watch, return_exceptions=True)
    for link in links:
        await link.close()
    await server.stop()
