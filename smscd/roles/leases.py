"""The leases of one process, renewed together in one call to Redis every second and a half."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from storage.redis.errors import StorageUnavailable
from storage.redis.link import RedisLink
from storage.redis.session import RoleSession, release, renew

RENEW_SECONDS = 1.5
AGAIN_SECONDS = 0.25
STEP_MS = 5_000
_log = structlog.get_logger(__name__)


class LeaseKeeper:
    """Renews what is registered. on_lost is called once when a role turns out to be another's."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._held: dict[RoleSession, Callable[[], None]] = {}
        self._ahead_ms = 0

    def add(self, session: RoleSession, on_lost: Callable[[], None]) -> None:
        """Keep a role that was taken."""
        self._held[session] = on_lost

    async def give_up(self, sessions: list[RoleSession]) -> None:
        """Stop keeping roles and let others have them at once. Never raises for a Redis that does not answer."""
        for session in sessions:
            self._held.pop(session, None)
        try:
            await release(sessions, self._link)
        except StorageUnavailable:
            _log.info("lease.left_to_expire", roles=[session.role for session in sessions])

    async def run(self) -> None:
        """Renew until cancelled; when Redis did not answer, again soon: who comes back first goes on working."""
        pause = RENEW_SECONDS
        while True:
            await asyncio.sleep(pause)
            try:
                lost = await renew(list(self._held), self._link)
            except StorageUnavailable:
                pause = AGAIN_SECONDS
                continue
            pause = RENEW_SECONDS
            self._look_at_clock()
            for session in lost:
                _log.warning("lease.lost", role=session.role)
                on_lost = self._held.pop(session, None)
                if on_lost is not None:
                    on_lost()

    def _look_at_clock(self) -> None:
        """Say when Redis TIME was set: this daemon goes on by the time of its start. See decisions/0039."""
        ahead_ms = max((session.ahead_ms for session in self._held), key=abs, default=0)
        if abs(ahead_ms - self._ahead_ms) >= STEP_MS:
            self._ahead_ms = ahead_ms
            _log.warning("clock.stepped", ahead_seconds=round(ahead_ms / 1000))
