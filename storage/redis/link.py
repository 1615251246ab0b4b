"""One connection to Redis for one purpose, without pool, retry or hidden repetition.

redis-py repeats commands on a lost connection (a charge ran twice in a test); a link never does. Its callers know
what is safe to ask again: a RoleSession by its sequence number, a read because it is one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import redis.asyncio as aioredis
from hiredis import pack_command
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import (
    MasterDownError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from storage.redis.errors import Fenced, StorageUnavailable, Unanswered
from storage.redis.scripts import Script

Arg = bytes | str | int | float
Command = Callable[..., Awaitable[Any]]
Verify = Callable[[Command, str], Awaitable[None]]


# A link on which nothing was said for so long may have been lost without a word, so it is asked before it is used.
IDLE_SECONDS = 3.0

# What redis-py has classes for, it says without the word that Redis began with.
_AWAY = (OutOfMemoryError, ReadOnlyError, MasterDownError)


class RedisLink:
    """Commands in order over one connection, made again when it is lost.

    verify(command, run_id) is called on each new connection, before anything else is sent over it; it raises
    UnsafeStorage when the server must not be used (other settings, an older state).
    """

    def __init__(self, url: str, *, name: str, verify: Verify | None = None, connect_seconds: float = 1.0) -> None:
        self.url = url
        self.name = name
        self.run_id = ""
        self._verify = verify
        self._connect_seconds = connect_seconds
        # Time-outs are ours: with one of its own, redis-py waits through asyncio.wait_for, which before Python 3.12 can
        # swallow a cancellation.
        self._pool = aioredis.ConnectionPool.from_url(
            url, socket_connect_timeout=connect_seconds, socket_timeout=None, client_name=name, protocol=2
        )
        self._connection: AbstractConnection | None = None
        self._said = 0.0
        self._lock = asyncio.Lock()

    async def command(self, *args: Arg, timeout: float = 5.0) -> Any:
        """Send one command and return its reply. Raises StorageUnavailable, or ResponseError for a refusal."""
        async with self._lock:
            ends = _now() + timeout
            return await self._ask(await self._connected(ends), args, ends)

    async def pipeline(self, commands: Sequence[Sequence[Arg]], *, timeout: float = 5.0) -> list[Any]:
        """Send several commands at once and return their replies, a ResponseError in place of a refused one's."""
        if not commands:
            return []
        async with self._lock:
            ends = _now() + timeout
            connection = await self._connected(ends)
            replies: list[Any] = []
            try:
                async with asyncio.timeout(ends - _now()):
                    await _send(connection, *commands)
                    for _ in commands:
                        try:
                            replies.append(await connection.read_response())
                        except ResponseError as refused:
                            replies.append(refused)
                    self._said = _now()
            except (RedisError, OSError, TimeoutError) as error:
                await self._drop()
                raise Unanswered(f"Redis did not answer {len(commands)} commands: {error}") from error
            except asyncio.CancelledError:
                await self._drop()
                raise
            return replies

    async def evalsha(self, script: Script, keys: Sequence[str], args: Sequence[Arg], *, timeout: float = 5.0) -> Any:
        """Run a script. Raises Fenced, Unanswered when it may have run, StorageUnavailable when it did not."""
        async with self._lock:
            ends = _now() + timeout
            connection = await self._connected(ends)
            try:
                try:
                    return await self._ask(connection, ("EVALSHA", script.sha, len(keys), *keys, *args), ends)
                except NoScriptError:
                    return await self._ask(connection, ("EVAL", script.source, len(keys), *keys, *args), ends)
            except ResponseError as refused:
                text = str(refused)
                if text.startswith(("FENCED", "OUTOFSTEP")):
                    raise Fenced(f"{script.name}: {text}") from refused
                raise

    async def _ask(self, connection: AbstractConnection, args: Sequence[Arg], ends: float) -> Any:
        try:
            async with asyncio.timeout(ends - _now()):
                await _send(connection, args)
                reply = await connection.read_response()
                self._said = _now()
                return reply
        except ResponseError as refused:
            if isinstance(refused, _AWAY) or str(refused).startswith(("MISCONF", "BUSY")):
                raise StorageUnavailable(f"Redis refuses to write: {refused}") from refused
            raise
        except (RedisError, OSError, TimeoutError) as error:
            await self._drop()
            raise Unanswered(f"Redis did not answer {args[0]!r} in time: {error}") from error
        except asyncio.CancelledError:
            await self._drop()
            raise

    async def _connected(self, ends: float) -> AbstractConnection:
        if self._connection is not None:
            if not _has_ended(self._connection) and await self._is_well(self._connection, ends):
                return self._connection
            await self._drop()
        made: Any = self._pool
        connection: AbstractConnection = made.make_connection()
        try:
            async with asyncio.timeout(min(ends - _now(), self._connect_seconds)):
                await connection.connect()  # type: ignore[no-untyped-call]  # redis-py has no types there
                await connection.send_command("INFO", "server", check_health=False)
                info = await connection.read_response()
        except (RedisError, OSError, TimeoutError) as error:
            await connection.disconnect(nowait=True)
            raise StorageUnavailable(f"Redis cannot be reached: {error}") from error
        except asyncio.CancelledError:
            await connection.disconnect(nowait=True)
            raise
        self.run_id = _field(info, "run_id")
        self._said = _now()
        self._connection = connection
        if self._verify is not None:
            try:
                await self._verify(
                    lambda *args: self._ask(connection, args, _now() + self._connect_seconds), self.run_id
                )
            except BaseException:
                await self._drop()
                raise
        return connection

    async def _is_well(self, connection: AbstractConnection, ends: float) -> bool:
        """True when something was said of late, or Redis answers. Half of the time is left for a new connection."""
        now = _now()
        if now - self._said < IDLE_SECONDS:
            return True
        try:
            await self._ask(connection, ("PING",), now + min((ends - now) / 2, self._connect_seconds))
        except StorageUnavailable:
            return False
        return True

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)

    async def close(self) -> None:
        """Close the connection; the next command would make a new one."""
        async with self._lock:
            await self._drop()


def _now() -> float:
    """By the loop's clock, as asyncio.timeout."""
    return asyncio.get_running_loop().time()


async def _send(connection: AbstractConnection, *commands: Sequence[Arg]) -> None:
    """Write commands packed by hiredis: redis-py's own packing was a fifth of a worker's time."""
    writer: asyncio.StreamWriter | None = connection._writer  # redis-py shows it nowhere else
    if writer is None or writer.transport.is_closing():
        raise ConnectionError("the connection is closed")
    packed = [pack_command(tuple(command)) for command in commands]  # type: ignore[arg-type]  # its stub: a tuple of one
    writer.write(packed[0] if len(packed) == 1 else b"".join(packed))
    await writer.drain()


def _has_ended(connection: AbstractConnection) -> bool:
    """True when the connection was closed, or reset, while nothing was asked over it."""
    reader: asyncio.StreamReader | None = connection._reader  # redis-py shows them nowhere else
    writer: asyncio.StreamWriter | None = connection._writer
    return reader is None or reader.at_eof() or writer is None or writer.transport.is_closing()


def _field(info: bytes | str, name: str) -> str:
    text = info.decode() if isinstance(info, bytes) else info
    for line in text.splitlines():
        if line.startswith(name + ":"):
            return line[len(name) + 1 :].strip()
    return ""
