"""Whether this installation is healthy, degraded or cannot accept: a pure judgement over facts, for both listeners.

Each worker writes a Heartbeat into Redis once a second; whoever is asked for /health/ reads them all, adds what it
measured of Redis and PostgreSQL itself, and judges. See HTTP-API, Health.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from smscd.monitoring.standstill import halt_check, route_check

HEARTBEAT_EVERY_SECONDS = 1.0
HEARTBEAT_STALE_MS = 5_000
HEARTBEAT_FORGOTTEN_MS = 60_000
ROLES = ("ingress", "dispatch", "deliver", "write")
WRITER_LAG_WARN_SECONDS = 60.0
CLOCK_WARN_SECONDS = 5

Status = Literal["healthy", "degraded", "unhealthy"]


class UpstreamBeat(msgspec.Struct):
    """An upstream as its owner sees it. is_up: at least one bind is up and the breaker lets traffic through.

    is_out: new messages go around it, where their route has another.
    """

    is_up: bool
    binds: int = 0
    has_room: bool = True
    is_out: bool = False


class Heartbeat(msgspec.Struct, kw_only=True):
    """One worker's sign of life. at_ms: Redis time. upstreams: those that it owns. lag: only from the writer.
    ledger_differences: of the last audit, only from who audits. paused, drained: how many upstreams, routes and
    accounts operators have halted; paused_since_ms: the oldest pause. routes_unusable: some of those that fit nothing.
    clock_ahead_seconds: how far Redis time is ahead of the time by which it works; negative when that was set back.
    """

    owner: str
    at_ms: int
    version: str = ""
    roles: tuple[str, ...] = ROLES
    upstreams: dict[str, UpstreamBeat] = {}
    writer_lag_seconds: float | None = None
    ledger_differences: int | None = None
    is_draining: bool = False
    paused: int = 0
    drained: int = 0
    paused_since_ms: int = 0
    routes_unusable: tuple[str, ...] = ()
    clock_ahead_seconds: int = 0


class Facts(msgspec.Struct, kw_only=True):
    """What was measured for one answer.

    now_ms: Redis time, or this machine's when Redis is away. *_ms: round trips, None when there was no answer (then
    *_error says why). upstreams_total: as configured. memory_share: used of maxmemory, None without a limit.
    """

    now_ms: int
    workers_expected: int
    redis_ms: float | None
    redis_error: str = ""
    postgres_ms: float | None
    postgres_error: str = ""
    heartbeats: Sequence[Heartbeat] = ()
    upstreams_total: int | None = None
    memory_share: float | None = None
    memory_share_max: float = 0.75
    disk_free_bytes: int | None = None
    disk_free_bytes_min: int = 0


class Health(msgspec.Struct, kw_only=True):
    """The judgement. http_status: 200 or 503. body: the JSON of /health/."""

    status: Status
    http_status: int
    body: dict[str, Any]


def judge(facts: Facts, version: str) -> Health:
    """Healthy: all is well. Degraded: it accepts, but somebody should look. Unhealthy: nothing can be accepted."""
    live = [beat for beat in facts.heartbeats if facts.now_ms - beat.at_ms <= HEARTBEAT_STALE_MS]
    checks: dict[str, Any] = {
        "redis": _redis(facts),
        "postgres": _answering(facts.postgres_ms, facts.postgres_error, "warn"),
        "workers": _workers(facts, live),
        "upstreams": _upstreams(facts, live),
        "writer": _writer(facts, live),
    }
    halted = max(live, key=lambda beat: (beat.paused + beat.drained, beat.at_ms), default=None)
    if halted is not None and (halted.paused or halted.drained):
        checks["halts"] = halt_check(halted.paused, halted.drained, halted.paused_since_ms, facts.now_ms)
    if unusable := next((beat.routes_unusable for beat in live if beat.routes_unusable), ()):
        checks["routes"] = route_check(unusable)
    ahead = max((beat.clock_ahead_seconds for beat in live), key=abs, default=0)
    if abs(ahead) >= CLOCK_WARN_SECONDS:
        checks["clock"] = _clock(ahead)
    audited = [beat.ledger_differences for beat in live if beat.ledger_differences is not None]
    if audited:
        checks["ledger"] = {"status": "warn" if any(audited) else "pass", "differences": sum(audited)}
    if facts.disk_free_bytes is not None:
        enough = facts.disk_free_bytes >= facts.disk_free_bytes_min
        checks["disk"] = {"status": "pass" if enough else "fail", "free_bytes": facts.disk_free_bytes}
    found = {check["status"] for check in checks.values()}
    status: Status = "unhealthy" if "fail" in found else "degraded" if "warn" in found else "healthy"
    body = {"status": status, "version": version, "checks": checks}
    return Health(status=status, http_status=503 if status == "unhealthy" else 200, body=body)


def _answering(round_trip_ms: float | None, error: str, otherwise: str) -> dict[str, Any]:
    if round_trip_ms is None:
        return {"status": otherwise, "error": error or "no answer"}
    return {"status": "pass", "ms": round(round_trip_ms, 1)}


def _redis(facts: Facts) -> dict[str, Any]:
    check = _answering(facts.redis_ms, facts.redis_error, "fail")
    if facts.memory_share is not None:
        check["memory_share"] = round(facts.memory_share, 3)
        if facts.memory_share >= facts.memory_share_max:
            check["status"] = "fail"
    return check


def _clock(ahead_seconds: int) -> dict[str, Any]:
    error = "the clock was set while smscd ran, which keeps its time: restart when nothing waits (`smscd queue list`)"
    return {"status": "warn", "ahead_seconds": ahead_seconds, "error": error}


def _workers(facts: Facts, live: Sequence[Heartbeat]) -> dict[str, Any]:
    if facts.redis_ms is None:
        return {"status": "warn", "error": "unknown while Redis does not answer"}
    serving = [beat for beat in live if not beat.is_draining]
    by_role = {role: sum(role in beat.roles for beat in serving) for role in ROLES}
    if not serving:
        status = "fail"
    else:
        status = "warn" if len(serving) < facts.workers_expected or not all(by_role.values()) else "pass"
    ages = {beat.owner: round(max(0, facts.now_ms - beat.at_ms) / 1000, 1) for beat in live}
    return {
        "status": status,
        "alive": len(serving),
        "expected": facts.workers_expected,
        **by_role,
        "heartbeat_age_seconds": ages,
    }


def _upstreams(facts: Facts, live: Sequence[Heartbeat]) -> dict[str, Any]:
    known: dict[str, UpstreamBeat] = {}
    for beat in live:
        known.update(beat.upstreams)
    up = sum(beat.is_up for beat in known.values())
    total = len(known) if facts.upstreams_total is None else facts.upstreams_total
    check: dict[str, Any] = {"status": "pass" if up >= total else "warn", "up": up, "total": total}
    out = sorted(name for name, beat in known.items() if beat.is_out)
    if out:
        check["status"] = "warn"
        check["error"] = f"{', '.join(out)} cannot send: its messages go to the next upstream of their route or wait"
    if known and not any(beat.has_room for beat in known.values()):
        check["status"] = "fail"
        check["error"] = "every upstream's queue is full"
    return check


def _writer(facts: Facts, live: Sequence[Heartbeat]) -> dict[str, Any]:
    lags = [beat.writer_lag_seconds for beat in live if beat.writer_lag_seconds is not None]
    if not lags:
        return {"status": "warn", "error": "nobody writes the record"}
    lag = max(lags)
    return {"status": "pass" if lag < WRITER_LAG_WARN_SECONDS else "warn", "lag_seconds": round(lag, 3)}
