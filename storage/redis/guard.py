"""The refusal to work on quicksand: unsafe settings, or a Redis that is behind what was recorded or acknowledged.

Every link asks the guard on each new connection. What was checked for a server's run_id is not checked again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from storage.redis.attestation import check_file, check_server
from storage.redis.errors import RewriteUnderWay, UnsafeStorage
from storage.redis.journal import entry_order
from storage.redis.keys import ShardKeys
from storage.redis.link import Command

REWRITE_POLL_SECONDS = 0.05
RECOVERING = "recovering"
"""A field of meta: Redis is being built from PostgreSQL, and nobody may serve."""


class Guard:
    """What one process knows of how far the journal had come.

    recorded: asks PostgreSQL for the offset of its last commit; None while it cannot be reached (then only what this
    process saw acknowledged is compared). is_settled: the server rewrote its file before it let us in (see check_file);
    it is noted for whoever asks next. is_patient: verify() waits for the rewriting of a file instead of raising
    RewriteUnderWay.
    """

    def __init__(
        self,
        keys: ShardKeys,
        install_id: str,
        shards: int,
        recorded: Callable[[], Awaitable[str | None]],
        *,
        is_settled: bool = False,
        is_patient: bool = False,
    ) -> None:
        self._keys = keys
        self._install_id = install_id
        self._shards = shards
        self._recorded = recorded
        self._is_settled = is_settled
        self._is_patient = is_patient
        self._verified_run_id = ""
        self._acknowledged = (0, 0)

    def saw(self, journal_id: bytes) -> None:
        """Note a journal entry that Redis acknowledged to this process; b"" for none."""
        if journal_id:
            order = entry_order(journal_id.decode())
            if order > self._acknowledged:
                self._acknowledged = order

    @property
    def acknowledged(self) -> str:
        """The latest journal entry that Redis acknowledged to this process."""
        milliseconds, number = self._acknowledged
        return f"{milliseconds}-{number}"

    async def verify(self, command: Command, run_id: str) -> None:
        """Raise UnsafeStorage when this server must not be used, RewriteUnderWay when not yet. Called by RedisLink for
        each new connection."""
        if run_id and run_id == self._verified_run_id:
            return
        await check_server(command)
        await self._check_position(command)
        if self._is_settled:
            await command("HSET", self._keys.meta, "rewritten", run_id)
        else:
            await self._check_file(command, run_id)
        self._verified_run_id = run_id

    async def _check_file(self, command: Command, run_id: str) -> None:
        while True:
            try:
                return await check_file(command, self._keys.meta, run_id)
            except RewriteUnderWay:
                if not self._is_patient:
                    raise
                await asyncio.sleep(REWRITE_POLL_SECONDS)

    async def _check_position(self, command: Command) -> None:
        keys = self._keys
        recorded = await self._recorded()
        if await command("HEXISTS", keys.meta, RECOVERING):
            raise UnsafeStorage("Redis is only half rebuilt: run `smscd recover` to its end.")
        behind = max(self.acknowledged, recorded or "0-0", key=entry_order)
        install = await command("HGET", keys.meta, "install")
        last = await self._last_id(command)
        if install is None and behind == "0-0" and last == "0-0":
            await command("HSET", keys.meta, "install", self._install_id, "shards", self._shards)
            return
        if install is None or entry_order(last) < entry_order(behind):
            raise UnsafeStorage(
                f"Redis is behind the record: its journal ends at {last}, but {behind} was already recorded. It is "
                "empty or an older copy. Bring the right data directory back, or rebuild it from PostgreSQL with "
                "`smscd recover`."
            )
        trimmed = await command("HGET", keys.meta, "trimmed")
        if trimmed and recorded is not None and entry_order(recorded) < entry_order(trimmed.decode()):
            raise UnsafeStorage(
                f"PostgreSQL is behind the journal: it has recorded up to {recorded}, but the journal begins at "
                f"{trimmed.decode()}. It was restored to an older state. Bring the newer database back."
            )
        if install.decode() != self._install_id:
            raise UnsafeStorage(
                f"Redis belongs to installation {install.decode()}, PostgreSQL to {self._install_id}. "
                "Check redis_url and postgres_dsn: one of them points to another installation."
            )
        shards = await command("HGET", keys.meta, "shards")
        if int(shards or 0) != self._shards:
            raise UnsafeStorage(
                f"Redis was set up with {int(shards or 0)} shards, the configuration says {self._shards}. "
                "The number of shards is fixed at installation: set it back."
            )

    async def _last_id(self, command: Command) -> str:
        if not await command("EXISTS", self._keys.journal):
            return "0-0"
        info = await command("XINFO", "STREAM", self._keys.journal)
        named = dict(zip(info[::2], info[1::2], strict=True))
        last: bytes = named[b"last-generated-id"]
        return last.decode()
