"""The append-only file of a stopped Valkey or Redis: where its end is, and how to cut it."""

from __future__ import annotations

import os
import re
from pathlib import Path

MANIFEST = "appendonly.aof.manifest"


def newest_file(data_dir: Path) -> Path:
    """The file that the server of this directory appends to."""
    manifest = (data_dir / "aof" / MANIFEST).read_text()
    names = re.findall(r"^file (\S+) seq \d+ type i", manifest, re.MULTILINE)
    return data_dir / "aof" / names[-1]


def cut(file: Path, size: int) -> None:
    """Shorten a file to `size` octets, as a loss of power does with what was not synced."""
    assert size <= file.stat().st_size
    os.truncate(file, size)
