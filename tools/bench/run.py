"""`smscd bench run` (`make bench`): the daemon as shipped, its carrier and generators; one table that says it all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from smscd.cli.output import Failure, json_option, print_json, print_table
from tools.bench import sections
from tools.bench.instance import KINDS, Measured, running_instance
from tools.bench.processes import load_average
from tools.bench.upstreams import rows_of, upstreams
from tools.children import ChildFailed

UPSTREAMS_RATE, UPSTREAMS_SECONDS = 1_000.0, 15.0
SECTIONS = ("smpp", "burst", "queued", "http", "batches", "upstreams", "stages")


@click.command(name="run")
@click.option("--section", "chosen", multiple=True, type=click.Choice(SECTIONS), help="Only these; all otherwise.")
@click.option("--runs", default=5, show_default=True, type=click.IntRange(1, 100), help="Runs that a median is of.")
@click.option("--count", default=40_000, show_default=True, type=click.IntRange(100), help="Messages of an SMPP run.")
@click.option("--http-count", default=15_000, show_default=True, type=click.IntRange(100), help="Of an HTTP run.")
@click.option("--queue-count", default=sections.QUEUED, show_default=True, type=click.IntRange(100), help="Queued.")
@click.option("--burst-count", default=sections.BURST, show_default=True, type=click.IntRange(100), help="At once.")
@click.option(
    "--batch-count", default=sections.BATCHED, show_default=True, type=click.IntRange(100), help="In batches."
)
@click.option(
    "--rate", default=UPSTREAMS_RATE, show_default=True, type=click.FloatRange(1), help="Upstreams in trouble."
)
@click.option("--seconds", default=UPSTREAMS_SECONDS, show_default=True, type=click.FloatRange(0.5), help="The same.")
@click.option("--workers", default=0, type=click.IntRange(0, 256), help="Of the daemon; 0 is its default.")
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), help="Keep data, logs and records here.")
@json_option
def run(
    chosen: tuple[str, ...],
    runs: int,
    count: int,
    http_count: int,
    queue_count: int,
    burst_count: int,
    batch_count: int,
    rate: float,
    seconds: float,
    workers: int,
    keep: Path | None,
    as_json: bool,
) -> None:
    """Measure the daemon as shipped on this machine. Exits with 1 when anything is lost, doubled or stuck, or
    when the traffic of a healthy upstream is held up by others."""
    wanted = chosen or SECTIONS
    directory = keep or Path(tempfile.mkdtemp(prefix="smscd-bench-"))
    directory.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {"cores": os.cpu_count(), "load_before": load_average()}
    options = (f"--workers={workers}",) if workers else ()
    try:
        with running_instance(_sub(directory, "main"), *options) as instance:
            _say(as_json, "warming up")
            sections.warm_up(instance)
            if "smpp" in wanted:
                _say(as_json, f"SMPP, one ESME, window 100: {runs} runs of {count:,}")
                results["smpp"] = sections.whole_lives(instance, count, runs)
            if "burst" in wanted:
                _say(as_json, f"a burst of {burst_count:,} over ten connections")
                results["burst"] = sections.burst(instance, burst_count)
            if "http" in wanted:
                for name, connections in HTTP_LOADS.items():
                    _say(as_json, f"HTTP, {connections} connections: {runs} runs of {http_count:,}")
                    results[name] = sections.http(instance, http_count, runs, connections)
                    _say(as_json, f"a bare aiohttp handler that echoes the same, {connections} connections")
                    results[f"{name}_echo"] = sections.echo(directory, http_count, connections)
            if "batches" in wanted:
                _say(as_json, f"{batch_count:,} over HTTP in batches of {sections.BATCH}, {sections.BATCH_RATE:,}/s")
                results["batches"] = sections.batches(instance, batch_count)
            if "queued" in wanted:
                _say(as_json, f"{queue_count:,} queued while the carrier is down")
                results["queued"] = sections.queued(instance, queue_count)
            _say(as_json, "checking the three records against PostgreSQL and Redis")
            results["checker"] = sections.verdict(instance)
        if "upstreams" in wanted:
            _say(as_json, f"one upstream down, one throttling: {rate:g}/s for {seconds:g} s, alone and beside them")
            results["upstreams"] = upstreams(_sub(directory, "upstreams"), rate, seconds)
        if "stages" in wanted:
            _say(as_json, f"stages: one run of {count:,} with sampling, not for the figures above")
            results["stages"] = sections.stages(_sub(directory, "stages"), count)
    except (ChildFailed, TimeoutError) as error:
        raise Failure(str(error), as_json=as_json) from error
    finally:
        if keep is None:
            shutil.rmtree(directory, ignore_errors=True)
    results["load_after"] = load_average()
    if as_json:
        print_json(results)
    else:
        print_results(results)
    troubled, lost = results.get("upstreams"), results.get("batches", {}).get("lost")
    checkers = [results["checker"], *([troubled["checker"]] if troubled else [])]
    is_bad = any(checker[name] for checker in checkers for name in BAD)
    if is_bad or lost or (troubled and not troubled["is_within"]):
        raise SystemExit(1)


# Ten, as the peers were measured; a hundred, as the processes of a web application come.
HTTP_LOADS = {"http": 100, "http_ten": 10}

BAD = (
    "lost",
    "receipts_lost",
    "duplicated",
    "stuck",
    "refused_yet_admitted",
    "rows_missing",
    "rows_double",
    "left_in_redis",
    "ledger_difference_micros",
)


def _sub(directory: Path, name: str) -> Path:
    """A directory that PostgreSQL's own user can come into."""
    directory.chmod(0o755)
    path = directory / name
    path.mkdir()
    return path


