"""Callbacks that are due: to the ESMEs of an account, and to webhooks."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from redis.exceptions import ResponseError

from storage.redis import scripts
from storage.redis.blobs import pack_array
from storage.redis.errors import StorageUnavailable
from storage.redis.keys import ShardKeys
from storage.redis.link import Arg, RedisLink
from storage.redis.session import RoleSession


class OutboxStore:
    """`out:<account>`, read and emptied by the role `deliver:<account>`. reads: a link that is not the session's."""

    def __init__(self, account: str, keys: ShardKeys, session: RoleSession, reads: RedisLink) -> None:
        self._keys = keys
        self._stream = keys.out(account)
        self._session = session
        self._reads = reads

    async def read(self, after: str, count: int) -> list[tuple[str, bytes]]:
        """Entries after an id ("0-0" for the start): (entry id, msgpack array of CallbackRecords), oldest first."""
        return await _read(self._reads, self._stream, after, count)

    async def settle(self, finished: Sequence[str], results: Sequence[bytes]) -> None:
        """Journal ended callbacks (encoded CallbackResults) and delete finished entries. Raises Fenced."""
        keys = [self._keys.journal, self._stream]
        reply = await self._session.run(scripts.SETTLE_OUT, keys, [pack_array(results), *finished])
        self._session.saw(reply[1])


class HookStore:
    """`hooks` and `hooks:later`, worked on by the role `hooks`. reads: a link that is not the session's."""

    def __init__(self, keys: ShardKeys, session: RoleSession, reads: RedisLink) -> None:
        self._keys = keys
        self._session = session
        self._reads = reads

    async def read(self, after: str, count: int) -> list[tuple[str, bytes]]:
        """Entries after an id: (entry id, msgpack array of CallbackRecords), oldest first."""
        return await _read(self._reads, self._keys.hooks, after, count)

    async def due(self, now_ms: int, limit: int) -> list[bytes]:
        """Members of the later set that are due: encoded CallbackRecords."""
        members: list[bytes] = await self._reads.command(
            "ZRANGEBYSCORE", self._keys.hooks_later, "-inf", now_ms, "LIMIT", 0, limit
        )
        return members

    async def next_due_ms(self) -> int | None:
        """When the first of the later set is due, or None."""
        first = await self._reads.command("ZRANGE", self._keys.hooks_later, 0, 0, "WITHSCORES")
        return int(float(first[1])) if first else None

    async def settle(
        self,
        finished: Sequence[str],
        later: Sequence[tuple[int, bytes]],
        promoted: Sequence[bytes],
        results: Sequence[bytes],
    ) -> None:
        """Journal ends, keep (due ms, CallbackRecord) for later, delete entries and due members. Raises Fenced."""
        keys = [self._keys.journal, self._keys.hooks, self._keys.hooks_later]
        args: list[Arg] = [pack_array(results), len(finished), *finished, len(later)]
        for due_ms, member in later:
            args += (due_ms, member)
        args += [len(promoted), *promoted]
        reply = await self._session.run(scripts.SETTLE_HOOKS, keys, args)
        self._session.saw(reply[1])


class HookFeed:
    """Puts webhooks into `hooks` from outside of any script. Whoever may do it twice gives its records lasting ids."""

    def __init__(self, keys: ShardKeys, link: RedisLink) -> None:
        self._keys = keys
        self._link = link

    async def push(self, records: Sequence[bytes]) -> None:
        """Queue encoded CallbackRecords. Raises StorageUnavailable, also when Redis takes nothing now."""
        keys = self._keys
        replies = await self._link.pipeline(
            [("XADD", keys.hooks, "*", "b", pack_array(records)), ("PUBLISH", keys.bell, "h")]
        )
        if isinstance(replies[0], ResponseError):
            raise StorageUnavailable(f"Redis refuses to write: {replies[0]}")


class OutFeed:
    """Puts callbacks into `out:<account>` from outside of any script, for records that have ended before."""

    def __init__(self, keys: ShardKeys, link: RedisLink) -> None:
        self._keys = keys
        self._link = link

    async def push(self, account: str, records: Sequence[bytes]) -> None:
        """Queue encoded CallbackRecords as one entry. Raises StorageUnavailable, also when Redis takes nothing now."""
        keys = self._keys
        replies = await self._link.pipeline(
            [("XADD", keys.out(account), "*", "b", pack_array(records)), ("PUBLISH", keys.bell, f"o:{account}")]
        )
        if isinstance(replies[0], ResponseError):
            raise StorageUnavailable(f"Redis refuses to write: {replies[0]}")


async def unserved(reads: RedisLink, keys: ShardKeys, accounts: Collection[str], now_ms: int) -> set[str]:
    """The accounts with callbacks that wait for an ESME and nobody, in any process, who has a receiver of theirs."""
    names = list(accounts)
    lengths = await reads.pipeline([("XLEN", keys.out(name)) for name in names])
    waiting = [name for name, length in zip(names, lengths, strict=True) if int(length)]
    if not waiting:
        return set()
    leases = await reads.pipeline([("HGET", keys.session(f"deliver:{name}"), "until") for name in waiting])
    return {name for name, until_ms in zip(waiting, leases, strict=True) if int(until_ms or 0) <= now_ms}


async def _read(reads: RedisLink, stream: str, after: str, count: int) -> list[tuple[str, bytes]]:
    reply = await reads.command("XRANGE", stream, f"({after}", "+", "COUNT", count)
    return [(entry_id.decode(), fields[1]) for entry_id, fields in reply]
