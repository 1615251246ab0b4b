"""How an operator asks the owner of an upstream to apply orphans that were matched with their messages.

A request lies in `matches:<upstream>` under the orphan's number until the owner puts its answer there. Applying one
twice changes nothing more; requests and answers that nobody fetches expire together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from smscd.core.records import MatchRequest
from storage.redis.dispatch import id8
from storage.redis.keys import ShardKeys
from storage.redis.link import Arg, RedisLink

ASKS_SECONDS = 120
ANSWERS = (b"=repeated", b"=recorded", b"=final")
"""By receipts.Effect. A request is msgpack and never begins like these."""

_encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(MatchRequest).decode


def is_answer(value: bytes) -> bool:
    """True for an answer, False for a request."""
    return value.startswith(b"=")


class MatchAsks:
    """The asker's side. link: one that many may share. Both methods raise StorageUnavailable."""

    def __init__(self, keys: ShardKeys, link: RedisLink) -> None:
        self._keys = keys
        self._link = link

    async def ask(self, upstream: str, requests: Mapping[int, MatchRequest]) -> None:
        """Put requests to the owner."""
        name = self._keys.matches(upstream)
        fields: list[Arg] = []
        for number, request in requests.items():
            fields += (id8(number), _encode(request))
        await self._link.pipeline(
            [("HSET", name, *fields), ("EXPIRE", name, ASKS_SECONDS), ("PUBLISH", self._keys.bell, f"m:{upstream}")]
        )

    async def answers(self, upstream: str, numbers: Sequence[int]) -> dict[int, str]:
        """Fetch answers (repeated, recorded, final), each once; those that there are."""
        name = self._keys.matches(upstream)
        names = [id8(number) for number in numbers]
        values = await self._link.command("HMGET", name, *names)
        found = {
            number: value[1:].decode()
            for number, value in zip(numbers, values, strict=True)
            if value and is_answer(value)
        }
        if found:
            await self._link.command("HDEL", name, *map(id8, found))
        return found
