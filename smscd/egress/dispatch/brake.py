"""What keeps one upstream from beginning new messages: the end of the process, or operators who paused something."""

from __future__ import annotations

import structlog

from smscd.egress.dispatch.backlog import Backlog
from smscd.egress.dispatch.halting import NOTHING_HALTED, Halting

_log = structlog.get_logger(__name__)


class Brake:
    """Of one dispatcher. is_draining: nothing new is sent; what is on the way is still recorded when answered."""

    __slots__ = ("_backlog", "_halting", "_upstream", "is_draining")

    def __init__(self, upstream: str, backlog: Backlog) -> None:
        self.is_draining = False
        self._upstream = upstream
        self._backlog = backlog
        self._halting = NOTHING_HALTED

    @property
    def takes_new(self) -> bool:
        """True while messages may be begun."""
        return not (self.is_draining or self._halting.is_paused)

    def halt(self, halting: Halting) -> None:
        """Follow what operators paused and resumed: what was not begun waits, or goes on."""
        before, self._halting = self._halting, halting
        if before.waits is not None or halting.waits is not None:
            self._backlog.halt(halting.accounts, halting.waits)

    def counted(self, before: int, queued: int) -> None:
        """So many messages wait now, and so many did before; say when an upstream that is to run dry has."""
        if self._halting.is_drained and before and not queued:
            _log.info("upstream.drained", upstream=self._upstream)
