"""A pause that was forgotten is seen in the metrics and in /health/."""

from __future__ import annotations

import re
from pathlib import Path

from smscd.core.directory import Halt
from smscd.monitoring.standstill import FORGOTTEN_SECONDS, halt_check, halt_samples
from tests.unit.smscd.monitoring.test_health import NOW, beat, judged

RULES = Path(__file__).parents[4] / "conf" / "prometheus-rules.yml"


def test_every_kind_is_counted_with_the_age_of_its_oldest_and_nothing_is_zero() -> None:
    halts = (
        Halt(kind="upstream", name="a", state="paused", since_ms=NOW - 5_000),
        Halt(kind="upstream", name="b", state="paused", since_ms=NOW - 60_000),
        Halt(kind="route", name="44", state="drained", since_ms=NOW + 1),
    )
    found = {(sample.name, *sample.labels): sample.value for sample in halt_samples(halts, NOW)}
    assert len(found) == 12
    assert {name: value for name, value in found.items() if value} == {
        ("smscd_halts", "upstream", "paused"): 2,
        ("smscd_halt_oldest_seconds", "upstream", "paused"): 60.0,
        ("smscd_halts", "route", "drained"): 1,
    }


def test_health_tells_of_a_pause_and_warns_when_it_is_old() -> None:
    assert "halts" not in judged().body["checks"]
    fresh = judged(heartbeats=[beat(paused=2, drained=1, paused_since_ms=NOW - 60_000)])
    assert (fresh.status, fresh.body["checks"]["halts"]) == (
        "healthy", {"status": "pass", "paused": 2, "drained": 1, "oldest_pause_seconds": 60},
    )  # fmt: skip
    old = judged(heartbeats=[beat(paused=1, paused_since_ms=NOW - FORGOTTEN_SECONDS * 1000)])
    assert old.status == "degraded" and "smscd halted" in old.body["checks"]["halts"]["error"]
    drained = judged(heartbeats=[beat(drained=1)])
    assert drained.body["checks"]["halts"] == {"status": "pass", "paused": 0, "drained": 1}


def test_the_alert_and_health_agree_on_what_is_old() -> None:
    found = re.search(r'smscd_halt_oldest_seconds\{state="paused"\}\) > (\d+) \* 3600', RULES.read_text())
    assert found is not None and int(found[1]) * 3600 == FORGOTTEN_SECONDS
    assert halt_check(1, 0, 0, FORGOTTEN_SECONDS * 1000 - 1000)["status"] == "pass"


def test_health_names_routes_that_fit_nothing() -> None:
    health = judged(heartbeats=[beat(routes_unusable=("*/44/night",))])
    assert health.status == "degraded" and "*/44/night" in health.body["checks"]["routes"]["error"]
