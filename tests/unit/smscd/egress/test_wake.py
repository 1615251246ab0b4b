"""The wake-up call of a loop."""

from __future__ import annotations

import asyncio

from smscd.egress.wake import Wake


async def test_a_wait_ends_when_it_is_set() -> None:
    wake = Wake(asyncio.get_running_loop())
    asyncio.get_running_loop().call_soon(wake.set)
    assert await wake.wait(10.0)


async def test_what_was_set_before_lets_the_wait_return_at_once() -> None:
    wake = Wake(asyncio.get_running_loop())
    wake.set()
    assert await wake.wait(10.0)
    wake.clear()
    assert not await wake.wait(0.001)


async def test_a_cancelled_wait_leaves_no_trace() -> None:
    wake = Wake(asyncio.get_running_loop())
    waiting = asyncio.create_task(wake.wait(10.0))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    wake.set()
    assert await wake.wait(10.0)
