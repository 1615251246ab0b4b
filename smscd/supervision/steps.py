"""How a start reports its progress: one step after the other, each with what came of it and how long it took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import structlog

_log = structlog.get_logger(__name__)


class Steps(Protocol):
    """Told of each step; the terminal prints a line for it, a service logs it."""

    def began(self, what: str) -> None:
        """A step begins."""
        ...

    def done(self, what: str, detail: str, seconds: float) -> None:
        """A step ended well."""
        ...


class Note:
    """Filled in while a step runs: what its line says."""

    def __init__(self) -> None:
        self.detail = ""


@contextmanager
def step(steps: Steps, what: str) -> Iterator[Note]:
    """Report one step. When the block raises, the step is not reported as done."""
    note = Note()
    steps.began(what)
    started = time.monotonic()
    yield note
    steps.done(what, note.detail, time.monotonic() - started)


class LoggedSteps:
    """Steps as log lines, for `smscd serve`."""

    def began(self, what: str) -> None:
        """Said at level debug."""
        _log.debug("startup.began", step=what)

    def done(self, what: str, detail: str, seconds: float) -> None:
        """Said at level info."""
        _log.info("startup.step_done", step=what, result=detail, seconds=round(seconds, 2))
