"""CPU by stage: which stage a sampled stack belongs to, and how the table adds up."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from storage.redis import scripts
from tools.bench.stages import (
    BUDGET_US,
    MODULES,
    OTHER,
    SAMPLER,
    SCRIPTS,
    heaviest,
    redis_seconds,
    stage_of,
    stage_table,
    worker_seconds,
)

ROOT = Path(__file__).resolve().parents[4]


@pytest.mark.parametrize(
    ("stack", "stage"),
    [
        ("smscd/worker.py > smscd/transport/connection.py[smsc] > protocols/smpp/codec.py", "ingress SMPP"),
        (
            "smscd/transport/connection.py[esme] > smscd/egress/receipts.py > storage/redis/receipts.py > "
            "storage/redis/link.py",
            "receipt in",
        ),
        ("smscd/transport/connection.py[esme] > protocols/smpp/session.py", "dispatch and submit_sm_resp"),
        ("smscd/worker.py > smscd/archive/writer.py > storage/postgres/copyrows.py", "writer Python"),
        ("smscd/worker.py", OTHER),
        ("", OTHER),
    ],
)
def test_innermost_module_with_a_stage_decides(stack: str, stage: str) -> None:
    assert stage_of(stack) == stage


def test_every_module_and_script_that_is_named_exists() -> None:
    for prefix, _ in MODULES:
        path = prefix.partition("[")[0]
        assert list(ROOT.glob(f"{path}*")), prefix
    names = {script.name for script in vars(scripts).values() if isinstance(script, scripts.Script)}
    assert set(SCRIPTS) <= names


def test_samples_of_all_workers_are_added_up(tmp_path: Path) -> None:
    for worker in ("1", "2"):
        counts = {"smscd/archive/writer.py": 10, "": 5}
        (tmp_path / f"{worker}.json").write_text(json.dumps({"interval_seconds": 0.002, "counts": counts}))
    stages, stacks = worker_seconds(tmp_path)
    assert stages == pytest.approx({"writer Python": 0.04, OTHER: 0.02})
    assert stacks == pytest.approx({"smscd/archive/writer.py": 0.04, OTHER: 0.02})


def test_what_scripts_do_not_explain_is_network_and_disk() -> None:
    seconds = redis_seconds({"admit": 300_000, "turn": 200_000, "xread": 100_000}, 1.0)
    assert seconds == pytest.approx(
        {
            "admission Redis": 0.3,
            "Redis turn and correlation": 0.2,
            "Redis, other commands": 0.1,
            "Redis, network and disk": 0.4,
        }
    )


def test_table_has_the_budget_of_the_design_first_and_the_rest_by_weight() -> None:
    rows = stage_table({"writer Python": 0.08, "x": 0.01, "y": 0.02}, 10_000)
    assert [row[0] for row in rows[: len(BUDGET_US)]] == list(BUDGET_US)
    assert ("writer Python", 8.0, 8.0) in rows
    assert rows[-2:] == [("y", None, 2.0), ("x", None, 1.0)]
    assert sum(BUDGET_US.values()) == 85.0
    assert list(heaviest({"a": 0.001, "b": 0.002}, 1000, 1)) == [("b", 2.0)]


WORKER = """
import os, sys, time
sys.path.insert(0, {root!r})
from tools.bench.workload import destinations
end = time.process_time() + 0.3
while time.process_time() < end:
    destinations(200)
"""


def test_sampler_notes_cpu_only_while_it_is_switched_on(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(SAMPLER), "SMSCD_BENCH_SAMPLES": str(tmp_path)}
    command = [sys.executable, "-c", WORKER.format(root=str(ROOT)), "smscd.worker"]
    subprocess.run(command, env=environment, check=True, timeout=30)
    (tmp_path / "on").touch()
    subprocess.run(command, env=environment, check=True, timeout=30)
    sampled = [sum(json.loads(path.read_text())["counts"].values()) for path in tmp_path.glob("*.json")]
    assert min(sampled) == 0
    assert max(sampled) > 10
