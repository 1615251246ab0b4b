"""Loss of power under Valkey: kill -9, and every file cut back to what it was when it was last synced.

kill -9 alone proves nothing about a disk, because what was written stays in the page cache. So Valkey runs with
`synced.c` preloaded, which writes down the length of each file at each fsync and fdatasync, and after the kill whatever
was not synced is cut off.

What this does not model: names in a directory are durable at once (Valkey syncs the directory after its renames); an
unsynced tail is lost as a whole, never in parts or out of order; no disk lies about a sync. A file that takes the inode
of a deleted one counts as synced up to the older one's length until its own first sync.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from storage.embedded.binaries import find_valkey

SOURCE = Path(__file__).with_name("synced.c")
WRAPPER = """\
#!/bin/sh
[ "$1" = --version ] || export LD_PRELOAD='{shim}' SYNCED_LIST='{list}'
exec '{server}' "$@"
"""


@dataclass(frozen=True, slots=True)
class Power:
    """program: what to run as Valkey. list: what the shim writes."""

    program: Path
    list: Path

    def cut(self, data_dir: Path) -> int:
        """Take from a dead server's files what was never synced; returns how many octets that were."""
        lengths: dict[int, int] = {}
        for line in self.list.read_text().splitlines():
            inode, length = line.split()
            lengths[int(inode)] = int(length)
        lost = 0
        kept = []
        for file in [file for file in (data_dir / "aof").iterdir() if file.is_file()]:
            found = file.stat()
            length = min(found.st_size, lengths.get(found.st_ino, 0))
            os.truncate(file, length)
            lost += found.st_size - length
            kept.append(f"{found.st_ino} {length}\n")
        self.list.write_text("".join(kept))
        return lost


def power_of(directory: Path) -> Power:
    """Build the shim and the program that preloads it. Skips the test where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler; `make peers` as root brings it (apt-get install gcc libc6-dev)")
    shim = directory / "synced.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", shim, SOURCE, "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    power = Power(directory / "valkey-server", directory / "synced.list")
    server = find_valkey().path.absolute()
    power.program.write_text(WRAPPER.format(shim=shim, list=power.list, server=server))
    power.program.chmod(0o755)
    power.list.touch()
    return power


def kill_group(pid: int) -> bool:
    """kill -9 a server and the child that rewrites its file; returns whether there was such a child."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    os.killpg(pid, signal.SIGKILL)
    return bool(children)
