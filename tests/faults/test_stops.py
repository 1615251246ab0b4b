"""Processes stopped, links cut, clocks stepped, SIGTERM under load: S1, S2, C1 and K5 of the fault catalogue.

Two workers, so that the other one takes over what a stopped one owned. All links go through proxies: both SMPP links,
and those of the supervisor and its workers to Redis and PostgreSQL. In CI all rows run one after another on one demo,
scaled down.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest
import redis

from smscd.admin import halts
from smscd.core.directory import HaltState
from smscd.core.records import State
from smscd.supervision.processes import process_tree
from storage.embedded.process import free_port
from storage.postgres.halts import Subject
from storage.redis.bell import CONFIG_CHANNEL
from storage.redis.keys import ShardKeys
from tests.faults.proxy import Proxy
from tests.faults.rig import GENERATOR_SECONDS, IS_FULL, Rig, running_rig, say, slowest_refusal_ms
from tests.faults.stepped_clock import SteppedClock, stepped_clock
from tools.bench.processes import process_ids
from tools.checker import read_records
from tools.children import BenchChild, CarrierChild, wait_until

pytestmark = pytest.mark.timeout(900)

UPSTREAM = "upstream1"
RATE = 250
STOP_SECONDS = 10.0 if IS_FULL else 0.5
OWNER_STOP_SECONDS = 10.0 if IS_FULL else 6.0
DARK_SECONDS = 10.0
CUSTOMIZED = Path(__file__).parent / "failpoints"
ENQUIRE_SECONDS = 5.0 if IS_FULL else 1.0
DRAIN_SECONDS = 30.0 if IS_FULL else 2.5
SIGTERMS = 3 if IS_FULL else 1
LOST_SECONDS = 10.0 if IS_FULL else 1.0
ANSWER_SECONDS = 5.0 if IS_FULL else 1.0
RECOVERED_SECONDS = 5.0
LINKED_AGAIN_SECONDS = 5.0 if IS_FULL else 10.0  # in CI the links are back before it is noticed that they are lost
REFUSED_WITHIN_MS = 1_200 if IS_FULL else 5_000
TAKEN_OVER_SECONDS = 10.0
WINDOW = 50
BATCH_MAX = 20
HOUR, DAY = 3_600, 86_400
STEPS = (HOUR, DAY, -HOUR, 0) if IS_FULL else (DAY, 0)


def count_of(kind: bytes, record: Path) -> int:
    """How many lines of a kind a record has. Asked often, and beside the proxies: so they are not parsed."""
    return (b"\n" + record.read_bytes()).count(b"\n" + kind + b"\t") if record.exists() else 0


class Faults:
    """A rig whose links are proxied and whose clock steps."""

    def __init__(self, rig: Rig, links: dict[str, Proxy], clock: SteppedClock) -> None:
        """links: by name: carrier, esmes, redis, postgres."""
        self.rig = rig
        self.links = links
        self.esmes = links["esmes"]
        self.carrier = links["carrier"]
        self.clock = clock

    # --- traffic ----------------------------------------------------------------------------------------------------

    def generate(self, seconds: float) -> BenchChild:
        """An ESME behind the proxy, at 250 messages a second for about so long."""
        ready = msgspec.structs.replace(
            self.rig.demo.ready, smpp=msgspec.structs.replace(self.rig.demo.ready.smpp, port=self.esmes.port)
        )
        file = self.rig.directory / "proxied.ready"
        file.write_bytes(msgspec.json.encode(ready))
        options = (f"--ready-file={file}", f"--rate={RATE}", "--keys", "--linger=0.5", "--patience=60")
        generator = self.rig.generate(*options, count=int(RATE * seconds))
        before = self.answered()
        wait_until(lambda: self.answered() > before, 20, "the generator is answered")
        return generator

    def finished(self, generator: BenchChild, row: str, refused_max: float = 0, **figures: object) -> None:
        """Everything of this generator came to rest, nothing of it was lost, and not more of it refused."""
        report = generator.report(GENERATOR_SECONDS)
        judgement = self.rig.settled()
        say(row, report, judgement, **figures)
        assert judgement.is_clean, judgement
        assert report["unanswered"] == 0
        assert report["sent"] - report["accepted"] <= refused_max

    def answered(self) -> int:
        return count_of(b"answer", self.rig.client_record)

    def wait_for_answers(self, count: int) -> None:
        """Wait until that many more messages are answered."""
        wanted = self.answered() + count
        wait_until(lambda: self.answered() >= wanted, 20, f"{count} more answers")

    def taken(self) -> int:
        """How many messages the carrier has got."""
        return count_of(b"submit", self.rig.carrier.record)

    def recovered(self, what: str) -> float:
        """Seconds until messages are accepted, and sent, again."""
        began, answered, taken = time.monotonic(), self.answered(), self.taken()
        wait_until(lambda: self.answered() > answered and self.taken() > taken, 60, f"it recovers from {what}")
        return time.monotonic() - began

    # --- what is asked of the storage -------------------------------------------------------------------------------

    def rows(self, question: str) -> list[tuple[Any, ...]]:
        """Ask the record."""

        async def ask() -> list[tuple[Any, ...]]:
            connection = await asyncpg.connect(self.rig.demo.ready.postgres_dsn)
            try:
                return [tuple(row) for row in await connection.fetch(question)]
            finally:
                await connection.close()

        return asyncio.run(ask())

    def flagged(self) -> int:
        """Messages that announce a possible duplicate."""
        return int(self.rows("SELECT count(*) FROM messages WHERE maybe_duplicate")[0][0])

    def is_recorded(self) -> bool:
        """Whether a message that is admitted now has its row within a second or so."""
        since = self.rows("SELECT extract(epoch FROM now() - committed_at)::float FROM journal_offsets")
        return bool(since) and since[0][0] < 1.0

    def owner(self) -> tuple[int, int]:
        """Which worker owns the upstream, and the epoch."""
        with redis.Redis.from_url(self.rig.demo.ready.valkey_url) as store:
            held = store.hgetall(ShardKeys(0).session(f"dispatch:{UPSTREAM}"))
        return int(held[b"owner"].rpartition(b"/")[2]), int(held[b"epoch"])

    def halt(self, state: HaltState | None) -> None:
        """Pause the upstream, or resume it."""

        async def order() -> None:
            connection = await asyncpg.connect(self.rig.demo.ready.postgres_dsn)
            try:
                found = await halts.halt(Subject("upstream", UPSTREAM), state, "test", connection, tell)
                assert isinstance(found, halts.Halted) and found.is_told
            finally:
                await connection.close()

        async def tell() -> None:
            with redis.Redis.from_url(self.rig.demo.ready.valkey_url) as store:
                store.publish(CONFIG_CHANNEL, "changed")

        asyncio.run(order())

    # --- faults -----------------------------------------------------------------------------------------------------

    def workers(self) -> list[int]:
        """Their process ids, in the order of their numbers: the supervisor starts them one after another."""
        found = []
        for pid in process_tree(self.rig.demo.pid)[1:]:
            with suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
                if b"smscd.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return sorted(found)

    def replace_workers(self) -> None:
        """SIGKILL to all of them; the supervisor starts others."""
        before = self.workers()
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(set(self.workers()) - set(before)) == len(before), 20, "there are other workers")

    @contextmanager
    def stopped(self, pids: list[int]) -> Iterator[None]:
        """SIGSTOP, and SIGCONT at the end."""
        assert pids
        for pid in pids:
            with suppress(ProcessLookupError):  # a server's child that ended
                os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)


def stop_processes(faults: Faults) -> None:
    """S1."""
    rig, seconds, before = faults.rig, {}, faults.flagged()
    generator = faults.generate(OWNER_STOP_SECONDS + 4 * (STOP_SECONDS + (4.0 if IS_FULL else 2.0)))
    index, epoch = faults.owner()
    with faults.stopped([faults.workers()[index]]):
        began = time.monotonic()
        wait_until(lambda: faults.owner()[1] > epoch, 30, "another worker takes over")
        seconds["taken over"] = time.monotonic() - began
        taken = faults.taken()
        wait_until(lambda: faults.taken() > taken, 30, "it sends")
        time.sleep(max(0.0, OWNER_STOP_SECONDS - (time.monotonic() - began)))
    assert faults.owner()[0] != index and seconds["taken over"] <= TAKEN_OVER_SECONDS
    seconds["worker"] = faults.recovered("a stopped worker")
    daemon = [rig.demo.pid, *faults.workers()]
    for name in ("valkey-server", "postgres", "daemon"):
        with faults.stopped(daemon if name == "daemon" else process_ids(rig.demo.pid, name)):
            time.sleep(STOP_SECONDS)
        seconds[name] = faults.recovered(name)
    faults.finished(generator, "S1", RATE * (OWNER_STOP_SECONDS + 3 * (STOP_SECONDS + 1)), seconds=seconds)
    assert max(took for name, took in seconds.items() if name != "taken over") <= RECOVERED_SECONDS
    refused = sum(line.status not in (b"0", b"-") for line in rig.answers())
    assert faults.flagged() - before <= WINDOW + refused


def cut_links(faults: Faults) -> None:
    """S2."""
    before = faults.flagged()
    generator = faults.generate(4 * (DARK_SECONDS + 4) if IS_FULL else 10.0)
    noticed = _cut(faults, faults.carrier, "near") + _cut(faults, faults.esmes, "far")
    faults.finished(generator, "S2", noticed=[round(seconds, 2) for seconds in noticed])
    assert faults.flagged() - before <= 2 * WINDOW, "more than a window is in doubt for each link that was lost"


def _cut(faults: Faults, proxy: Proxy, side: str) -> list[float]:
    """Cut a link, make it half-open, and return after how many seconds the daemon, at this side of it, noticed that."""
    proxy.cut()
    time.sleep(STOP_SECONDS)
    proxy.heal()
    faults.recovered("a cut")
    proxy.darken()
    began, seen = time.monotonic(), len(proxy.noticed)

    def noticed() -> list[float]:
        return [seconds for who, seconds in proxy.noticed[seen:] if who == side]

    wait_until(noticed, 60, "the daemon notices")
    if IS_FULL:
        time.sleep(max(0.0, DARK_SECONDS - (time.monotonic() - began)))
    proxy.heal()
    faults.recovered("a half-open link")
    assert max(noticed()) <= 2 * ENQUIRE_SECONDS + 1.0
    return noticed()


def step_clocks(faults: Faults) -> None:
    """C1: messages wait while the clock goes ahead and back, and then a daemon starts with an older clock.

    After a step all workers die, and others come that never knew another clock.
    """
    before = faults.flagged()
    generator = faults.generate(12.0 if IS_FULL else 6.0)
    for seconds in STEPS:
        faults.halt("paused")
        faults.wait_for_answers(RATE // 4)
        faults.clock.step(seconds)
        faults.wait_for_answers(RATE // 4)
        if IS_FULL or seconds:
            faults.replace_workers()
        faults.wait_for_answers(RATE // 4)
        faults.halt(None)
        faults.recovered(f"a clock {seconds} s ahead")
    faults.finished(generator, "C1", 4 * BATCH_MAX)  # batches that are admitted just now
    faults.clock.step(-DAY)
    faults.rig.demo.kill()
    faults.rig.demo.start()
    faults.finished(faults.generate(1.0), "C1 restarted", BATCH_MAX)
    states = dict(faults.rows("SELECT state, count(*) FROM messages GROUP BY 1"))
    assert set(states) == {int(State.DELIVERED)}, states
    assert faults.rows("SELECT count(*) FROM ledger_entries WHERE kind = 'refund'") == [(0,)]
    assert faults.flagged() - before <= 6 * WINDOW


def end_under_load(faults: Faults) -> None:
    """K5, with a carrier that answers, and then with one that never does."""
    for _ in range(SIGTERMS):
        flagged, _ = _end(faults, is_silent=False)
        assert flagged == 0, "something is in doubt though the carrier answers"
    for _ in range(SIGTERMS):
        flagged, unanswered = _end(faults, is_silent=True)
        assert 0 < unanswered <= flagged <= WINDOW


def _end(faults: Faults, *, is_silent: bool) -> tuple[int, int]:
    """SIGTERM under load, and a new start; how many messages are flagged after it, and how many were unanswered."""
    before, muted = faults.flagged(), faults.carrier.muted
    generator = faults.generate(2.0)
    faults.carrier.is_muted = is_silent
    if is_silent:
        wait_until(lambda: faults.carrier.muted > muted, 10, "an answer is missing")
    began = time.monotonic()
    code = faults.rig.demo.stop()
    seconds = time.monotonic() - began
    faults.carrier.heal()
    faults.rig.demo.start()
    if IS_FULL:
        assert "worker.killed" not in faults.rig.demo.log.read_text()
    faults.finished(generator, "K5", BATCH_MAX, silent=is_silent, exit=code, seconds=round(seconds, 2))
    assert code == 0 and seconds <= DRAIN_SECONDS + (0 if IS_FULL else 2.0)
    return faults.flagged() - before, faults.carrier.muted - muted


def cut_storage_links(faults: Faults) -> None:
    """S2, for the links to Redis and PostgreSQL: who asks is refused within a second, or notices nothing.

    In CI both are lost at once.
    """
    rig, redis, postgres = faults.rig, faults.links["redis"], faults.links["postgres"]
    lost = {"redis": [redis], "postgres": [postgres]} if IS_FULL else {"both": [redis, postgres]}
    before, lines, seconds = faults.flagged(), len(read_records([rig.client_record])), {}
    generator = faults.generate((4 * 16.0) if IS_FULL else 9.0)
    for name, proxies in lost.items():
        for how, lose in ("cut", Proxy.cut), ("half-open", Proxy.darken):
            for proxy in proxies:
                lose(proxy)
            time.sleep(LOST_SECONDS)
            for proxy in proxies:
                proxy.heal()
            began = time.monotonic()
            faults.recovered(f"{name} {how}")
            wait_until(faults.is_recorded, 60, f"the record is written after {name} {how}")
            seconds[f"{name} {how}"] = round(time.monotonic() - began, 2)
    noticed = [round(lived, 2) for who, lived in redis.noticed + postgres.noticed if who == "near"]
    told = read_records([rig.client_record])[lines:]
    slowest_ms = slowest_refusal_ms(told)
    refused = sum(line.kind == b"answer" and line.status != b"0" for line in told)
    faults.finished(
        generator, "S2 storage", RATE * 2 * (LOST_SECONDS + LINKED_AGAIN_SECONDS), seconds=seconds,
        noticed_within=max(noticed), refused=refused, slowest_refusal_ms=slowest_ms,
    )  # fmt: skip
    assert max(seconds.values()) <= LINKED_AGAIN_SECONDS
    assert slowest_ms <= REFUSED_WITHIN_MS
    assert faults.flagged() - before <= 2 * WINDOW + refused


ROWS: dict[str, Callable[[Faults], None]] = {
    "K5": end_under_load, "S1": stop_processes, "S2": cut_links, "C1": step_clocks, "S2 storage": cut_storage_links,
}  # fmt: skip


@pytest.mark.parametrize("names", [[name] for name in ROWS] if IS_FULL else [list(ROWS)], ids="-".join)
def test_what_stops_stalls_or_steps_loses_nothing(tmp_path: Path, names: list[str]) -> None:
    tmp_path.chmod(0o755)
    with ExitStack() as stack:
        links: dict[str, Proxy] = {}

        def start(name: str, port: int, *, is_smpp: bool = True) -> Proxy:
            links[name] = stack.enter_context(Proxy(port, is_smpp=is_smpp).running())
            return links[name]

        def upstream(carrier: CarrierChild) -> str:
            profile = f"window_size={WINDOW}&enquire_link_seconds={ENQUIRE_SECONDS}"
            return f"smpp://rig:secret@127.0.0.1:{start('carrier', carrier.port).port}?{profile}"

        clock = stepped_clock(tmp_path)
        ports = {name: free_port("127.0.0.1") for name in ("redis", "postgres")}
        detours = (f"{port}:{start(name, port, is_smpp=False).port}" for name, port in ports.items())
        environment = clock.environment | {
            "PYTHONPATH": str(CUSTOMIZED),
            "SMSCD_DETOURS": ",".join(detours),
            "SMSCD_EMBEDDED_VALKEY_PORT": str(ports["redis"]),
            "SMSCD_EMBEDDED_POSTGRES_PORT": str(ports["postgres"]),
            "SMSCD_WRITER_ANSWER_SECONDS": str(ANSWER_SECONDS),
            "SMSCD_DRAIN_SECONDS": str(DRAIN_SECONDS),
            "SMSCD_SMPP_ENQUIRE_LINK_SECONDS": str(ENQUIRE_SECONDS),
        }
        with running_rig(tmp_path, environment=environment, demo_options=("--workers=2",), upstream=upstream) as rig:
            start("esmes", rig.demo.ready.smpp.port)
            faults = Faults(rig, links, clock)
            for name in names:
                began = time.monotonic()
                ROWS[name](faults)
                print(f"{name}: {time.monotonic() - began:.1f} s")
