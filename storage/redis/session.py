"""A role held by one process at a time: lease, epoch, and calls that are asked for again rather than guessed.

A role has one call in flight. Each call carries the role's epoch and the next sequence number; Redis stores the last
answer with its number. When the reply is lost with the connection, the same number is sent again: Redis answers from
what it stored, or runs the script now, and in neither case twice. See DESIGN section 4, Sessions.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from storage.redis import scripts
from storage.redis.errors import Fenced, StorageUnavailable, Unanswered
from storage.redis.keys import ShardKeys
from storage.redis.link import Arg, RedisLink
from storage.redis.scripts import Script

RETRY_SECONDS = 0.05
ANSWER_SECONDS = 2.0
"""How long one answer is waited for before the connection is given up and another asked: less than a lease."""


class LastCall(NamedTuple):
    """The last call that ran before a role was taken, whoever made it: where it stood, and what it was answered."""

    epoch: int
    sequence: int
    answer: list[Any]


def _nothing_seen(journal_id: bytes) -> None:
    """For sessions of which nobody wants to know how far the journal had come."""


class RoleSession:
    """One role of this process in one shard.

    link: a connection that only this role uses. owner: "<instance>/<worker>"; the same owner may take a role back at
    once, because an instance's lock shows that its former self is dead.
    deadline: monotonic seconds; past it the owner must not write to sockets any more.
    clock_offset_ms: redis_ms() less this machine's monotonic clock; when it is not given, as TIME is at take().
    time_offset_ms: the same of Redis TIME, at the last take(). ahead_ms: how far TIME was ahead of redis_ms() at the
    last renew(), less what the call took; negative when it was set back.
    saw(journal_id): told each journal entry that a call of this role was acknowledged with (Guard.saw).
    before: what ran last before take(). was_abandoned: the owner before had not given it up then, and may not
    know that it is gone. last_sequence: the number of the call that is under way, or was the last.
    """

    def __init__(
        self,
        link: RedisLink,
        keys: ShardKeys,
        role: str,
        owner: str,
        *,
        ttl_seconds: float = 5.0,
        margin_seconds: float = 1.0,
        saw: Callable[[bytes], None] = _nothing_seen,
        clock_offset_ms: int | None = None,
    ) -> None:
        self.link = link
        self.role = role
        self.owner = owner
        self.key = keys.session(role)
        self._meta = keys.meta
        self.epoch = 0
        self.deadline = 0.0
        self.top_id = 0
        self.clock_offset_ms = clock_offset_ms or 0
        self.time_offset_ms = 0
        self.ahead_ms = 0
        self.saw = saw
        self.before = LastCall(0, 0, [])
        self.was_abandoned = False
        self._follows_time = clock_offset_ms is None
        self._ttl_seconds = ttl_seconds
        self._margin_seconds = margin_seconds
        self._sequence = 0
        self._pending: tuple[Script, list[str], list[Arg]] | None = None
        self._in_flight = asyncio.Lock()

    @property
    def is_held(self) -> bool:
        """True while the lease, as this process knows it, still runs."""
        return self.epoch > 0 and time.monotonic() < self.deadline

    def redis_ms(self) -> int:
        """Redis TIME as it was when the daemon, or else this role, began, and has gone on since without a step."""
        return int(time.monotonic() * 1000) + self.clock_offset_ms

    def compare(self, time_ms: int, asked: float, replied: float) -> None:
        """Redis TIME was read between these two moments of the monotonic clock."""
        least, most = (int(moment * 1000) + self.clock_offset_ms for moment in (asked, replied))
        self.ahead_ms = time_ms - most if time_ms > most else min(0, time_ms - least)

    @property
    def is_unanswered(self) -> bool:
        """True when the last call's outcome is not known yet; resume() finds out."""
        return self._pending is not None

    @property
    def last_sequence(self) -> int:
        """The number of the call that is under way, else of the last one."""
        return self._sequence + (self._pending is not None)

    async def take(self) -> bool:
        """Try to become the owner: a new epoch, sequence numbers from 1. False when another holds the role."""
        asked = time.monotonic()
        reply = await self.link.evalsha(
            scripts.TAKE, [self.key, self._meta], [self.owner, int(self._ttl_seconds * 1000)], timeout=2.0
        )
        self.time_offset_ms = int(reply[3]) - int(time.monotonic() * 1000)
        if self._follows_time:
            self.clock_offset_ms = self.time_offset_ms
        if int(reply[0]) != 1:
            return False
        self.epoch = int(reply[1])
        self.top_id = int(reply[4])
        self.before = LastCall(int(reply[5]), int(reply[6]), reply[7])
        self.was_abandoned = bool(reply[8])
        self._sequence = 0
        self._pending = None
        self.deadline = asked + self._ttl_seconds - self._margin_seconds
        return True

    async def run(
        self, script: Script, keys: Sequence[str], args: Sequence[Arg], *, timeout: float | None = None
    ) -> Any:
        """Run a script that includes the session prelude; keys and args without the session's own.

        timeout: seconds until Unanswered is raised; None asks again until there is an answer.
        Raises Fenced when the role was lost, StorageUnavailable when the call was certainly not run and timeout is set.
        """
        async with self._in_flight:
            if self._pending is not None:
                raise Unanswered(f"{self.role}: the call before has no answer yet")
            self._pending = (script, [self.key, *keys], list(args))
            return await self._settle(timeout)

    async def resume(self, *, timeout: float | None = None) -> Any:
        """Ask again for the answer of the call that got none. Raises as run()."""
        async with self._in_flight:
            if self._pending is None:
                raise ValueError("nothing is unanswered")
            return await self._settle(timeout)

    async def _settle(self, timeout: float | None) -> Any:
        assert self._pending is not None
        script, keys, args = self._pending
        head: list[Arg] = [self.epoch, self._sequence + 1]
        ends = None if timeout is None else time.monotonic() + timeout
        while True:
            left = ANSWER_SECONDS if ends is None else ends - time.monotonic()
            try:
                if left <= 0:
                    raise Unanswered(f"{self.role}: Redis did not answer in time")
                reply = await self.link.evalsha(script, keys, head + args, timeout=left)
                break
            except Fenced:
                self.epoch, self.deadline, self._pending = 0, 0.0, None
                raise
            except StorageUnavailable as error:
                if ends is not None and time.monotonic() + RETRY_SECONDS >= ends:
                    raise Unanswered(str(error)) from error
                await asyncio.sleep(RETRY_SECONDS)
            except asyncio.CancelledError:
                raise
            except Exception:
                self._pending = None
                raise
        self._pending = None
        if reply and reply[0] == b"W":
            return reply
        self._sequence += 1
        return reply


