"""What operators have halted, and since when, for the metrics page and /health/: a pause may have been forgotten."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, get_args

from smscd.core.directory import Halt, HaltKind, HaltState
from smscd.monitoring.metrics import Sample

FORGOTTEN_SECONDS: Final = 4 * 3_600
"""A pause of this age may be forgotten: what waits behind it expires in the end."""
ROUTES_NAMED_MAX: Final = 5


def halt_samples(halts: Iterable[Halt], now_ms: int) -> Iterator[Sample]:
    """How many there are of each kind, none as well, and the age of the oldest."""
    ages: dict[tuple[str, str], list[float]] = {
        (kind, state): [] for kind in get_args(HaltKind) for state in get_args(HaltState)
    }
    for halt in halts:
        ages[halt.kind, halt.state].append(max(0, now_ms - halt.since_ms) / 1000)
    for labels, found in ages.items():
        yield Sample("smscd_halts", labels, len(found))
        yield Sample("smscd_halt_oldest_seconds", labels, max(found, default=0.0))


def halt_check(paused: int, drained: int, paused_since_ms: int, now_ms: int) -> dict[str, Any]:
    """The line of /health/ when anything is halted."""
    check: dict[str, Any] = {"status": "pass", "paused": paused, "drained": drained}
    if paused:
        age = round(max(0, now_ms - paused_since_ms) / 1000)
        check["oldest_pause_seconds"] = age
        if age >= FORGOTTEN_SECONDS:
            check["status"] = "warn"
            check["error"] = "a pause may be forgotten: `smscd halted` shows it, `smscd resume` ends it"
    return check


def route_check(labels: Iterable[str]) -> dict[str, Any]:
    """The line of /health/ when there are routes that fit nothing. labels: of some of them."""
    named = ", ".join(labels)
    error = f"the time zone of {named} is not known here: give another by `smscd route set`; `smscd route list` has all"
    return {"status": "warn", "error": error}
