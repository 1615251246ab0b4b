"""How a door asks the owner of an upstream to change a message that it has not sent yet, and gets its answer.

A request lies in `asks:<upstream>` under the message's id until the owner puts its answer there, in the turn that does
what was asked. Requests and answers that nobody fetches expire together.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import msgspec

from smscd.core.records import ChangeRequest
from storage.redis.keys import ShardKeys
from storage.redis.link import RedisLink

ANSWER_MARK = b"="
ASKS_SECONDS = 120

_encode = msgspec.msgpack.Encoder().encode


class ChangeAnswer(Enum):
    """What the owner says. A request is msgpack and never begins like these.

    DONE: it is changed, durably. LATE: some of it was sent, or may have been. ABSENT: the owner does not have it: it
    is over, or waits in a queue that was not read yet.
    """

    DONE = b"=done"
    LATE = b"=late"
    ABSENT = b"=absent"


class ChangeAsks:
    """The asker's side. link: one that many may share."""

    def __init__(self, keys: ShardKeys, link: RedisLink) -> None:
        self._keys = keys
        self._link = link

    async def ask(self, request: ChangeRequest) -> None:
        """Put a request to the owner of the message's upstream. Raises StorageUnavailable."""
        message = request.message
        name = self._keys.asks(message.upstream)
        await self._link.pipeline(
            [
                ("HSET", name, message.id.to_bytes(8, "big"), _encode(request)),
                ("EXPIRE", name, ASKS_SECONDS),
                ("PUBLISH", self._keys.bell, f"c:{message.upstream}"),
            ]
        )

    async def answers(self, upstream: str, message_ids: Sequence[int]) -> list[ChangeAnswer | None]:
        """Fetch answers, each once; None where there is none yet. Raises StorageUnavailable."""
        name = self._keys.asks(upstream)
        ids = [message_id.to_bytes(8, "big") for message_id in message_ids]
        values = await self._link.command("HMGET", name, *ids)
        answers = [ChangeAnswer(value) if value and value.startswith(ANSWER_MARK) else None for value in values]
        fetched = [id8 for id8, answer in zip(ids, answers, strict=True) if answer is not None]
        if fetched:
            await self._link.command("HDEL", name, *fetched)
        return answers
