"""Bells: a pub/sub message that says where new work is, so that nobody has to poll.

A bell may be missed (pub/sub promises nothing); everybody who waits for one also looks once a second, for another
configuration every half minute and on each new connection. Who only listens does not notice a lost link, so Redis is
asked for a sign of life when nothing rang for a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import redis.asyncio as aioredis
import structlog
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

CONFIG_CHANNEL = "smscd:config"
CONNECT_SECONDS = 1.0
SILENT_SECONDS = 2.0
_log = structlog.get_logger(__name__)


class Bells:
    """Listens to the bell channels of one process and calls whoever asked for a payload."""

    def __init__(self, url: str, channels: list[str], *, silent_seconds: float = SILENT_SECONDS) -> None:
        """silent_seconds: of silence, after which Redis is asked; and as long again for its answer."""
        self._pool = aioredis.ConnectionPool.from_url(
            url, socket_connect_timeout=CONNECT_SECONDS, socket_timeout=None, client_name="smscd-bells", protocol=2
        )
        self._silent_seconds = silent_seconds
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
            made: Any = self._pool
            connection: AbstractConnection = made.make_connection()
            try:
                await self._listen(connection)
            except (RedisError, OSError, TimeoutError) as error:
                _log.debug("bell.lost", error=str(error))
            finally:
                await connection.disconnect(nowait=True)
            await asyncio.sleep(0.2)

    async def _listen(self, connection: AbstractConnection) -> None:
        """Ring until the connection is lost. Raises what tells that."""
        async with asyncio.timeout(CONNECT_SECONDS):
            await connection.connect()  # type: ignore[no-untyped-call]  # redis-py has no types there
            await connection.send_command("SUBSCRIBE", *self._channels)
        self._ring(CONFIG_CHANNEL, b"")  # one may have rung while nobody listened
        is_asked = False
        while True:
            try:
                async with asyncio.timeout(self._silent_seconds):
                    reply = await connection.read_response(disconnect_on_error=False)
            except TimeoutError:
                if is_asked:
                    raise
                is_asked = True
                async with asyncio.timeout(CONNECT_SECONDS):
                    await connection.send_command("PING")
                continue
            is_asked = False
            if reply[0] == b"message":
                self._ring(reply[1].decode(), reply[2])

    def _ring(self, channel: str, payload: bytes) -> None:
        if channel == CONFIG_CHANNEL:
            payload = b"config"
        for callback in tuple(self._listeners.get(payload, ())):
            callback()
