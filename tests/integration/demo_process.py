"""A `smscd demo` as a process of its own, for tests that look at it from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from smscd.supervision.processes import process_tree
from tests.command_server import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 60.0


class DemoProcess:
    """One demo on free ports. `ready` is the content of its ready file once wait_ready() has returned."""

    def __init__(self, directory: Path, *options: str, environment: dict[str, str] | None = None) -> None:
        self.ready_file = directory / "ready.json"
        self.ready_file.unlink(missing_ok=True)
        self.output = directory / "output"
        self.environment = dict(os.environ, PYTHONPATH=str(ROOT), **(environment or {}))
        self.started = time.monotonic()
        ports = [f"--{name}-port=0" for name in ("smpp", "http", "admin", "carrier")]
        with open(self.output, "wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "smscd", "demo", *ports, f"--ready-file={self.ready_file}", *options],
                cwd=directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.ready: dict[str, Any] = {}

    def __enter__(self) -> DemoProcess:
        return self

    def __exit__(self, *_: object) -> None:
        """Whatever happened in the test, nothing is left."""
        if self.process.poll() is None:
            self.stop()

    @property
    def text(self) -> str:
        """What it has printed."""
        return self.output.read_text()

    def wait_ready(self) -> DemoProcess:
        """Until it serves."""
        self.until(self.ready_file.exists, READY_SECONDS)
        self.ready = json.loads(self.ready_file.read_text())
        return self

    def until(self, condition: Callable[[], bool], seconds: float = 10.0) -> float:
        """Wait for a condition while it runs; how long that took."""
        began = time.monotonic()
        while not condition():
            assert self.process.poll() is None, f"the demo ended:\n{self.text}"
            assert time.monotonic() - began < seconds, f"the condition did not come true:\n{self.text}"
            time.sleep(0.02)
        return time.monotonic() - began

    def descendants(self) -> list[int]:
        """All its processes but itself."""
        return process_tree(self.process.pid)[1:]

    def pids_of(self, mark: str) -> list[int]:
        """Those of its processes whose command line contains `mark`, parents first."""
        found = []
        for pid in self.descendants():
            try:
                if mark in Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode():
                    found.append(pid)
            except OSError:
                continue
        return found

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        """Status and body of a request to its admin listener."""
        request = urllib.request.Request(self.ready["admin"]["url"] + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.read().decode()

    def metric(self, line: str) -> float:
        """The value of one line of /metrics, given up to its value; 0 when it is not there."""
        for found in self.get("/metrics")[1].splitlines():
            if found.startswith(line + " "):
                return float(found.rpartition(" ")[2])
        return 0.0

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another smscd command in the demo's environment."""
        return COMMANDS.run(arguments, self.environment)

    def stop(self, number: int = signal.SIGTERM, seconds: float = 45.0) -> int:
        """Send a signal and wait for the end; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
            raise AssertionError(f"it did not end within {seconds} s:\n{self.text}") from None


def is_gone(pid: int) -> bool:
    """True when a process has ended, reaped or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] in "ZX"
    except OSError:
        return True


def until(condition: Callable[[], bool], seconds: float = 10.0) -> float:
    """Wait for a condition; how long that took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "the condition did not come true"
        time.sleep(0.02)
    return time.monotonic() - began
