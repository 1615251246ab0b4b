"""CPU seconds of a running daemon by kind of process, and of the machine, around a measurement."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

from smscd.supervision.processes import cpu_samples, process_tree

PROC = Path("/proc")


class Reading(NamedTuple):
    """CPU seconds so far by kind of process, and when they were read (monotonic seconds)."""

    at: float
    seconds: dict[str, float]


def read_cpu(root: int) -> Reading:
    """The process `root` and all that descend from it; a kind is "supervisor", "worker", "valkey", "postgres"..."""
    samples = cpu_samples(root)
    return Reading(time.monotonic(), {s.labels[0]: s.value for s in samples if s.name.endswith("cpu_seconds_total")})


def cpu_between(before: Reading, after: Reading) -> dict[str, float]:
    """CPU seconds spent between two readings, by kind; kinds that came in between count from zero."""
    return {kind: round(total - before.seconds.get(kind, 0.0), 3) for kind, total in sorted(after.seconds.items())}


def per_thousand(seconds: dict[str, float], messages: int) -> dict[str, float]:
    """CPU seconds per 1,000 messages, which is CPU milliseconds a message."""
    return {kind: round(spent * 1000 / messages, 4) if messages else 0.0 for kind, spent in seconds.items()}


def load_average() -> float:
    """The machine's load average over the last minute."""
    return round(os.getloadavg()[0], 2)


def process_ids(root: int, program: str) -> list[int]:
    """The descendants of `root` that run a program of this name, those nearest to it first."""
    return [pid for pid in process_tree(root)[1:] if _program(pid) == program]


def _program(pid: int) -> str:
    """The file name of what a process runs, without what a server adds to it for `ps`; empty when it is gone."""
    try:
        command_line = (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return ""
    return Path(command_line.split(b"\0")[0].decode(errors="replace").split(" ")[0].rstrip(":")).name
