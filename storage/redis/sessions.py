"""Questions about live sessions, to all workers at once, and their answers: kept for seconds, asked by a bell.

Nothing here outlives its question, so a lost Redis loses none of it. A bell may be missed: who asks rings again.
"""

from __future__ import annotations

from typing import Final

from storage.redis.keys import ShardKeys
from storage.redis.link import RedisLink

KEPT_MS: Final = 10_000
BELL: Final = b"s"


class SessionAsks:
    """Both sides over one link. number: which question; questions and answers are octets. Raises StorageUnavailable."""

    def __init__(self, keys: ShardKeys, link: RedisLink) -> None:
        self._keys = keys
        self._link = link

    async def ask(self, number: str, question: bytes) -> None:
        """Put a question to every worker."""
        asks = self._keys.session_asks
        await self._link.pipeline([("HSET", asks, number, question), ("PEXPIRE", asks, KEPT_MS)])
        await self.ring()

    async def ring(self) -> None:
        """Have the workers look for questions."""
        await self._link.command("PUBLISH", self._keys.bell, BELL)

    async def answers(self, number: str) -> dict[str, bytes]:
        """The answers so far, by worker."""
        found = await self._link.command("HGETALL", self._keys.session_answers(number))
        return {worker.decode(): answer for worker, answer in _pairs(found)}

    async def close(self, number: str) -> None:
        """The question is answered."""
        await self._link.pipeline(
            [("HDEL", self._keys.session_asks, number), ("DEL", self._keys.session_answers(number))]
        )

    async def asked(self) -> dict[str, bytes]:
        """The questions that are open, by number."""
        found = await self._link.command("HGETALL", self._keys.session_asks)
        return {number.decode(): question for number, question in _pairs(found)}

    async def answer(self, number: str, worker: str, answer: bytes) -> None:
        """Answer a question."""
        key = self._keys.session_answers(number)
        await self._link.pipeline([("HSET", key, worker, answer), ("PEXPIRE", key, KEPT_MS)])


def _pairs(found: list[bytes] | dict[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    """A hash as the client library gives it, in either form."""
    if isinstance(found, dict):
        return list(found.items())
    return list(zip(found[::2], found[1::2], strict=True))
