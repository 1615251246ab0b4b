"""The daemon that is measured, with a carrier and generators of our own, and the waiting between measurements."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

import asyncpg
import redis

from storage.redis.keys import ShardKeys
from tools.bench.processes import cpu_between, load_average, per_thousand, read_cpu
from tools.checker import Judgement, judge, read_records
from tools.checker_storage import read_stored
from tools.children import BenchChild, CarrierChild, DemoChild, ending

CAUGHT_UP_SECONDS = 120.0
STILL_SECONDS = 0.4
GENERATOR_SECONDS = 600.0
KINDS = ("supervisor", "worker", "valkey", "postgres")
"""What counts as the daemon: everything but generator and carrier."""

ROWS = """
SELECT (SELECT count(*) FROM messages) AS messages, (SELECT count(*) FROM segments) AS segments,
       (SELECT count(*) FROM message_events) AS message_events, (SELECT count(*) FROM ledger_entries) AS ledger_entries
"""
OFFSET = "SELECT last_id FROM journal_offsets WHERE shard = 0"


class Measured(TypedDict):
    """One measurement: the generator's report, and what it cost.

    row_complete_per_second: messages over the time from the first submit until PostgreSQL had everything.
    cpu_ms: CPU milliseconds a message by kind of process, until PostgreSQL had everything.
    """

    report: dict[str, Any]
    messages: int
    row_complete_per_second: float
    cpu_ms: dict[str, float]
    cpu_ms_daemon: float
    carrier_cpu_ms: float
    generator_cpu_ms: float
    rows_written: dict[str, int]
    load_before: float
    load_after: float


class Instance:
    """A running demo and its carrier, both in `directory`, with connections that outlive the single measurement."""

    def __init__(self, directory: Path, *demo_options: str) -> None:
        self.directory = directory
        self.carrier = CarrierChild(directory)
        self.carrier.start()
        self.demo = DemoChild(directory, "--upstream", self.carrier.upstream_url, "--log-level=info", *demo_options)
        self.client_record = directory / "client.record"
        self._runner = asyncio.Runner()
        self._generators = 0
        self._postgres: asyncpg.Connection[asyncpg.Record]
        self._redis: redis.Redis

    def start(self) -> None:
        """Start the demo and connect to its servers."""
        self.demo.start()
        self._postgres = self._runner.run(asyncpg.connect(self.demo.ready.postgres_dsn))
        self._redis = redis.Redis.from_url(self.demo.ready.valkey_url)

    def stop(self) -> None:
        """End everything in order."""
        self._redis.close()
        self._runner.run(self._postgres.close())
        self.demo.stop()
        self.carrier.stop()
        self._runner.close()

    # --- looking ----------------------------------------------------------------------------------------------------

    def rows(self) -> dict[str, int]:
        """How many rows the record has, by table."""
        row = self._runner.run(self._postgres.fetchrow(ROWS))
        return dict(row) if row else {}

    def journal_id(self) -> str:
        """The last entry that the journal was given."""
        info: Any = self._redis.xinfo_stream(ShardKeys(0).journal)
        last = info["last-generated-id"]
        return last.decode() if isinstance(last, bytes) else str(last)

    def redis_bytes(self) -> int:
        """The memory that Redis uses for everything."""
        info: Any = self._redis.info("memory")
        return int(info["used_memory"])

    def wait_caught_up(self) -> float:
        """Wait until PostgreSQL has everything and nothing new comes; returns when that was (monotonic seconds)."""
        deadline = time.monotonic() + CAUGHT_UP_SECONDS
        caught_at, caught_id = 0.0, ""
        while time.monotonic() < deadline:
            last = self.journal_id()
            offset = self._runner.run(self._postgres.fetchval(OFFSET))
            if offset != last:
                caught_id = ""
            elif caught_id != last:
                caught_at, caught_id = time.monotonic(), last
            elif time.monotonic() - caught_at > STILL_SECONDS:
                return caught_at
            time.sleep(0.05)
        raise TimeoutError(f"PostgreSQL is at {offset}, the journal at {last}, after {CAUGHT_UP_SECONDS:g} s")

    def judge(self) -> Judgement:
        """The checker's word on everything that was sent so far over SMPP; waits up to 30 s for it to be clean."""
        deadline = time.monotonic() + 30.0
        while True:
            judgement = self.judge_once()
            if judgement.is_clean or time.monotonic() > deadline:
                return judgement
            time.sleep(0.5)

    def judge_once(self, others: Sequence[Path] = ()) -> Judgement:
        """The same as it is now. others: records of more carriers."""
        stored = asyncio.run(read_stored(self.demo.ready.valkey_url, self.demo.ready.postgres_dsn))
        client, carriers = read_records([self.client_record]), read_records([self.carrier.record, *others])
        return judge(client, carriers, stored, expects_receipts=True)

    # --- measuring --------------------------------------------------------------------------------------------------

    def generate(self, kind: str, *options: str) -> BenchChild:
        """Start a generator of this kind against the instance."""
        self._generators += 1
        ready = f"--ready-file={self.demo.ready_file}"
        record = [f"--record={self.client_record}"] if kind == "smpp" else []
        return BenchChild(self.directory, f"{kind}{self._generators}", kind, ready, *record, *options)

    def measure(self, kind: str, *options: str) -> Measured:
        """One run of a generator, until its rows are complete."""
        rows, load = self.rows(), load_average()
        before, carrier_before = read_cpu(self.demo.pid), read_cpu(self.carrier.pid)
        generator = self.generate(kind, *options)
        with ending(generator):
            generator.start()
            report = generator.report(GENERATOR_SECONDS)
            generator_ended = time.monotonic()
        complete_at = self.wait_caught_up()
        after, carrier_after = read_cpu(self.demo.pid), read_cpu(self.carrier.pid)
        messages = int(report["accepted"])
        spent = {name: value for name, value in cpu_between(before, after).items() if name in KINDS}
        sending = float(report.get("seconds_to_last_receipt") or report.get("seconds_to_last_answer") or 0.0)
        lasted = (sending or float(report.get("seconds", 0.0))) + max(0.0, complete_at - generator_ended)
        now = self.rows()
        cpu_ms = per_thousand(spent, messages)
        carrier_ms = per_thousand(cpu_between(carrier_before, carrier_after), messages)
        return Measured(
            report=report,
            messages=messages,
            row_complete_per_second=round(messages / lasted, 1) if lasted else 0.0,
            cpu_ms=cpu_ms,
            cpu_ms_daemon=round(sum(cpu_ms.values()), 4),
            carrier_cpu_ms=round(sum(carrier_ms.values()), 4),
            generator_cpu_ms=round(float(report["generator_cpu_seconds"]) * 1000 / messages, 4) if messages else 0.0,
            rows_written={table: count - rows.get(table, 0) for table, count in now.items()},
            load_before=load,
            load_after=load_average(),
        )


@contextmanager
def running_instance(
    directory: Path, *demo_options: str, environment: dict[str, str] | None = None
) -> Iterator[Instance]:
    """An instance for the time of some measurements."""
    directory.chmod(0o755)
    instance = Instance(directory, *demo_options)
    instance.demo.environment = environment or {}
    with ending(instance.carrier, instance.demo):
        instance.start()
        yield instance
        instance.stop()
