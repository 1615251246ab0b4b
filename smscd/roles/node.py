"""The node id of a process: leased together with the role in which it admits, the source of its message ids."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import structlog

from smscd.core.ids import NODE_MAX, IdSource
from smscd.roles.leases import LeaseKeeper
from storage.redis.session import RoleSession

_log = structlog.get_logger(__name__)


class NoNodeFree(Exception):
    """Every node id is leased to another process."""


class Node:
    """Takes a free node id at the start. open_session(role): the session of a role, on a link of its own.

    on_lost: called when the lease turns out to be another's; the process must not admit any more.
    """

    name = "node"

    def __init__(
        self, owner: str, open_session: Callable[[str], RoleSession], leases: LeaseKeeper, on_lost: Callable[[], None]
    ) -> None:
        self._owner = owner
        self._open_session = open_session
        self._leases = leases
        self._on_lost = on_lost
        self._session: RoleSession | None = None
        self._ids: IdSource | None = None

    @property
    def session(self) -> RoleSession:
        """The session of `ingress:<node>`; only after start()."""
        if self._session is None:
            raise RuntimeError("the node is not started")
        return self._session

    @property
    def ids(self) -> IdSource:
        """Message ids of this node; only after start()."""
        if self._ids is None:
            raise RuntimeError("the node is not started")
        return self._ids

    def take_ids(self, now_ms: int, count: int) -> list[int]:
        """IdSource.take, for who is made before the node is known."""
        return self.ids.take(now_ms, count)

    async def start(self) -> None:
        """Lease a node id: the one that the owner's name points to, or the next that is free.

        Raises StorageUnavailable, NoNodeFree.
        """
        first = zlib.crc32(self._owner.encode())
        for offset in range(NODE_MAX + 1):
            number = (first + offset) % (NODE_MAX + 1)
            session = self._open_session(f"ingress:{number}")
            if await session.take():
                self._session = session
                self._ids = IdSource(number, session.top_id)
                self._leases.add(session, self._on_lost)
                _log.info("node.taken", node=number, epoch=session.epoch)
                return
            await session.link.close()
        raise NoNodeFree(f"all {NODE_MAX + 1} node ids are leased")

    async def drain(self) -> None:
        """Nothing is under way here."""

    async def stop(self) -> None:
        """Give the node id up."""
        if self._session is not None:
            await self._leases.give_up([self._session])
