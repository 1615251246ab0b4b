"""CPU accounting around a measurement."""

import os
import subprocess

from tools.bench.processes import Reading, cpu_between, load_average, per_thousand, process_ids, read_cpu


def test_difference_of_two_readings_knows_processes_that_came_later() -> None:
    before = Reading(1.0, {"worker": 1.0})
    after = Reading(2.0, {"worker": 1.5, "postgres": 0.5})
    assert cpu_between(before, after) == {"postgres": 0.5, "worker": 0.5}


def test_seconds_per_thousand_are_milliseconds_a_message() -> None:
    assert per_thousand({"worker": 1.4}, 4000) == {"worker": 0.35}
    assert per_thousand({"worker": 1.4}, 0) == {"worker": 0.0}


def test_own_process_is_read() -> None:
    assert read_cpu(os.getpid()).seconds["supervisor"] > 0
    assert load_average() >= 0


def test_descendants_are_found_by_the_program_that_they_run() -> None:
    with subprocess.Popen(["sh", "-c", "sleep 30 & wait"], stdout=subprocess.DEVNULL) as shell:
        try:
            while not (sleepers := process_ids(os.getpid(), "sleep")):
                assert shell.poll() is None
            assert process_ids(os.getpid(), "sh") == [shell.pid]
            assert process_ids(os.getpid(), "no-such-program") == []
        finally:
            shell.kill()
            for pid in process_ids(os.getpid(), "sleep") or sleepers:
                os.kill(pid, 9)
