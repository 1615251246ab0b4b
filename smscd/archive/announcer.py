"""Has customers told that their balance is low: warnings that the writer has committed become webhooks.

A warning is written in the transaction of the ledger entry that took the balance below, and has the entry's id, so it
is neither lost nor told under two ids, whenever this process ends: what was not marked as queued is queued again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec
import structlog

from smscd.core.callbacks import low_balance_callback
from storage.postgres.pool import Connection
from storage.postgres.warnings import Warned, mark_queued, unqueued
from storage.redis.errors import StorageUnavailable

AT_ONCE = 500
PAUSE_MS = 1_000
_encode = msgspec.msgpack.Encoder().encode
_log = structlog.get_logger(__name__)


class Hooks(Protocol):
    """Where webhooks that are due go: storage.redis.outbox.HookFeed."""

    async def push(self, records: Sequence[bytes]) -> None: ...


class Announcer:
    """Queues the webhooks of one writer's warnings. A Redis that takes none now does not hold up the writer."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self._connection: Connection | None = None
        self._is_owed = False
        self._next_ms = 0

    def start(self, connection: Connection) -> None:
        """Work on this connection; what an earlier one left may still be owed."""
        self._connection = connection
        self._is_owed = True
        self._next_ms = 0

    def committed(self, rows: Mapping[str, int]) -> None:
        """A batch is in PostgreSQL. rows: by table."""
        if rows.get("account_warnings"):
            self._is_owed = True
            self._next_ms = 0

    async def announce(self, now_ms: int) -> None:
        """Queue what is owed, when anything is. Raises what PostgreSQL does when it is away."""
        if not self._is_owed or now_ms < self._next_ms or self._connection is None:
            return
        warnings = await unqueued(self._connection, AT_ONCE)
        if warnings:
            try:
                await self._hooks.push([_encode(_callback(warning)) for warning in warnings])
            except StorageUnavailable as error:
                self._next_ms = now_ms + PAUSE_MS
                _log.warning("account.warning_delayed", warnings=len(warnings), reason=str(error)[:200])
                return
            await mark_queued(self._connection, [warning.id for warning in warnings])
            for warning in warnings:
                _log.warning("account.balance_low", account=warning.account, balance_micros=warning.balance_micros)
        self._is_owed = len(warnings) == AT_ONCE


def _callback(warning: Warned) -> msgspec.Struct:
    return low_balance_callback(
        warning.id,
        warning.account,
        warning.currency,
        balance_micros=warning.balance_micros,
        low_balance_micros=warning.low_balance_micros,
        at_ms=warning.at_ms,
    )
