"""Start, lock, end and clean up after a child server; nothing here knows which server it is.

Everything works without an event loop's child watcher (a poll of waitpid each 50 ms), so that a server may be started
in one loop and stopped in another, and so that uvloop and asyncio behave the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pwd
import secrets
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

POLL_SECONDS = 0.05
RESTART_DELAYS_SECONDS = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)
LOG_BYTES_MAX = 4 * 1024 * 1024
# Called with the name of what happened and its fields; the daemon logs it.
OnEvent = Callable[[str, dict[str, object]], None]
SHIM = Path(__file__).with_name("exec_shim.py")


class EmbeddedServerError(Exception):
    """An embedded server cannot be started; the message says what to do."""


class DirectoryInUse(EmbeddedServerError):
    """Another live daemon holds this directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAs:
    """The unprivileged user that a server runs as when we are root."""

    uid: int
    gid: int
    name: str


def unprivileged_user() -> RunAs | None:
    """Who runs a server that refuses root: nobody, or None when we are an ordinary user already."""
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam("nobody")
    return RunAs(uid=entry.pw_uid, gid=entry.pw_gid, name=entry.pw_name)


def can_reach(path: Path, user: RunAs | None) -> bool:
    """True when `user` may pass through every directory above `path` (None: we ourselves, always)."""
    if user is None:
        return True
    for directory in path.resolve().parents:
        status = directory.stat()
        if status.st_uid == user.uid:
            bit = stat.S_IXUSR
        elif status.st_gid == user.gid:
            bit = stat.S_IXGRP
        else:
            bit = stat.S_IXOTH
        if not status.st_mode & bit:
            return False
    return True


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def spawn(
    argv: Sequence[str],
    *,
    cwd: Path,
    log: Path,
    death_signal: int,
    run_as: RunAs | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a server through exec_shim, in a session of its own, its output appended to `log`.

    Must be called on the main thread: the kernel ties the parent-death signal to the thread that forks.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("embedded servers are started from the main thread, or they die with the wrong one")
    _keep_small(log)
    user = ("-", "-") if run_as is None else (str(run_as.uid), str(run_as.gid))
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
    with open(log, "ab") as output:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(SHIM), str(os.getpid()), str(int(death_signal)), *user, str(cwd), *argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=tuple(pass_fds),
            start_new_session=True,
        )


async def wait_exit(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait until the process has ended, at most `seconds`; True when it has."""
    deadline = asyncio.get_running_loop().time() + seconds
    while process.poll() is None:
        if asyncio.get_running_loop().time() >= deadline:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True


async def end(process: subprocess.Popen[bytes], steps: Sequence[tuple[int, float]]) -> None:
    """Send each signal in turn and wait its seconds; SIGKILL follows the last one."""
    for number, seconds in steps:
        if process.poll() is not None:
            return
        process.send_signal(number)
        if await wait_exit(process, seconds):
            return
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await wait_exit(process, 10.0)


class DirectoryLocks:
    """Two locks on a server's directory: ours, and one that the server inherits.

    `lock` says that a daemon is in charge here. `server.lock` is passed on to the server and so to all its children:
    it stays locked until the last of them is gone, also when the daemon was killed, so a start never meets an old one.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.wait_seconds = 5.0
        self._own: int | None = None
        self._server: int | None = None

    @property
    def server_fd(self) -> int:
        """The descriptor that the server inherits."""
        if self._server is None:
            raise RuntimeError("the directory is not locked")
        return self._server

    async def take(self) -> None:
        """Take both; end what a killed daemon has left. Raises DirectoryInUse when a live daemon is in charge."""
        own = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        loop = asyncio.get_running_loop()
        try:
            # A daemon that is being killed just now still holds it for a moment.
            if not await self._flock(own, loop.time() + self.wait_seconds):
                raise DirectoryInUse(
                    f"{self._directory} is in use by another running smscd; stop that one or choose another directory."
                )
        except BaseException:
            os.close(own)
            raise
        self._own = own
        path = self._directory / "server.lock"
        self._server = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if await self._flock(self._server, loop.time() + self.wait_seconds):
            return
        for pid in holders(path):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not await self._flock(self._server, loop.time() + self.wait_seconds):
            self.release()
            raise DirectoryInUse(f"A server that was left behind still holds {path} and does not end.")

    async def _flock(self, descriptor: int, deadline: float) -> bool:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if asyncio.get_running_loop().time() >= deadline:
                    return False
                await asyncio.sleep(POLL_SECONDS)
            else:
                return True

    def release(self) -> None:
        """Give both back."""
        for descriptor in (self._server, self._own):
            if descriptor is not None:
                os.close(descriptor)
        self._server = self._own = None


def holders(path: Path) -> list[int]:
    """The processes, other than this one, that have `path` open."""
    target = str(path.resolve())
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            for descriptor in os.listdir(f"/proc/{entry}/fd"):
                if os.readlink(f"/proc/{entry}/fd/{descriptor}") == target:
                    found.append(int(entry))
                    break
    return found


async def keep_alive(
    name: str,
    process: Callable[[], subprocess.Popen[bytes] | None],
    run: Callable[[], Awaitable[None]],
    event: Callable[..., None],
) -> None:
    """Until cancelled: run the server again whenever its process ends, at once first, then with growing pauses."""
    failures = 0
    while True:
        current = process()
        if current is not None and not await wait_exit(current, 3600.0):
            continue
        event(f"{name}.ended", returncode=current.returncode if current is not None else None)
        await asyncio.sleep(RESTART_DELAYS_SECONDS[min(failures, len(RESTART_DELAYS_SECONDS) - 1)])
        failures += 1
        try:
            await run()
        except (EmbeddedServerError, ConnectionError, OSError) as error:
            event(f"{name}.start_failed", error=str(error))
            left = process()
            if left is not None:
                await end(left, [(signal.SIGTERM, 5.0)])
        else:
            failures = 0
            event(f"{name}.restarted")


def secret_of(directory: Path, names: Sequence[str]) -> dict[str, str]:
    """Passwords kept in `<directory>/secret.json` (mode 0600), made when they are missing."""
    path = directory / "secret.json"
    kept: dict[str, str] = {}
    with contextlib.suppress(FileNotFoundError):
        kept = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    if all(name in kept for name in names):
        return kept
    kept = {name: kept.get(name) or secrets.token_urlsafe(24) for name in names}
    write_private(path, msgspec.json.encode(kept))
    return kept


def write_private(path: Path, data: bytes, owner: RunAs | None = None) -> None:
    """Write a file of mode 0600 whole or not at all."""
    temporary = path.with_name(path.name + ".new")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as output:
        if owner is not None:
            os.fchown(descriptor, owner.uid, owner.gid)
        output.write(data)
        output.flush()
        os.fsync(descriptor)
    os.replace(temporary, path)


def log_tail(log: Path, characters: int = 2_000) -> str:
    """The last lines of a server's log, for an error message."""
    try:
        return log.read_text(errors="replace")[-characters:].strip()
    except OSError:
        return ""


def _keep_small(log: Path) -> None:
    """Move a log that has grown out of the way; one old one is kept."""
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > LOG_BYTES_MAX:
            os.replace(log, log.with_name(log.name + ".1"))
