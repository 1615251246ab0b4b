"""Bells: a pub/sub message that says where new work is, so that nobody has to poll.

A bell may be missed (pub/sub promises nothing); everybody who waits for one also looks once a second, for another
configuration every half minute and on each new connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import redis.asyncio as aioredis
import structlog
from redis.exceptions import RedisError

CONFIG_CHANNEL = "smscd:config"
_log = structlog.get_logger(__name__)


class Bells:
    """Listens to the bell channels of one process and calls whoever asked for a payload."""

    def __init__(self, url: str, channels: list[str]) -> None:
        self._url = url
        self._channels = [*channels, CONFIG_CHANNEL]
        self._listeners: dict[bytes, list[Callable[[], None]]] = {}

    def subscribe(self, payload: bytes, callback: Callable[[], None]) -> None:
        """Call back for each bell with this payload.

        b"q:<upstream>" new messages, b"c:<upstream>" changes asked for, b"o:<account>", b"h" callbacks,
        b"b" an upstream went out or came back, b"s" a question about sessions, b"config".
        """
        self._listeners.setdefault(payload, []).append(callback)

    def unsubscribe(self, payload: bytes, callback: Callable[[], None]) -> None:
        """Stop calling back."""
        listeners = self._listeners.get(payload, [])
        if callback in listeners:
            listeners.remove(callback)
        if not listeners:
            self._listeners.pop(payload, None)

    async def run(self) -> None:
        """Listen until cancelled; connect again when the connection is lost."""
        while True:
            connection = aioredis.Redis.from_url(self._url, socket_timeout=None, protocol=2)
            try:
                async with connection.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe(*self._channels)
                    self._ring(CONFIG_CHANNEL.encode(), b"")  # one may have rung while nobody listened
                    async for message in pubsub.listen():
                        self._ring(message["channel"], message["data"])
            except (RedisError, OSError) as error:
                _log.debug("bell.lost", error=str(error))
            finally:
                await connection.aclose()
            await asyncio.sleep(0.2)

    def _ring(self, channel: bytes, payload: bytes) -> None:
        if channel == CONFIG_CHANNEL.encode():
            payload = b"config"
        for callback in tuple(self._listeners.get(payload, ())):
            callback()
