"""Egress killed, stopped and replaced in the middle of its work, and Redis under it: nothing lost, doubles flagged.

The carrier's own record and the journal are joined by token; nothing that egress says of itself is believed.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from pathlib import Path

from smscd.core.records import Outcome
from storage.embedded.process import unprivileged_user
from storage.embedded.valkey import EmbeddedValkey
from tests.integration.egress_rig import (
    BALANCE,
    KEYS,
    PRICE,
    Books,
    CarrierProcess,
    Egress,
    Esme,
    carrier_process,
    directory,
    egress_process,
    until,
)


def numbers(count: int) -> list[bytes]:
    """Destinations that end in no magic number."""
    return [b"44770%07d" % (number * 1000 + 100) for number in range(count)]


async def settled(books: Books, ids: list[int], seconds: float = 40.0) -> None:
    """Until every message has its result and its receipt, and nothing is left to do."""
    async with asyncio.timeout(seconds):
        while True:
            accepted = {record.id for record in await books.records(b"T") if record.outcome == Outcome.ACCEPTED}
            received = {record.id for record in await books.records(b"R")}
            if accepted >= set(ids) and received >= set(ids) and await books.depth() == 0:
                break
            await asyncio.sleep(0.1)
        while [name for name in await books.leftovers() if ":out:" not in name]:  # Redis' condition
            await asyncio.sleep(0.05)


async def check(books: Books, carrier: CarrierProcess, ids: list[int]) -> int:
    """Lost 0, unannounced doubles 0, the money exact; how many went out twice."""
    submits = await carrier.submits(len(ids))
    taken = Counter(int(line[2]) for line in submits if line[4] == "0")
    assert set(taken) == set(ids), "lost"
    doubled = {message_id for message_id, times in taken.items() if times > 1}
    doubted = {record.id for record in await books.records(b"T") if record.outcome == Outcome.DOUBTED}
    assert doubled <= doubted, "a double that nobody announced"
    assert await books.balance() == BALANCE - PRICE * len(ids)
    return len(doubled)


async def test_a_killed_process_loses_nothing_and_its_doubles_are_flagged(valkey_url: str, tmp_path: Path) -> None:
    books = Books(valkey_url)
    await books.open()
    async with carrier_process(tmp_path, "--latency", "0.02") as carrier:
        ids = await books.admit(numbers(3000))
        for before in (500, 1500):
            async with egress_process(valkey_url, carrier.port) as process:
                await carrier.submits(before)
                process.kill()
        async with egress_process(valkey_url, carrier.port):
            await settled(books, ids)
            doubled = await check(books, carrier, ids)
        assert doubled <= 2 * 100, "more than a window for each kill"
    await books.close()


async def test_another_process_takes_over_within_ten_seconds(valkey_url: str, tmp_path: Path) -> None:
    books = Books(valkey_url)
    await books.open()
    async with carrier_process(tmp_path, "--latency", "0.02") as carrier:
        heir = Egress(valkey_url, directory(carrier.port), owner="heir/0")
        ids = await books.admit(numbers(1000))
        async with egress_process(valkey_url, carrier.port) as process:
            await carrier.submits(200)
            await heir.start()
            process.kill()
            killed_at = asyncio.get_running_loop().time()
            await until(lambda: (owner := heir.upstreams.owner("carrier")) is not None and owner.is_owner, seconds=12)
            assert asyncio.get_running_loop().time() - killed_at < 10
        await settled(books, ids)
        await check(books, carrier, ids)
        await heir.stop()
    await books.close()


async def test_a_process_that_was_stopped_and_replaced_sends_nothing_more(valkey_url: str, tmp_path: Path) -> None:
    books = Books(valkey_url)
    await books.open()
    async with carrier_process(tmp_path, "--latency", "0.05") as carrier:
        heir = Egress(valkey_url, directory(carrier.port), owner="heir/0")
        ids = await books.admit(numbers(2000))
        async with egress_process(valkey_url, carrier.port) as process:
            await carrier.submits(200)
            process.send_signal(signal.SIGSTOP)
            await heir.start()
            await heir.bound()
            process.send_signal(signal.SIGCONT)
            await settled(books, ids)
        await check(books, carrier, ids)
        await heir.stop()
    await books.close()


async def test_there_are_never_more_binds_than_configured_whoever_owns_them(valkey_url: str, tmp_path: Path) -> None:
    """Two workers; the owner is killed, and the next one stopped. The leases are made to run out, not waited for.

    A stopped process is closed by nobody: its kernel keeps its connections, and the carrier counts its binds until it
    misses the answers to its enquire_link. So the carrier here allows no more than are configured, refuses the heir,
    and counts.
    """
    books = Books(valkey_url)
    await books.open()

    async def is_so(**wanted: int) -> None:
        async with asyncio.timeout(15):
            while not wanted.items() <= (await carrier.stats()).items():
                await asyncio.sleep(0.02)

    async def run_out() -> None:
        for role in ("dispatch", "receipts"):
            await books.link.command("HSET", KEYS.session(f"{role}:carrier"), "until", 1)

    async with (
        carrier_process(tmp_path, "--binds-max=2") as carrier,
        egress_process(valkey_url, carrier.port, "one/0", binds=2) as one,
    ):
        await is_so(bound=2)
        async with egress_process(valkey_url, carrier.port, "two/0", binds=2) as two:
            one.kill()
            await is_so(bound=0)
            await run_out()
            await is_so(bound=2, binds=4, binds_refused=0)
            async with egress_process(valkey_url, carrier.port, "three/0", binds=2):
                two.send_signal(signal.SIGSTOP)
                await run_out()
                await is_so(bound=2, binds_refused=2)
                two.send_signal(signal.SIGCONT)
                began = asyncio.get_running_loop().time()
                await is_so(binds=6, bound=2, bound_most=2)
                assert asyncio.get_running_loop().time() - began < 6, "an expected refusal is no reason to wait long"
                ids = await books.admit(numbers(20))
                await settled(books, ids)
                await check(books, carrier, ids)
                assert (await carrier.stats())["bound_most"] == 2
    await books.close()


async def test_redis_that_is_killed_and_paused_under_it_costs_nothing(tmp_path: Path) -> None:
    if unprivileged_user() is not None:
        tmp_path.chmod(0o711)
    server = EmbeddedValkey(tmp_path / "valkey")
    await server.start()
    watch = asyncio.create_task(server.watch())
    books = Books(server.url)
    await books.open()
    async with carrier_process(tmp_path, "--latency", "0.02") as carrier:
        egress = Egress(server.url, directory(carrier.port))
        esme = Esme()
        await egress.start()
        await esme.bind(egress.server.port)
        ids = await books.admit(numbers(3000))
        for before in (500, 1200, 2000):
            await carrier.submits(before)
            pid = server.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await until(lambda pid=pid: server.pid not in (None, pid))  # type: ignore[misc]
        await carrier.submits(2500)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGSTOP)
        await asyncio.sleep(1.5)
        os.kill(server.pid, signal.SIGCONT)
        await until(lambda: len(esme.receipts()) == len(ids), seconds=40)
        await settled(books, ids)
        assert await check(books, carrier, ids) == 0, "no bind was lost, so nothing may be doubled"
        await egress.stop()
        esme.close()
    await books.close()
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)
    await server.stop()
