"""A wall clock that the test steps, for the daemon and its Valkey; their monotonic clocks go on as ever."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from storage.embedded.binaries import VALKEY_VARIABLE, find_valkey

SOURCE = Path(__file__).with_name("clock.c")
WRAPPER = """\
#!/bin/sh
export LD_PRELOAD='{shim}' STEPPED_CLOCK='{file}'
exec '{server}' "$@"
"""


@dataclass(frozen=True, slots=True)
class SteppedClock:
    """environment: of the demo whose clock it is."""

    file: Path
    environment: dict[str, str]

    def step(self, seconds: int) -> None:
        """Put the clock this far ahead of the real one."""
        with self.file.open("r+b") as file:
            file.write(seconds.to_bytes(8, "little", signed=True))


def stepped_clock(directory: Path) -> SteppedClock:
    """Build it. Skips the test where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler; `make peers` as root brings it (apt-get install gcc libc6-dev)")
    shim, file, program = directory / "clock.so", directory / "clock", directory / "valkey-server"
    command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", shim, SOURCE, "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    file.write_bytes(bytes(8))
    file.chmod(0o644)
    program.write_text(WRAPPER.format(shim=shim, file=file, server=find_valkey().path.absolute()))
    program.chmod(0o755)
    environment = {"LD_PRELOAD": str(shim), "STEPPED_CLOCK": str(file), VALKEY_VARIABLE: str(program)}
    return SteppedClock(file, environment)
