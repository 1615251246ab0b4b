"""The demo's simulated carrier as a child process, restarted when it dies."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import structlog

from storage.embedded.process import end, free_port, log_tail, spawn, wait_exit

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
START_SECONDS_MAX = 20.0
RESTART_SECONDS = 0.5
_log = structlog.get_logger(__name__)


class CarrierFailed(Exception):
    """The simulated carrier did not start."""


class CarrierProcess:
    """`smscd carrier` as a child that dies with us. Ports of 0 are chosen once and kept over restarts."""

    def __init__(self, directory: Path, port: int) -> None:
        self._directory = directory
        self.port = port or free_port(HOST)
        self.control_port = free_port(HOST)
        self._ready_file = directory / "carrier.json"
        self._log_file = directory / "carrier.log"
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Returns when it listens. Raises CarrierFailed."""
        self._ready_file.unlink(missing_ok=True)
        self._process = spawn(
            [sys.executable, "-m", "tools.carrier", *self._options()],
            cwd=ROOT,
            log=self._log_file,
            death_signal=signal.SIGKILL,
        )
        deadline = asyncio.get_running_loop().time() + START_SECONDS_MAX
        while not self._ready_file.exists():
            if self._process.poll() is not None or asyncio.get_running_loop().time() > deadline:
                await self.stop()
                raise CarrierFailed(f"The simulated carrier did not start: {log_tail(self._log_file, 300)}")
            await asyncio.sleep(0.02)

    def _options(self) -> list[str]:
        return [
            f"--host={HOST}",
            f"--port={self.port}",
            f"--control={self.control_port}",
            f"--ready-file={self._ready_file.resolve()}",
        ]

    async def watch(self) -> None:
        """Until cancelled: start it again when it ends."""
        while True:
            if self._process is not None and not await wait_exit(self._process, 3600.0):
                continue
            _log.warning("carrier.ended")
            await asyncio.sleep(RESTART_SECONDS)
            try:
                await self.start()
            except CarrierFailed as error:
                _log.warning("carrier.start_failed", error=str(error))

    async def stop(self) -> None:
        """End it."""
        if self._process is not None:
            await end(self._process, [(signal.SIGTERM, 5.0)])
