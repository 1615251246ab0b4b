"""Work that takes long: one of a kind at a time, and no longer than the operator said."""

from __future__ import annotations

import asyncio

import pytest

from smscd.admin.one_at_a_time import OneAtATime
from smscd.admin.orders import Refusal


async def test_the_second_is_refused_until_the_first_has_ended() -> None:
    turn, may_end = OneAtATime("It"), asyncio.Event()

    async def work() -> str:
        await may_end.wait()
        return "done"

    first = asyncio.create_task(turn.do(work(), 10))
    await asyncio.sleep(0)
    second = await turn.do(work(), 10)
    assert isinstance(second, Refusal) and second.code == "under_way"
    may_end.set()
    assert await first == "done" and await turn.do(work(), 10) == "done"


async def test_what_does_not_end_in_time_is_ended_and_frees_the_turn() -> None:
    turn, ended = OneAtATime("It"), False

    async def work() -> None:
        nonlocal ended
        try:
            await asyncio.Event().wait()
        finally:
            ended = True

    found = await turn.do(work(), 0.01)
    assert isinstance(found, Refusal) and found.code == "not_finished" and "0.01 seconds" in found.detail and ended
    assert (await turn.do(asyncio.sleep(0, "again"), 1)) == "again"


async def test_a_time_out_of_the_work_itself_is_its_own() -> None:
    async def work() -> None:
        raise TimeoutError("of a query")

    with pytest.raises(TimeoutError, match="of a query"):
        await OneAtATime("It").do(work(), 10)
