"""A serving process under attack: what it is sent, how it answers, and what memory it has."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import time
from collections.abc import Awaitable, Coroutine, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.unit.smscd.ingress.http_fixture import BODY, KEY, Connection, Reply

NESTED = b'{"to":' * 40_000


@cache
def bomb() -> bytes:
    """A hundred kilobytes that are a hundred megabytes when they are unpacked."""
    return gzip.compress(b"0" * 100_000_000)


@dataclass(slots=True)
class Victim:
    """A serving process. slowest_seconds: until the last answer to a request that stalled."""

    pid: int
    port: int
    key: str = KEY
    slowest_seconds: float = 0.0

    @property
    def post(self) -> bytes:
        """The beginning of a request that sends a message."""
        head = f"POST /v1/messages HTTP/1.1\r\nHost: t\r\nX-Api-Key: {self.key}\r\nContent-Type: application/json\r\n"
        return head.encode()

    @property
    def resident_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    async def connect(self) -> Connection:
        return Connection(*await asyncio.open_connection("127.0.0.1", self.port))

    async def ask(self, data: bytes) -> Reply:
        """Send bytes on a connection of its own; the answer."""
        connection = await self.connect()
        try:
            connection.write(data)
            return await connection.reply()
        finally:
            connection.writer.close()

    async def send(self, body: bytes, head: bytes = b"") -> int:
        return (await self.ask(self.post + head + b"Content-Length: %d\r\n\r\n" % len(body) + body)).status

    async def sends_well(self) -> bool:
        """True when an honest customer is served, quickly."""
        began = time.monotonic()
        status = await self.send(json.dumps(BODY).encode())
        return status == 202 and time.monotonic() - began < 1.0

    async def pour(self, head: bytes, piece: bytes) -> int:
        """Send pieces of a body without an end; the status."""
        connection = await self.connect()
        connection.write(self.post + head)
        pouring = asyncio.create_task(_pour(connection, piece))
        try:
            return (await connection.reply()).status
        finally:
            pouring.cancel()
            await asyncio.gather(pouring, return_exceptions=True)
            connection.writer.close()

    def pours(self, count: int) -> tuple[list[Coroutine[Any, Any, int]], list[Coroutine[Any, Any, int]]]:
        """So many bodies that are declared too large, and as many in chunks."""
        declared = [self.pour(b"Content-Length: 999999999\r\n\r\n", b" " * 65_536) for _ in range(count)]
        piece = b"10000\r\n" + b" " * 65_536 + b"\r\n"
        return declared, [self.pour(b"Transfer-Encoding: chunked\r\n\r\n", piece) for _ in range(count)]

    async def send_many_headers(self) -> int:
        """A hundred and twenty-nine."""
        headers = b"".join(b"X-%d: 1\r\n" % n for n in range(128))
        return (await self.ask(b"GET /health/ HTTP/1.1\r\nHost: t\r\n" + headers + b"\r\n")).status

    async def stall(self, head: bytes, data: bytes) -> int:
        """Send a head and then an octet at a time; the status, 0 when the connection was closed before it was read."""
        connection, began = await self.connect(), time.monotonic()
        connection.write(head)
        trickling = asyncio.create_task(_trickle(connection, data))
        try:
            status = (await connection.reply()).status
            self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - began)
            assert await connection.is_closed_by_peer()
            return status
        except ConnectionResetError:
            return 0
        finally:
            trickling.cancel()
            await asyncio.gather(trickling, return_exceptions=True)
            connection.writer.close()

    def stalls(self, count: int) -> list[Awaitable[int]]:
        """So many heads that come slowly, and as many bodies."""
        heads = [self.stall(b"", b"GET / HTTP/1.1\r\nX: " + b"y" * 1_000) for _ in range(count)]
        length = b"Content-Length: 200000\r\n\r\n"
        return [*heads, *(self.stall(self.post + length, b" " * 1_000) for _ in range(count))]


async def all_of(work: Iterable[Awaitable[int]]) -> list[int]:
    """The statuses; 0 where the connection was closed without one."""

    async def one(each: Awaitable[int]) -> int:
        try:
            return await each
        except (ConnectionError, asyncio.IncompleteReadError):
            return 0

    return list(await asyncio.gather(*(one(each) for each in work)))


async def _pour(connection: Connection, piece: bytes) -> None:
    while True:
        connection.write(piece)
        await connection.writer.drain()


async def _trickle(connection: Connection, data: bytes) -> None:
    for byte in data:
        connection.write(bytes((byte,)))
        await asyncio.sleep(0.1)
