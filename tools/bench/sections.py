"""The sections of the benchmark: whole lives over SMPP, HTTP, a burst, a queue without a carrier, the stages."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any, TypedDict

from tools.bench.instance import GENERATOR_SECONDS, Instance, Measured, running_instance
from tools.bench.processes import cpu_between, load_average, read_cpu
from tools.bench.stages import SAMPLER, ScriptTimes, heaviest, redis_seconds, stage_table, worker_seconds
from tools.checker import read_carrier, summary
from tools.children import BenchChild, Child, ending
from tools.record import read_record

ECHO = (sys.executable, "-m", "tools.bench.echo")
WARM_UP = 3_000
BURST = 50_000
QUEUED = 100_000
SLOW_LOG_SECONDS = 0.25
BATCH = 500
BATCH_RATE = 25_000
BATCHED = 250_000


class LivesSection(TypedDict):
    """Whole lives over one ESME with window 100: every run, and the run in the middle by completed/s."""

    runs: list[Measured]
    median: Measured


class QueuedSection(TypedDict):
    """Messages that wait for a carrier that is down, and how they drain when it is back."""

    messages: int
    accepted_per_second: float
    redis_bytes_before: int
    redis_bytes_after: int
    redis_megabytes: float
    drain_seconds: float
    drained_per_second: float


class BatchesSection(TypedDict):
    """Batches at a steady rate. lost: accepted, and unknown to the carrier when all queues had drained."""

    measured: Measured
    lost: int


class StagesSection(TypedDict):
    """CPU microseconds a message by stage: (stage, budget or None, measured), and the heaviest stacks of modules."""

    messages: int
    load: float
    rows: list[tuple[str, float | None, float]]
    stacks: list[tuple[str, float]]


def warm_up(instance: Instance) -> None:
    """A run that nobody looks at."""
    instance.measure("smpp", f"--count={WARM_UP}")


def whole_lives(instance: Instance, count: int, runs: int, connections: int = 1, window: int = 100) -> LivesSection:
    """Accepted, sent, receipt to the ESME, row complete; median of some runs."""
    options = (f"--count={count}", f"--connections={connections}", f"--window={window}")
    measured = [instance.measure("smpp", *options) for _ in range(runs)]
    ranked = sorted(measured, key=lambda run: float(run["report"]["completed_per_second"]))
    return LivesSection(runs=measured, median=ranked[len(ranked) // 2])


def http(instance: Instance, count: int, runs: int, connections: int) -> LivesSection:
    """HTTP submits over keep-alive connections; median of some runs by accepted/s."""
    options = (f"--count={count}", f"--connections={connections}")
    measured = [instance.measure("http", *options) for _ in range(runs)]
    ranked = sorted(measured, key=lambda run: float(run["report"]["accepted_per_second"]))
    return LivesSection(runs=measured, median=ranked[len(ranked) // 2])


def echo(directory: Path, count: int, connections: int) -> dict[str, Any]:
    """The report of the HTTP generator against a bare aiohttp handler, in one process, that echoes the same JSON."""
    server = Child(directory, "echo", ECHO)
    with ending(server):
        url = server.start().decode()
        generator = BenchChild(
            directory,
            f"echoed{connections}",
            "http",
            f"--url={url}",
            "--api-key=none",
            f"--count={count}",
            f"--connections={connections}",
        )
        with ending(generator):
            generator.start()
            report = generator.report(GENERATOR_SECONDS)
    return report


def batches(instance: Instance, count: int = BATCHED) -> BatchesSection:
    """Batch sends at BATCH_RATE, then the drain of what they queued."""
    options = (f"--count={count}", f"--rate={BATCH_RATE}", f"--batch={BATCH}", "--connections=8")
    measured = instance.measure("http", *options)
    run = measured["report"]["run"].encode()
    taken = read_carrier(line for line in read_record(instance.carrier.record) if line.token.startswith(run)).parts
    return BatchesSection(measured=measured, lost=measured["messages"] - len(taken))


def burst(instance: Instance, count: int = BURST) -> Measured:
    """Everything at once over ten connections with windows of 1,000."""
    return instance.measure("smpp", f"--count={count}", "--connections=10", "--window=1000")


def queued(instance: Instance, count: int = QUEUED) -> QueuedSection:
    """Stop the carrier, queue, look at Redis, start the carrier again and wait until everything is told."""
    instance.carrier.stop()
    instance.wait_caught_up()
    before = instance.redis_bytes()
    generator = instance.generate("smpp", f"--count={count}", "--connections=4", "--window=500", "--no-wait")
    with ending(generator):
        generator.start()
        report = generator.report(GENERATOR_SECONDS)
    instance.wait_caught_up()
    after = instance.redis_bytes()
    started = time.monotonic()
    instance.carrier.start()
    listener = instance.generate("smpp", "--count=1", "--linger=5", "--patience=60")
    with ending(listener):
        listener.start()
        listener.report(GENERATOR_SECONDS)
        drained = time.monotonic() - 5.0 - started
    instance.wait_caught_up()
    return QueuedSection(
        messages=int(report["accepted"]),
        accepted_per_second=float(report["accepted_per_second"]),
        redis_bytes_before=before,
        redis_bytes_after=after,
        redis_megabytes=round((after - before) / 1e6, 1),
        drain_seconds=round(drained, 2),
        drained_per_second=round(count / drained, 1) if drained > 0 else 0.0,
    )


def stages(directory: Path, count: int) -> StagesSection:
    """A run of its own in which the workers' stacks are sampled and Redis logs every script: not for figures."""
    samples = directory / "samples"
    samples.mkdir()
    path = os.pathsep.join(filter(None, [str(SAMPLER), os.environ.get("PYTHONPATH", "")]))
    environment = {"PYTHONPATH": path, "SMSCD_BENCH_SAMPLES": str(samples)}
    with running_instance(directory, environment=environment) as instance:
        times = ScriptTimes(instance.demo.ready.valkey_url)
        stopped = threading.Event()

        def gather() -> None:
            while not stopped.wait(SLOW_LOG_SECONDS):
                times.gather()

        warm_up(instance)
        times.begin()
        (samples / "on").touch()
        gatherer = threading.Thread(target=gather)
        gatherer.start()
        before = read_cpu(instance.demo.pid)
        try:
            load = load_average()
            measured = instance.measure("smpp", f"--count={count}")
            spent = cpu_between(before, read_cpu(instance.demo.pid))
        finally:
            (samples / "on").unlink()
            stopped.set()
            gatherer.join()
        times.end()
    by_stage, by_stack = worker_seconds(samples)
    seconds = {**by_stage, **redis_seconds(times.microseconds, spent.get("valkey", 0.0))}
    seconds["PostgreSQL"] = spent.get("postgres", 0.0)
    messages = measured["messages"]
    return StagesSection(
        messages=messages,
        load=load,
        rows=stage_table(seconds, messages),
        stacks=list(heaviest(by_stack, messages)),
    )


def verdict(instance: Instance) -> dict[str, object]:
    """The checker's figures for everything that was sent over SMPP."""
    return dict(summary(instance.judge()))
