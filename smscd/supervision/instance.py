"""An instance's state directory: its lock, its lasting name, and the secrets that must not be in the database."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Callable
from pathlib import Path


class InstanceError(Exception):
    """The state directory cannot be used; the text says what to do."""


class StateDirectory:
    """The directory of one instance, locked while it is in use.

    The lock is inherited by all workers: a new supervisor gets it only when the last worker of the old one is dead, so
    its workers may take over the leases of their former selves at once.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @property
    def lock_fd(self) -> int:
        """The descriptor for workers to inherit."""
        if self._descriptor is None:
            raise RuntimeError("the state directory is not locked")
        return self._descriptor

    @property
    def is_locked(self) -> bool:
        """True while this process holds the directory."""
        return self._descriptor is not None

    def prepare(self) -> None:
        """Make the directory. Raises InstanceError."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InstanceError(
                f"The state directory {self.path} cannot be made ({error.strerror}): "
                "choose another with state_dir or --data-dir, or make it and give it to this user."
            ) from error
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise InstanceError(
                f"This user may not write to the state directory {self.path}: "
                "choose another with state_dir or --data-dir, or give it to this user."
            )

    def try_lock(self) -> bool:
        """Take the lock if it is free."""
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give the lock back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def name(self) -> str:
        """The instance's lasting name: the owner of its leases, also after a restart."""
        return self._kept("instance", lambda: secrets.token_hex(6))

    def pepper(self) -> str:
        """The key of the HMAC over SMPP passwords."""
        return self._kept("pepper", lambda: secrets.token_urlsafe(32))

    def token(self) -> str:
        """The admin listener's token, where the configuration gives none."""
        return self._kept("admin-token", lambda: secrets.token_urlsafe(24))

    def _kept(self, name: str, make: Callable[[], str]) -> str:
        path = self.path / name
        with contextlib.suppress(FileNotFoundError):
            return path.read_text().strip()
        value = make()
        write_private(path, value + "\n")
        return value


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 whole or not at all."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as output:
        output.write(text)
        output.flush()
        os.fsync(descriptor)
    os.replace(temporary, path)
