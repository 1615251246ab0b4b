"""CPU and memory of our own processes."""

from __future__ import annotations

import os
import subprocess
import sys

from smscd.supervision.processes import cpu_samples, process_tree


def test_a_process_and_its_children_are_counted_by_kind() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "smscd.worker"])
    try:
        found = {(sample.name, sample.labels): sample.value for sample in cpu_samples(os.getpid())}
    finally:
        child.kill()
        child.wait()
    assert found["smscd_process_cpu_seconds_total", ("supervisor",)] > 0
    assert found["smscd_process_resident_bytes", ("supervisor",)] > 1_000_000
    assert ("smscd_process_resident_bytes", ("worker",)) in found


def test_a_process_that_is_gone_is_nothing() -> None:
    assert cpu_samples(2**22 + 1) == []


def test_a_process_that_is_gone_has_no_children() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert process_tree(child.pid) == [child.pid]
