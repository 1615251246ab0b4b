"""CPU time and memory of the daemon's own processes, read from /proc, for the metrics page."""

from __future__ import annotations

import os
from pathlib import Path

from smscd.monitoring.metrics import Sample

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
MARKS = (
    ("valkey", ("valkey-server", "redis-server")),
    ("postgres", ("postgres",)),
    ("carrier", ("tools.carrier",)),
    ("worker", ("smscd.worker",)),
)


def cpu_samples(root: int) -> list[Sample]:
    """CPU seconds and resident bytes of `root` and its descendants, by kind of process.

    CPU of children that have ended counts with whoever waited for them, so the sum of a kind does not fall.
    """
    seconds: dict[str, float] = {}
    resident: dict[str, int] = {}
    for pid in process_tree(root):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            kind = "supervisor" if pid == root else _kind(Path(f"/proc/{pid}/cmdline").read_bytes())
        except (OSError, IndexError, ValueError):
            continue
        seconds[kind] = seconds.get(kind, 0.0) + sum(map(int, fields[11:15])) / TICKS_PER_SECOND
        resident[kind] = resident.get(kind, 0) + pages * PAGE_BYTES
    return [
        *(Sample("smscd_process_cpu_seconds_total", (kind,), value) for kind, value in seconds.items()),
        *(Sample("smscd_process_resident_bytes", (kind,), value) for kind, value in resident.items()),
    ]


def _kind(command_line: bytes) -> str:
    text = command_line.replace(b"\0", b" ").decode(errors="replace")
    return next((kind for kind, marks in MARKS if any(mark in text for mark in marks)), "other")


def process_tree(root: int) -> list[int]:
    """A process and all that descend from it, nearest first. One that has ended meanwhile has no children."""
    found = [root]
    for pid in found:
        for task in _listed(Path(f"/proc/{pid}/task")):
            try:
                found += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
            except OSError:
                continue
    return found


def _listed(directory: Path) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []
