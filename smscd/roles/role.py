"""A role that some process of the installation holds: whoever gets the lease does the work until it loses it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from smscd.roles.leases import LeaseKeeper
from storage.redis.errors import Fenced, StorageUnavailable
from storage.redis.session import RoleSession

TAKE_AGAIN_SECONDS = 1.0
_log = structlog.get_logger(__name__)


class RoleService:
    """Takes the role again and again, and runs `work` while it is held.

    work(): until cancelled, or until it has nothing more to do (then the role is given up for a second).
    finish(): what draining waits for, while the role is held.
    """

    def __init__(
        self,
        name: str,
        session: RoleSession,
        leases: LeaseKeeper,
        work: Callable[[], Awaitable[None]],
        finish: Callable[[], Awaitable[None]],
    ) -> None:
        self.name = name
        self.is_held = False
        self._session = session
        self._leases = leases
        self._work = work
        self._finish = finish
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to take the role."""
        self._task = asyncio.create_task(self._run(), name=self.name)

    async def drain(self) -> None:
        """Finish the work, if it is ours."""
        if self.is_held:
            await self._finish()

    async def stop(self) -> None:
        """Stop working and give the role up."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        while True:
            try:
                if await self._session.take():
                    await self._hold()
            except (StorageUnavailable, Fenced) as error:
                _log.info("role.waiting", role=self.name, error=str(error))
            except Exception:  # noqa: BLE001  # the top of a task: logged, and started again
                _log.exception("service.crashed", service=self.name)
            await asyncio.sleep(TAKE_AGAIN_SECONDS)

    async def _hold(self) -> None:
        work = asyncio.ensure_future(self._work())

        def lost() -> None:
            work.cancel()

        self._leases.add(self._session, lost)
        self.is_held = True
        _log.info("role.taken", role=self.name, epoch=self._session.epoch)
        try:
            await asyncio.wait((work,))
            if not work.cancelled():
                work.result()
        finally:
            self.is_held = False
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            await self._leases.give_up([self._session])
