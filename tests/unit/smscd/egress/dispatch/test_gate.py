"""The gate between answers and receipts."""

from __future__ import annotations

import asyncio

from smscd.egress.dispatch.gate import AnswerGate


async def test_it_is_open_when_nothing_came() -> None:
    await AnswerGate().wait()


async def test_it_opens_when_what_came_before_is_correlated_whatever_came_since() -> None:
    gate = AnswerGate()
    gate.come(3)
    waiting = asyncio.create_task(gate.wait())
    await asyncio.sleep(0)
    gate.come(5)
    gate.correlated(2)
    await asyncio.sleep(0)
    assert not waiting.done()
    gate.correlated(3)
    await waiting
