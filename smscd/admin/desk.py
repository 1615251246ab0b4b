"""What the resources of the admin API work with, and all of them in one list."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from smscd.admin.upstreams import Admin
from smscd.core.limits import Limits
from storage.postgres.pool import Database
from storage.redis.accounts import Balances
from storage.redis.errors import StorageUnavailable
from storage.redis.keys import ShardKeys
from storage.redis.link import RedisLink

Tell: TypeAlias = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """An instance as an operator reaches it.

    tell: has all processes read the configuration again. waiting: how many messages Redis has for an upstream.
    now_ms: milliseconds since the Unix epoch. wait_seconds: how long an order of money waits for the ledger; then it is
    pending. pepper: what SMPP passwords are stored under. new_account: the limits of an account that is made.
    """

    database: Database
    balances: Balances
    link: RedisLink
    keys: ShardKeys
    tell: Tell
    waiting: Callable[[str], Awaitable[int]]
    now_ms: Callable[[], int]
    wait_seconds: float
    pepper: str
    new_account: Limits

    async def told(self) -> bool:
        """Tell; False when Redis did not pass it on: then every process finds out within half a minute."""
        try:
            await self.tell()
        except StorageUnavailable:
            return False
        return True

    def admin(self, operator: str) -> Admin:
        """What orders about upstreams need."""
        return Admin(
            operator=operator, database=self.database, tell=self.tell, waiting=self.waiting, now_ms=self.now_ms
        )
