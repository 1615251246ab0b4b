"""Child processes of the rigs: ready files, logs, and ends that are not what they should be."""

import sys
from pathlib import Path

import pytest

from tools.children import BenchChild, Child, ChildFailed, ending, wait_until

READY = "import sys, time; open(sys.argv[-1], 'w').write('{}'); time.sleep(30)"


def test_child_is_started_stopped_and_started_again(tmp_path: Path) -> None:
    child = Child(tmp_path, "child", [sys.executable, "-c", READY])
    with ending(child):
        for _ in range(2):
            child.start(10.0)
            assert child.is_running
            child.kill()
            assert not child.is_running


def test_child_that_ends_before_it_is_ready_fails_with_its_log(tmp_path: Path) -> None:
    child = Child(tmp_path, "child", [sys.executable, "-c", "print('no good'); raise SystemExit(3)"])
    with ending(child), pytest.raises(ChildFailed, match=r"child ended with 3\nno good"):
        child.start(10.0)


def test_child_that_is_never_ready_is_killed(tmp_path: Path) -> None:
    child = Child(tmp_path, "child", [sys.executable, "-c", "import time; time.sleep(30)"])
    with ending(child), pytest.raises(ChildFailed, match="is ready: not within"):
        child.start(0.2)
    assert not child.is_running


@pytest.mark.parametrize("output", ["no report", '{"error": "refused"}'])
def test_generator_without_a_report_fails(tmp_path: Path, output: str) -> None:
    child = BenchChild(tmp_path, "client", "smpp")
    child._command = [sys.executable, "-c", f"print({output!r})"]
    with ending(child):
        child.start()
        with pytest.raises(ChildFailed):
            child.report(10.0)


def test_waiting_for_nothing_says_what_did_not_happen() -> None:
    with pytest.raises(TimeoutError, match=r"rain: not within 0\.05 s"):
        wait_until(lambda: False, 0.05, "rain")
