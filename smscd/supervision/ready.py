"""What a running instance says of itself: the ready file for scripts, and the run file for our own commands."""

from __future__ import annotations

from pathlib import Path

import msgspec

from smscd.supervision.instance import write_private


class SmppAddress(msgspec.Struct, kw_only=True):
    """Where ESMEs bind, and with what, if the instance made credentials itself. tls_port: only there with TLS."""

    host: str
    port: int
    tls_port: int | msgspec.UnsetType = msgspec.UNSET
    system_id: str = ""
    password: str = ""


class HttpAddress(msgspec.Struct, kw_only=True):
    """Where customers send, and with what."""

    url: str
    api_key: str = ""


class AdminAddress(msgspec.Struct, kw_only=True):
    """Where operators look."""

    url: str
    token: str


class CarrierAddress(msgspec.Struct, kw_only=True):
    """Where the simulated carrier listens."""

    host: str
    port: int
    control_port: int = 0


class ReadyFile(msgspec.Struct, kw_only=True):
    """The JSON of --ready-file. carrier is null where there is no simulated one."""

    pid: int
    smpp: SmppAddress
    http: HttpAddress
    admin: AdminAddress
    carrier: CarrierAddress | None
    valkey_url: str
    postgres_dsn: str
    webhook_secret: str


class RunFile(msgspec.Struct, kw_only=True):
    """The JSON of `run.json` in the state directory: what our commands need to work with this instance.

    process_start: the kernel's start time of pid, so that a reused number is not taken for it. kind: "demo", "serve".
    """

    kind: str
    started_at: float
    process_start: int
    data_dir: str
    is_temporary: bool
    pepper: str
    postgres_owner_dsn: str
    ready: ReadyFile


def process_start(pid: int) -> int | None:
    """When a process started, in the kernel's ticks since boot; None when there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(") ")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def is_alive(run: RunFile) -> bool:
    """True while the instance's supervisor runs."""
    return process_start(run.ready.pid) == run.process_start


def write_ready(path: Path, ready: ReadyFile) -> None:
    """Write the ready file, whole, readable by this user alone (it holds passwords)."""
    write_private(path, msgspec.json.format(msgspec.json.encode(ready), indent=2).decode() + "\n")


def write_run(path: Path, run: RunFile) -> None:
    """Write a run file."""
    write_private(path, msgspec.json.format(msgspec.json.encode(run), indent=2).decode() + "\n")


def read_run(path: Path) -> RunFile | None:
    """Read a run file; None when there is none, or none that this release understands."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunFile)
    except (OSError, msgspec.MsgspecError):
        return None
