"""Health: what is judged healthy, degraded and unhealthy."""

from __future__ import annotations

from typing import Any

import pytest

from smscd.monitoring.health import Facts, Health, Heartbeat, UpstreamBeat, judge

NOW = 1_000_000


def beat(owner: str = "a/0", **changes: Any) -> Heartbeat:
    values: dict[str, Any] = {
        "owner": owner,
        "at_ms": NOW - 500,
        "upstreams": {"carrier": UpstreamBeat(is_up=True, binds=1)},
        "writer_lag_seconds": 0.2,
    }
    return Heartbeat(**(values | changes))


def judged(**changes: Any) -> Health:
    values: dict[str, Any] = {
        "now_ms": NOW,
        "workers_expected": 1,
        "redis_ms": 0.4,
        "postgres_ms": 0.9,
        "heartbeats": [beat()],
        "upstreams_total": 1,
        "memory_share": 0.1,
        "disk_free_bytes": 10**9,
        "disk_free_bytes_min": 10**8,
    }
    return judge(Facts(**(values | changes)), "1.2.3")


def test_all_well_is_healthy_and_says_so_in_the_documented_form() -> None:
    health = judged()
    assert (health.status, health.http_status) == ("healthy", 200)
    assert health.body["version"] == "1.2.3"
    assert health.body["checks"]["redis"] == {"status": "pass", "ms": 0.4, "memory_share": 0.1}
    assert health.body["checks"]["upstreams"] == {"status": "pass", "up": 1, "total": 1}
    assert health.body["checks"]["writer"] == {"status": "pass", "lag_seconds": 0.2}
    workers = health.body["checks"]["workers"]
    assert {name: workers[name] for name in ("ingress", "dispatch", "deliver", "write")} == dict.fromkeys(
        ("ingress", "dispatch", "deliver", "write"), 1
    )
    assert workers["heartbeat_age_seconds"] == {"a/0": 0.5}


@pytest.mark.parametrize(
    "changes",
    [
        {"postgres_ms": None, "postgres_error": "connection refused"},
        {"heartbeats": [beat(upstreams={"carrier": UpstreamBeat(is_up=False)})]},
        {"workers_expected": 2},
        {"heartbeats": [beat(writer_lag_seconds=None)]},
        {"heartbeats": [beat(writer_lag_seconds=300.0)]},
        {"heartbeats": [beat(ledger_differences=1)]},
        {"upstreams_total": 2},
        {"heartbeats": [beat(upstreams={"carrier": UpstreamBeat(is_up=True, is_out=True)})]},
        {"heartbeats": [beat(), beat("a/1", is_draining=True)], "workers_expected": 2},
    ],
)
def test_what_somebody_should_look_at_is_degraded_and_still_200(changes: dict[str, Any]) -> None:
    health = judged(**changes)
    assert (health.status, health.http_status) == ("degraded", 200)


@pytest.mark.parametrize(
    "changes",
    [
        {"redis_ms": None, "redis_error": "timed out", "heartbeats": []},
        {"memory_share": 0.8},
        {"disk_free_bytes": 10**7},
        {"heartbeats": []},
        {"heartbeats": [beat(at_ms=NOW - 6_000)]},
        {"heartbeats": [beat(upstreams={"carrier": UpstreamBeat(is_up=False, has_room=False)})]},
    ],
)
def test_when_nothing_can_be_accepted_it_is_unhealthy_with_503(changes: dict[str, Any]) -> None:
    health = judged(**changes)
    assert (health.status, health.http_status) == ("unhealthy", 503)


def test_an_unanswered_check_says_why() -> None:
    checks = judged(postgres_ms=None, postgres_error="connection refused").body["checks"]
    assert checks["postgres"] == {"status": "warn", "error": "connection refused"}


def test_while_redis_is_away_the_workers_are_unknown_and_not_dead() -> None:
    checks = judged(redis_ms=None, heartbeats=[]).body["checks"]
    assert checks["workers"]["status"] == "warn"
    assert checks["redis"]["status"] == "fail"


@pytest.mark.parametrize(("ahead_seconds", "is_told"), [(3_600, True), (-86_400, True), (5, True), (-4, False)])
def test_a_clock_that_was_set_under_a_worker_is_told(ahead_seconds: int, is_told: bool) -> None:
    health = judged(heartbeats=[beat(), beat(clock_ahead_seconds=ahead_seconds)])
    assert health.status == ("degraded" if is_told else "healthy")
    assert health.body["checks"].get("clock", {}).get("ahead_seconds") == (ahead_seconds if is_told else None)
