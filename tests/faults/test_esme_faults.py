"""Slow, deaf, many or hostile ESMEs: E1, E2, E5 to E7 of the fault catalogue, scaled down unless SMSCD_FAULTS=full."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis

from protocols.smpp.constants import CommandStatus
from smscd.core.directory import Account
from smscd.supervision.seed import PRICE_MICROS
from storage.redis.keys import ShardKeys
from tests.faults.esmes import (
    NO_RATES,
    PASSWORD,
    RX,
    THROTTLED,
    TX,
    Esme,
    add_accounts,
    bind,
    bind_pdu,
    connect,
    metric,
    pdu,
    resident_bytes,
    run,
    submit_pdu,
    unsent_bytes,
    until,
    worker_ids,
)
from tests.faults.rig import IS_FULL, Rig, running_rig, say
from tests.faults.slow_peers import SlowPeers
from tools.bench.processes import load_average
from tools.record import RecordWriter

pytestmark = pytest.mark.timeout(900 if IS_FULL else 240)

MIB = 1 << 20
KIB = 1 << 10


# --- E1 -------------------------------------------------------------------------------------------------------------


def test_slow_peers_are_closed_in_time_and_slow_nobody_else_down(tmp_path: Path) -> None:
    """Runs alone and beside them take turns and the best of each are compared: what else the machine does only adds."""
    peers, rounds, count, rate = (1_000, 3, 10_000, 500) if IS_FULL else (200, 1, 1_500, 300)
    alone: list[dict[str, Any]] = []
    beside: list[dict[str, Any]] = []
    seconds: list[float] = []

    with running_rig(tmp_path) as rig:
        for _ in range(rounds):
            alone.append(_good_esme(rig, rate, count))
            with SlowPeers(rig.demo.ready.smpp, bind_pdu("demo", PASSWORD), peers) as slow:
                beside.append(_good_esme(rig, rate, count))
            seconds += slow.seconds
        judgement = rig.settled()
        p99_alone, p99_beside = _p99_ms(alone), _p99_ms(beside)
        ratio = min(p99_beside) / min(p99_alone)
        say("E1", {}, judgement, p99_ms_alone=p99_alone, p99_ms_beside=p99_beside, ratio=round(ratio, 2),
            closed=len(seconds), slowest_close_seconds=round(max(seconds), 2), load_average=load_average())  # fmt: skip
        assert judgement.is_clean, judgement
        assert len(seconds) >= peers * rounds
        assert min(seconds) > 4.0, "a peer was not let in"
        assert max(seconds) <= (5.25 if IS_FULL else 7.0)
        assert ratio <= 1.5 if IS_FULL else min(p99_beside) <= 5 * min(p99_alone) + 50
        assert all(report["accepted"] == report["receipts"] == count for report in (*alone, *beside))


def _good_esme(rig: Rig, rate: int, count: int) -> dict[str, Any]:
    return rig.generate(f"--rate={rate}", "--linger=0", count=count).report(120.0)


def _p99_ms(reports: list[dict[str, Any]]) -> list[float]:
    return [report["response_latency"]["p99_ms"] for report in reports]


# --- E2 -------------------------------------------------------------------------------------------------------------


def test_an_esme_that_never_reads_costs_little_is_closed_and_leaves_its_receipts(tmp_path: Path) -> None:
    due = 100_000 if IS_FULL else 3_000
    quick = {} if IS_FULL else {"SMSCD_SMPP_RESPONSE_SECONDS": "4"}
    closed_within = 30.0 if IS_FULL else 6.0
    with running_rig(tmp_path, environment=quick) as rig:
        figures = run(_deaf(rig, due, closed_within))
        judgement = rig.settled()
        say("E2", {}, judgement, due=due, load_average=load_average(), **figures)
        assert judgement.is_clean, judgement
        assert judgement.receipts == judgement.accepted == due
        assert figures["unsent_bytes_max"] <= MIB
        assert figures["growth_bytes"] <= (16 if IS_FULL else 8) * MIB
        assert figures["receipts_seen"] == due


async def _deaf(rig: Rig, due: int, closed_within: float) -> dict[str, Any]:
    await add_accounts(
        rig,
        [Account(id="deaf", any_sender=True, rate_per_second=1e5, burst=100_000, window_size=1_000)],
        balance_micros=PRICE_MICROS * due,
    )
    await _submit_all(rig, "deaf", due)
    read = 'smscd_receipts_total{outcome="read",upstream="upstream1"}'
    await until(lambda: metric(rig, read) >= due, 240.0, "all receipts are in")
    workers = worker_ids(rig)
    before = resident_bytes(workers)
    deaf = Esme("deaf", kind=RX)
    deaf.is_reading = False
    await connect(rig, deaf)
    assert await deaf.bound == 0
    began, port = time.monotonic(), deaf.transport.get_extra_info("sockname")[1]
    unsent, growth = 0, 0
    closings = 'smscd_smpp_closed_total{reason="silent"}', 'smscd_smpp_closed_total{reason="write_stalled"}'
    while not sum(metric(rig, reason) for reason in closings):
        unsent = max(unsent, unsent_bytes(rig.demo.ready.smpp.port, port))
        growth = max(growth, resident_bytes(workers) - before)
        assert time.monotonic() - began < closed_within, "it is still there"
        await asyncio.sleep(0.05)
    seconds = time.monotonic() - began
    deaf.close()
    record = RecordWriter(rig.client_record)
    seen: Counter[bytes] = Counter()
    good = Esme("deaf", kind=RX)
    good.receipts = partial(_write_receipt, record, seen)
    await connect(rig, good)
    await until(lambda: len(seen) >= due, 240.0, "every receipt came to the next bind")
    record.close()
    good.close()
    return {
        "closed_seconds": round(seconds, 2), "unsent_bytes_max": unsent, "growth_bytes": growth,
        "receipts_seen": len(seen), "repeated": seen.total() - len(seen),
    }  # fmt: skip


def _write_receipt(record: RecordWriter, seen: Counter[bytes], octets: bytes) -> None:
    """Take a deliver_sm that is a receipt."""
    start = octets.index(b"id:")
    id, stat = octets[start + 3 :].split(b" ")[0], octets.partition(b" stat:")[2][:7]
    seen[id] += 1
    record.add([b"receipt\t%d\t-\t%b\t%b\n" % (time.time() * 1000, id, stat)])


async def _submit_all(rig: Rig, account: str, count: int) -> None:
    """Send messages over a transmitter, so that their receipts stay due, and write both sides down."""
    record = RecordWriter(rig.client_record)
    esme = await bind(rig, account, kind=TX)
    free, done = asyncio.Semaphore(500), asyncio.Event()
    statuses: Counter[int] = Counter()

    def answered(number: int, status: int, message_id: bytes) -> None:
        statuses[status] += 1
        record.add([b"answer\t%d\tdeaf%d\t%b\t%d\n" % (time.time() * 1000, number, message_id or b"-", status)])
        free.release()
        if statuses.total() == count:
            done.set()

    esme.answers = answered
    for number in range(count):
        await free.acquire()
        record.add([b"sent\t%d\tdeaf%d\n" % (time.time() * 1000, number)])
        esme.transport.write(submit_pdu(number + 1, b"deaf%d hello" % (number + 1)))
    async with asyncio.timeout(120):
        await done.wait()
    assert statuses == {0: count}
    record.close()
    esme.close()


# --- E5 -------------------------------------------------------------------------------------------------------------


def test_what_is_beyond_the_window_is_throttled_and_not_billed(tmp_path: Path) -> None:
    outstanding, rounds = 1_000, 10 if IS_FULL else 2
    with running_rig(tmp_path) as rig:
        figures = run(_beyond_the_window(rig, outstanding, rounds))
        judgement = rig.settled()
        say("E5", {}, judgement, load_average=load_average(), **figures)
        assert judgement.is_clean, judgement
        assert set(figures["statuses"]) == {"0", str(THROTTLED)}
        assert sum(figures["statuses"].values()) == outstanding * rounds
        assert figures["statuses"][str(THROTTLED)] > 0
        assert figures["spent_micros"] == figures["statuses"]["0"] * PRICE_MICROS
        assert judgement.accepted == judgement.taken == figures["statuses"]["0"]


async def _beyond_the_window(rig: Rig, outstanding: int, rounds: int) -> dict[str, Any]:
    account = Account(id="eager", any_sender=True, rate_per_second=1e5, burst=100_000, window_size=10)
    paid = PRICE_MICROS * outstanding * rounds
    await add_accounts(rig, [account], balance_micros=paid)
    statuses: Counter[int] = Counter()
    record = RecordWriter(rig.client_record)
    esme, seen = await bind(rig, "eager"), Counter[bytes]()
    esme.receipts = partial(_write_receipt, record, seen)

    def answered(number: int, status: int, message_id: bytes) -> None:
        statuses[status] += 1
        record.add([b"answer\t%d\teager%d\t%b\t%d\n" % (time.time() * 1000, number, message_id or b"-", status)])

    esme.answers = answered
    for turn in range(rounds):
        numbers = range(turn * outstanding + 1, (turn + 1) * outstanding + 1)
        record.add([b"sent\t%d\teager%d\n" % (time.time() * 1000, number) for number in numbers])
        esme.transport.write(b"".join(submit_pdu(number, b"eager%d hello" % number) for number in numbers))
        wanted = (turn + 1) * outstanding
        await until(lambda wanted=wanted: statuses.total() >= wanted, what="all are answered")  # type: ignore[misc]
    await until(lambda: len(seen) >= statuses[0], what="all receipts have come")
    record.close()
    esme.close()
    with redis.Redis.from_url(rig.demo.ready.valkey_url) as store:
        balance = int(store.hget(ShardKeys(0).acct("eager"), "balance"))  # type: ignore[arg-type]
    return {"statuses": {str(status): count for status, count in statuses.items()}, "spent_micros": paid - balance}


# --- E6 -------------------------------------------------------------------------------------------------------------


def test_noise_in_pieces_gets_documented_errors_and_takes_no_memory(tmp_path: Path) -> None:
    waves, peers = (40, 500) if IS_FULL else (6, 60)
    with running_rig(tmp_path, environment=NO_RATES) as rig:
        figures = run(_noise(rig, waves, peers))
        report = rig.generate("--rate=0", "--linger=0", count=300).report(60.0)
        judgement = rig.settled()
        say("E6", report, judgement, load_average=load_average(), connections=waves * peers, **figures)
        assert judgement.is_clean, judgement
        assert figures["undocumented"] == []
        assert figures["worker_restarts"] == 0
        assert figures["growth_bytes"] <= 4 * MIB
        assert report["receipts"] == 300
        assert b"Traceback" not in rig.demo.log.read_bytes()


class _Noise(Esme):
    """Binds, then sends what it was given in pieces; remembers the statuses of whatever comes back."""

    def __init__(self, system_id: str, noise: bytes, chance: random.Random, statuses: Counter[int]) -> None:
        super().__init__(system_id)
        self._noise, self._chance, self._statuses = noise, chance, statuses
        self._heard = b""

    def data_received(self, data: bytes) -> None:
        self._heard += data
        while len(self._heard) >= 16 and len(self._heard) >= (length := int.from_bytes(self._heard[:4], "big")) >= 16:
            if self._heard[4] & 0x80:
                self._statuses[int.from_bytes(self._heard[8:12], "big")] += 1
            self._heard = self._heard[length:]
        super().data_received(data)

    async def send(self) -> None:
        """A few octets at a time, however PDUs lie in them."""
        at = 0
        while at < len(self._noise) and not self.closed.done():
            size = self._chance.choice((1, 3, 15, 16, 17, 100, 1_000))
            self.transport.write(self._noise[at : at + size])
            at += size
            await asyncio.sleep(0)


async def _noise(rig: Rig, waves: int, peers: int) -> dict[str, Any]:
    """Waves of bound ESMEs that send broken PDUs; memory after the second wave against memory at the end."""
    await add_accounts(rig, [Account(id="noise", any_sender=True, binds_max=100_000)])
    statuses: Counter[int] = Counter()
    workers, warm = worker_ids(rig), 0

    async def one(seed: int) -> None:
        chance = random.Random(seed)
        esme = _Noise("noise", _broken(chance), chance, statuses)
        await connect(rig, esme)
        await esme.bound
        await esme.send()
        try:
            async with asyncio.timeout(1.0):
                await asyncio.shield(esme.closed)
        except TimeoutError:
            esme.close()

    for wave in range(waves):
        await asyncio.gather(*(one(wave * peers + number) for number in range(peers)))
        await until(lambda: metric(rig, "smscd_smpp_connections") == 0, what="all are gone")
        if wave == waves // 3:
            warm = resident_bytes(workers)
    known = {int(status) for status in CommandStatus}
    restarts = int(metric(rig, "smscd_worker_restarts_total"))
    return {
        "growth_bytes": resident_bytes(workers) - warm, "answers": statuses.total(), "statuses": len(statuses),
        "undocumented": sorted(set(statuses) - known), "worker_restarts": restarts,
    }  # fmt: skip


def _broken(chance: random.Random) -> bytes:
    """Some PDUs, most with something wrong: octets changed, cut, added, a command that is none, a wrong length."""
    out = b""
    for number in range(chance.randrange(3, 30)):
        good = bytearray(submit_pdu(number + 2, chance.randbytes(chance.randrange(0, 200))))
        match chance.randrange(7):
            case 0:
                good[chance.randrange(16, len(good))] = chance.randrange(256)
            case 1:
                good[4:8] = chance.randbytes(4)
            case 2:
                good += chance.randbytes(chance.randrange(1, 60))
                good[:4] = len(good).to_bytes(4, "big")
            case 3:
                del good[chance.randrange(17, len(good)) :]
                good[:4] = len(good).to_bytes(4, "big")
            case 4:
                good = bytearray(pdu(chance.choice((0x15, 0x6, 0x5, 0x3, 0x7, 0x8, 0x21, 0x103)), number + 2))
            case 5 if chance.random() < 0.1:
                good[:4] = chance.randbytes(4)
            case _:
                pass
        out += good
    return out


# --- E7 -------------------------------------------------------------------------------------------------------------


def test_many_idle_binds_cost_little_and_keep_alive_beside_traffic(tmp_path: Path) -> None:
    binds, count, enquire = (10_000, 50_000, 30) if IS_FULL else (1_000, 3_000, 2)
    quick = {"SMSCD_SMPP_ENQUIRE_LINK_SECONDS": str(enquire)}
    with running_rig(tmp_path, environment=NO_RATES | quick) as rig:
        figures = run(_idle(rig, binds, count, enquire))
        judgement = rig.settled()
        say("E7", figures.pop("report"), judgement, load_average=load_average(), **figures)
        assert judgement.is_clean, judgement
        assert figures["still_bound"] == binds
        assert figures["probes_min"] >= 2
        assert figures["bytes_a_session"] <= (40 if IS_FULL else 80) * KIB
        assert judgement.accepted == judgement.receipts == count


async def _idle(rig: Rig, binds: int, count: int, enquire_seconds: int) -> dict[str, Any]:
    names = [f"idle{number}" for number in range(max(10, binds // 100))]
    await add_accounts(rig, [Account(id=name, binds_max=1_000) for name in names])
    workers = worker_ids(rig)
    before = resident_bytes(workers)
    began = time.monotonic()
    esmes_bound: list[Esme] = []
    for first in range(0, binds, 50):
        wave = [bind(rig, names[number % len(names)]) for number in range(first, min(first + 50, binds))]
        esmes_bound += await asyncio.gather(*wave)
    spent = time.monotonic() - began
    assert {esme.status for esme in esmes_bound} == {0}
    grown = resident_bytes(workers) - before
    generator = rig.generate("--rate=500", "--linger=0", count=count)
    await until(lambda: not generator.is_running, 60 + count / 250, "the traffic is over")
    await until(
        lambda: min(esme.probes for esme in esmes_bound) >= 2, 4.0 * enquire_seconds + 10, "all were asked twice"
    )
    figures = {
        "still_bound": sum(esme.is_bound for esme in esmes_bound), "bytes_a_session": grown // binds,
        "probes_min": min(esme.probes for esme in esmes_bound), "bind_seconds": round(spent, 1),
        "bytes_a_session_after": (resident_bytes(workers) - before) // binds, "report": generator.report(10.0),
    }  # fmt: skip
    for esme in esmes_bound:
        esme.close()
    return figures
