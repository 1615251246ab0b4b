"""Binds of ESMEs counted over all workers, and wrong passwords by peer and system_id: two scripts, a batch each.

A worker says how many binds an account has at it, in absolute numbers, under the name of its boot. They count for as
long as the worker renews its door: those of a dead worker for the lease at most, those of its former self not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from storage.redis import scripts
from storage.redis.keys import ShardKeys
from storage.redis.link import Arg, RedisLink

TX: Final = 1
RX: Final = 2
TRX: Final = 3
NO_LIMIT: Final = -1
LEASE_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 1.0
SYSTEM_IDS_PER_PEER_MAX: Final = 64

_encode: Final = msgspec.msgpack.Encoder().encode


@dataclass(slots=True)
class BindRequest:
    """One bind whose password is right. kind: TX, RX or TRX. peer: what wrong passwords are counted by."""

    kind: int
    peer: str
    system_id: bytes


@dataclass(slots=True)
class AccountBinds:
    """What is to be said and asked of one account.

    here: its binds at this worker by TX, RX, TRX, those of `requests` not among them. limits: in all, then by kind.
    """

    account: str
    here: tuple[int, int, int]
    limits: tuple[int, int, int, int]
    requests: list[BindRequest] = field(default_factory=list)


class BindStore:
    """One worker's side. worker: its name in leases. boot: another one at each start of the process."""

    def __init__(
        self, keys: ShardKeys, link: RedisLink, *, worker: str, boot: str, guesses_max: int, window_seconds: float
    ) -> None:
        self._keys = keys
        self._link = link
        self._worker = worker
        self._boot = boot
        self._guesses = (guesses_max, int(window_seconds * 1000), SYSTEM_IDS_PER_PEER_MAX)

    async def guess(self, guesses: Sequence[tuple[str, bytes]]) -> list[tuple[int, float]]:
        """Count wrong passwords: (peer, system_id) each.

        Returns for each its number in the window, or one more than allowed when the pair was locked before, and the
        seconds until the window ends. Raises StorageUnavailable.
        """
        args: list[Arg] = [*self._guesses, *(system_id for _, system_id in guesses)]
        keys = [self._keys.guesses(peer) for peer, _ in guesses]
        reply = await self._link.evalsha(scripts.GUESS, keys, args, timeout=ANSWER_SECONDS)
        return [(int(reply[at]), int(reply[at + 1]) / 1000) for at in range(0, len(reply), 2)]

    async def settle(self, accounts: Sequence[AccountBinds]) -> list[str]:
        """Say what there is and ask for more: a string for each account with a letter for each of its requests.

        A bound, L the pair of peer and system_id is locked, T too many in all, K too many of this type. With no
        accounts the door is renewed. Raises StorageUnavailable; then it may have been done.
        """
        keys = [self._keys.doors]
        asked = []
        system_ids: list[Arg] = []
        for account in accounts:
            keys.append(self._keys.binds(account.account))
            keys += [self._keys.guesses(request.peer) for request in account.requests]
            asked.append((account.here, account.limits, [request.kind for request in account.requests]))
            system_ids += [request.system_id for request in account.requests]
        lease_ms = int(LEASE_SECONDS * 1000)
        args: list[Arg] = [self._worker, self._boot, lease_ms, _encode(self._guesses), _encode(asked), *system_ids]
        reply = await self._link.evalsha(scripts.BIND, keys, args, timeout=ANSWER_SECONDS)
        return [letters.decode() for letters in reply]

    async def leave(self) -> None:
        """Let nothing of this worker count any more. Raises StorageUnavailable."""
        await self._link.command("HDEL", self._keys.doors, self._worker, timeout=ANSWER_SECONDS)
