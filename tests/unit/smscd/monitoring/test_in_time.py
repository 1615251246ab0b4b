"""What takes too long is not waited for, and not asked twice."""

from __future__ import annotations

import asyncio

import pytest

from smscd.monitoring.in_time import InTime


async def test_an_answer_in_time_is_given_and_an_error_is_raised() -> None:
    async def seven() -> int:
        return 7

    async def failing() -> int:
        raise OSError("away")

    assert await InTime(seven, 1.0).answer() == 7
    with pytest.raises(OSError, match="away"):
        await InTime(failing, 1.0).answer()


async def test_a_question_that_cannot_be_cancelled_holds_up_nobody_and_is_asked_once() -> None:
    asked, is_over = 0, asyncio.Event()

    async def stubborn() -> int:
        nonlocal asked
        asked += 1
        while not is_over.is_set():
            try:
                await is_over.wait()
            except asyncio.CancelledError:
                continue
        return asked

    question = InTime(stubborn, 0.01)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await question.answer()
    is_over.set()
    assert await question.answer() == 1
    assert await question.answer() == 2


async def test_an_error_that_comes_too_late_is_nobodys(caplog: pytest.LogCaptureFixture) -> None:
    is_over = asyncio.Event()

    async def late() -> int:
        await is_over.wait()
        raise OSError("away")

    question = InTime(late, 0.01)
    with pytest.raises(TimeoutError):
        await question.answer()
    is_over.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with pytest.raises(OSError, match="away"):
        await question.answer()
    assert caplog.text == ""