def _say(as_json: bool, what: str) -> None:
    if not as_json:
        click.echo(f"  {what} (load {load_average()})")


def print_results(results: Mapping[str, Any]) -> None:
    """The tables for people: a line for each figure, the median first and then every run."""
    if "smpp" in results:
        _print_runs("Whole lives over SMPP: one ESME, window 100", results["smpp"]["runs"], results["smpp"]["median"])
    if "burst" in results:
        _print_runs("Burst over ten connections", [results["burst"]], results["burst"])
    for name, connections in HTTP_LOADS.items():
        if name in results:
            _print_runs(f"HTTP over {connections} connections", results[name]["runs"], results[name]["median"])
            bare = results[f"{name}_echo"]["accepted_per_second"]
            share = results[name]["median"]["report"]["accepted_per_second"] / bare
            click.echo(f"a bare aiohttp handler that echoes the same JSON: {bare:,.0f}/s; the gateway has {share:.0%}")
    if "batches" in results:
        found = results["batches"]
        _print_runs(f"Batches of {sections.BATCH} over HTTP", [found["measured"]], found["measured"])
        click.echo(f"lost: {found['lost']}")
    if "queued" in results:
        queued = results["queued"]
        shown = {
            "messages queued": f"{queued['messages']:,}",
            "admitted/s": f"{queued['accepted_per_second']:,.0f}",
            "more Redis memory": f"{queued['redis_megabytes']} MB, the journal's tail included (at most 100)",
            "drained": f"in {queued['drain_seconds']} s, {queued['drained_per_second']:,.0f}/s with receipts",
        }
        print_table(("", ""), list(shown.items()), title="Queued while the carrier is down")
    if "upstreams" in results:
        title = f"Three upstreams at {results['upstreams']['rate']:g}/s of healthy traffic"
        print_table(("", "alone", "one down, one throttling"), rows_of(results["upstreams"]), title=title)
    if "stages" in results:
        _print_stages(results["stages"])
    title = "The three records, PostgreSQL and Redis joined by token"
    print_table(("", ""), list(results["checker"].items()), title=title)
    click.echo(f"load average {results['load_before']} before, {results['load_after']} after; {results['cores']} cores")


def _print_stages(found: sections.StagesSection) -> None:
    rows: list[tuple[object, ...]] = [(stage, budget, spent) for stage, budget, spent in found["rows"]]
    total = round(sum(spent for _, _, spent in found["rows"]), 1)
    title = f"CPU by stage, sampled in a run of its own of {found['messages']:,} (load {found['load']})"
    goal = sum(budget or 0.0 for _, budget, _ in found["rows"])
    print_table(("stage", "budget us", "us a message"), [*rows, ("sum", goal, total)], title=title)
    stacks = [(spent, stack.replace("smscd/worker.py > ", "")) for stack, spent in found["stacks"]]
    print_table(("us a message", "modules, outermost first"), stacks, title="Where the workers are")


def _print_runs(title: str, runs: list[Measured], median: Measured) -> None:
    names = list(_figures(median))
    rows = [(name, _figures(median)[name], "  ".join(_figures(run)[name] for run in runs)) for name in names]
    columns = ("", "median", "every run") if len(runs) > 1 else ("", "", "")
    print_table(columns, rows if len(runs) > 1 else [(*row[:2], "") for row in rows], title=title)


def _figures(run: Measured) -> dict[str, str]:
    """The figures of one run by their names."""
    report = run["report"]
    shown = {"accepted/s": f"{report['accepted_per_second']:,.0f}"}
    latencies: dict[str, Any] = {"answer": report.get("response_latency") or report.get("latency")}
    if report.get("receipts"):
        shown["completed with receipt/s"] = f"{report['completed_per_second']:,.0f}"
        latencies["receipt"] = report["receipt_latency"]
    shown["row complete/s"] = f"{run['row_complete_per_second']:,.0f}"
    for name, latency in latencies.items():
        shown |= {f"{name} {rank} ms": f"{latency[f'{rank}_ms']:,.1f}" for rank in ("p50", "p95", "p99")}
    shown["CPU ms a message"] = f"{run['cpu_ms_daemon']:.3f}"
    shown |= {f"  {kind}": f"{run['cpu_ms'].get(kind, 0.0):.3f}" for kind in KINDS}
    shown["  not counted: carrier"] = f"{run['carrier_cpu_ms']:.3f}"
    shown["  not counted: generator"] = f"{run['generator_cpu_ms']:.3f}"
    shown |= {f"rows in {table}": f"{count:,}" for table, count in run["rows_written"].items()}
    shown["refused or unanswered"] = str(sum(report["refused_by_status"].values()) + report["unanswered"])
    shown["load"] = f"{run['load_before']} to {run['load_after']}"
    return shown
