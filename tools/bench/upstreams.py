"""The benchmark's section of upstreams in trouble: one is down, one throttles, and the traffic of a third is timed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import msgspec

from tools.bench.instance import GENERATOR_SECONDS, Instance, running_instance
from tools.bench.workload import DESTINATION_PREFIX
from tools.checker import Judgement, summary
from tools.children import SMSCD, BenchChild, CarrierChild, DemoChild, ending, wait_until

DOWN_PREFIX, THROTTLING_PREFIX = "44770191", "44770192"
TROUBLES: Mapping[str, tuple[str, ...]] = {"down": (), "throttling": ("--mood=058",)}
"""The carriers beside the healthy one, and their options."""
TROUBLED_SHARE = 0.25
RATIO_MAX = 1.5
COMMAND_SECONDS = 60
DRAIN_SECONDS = 90.0
RETRY_SECONDS_MAX = 4


class UpstreamsSection(TypedDict):
    """The healthy upstream's traffic at one offered rate: alone, and while the two others are in trouble.

    ratio_answer, ratio_receipt: of the p99s, submit to answer and submit to receipt. checker: of everything, once the
    two are well again and drained.
    """

    rate: float
    seconds: float
    alone: dict[str, Any]
    in_trouble: dict[str, Any]
    ratio_answer: float
    ratio_receipt: float
    is_within: bool
    checker: dict[str, object]


def command(demo: DemoChild, *words: str) -> str:
    """What a command of ours says about a demo."""
    line = [*SMSCD, *words, "--data-dir", str(demo.data)]
    return subprocess.run(line, check=True, capture_output=True, text=True, timeout=COMMAND_SECONDS).stdout


def apply_routes(demo: DemoChild, directory: Path, routes: Mapping[str, Sequence[str]]) -> None:
    """Make these routes: upstreams by prefix."""
    file = directory / "routes.toml"
    parts = [f'[[routes]]\nprefix = "{prefix}"\nupstreams = {list(ways)}\n' for prefix, ways in routes.items()]
    file.write_text("".join(parts))
    command(demo, "apply", str(file), "--yes")


def other_account(demo: DemoChild, directory: Path) -> Path:
    """Make an account, so that its receipts are not among those that are timed; a ready file with its credentials."""
    terms = ("--any-sender", "--rate=100000", "--burst=100000", "--window=10000", "--balance=100000")
    limits = ("--velocity-minute=0", "--velocity-day=0")
    made = json.loads(command(demo, "account", "add", "other", *terms, *limits, "--json"))
    smpp = msgspec.structs.replace(demo.ready.smpp, system_id="other", password=made["password"])
    file = directory / "other.ready"
    file.write_bytes(msgspec.json.encode(msgspec.structs.replace(demo.ready, smpp=smpp)))
    return file


def upstreams(directory: Path, rate: float, seconds: float) -> UpstreamsSection:
    """Both measurements in one run of a demo with three upstreams, the first one's carrier as ever."""
    carriers = {name: _carrier(directory / name, *options) for name, options in TROUBLES.items()}
    with ending(*carriers.values()):
        for carrier in carriers.values():
            carrier.start()
        carriers["down"].stop()
        urls = [f"{carrier.upstream_url}?retry_max_seconds={RETRY_SECONDS_MAX}" for carrier in carriers.values()]
        options = [word for url in urls for word in ("--upstream", url)]
        with running_instance(directory, *options) as instance:
            routes = {DESTINATION_PREFIX: ["upstream1"], DOWN_PREFIX: ["upstream2"], THROTTLING_PREFIX: ["upstream3"]}
            apply_routes(instance.demo, directory, routes)
            _timed(instance, rate, min(seconds, 1.0))
            alone = _timed(instance, rate, seconds)
            with ending(_trouble(instance, directory, rate * TROUBLED_SHARE, seconds)):
                in_trouble = _timed(instance, rate, seconds)
                carriers["down"].start()
                carriers["throttling"].stop()
                carriers["throttling"] = _carrier(directory / "throttling", port=carriers["throttling"].port)
                with ending(carriers["throttling"]):
                    carriers["throttling"].start()
                    checker = _settled(instance, [carrier.record for carrier in carriers.values()])
                    carriers["throttling"].stop()
    ratios = {name: _p99(in_trouble, name) / (_p99(alone, name) or 1.0) for name in ("response", "receipt")}
    return UpstreamsSection(
        rate=rate,
        seconds=seconds,
        alone=alone,
        in_trouble=in_trouble,
        ratio_answer=round(ratios["response"], 2),
        ratio_receipt=round(ratios["receipt"], 2),
        is_within=max(ratios.values()) <= RATIO_MAX,
        checker=checker,
    )


def _carrier(directory: Path, *options: str, port: int = 0) -> CarrierChild:
    directory.mkdir(exist_ok=True)
    return CarrierChild(directory, *options, port=port)


def _timed(instance: Instance, rate: float, seconds: float) -> dict[str, Any]:
    """The report of a generator that sends to the healthy upstream."""
    generator = instance.generate("smpp", f"--rate={rate}", f"--count={max(1, int(rate * seconds))}", "--window=1000")
    with ending(generator):
        generator.start()
        return generator.report(GENERATOR_SECONDS)


def _trouble(instance: Instance, directory: Path, rate: float, seconds: float) -> BenchChild:
    """Traffic to the two others, from before the timed traffic until after it; bound until it is killed."""
    file = other_account(instance.demo, directory)
    wanted = (f"--ready-file={file}", f"--prefix={DOWN_PREFIX}", f"--prefix={THROTTLING_PREFIX}", f"--rate={rate}")
    stays = (f"--patience={GENERATOR_SECONDS}", f"--linger={GENERATOR_SECONDS}")
    count = max(1, int(rate * seconds))
    generator = instance.generate("smpp", f"--count={count}", "--window=1000", *wanted, *stays)
    generator.start()
    throttling = directory / "throttling" / "carrier.record"
    wait_until(lambda: throttling.exists() and throttling.stat().st_size, DRAIN_SECONDS, "one is throttled")
    return generator


def _settled(instance: Instance, records: Sequence[Path]) -> dict[str, object]:
    """The checker's figures when all has come to rest."""
    found: list[Judgement] = []

    def is_clean() -> bool:
        found[:] = [instance.judge_once(records)]
        return found[0].is_clean

    try:
        wait_until(is_clean, DRAIN_SECONDS, "everything has come to rest")
    except TimeoutError:
        pass  # the figures say what has not
    return dict(summary(found[0]))


def _p99(report: Mapping[str, Any], name: str) -> float:
    return float(report[f"{name}_latency"]["p99_ms"])


def rows_of(found: UpstreamsSection) -> list[tuple[object, ...]]:
    """Each figure alone and in trouble, for the table."""
    runs = (found["alone"], found["in_trouble"])
    rows: list[tuple[object, ...]] = []
    for label, name in (("answer", "response"), ("receipt", "receipt")):
        for rank in ("p50", "p99"):
            rows.append((f"{label} {rank} ms", *(f"{run[f'{name}_latency'][f'{rank}_ms']:,.1f}" for run in runs)))
    rows.append(("completed with receipt/s", *(f"{run['completed_per_second']:,.0f}" for run in runs)))
    rows.append(
        ("p99 against alone", "", f"{found['ratio_answer']} and {found['ratio_receipt']} (at most {RATIO_MAX})")
    )
    return rows
