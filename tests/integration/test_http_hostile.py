"""H1 of the fault catalogue, scaled down: peers that send too much, too slowly or nonsense, and what they cost."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.integration.http_victim import NESTED, Victim, all_of, bomb
from tests.unit.smscd.ingress.http_fixture import BODY

HEAD_SECONDS = 1.0
GROWTH_MAX = 20 * 1024 * 1024


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
    async with victim() as found:
        before = found.resident_bytes
        for _ in range(5):
            statuses = await asyncio.gather(
                *(found.send(NESTED) for _ in range(20)),
                *(found.send(bomb(), b"Content-Encoding: gzip\r\n") for _ in range(20)),
                *(found.send(b"[" * 250_000) for _ in range(20)),
            )
            assert statuses == [400] * 20 + [415] * 20 + [400] * 20
        assert await found.sends_well()
        assert found.resident_bytes - before < GROWTH_MAX


async def test_endless_bodies_are_cut_off() -> None:
    async with victim() as found:
        before = found.resident_bytes
        declared, chunked = found.pours(20)
        assert set(await all_of(declared)) == {413}
        assert set(await all_of(chunked)) <= {413, 503}
        assert await found.sends_well()
        assert found.resident_bytes - before < GROWTH_MAX


async def test_slow_heads_and_slow_bodies_are_closed_in_time_and_hold_up_nobody() -> None:
    async with victim() as found:
        before = found.resident_bytes
        began = time.monotonic()
        slow = [asyncio.ensure_future(each) for each in found.stalls(300)]
        assert await found.sends_well()
        statuses = await asyncio.gather(*slow)
        assert set(statuses) <= {408, 0}
        assert statuses.count(408) > len(statuses) // 2
        assert time.monotonic() - began < 10
        assert found.resident_bytes - before < GROWTH_MAX


async def test_a_hundred_and_twenty_nine_headers_are_too_many() -> None:
    async with victim() as found:
        assert set(await asyncio.gather(*(found.send_many_headers() for _ in range(50)))) == {400}
        assert await found.sends_well()
