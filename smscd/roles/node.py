"""The node id of a process: leased together with the role in which it admits, the source of its message ids."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Final

import structlog

from smscd.core.ids import AHEAD_MS_MAX, NODE_MAX, IdSource, message_ms
from smscd.roles.leases import LeaseKeeper
from storage.redis.session import RoleSession

AHEAD_TRIES: Final = 8
"""How many nodes, whose last id is of a time to come, are passed over for another."""

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

        When the clock has stepped back since its last message, that one can give no ids before it has caught up: then
        it is left for the next.

        Raises StorageUnavailable, NoNodeFree.
        """
        first = zlib.crc32(self._owner.encode())
        passed_over = 0
        for offset in range(NODE_MAX + 1):
            number = (first + offset) % (NODE_MAX + 1)
            session = self._open_session(f"ingress:{number}")
            if await session.take():
                ahead_ms = message_ms(session.top_id) - session.redis_ms()
                if session.top_id and ahead_ms > AHEAD_MS_MAX and passed_over < AHEAD_TRIES:
                    passed_over += 1
                    _log.warning("node.ahead", node=number, ahead_seconds=ahead_ms // 1000)
                    await self._leases.give_up([session])
                    await session.link.close()
                    continue
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