async def renew(sessions: Sequence[RoleSession], link: RedisLink, *, ttl_seconds: float = 5.0) -> list[RoleSession]:
    """Extend the leases of all these roles in one call over `link`; return those that were lost.

    A lost role has its epoch at 0 afterwards. Raises StorageUnavailable; then every deadline stays what it was.
    """
    held = [session for session in sessions if session.epoch]
    if not held:
        return []
    asked = time.monotonic()
    epochs = [session.epoch for session in held]
    *kept, time_ms = await link.evalsha(
        scripts.RENEW, [s.key for s in held], [int(ttl_seconds * 1000), *epochs], timeout=ttl_seconds / 2
    )
    replied = time.monotonic()
    lost = []
    for session, epoch, flag in zip(held, epochs, kept, strict=True):
        if session.epoch != epoch:
            continue
        if int(flag) == 1:
            session.compare(int(time_ms), asked, replied)
            session.deadline = asked + ttl_seconds - session._margin_seconds
        else:
            session.epoch, session.deadline = 0, 0.0
            lost.append(session)
    return lost


async def release(sessions: Sequence[RoleSession], link: RedisLink) -> None:
    """Give roles up at once, so that others need not wait for the lease to run out."""
    held = [session for session in sessions if session.epoch]
    if not held:
        return
    await link.evalsha(scripts.RENEW, [s.key for s in held], [0, *(s.epoch for s in held)], timeout=2.0)
    for session in held:
        session.epoch, session.deadline = 0, 0.0
