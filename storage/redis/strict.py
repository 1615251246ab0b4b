"""Messages that wait for PostgreSQL: admitted, charged and journalled, but in no queue yet."""

from __future__ import annotations

from storage.redis import scripts
from storage.redis.journal import entry_order, last_journal_id
from storage.redis.keys import ShardKeys
from storage.redis.link import Arg, RedisLink

ENTRIES_MAX = 20


class StrictStore:
    """What waits for PostgreSQL in one shard. Any process may release it."""

    def __init__(self, keys: ShardKeys, link: RedisLink) -> None:
        self._keys = keys
        self._link = link

    async def is_empty(self) -> bool:
        """True when nothing waits."""
        return not await self._link.command("EXISTS", self._keys.strict)

    async def release(self, recorded: str) -> None:
        """Queue everything that the journal has at or before this id. Raises StorageUnavailable."""
        limit = entry_order(recorded)
        while True:
            keys, args = [self._keys.strict], [self._keys.bell]
            held = await self._link.command("XRANGE", self._keys.strict, "-", "+", "COUNT", ENTRIES_MAX)
            for entry_id, fields in held:
                named = dict(zip(fields[::2], fields[1::2], strict=True))
                if entry_order(named[b"j"].decode()) > limit:
                    break
                keys += (named[b"q"].decode(), named[b"r"].decode())
                args += (entry_id.decode(), named[b"u"].decode())
            if len(args) == 1:
                return
            await self._link.evalsha(scripts.RELEASE, keys, _args(args))

    async def journalled(self) -> str:
        """The id of the newest journal entry."""
        return await last_journal_id(self._link, self._keys)

    async def lag_ms(self, recorded: str) -> int:
        """How long the oldest journal entry after this id has been there; 0 without one."""
        asked = ("XRANGE", self._keys.journal, f"({recorded}", "+", "COUNT", 1)
        oldest, time = await self._link.pipeline([asked, ("TIME",)])
        if not oldest:
            return 0
        return max(0, int(time[0]) * 1000 + int(time[1]) // 1000 - entry_order(oldest[0][0].decode())[0])


def _args(texts: list[str]) -> list[Arg]:
    return [*texts]
