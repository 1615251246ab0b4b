"""The journal as its writer reads it: every fact that PostgreSQL must learn, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from storage.redis.keys import ShardKeys
from storage.redis.link import RedisLink


@dataclass(slots=True)
class JournalEntry:
    """One entry: kind is one of JournalKind, blob a msgpack array of that kind's records.

    effects: for A nothing, or one digit a message (1: it waits in PostgreSQL alone); for T one digit for each record
    that proposed a refund (1 made); for R one digit a record (Effect); for P the upstream that its messages left, or
    nothing.
    refunds: for R one digit for each record that proposed a refund; for T nothing, or one digit for each record that is
    an end (0: a receipt had ended the message before).
    """

    id: str
    kind: bytes
    blob: bytes
    effects: bytes
    refunds: bytes


class JournalReader:
    """Reads the journal of one shard, and trims what is committed."""

    def __init__(self, keys: ShardKeys, link: RedisLink) -> None:
        self._keys = keys
        self._link = link

    async def read(self, after: str, count: int) -> list[JournalEntry]:
        """At most count entries after an id ("0-0" for the start), oldest first. Raises StorageUnavailable."""
        reply = await self._link.command("XRANGE", self._keys.journal, f"({after}", "+", "COUNT", count)
        entries = []
        for entry_id, fields in reply:
            named = dict(zip(fields[::2], fields[1::2], strict=True))
            entries.append(
                JournalEntry(entry_id.decode(), named[b"k"], named[b"b"], named.get(b"e", b""), named.get(b"r", b""))
            )
        return entries

    async def last_id(self) -> str:
        """The id of the newest entry ever written, also when it was trimmed; "0-0" for none."""
        return await last_journal_id(self._link, self._keys)

    async def trim(self, below: str) -> None:
        """Delete the entries below an id, and remember how far. Only for what PostgreSQL has committed."""
        await self._link.pipeline(
            [
                ("XTRIM", self._keys.journal, "MINID", below),
                ("HSET", self._keys.meta, "trimmed", below),
            ]
        )


async def last_journal_id(link: RedisLink, keys: ShardKeys) -> str:
    """The last id that the journal gave out; "0-0" when there is no journal."""
    if not await link.command("EXISTS", keys.journal):
        return "0-0"
    return last_id_of(await link.command("XINFO", "STREAM", keys.journal))


def last_id_of(info: list[Any] | ResponseError) -> str:
    """The last id in the answer to XINFO STREAM; "0-0" when that was an error, as for a stream that is not there."""
    if isinstance(info, ResponseError):
        return "0-0"
    named = dict(zip(info[::2], info[1::2], strict=True))
    last: bytes = named[b"last-generated-id"]
    return last.decode()


def entry_order(entry_id: str) -> tuple[int, int]:
    """A stream id as numbers that compare as Redis orders them."""
    first, _, second = entry_id.partition("-")
    return int(first), int(second or 0)
