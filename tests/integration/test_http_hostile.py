"""H1 of the fault catalogue, scaled down: peers that send too much, too slowly or nonsense, and what they cost."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.unit.smscd.ingress.http_fixture import BODY, KEY, Connection, Reply

HEAD_SECONDS = 1.0
GROWTH_MAX = 20 * 1024 * 1024
POST = f"POST /v1/messages HTTP/1.1\r\nHost: t\r\nX-Api-Key: {KEY}\r\nContent-Type: application/json\r\n".encode()


@dataclass(slots=True)
class Victim:
    """A serving process."""

    pid: int
    port: int

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
        return (await self.ask(POST + head + b"Content-Length: %d\r\n\r\n" % len(body) + body)).status

    async def sends_well(self) -> bool:
        """True when an honest customer is served, quickly."""
        began = time.monotonic()
        status = await self.send(json.dumps(BODY).encode())
        return status == 202 and time.monotonic() - began < 1.0


@asynccontextmanager
async def victim() -> AsyncIterator[Victim]:
    """Run one, warmed up."""
    command = (sys.executable, "-m", "tests.integration.http_process", str(HEAD_SECONDS))
    root = Path(__file__).resolve().parents[2]
    process = await asyncio.create_subprocess_exec(*command, cwd=root, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        while not (line := await process.stdout.readline()).startswith(b"port "):
            assert line, "it did not start"
        found = Victim(process.pid, int(line.split()[1]))
        await asyncio.gather(*(found.send(json.dumps(BODY).encode()) for _ in range(50)))
        yield found
    finally:
        process.kill()
        await process.communicate()


async def test_too_large_packed_and_nested_bodies_are_refused_and_leave_no_memory_behind() -> None:
    nested = b'{"to":' * 40_000
    bomb = gzip.compress(b"0" * 100_000_000)
    async with victim() as found:
        before = found.resident_bytes
        for _ in range(5):
            statuses = await asyncio.gather(
                *(found.send(nested) for _ in range(20)),
                *(found.send(bomb, b"Content-Encoding: gzip\r\n") for _ in range(20)),
                *(found.send(b"[" * 250_000) for _ in range(20)),
            )
            assert statuses == [400] * 20 + [415] * 20 + [400] * 20
        assert await found.sends_well()
        assert found.resident_bytes - before < GROWTH_MAX


async def test_endless_bodies_are_cut_off() -> None:
    async with victim() as found:
        before = found.resident_bytes

        async def pour(head: bytes, piece: bytes) -> int:
            connection = await found.connect()
            connection.write(POST + head)
            pouring = asyncio.create_task(_pour(connection, piece))
            try:
                return (await connection.reply()).status
            finally:
                pouring.cancel()
                await asyncio.gather(pouring, return_exceptions=True)
                connection.writer.close()

        declared = (pour(b"Content-Length: 999999999\r\n\r\n", b" " * 65_536) for _ in range(20))
        chunked = (
            pour(b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b" " * 65_536 + b"\r\n") for _ in range(20)
        )
        assert set(await asyncio.gather(*declared)) == {413}
        assert set(await asyncio.gather(*chunked)) <= {413, 503}
        assert await found.sends_well()
        assert found.resident_bytes - before < GROWTH_MAX


async def _pour(connection: Connection, piece: bytes) -> None:
    while True:
        connection.write(piece)
        await connection.writer.drain()


async def test_slow_heads_and_slow_bodies_are_closed_in_time_and_hold_up_nobody() -> None:
    async with victim() as found:
        before = found.resident_bytes
        began = time.monotonic()
        heads = [await found.connect() for _ in range(300)]
        bodies = [await found.connect() for _ in range(300)]
        for connection in bodies:
            connection.write(POST + b"Content-Length: 200000\r\n\r\n")

        async def trickle(connection: Connection, data: bytes) -> int:
            """The status; 0 when an octet of ours met the closed connection before we had read the answer."""
            trickling = asyncio.create_task(_trickle(connection, data))
            try:
                return (await connection.reply()).status
            except ConnectionResetError:
                return 0
            finally:
                trickling.cancel()
                await asyncio.gather(trickling, return_exceptions=True)

        slow = [asyncio.create_task(trickle(connection, b"GET / HTTP/1.1\r\nX: y")) for connection in heads]
        slow += [asyncio.create_task(trickle(connection, b" " * 1_000)) for connection in bodies]
        assert await found.sends_well()
        statuses = await asyncio.gather(*slow)
        assert set(statuses) <= {408, 0}
        assert statuses.count(408) > len(statuses) // 2
        assert all(await asyncio.gather(*(connection.is_closed_by_peer() for connection in heads + bodies)))
        assert time.monotonic() - began < 10
        assert found.resident_bytes - before < GROWTH_MAX
        for connection in heads + bodies:
            connection.writer.close()


async def _trickle(connection: Connection, data: bytes) -> None:
    for byte in data:
        connection.write(bytes((byte,)))
        await asyncio.sleep(0.1)


async def test_a_hundred_and_twenty_nine_headers_are_too_many() -> None:
    async with victim() as found:
        head = b"GET /health/ HTTP/1.1\r\nHost: t\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(128)) + b"\r\n"
        replies = await asyncio.gather(*(found.ask(head) for _ in range(50)))
        assert {reply.status for reply in replies} == {400}
        assert await found.sends_well()
