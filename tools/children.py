"""Daemon, carrier and generators as child processes: for the benchmark, the interop tests and the fault rigs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from smscd.supervision.ready import CarrierAddress, ReadyFile

ROOT = Path(__file__).resolve().parents[1]
SMSCD = (sys.executable, "-c", "from smscd.cli import main; main()")
CARRIER = (sys.executable, "-m", "tools.carrier")
BENCH = (sys.executable, "-m", "tools.bench")

START_SECONDS = 60.0
STOP_SECONDS = 40.0
POLL_SECONDS = 0.02


class ChildFailed(Exception):
    """A child did not start, or did not end as it should; the text has the end of its log."""


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Look at a condition every 20 ms. Raises TimeoutError, which says `what` did not happen."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(POLL_SECONDS)


class Child:
    """One process with a log and, if it writes one, a ready file; it may be started again after it ended.

    environment: what its environment has beyond ours.
    """

    def __init__(self, directory: Path, name: str, command: Sequence[str], *, has_ready_file: bool = True) -> None:
        self.name = name
        self.log = directory / f"{name}.log"
        self.ready_file = directory / f"{name}.ready"
        self._command = [*command, "--ready-file", str(self.ready_file)] if has_ready_file else [*command]
        self._has_ready_file = has_ready_file
        self.environment: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id; 0 before the first start."""
        return self._process.pid if self._process else 0

    @property
    def is_running(self) -> bool:
        """True until the process has ended."""
        return self._process is not None and self._process.poll() is None

    def start(self, seconds: float = START_SECONDS) -> bytes:
        """Start it and wait for its ready file, whose content is returned. Raises ChildFailed."""
        self.ready_file.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                env={**os.environ, **self.environment},
            )
        if not self._has_ready_file:
            return b""
        try:
            wait_until(lambda: self.ready_file.exists() or not self.is_running, seconds, f"{self.name} is ready")
        except TimeoutError as error:
            self.kill()
            raise ChildFailed(f"{error}\n{self.log_tail()}") from error
        if not self.ready_file.exists():
            raise ChildFailed(f"{self.name} ended with {self._process.returncode}\n{self.log_tail()}")
        return self.ready_file.read_bytes()

    def wait(self, seconds: float) -> int:
        """Wait for its end; returns the exit code. Raises ChildFailed when it does not come."""
        if self._process is None:
            return 0
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise ChildFailed(f"{self.name} did not end within {seconds:g} s\n{self.log_tail()}") from error

    def stop(self, seconds: float = STOP_SECONDS) -> int:
        """SIGTERM, then its end; returns the exit code."""
        if self.is_running:
            os.kill(self.pid, signal.SIGTERM)
        return self.wait(seconds)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_SECONDS)

    def log_tail(self, octets: int = 3000) -> str:
        """The end of its log."""
        return self.log.read_bytes()[-octets:].decode(errors="replace") if self.log.exists() else ""


class CarrierChild(Child):
    """A simulated carrier with a record, on a port that it keeps over restarts."""

    def __init__(self, directory: Path, *options: str, port: int = 0, record: str = "carrier.record") -> None:
        self.record = directory / record
        self._options = [*options, "--record", str(self.record), "--control", "0"]
        self.port = port
        self.control_port = 0
        super().__init__(directory, "carrier", ())

    def start(self, seconds: float = START_SECONDS) -> bytes:
        """Start it; `port` and `control_port` are set afterwards."""
        options = [*self._options, "--port", str(self.port), "--ready-file", str(self.ready_file)]
        self._command = [*CARRIER, *options]
        ready = super().start(seconds)
        address = msgspec.json.decode(ready, type=CarrierAddress)
        self.port, self.control_port = address.port, address.control_port
        return ready

    @property
    def upstream_url(self) -> str:
        """What `smscd demo --upstream` takes."""
        return f"smpp://rig:secret@127.0.0.1:{self.port}"


class DemoChild(Child):
    """`smscd demo` on free ports, which it keeps over restarts; its data stays in `directory`/data."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.data = directory / "data"
        self._options = options
        self.ready: ReadyFile
        self._ports = [0, 0, 0]
        super().__init__(directory, "demo", ())

    def start(self, seconds: float = START_SECONDS) -> bytes:
        """Start it; `ready` is set afterwards."""
        smpp, http, admin = map(str, self._ports)
        ports = ["--smpp-port", smpp, "--http-port", http, "--admin-port", admin, "--carrier-port", "0"]
        where = ["--data-dir", str(self.data), "--ready-file", str(self.ready_file)]
        self._command = [*SMSCD, "demo", *where, *ports, *self._options]
        content = super().start(seconds)
        self.ready = msgspec.json.decode(content, type=ReadyFile)
        urls = (self.ready.http.url, self.ready.admin.url)
        self._ports = [self.ready.smpp.port, *(int(url.rstrip("/").rpartition(":")[2]) for url in urls)]
        return content


class BenchChild(Child):
    """A load generator that runs beside the rig; `report()` waits for its figures."""

    def __init__(self, directory: Path, name: str, *options: str) -> None:
        super().__init__(directory, name, [*BENCH, *options, "--json"], has_ready_file=False)

    def report(self, seconds: float) -> dict[str, Any]:
        """Wait for the end of the run and return its report. Raises ChildFailed."""
        code = self.wait(seconds)
        lines = self.log.read_text().splitlines()
        if code not in (0, 1) or not lines or not lines[-1].startswith("{"):
            raise ChildFailed(f"{self.name} ended with {code}\n{self.log_tail()}")
        report: dict[str, Any] = json.loads(lines[-1])
        if "error" in report:
            raise ChildFailed(f"{self.name}: {report['error']}")
        return report


@contextmanager
def ending(*children: Child) -> Iterator[None]:
    """Kill what still runs at the end, the last named first."""
    try:
        yield
    finally:
        for child in reversed(children):
            if child.is_running:
                child.kill()
