"""Services: started in order, drained and stopped in reverse, restarted when they crash."""

from __future__ import annotations

import asyncio

import pytest

from smscd.roles import services
from smscd.roles.services import TaskService, drain_all, run_supervised, start_all, stop_all


class Recorder:
    """A service that writes down what is done to it."""

    def __init__(self, name: str, log: list[str], *, fails: str = "", hangs: bool = False) -> None:
        self.name = name
        self._log = log
        self._fails = fails
        self._hangs = hangs

    async def _note(self, what: str) -> None:
        self._log.append(f"{what} {self.name}")
        if self._fails == what:
            raise RuntimeError(what)

    async def start(self) -> None:
        await self._note("start")

    async def drain(self) -> None:
        await self._note("drain")
        if self._hangs:
            await asyncio.Event().wait()

    async def stop(self) -> None:
        await self._note("stop")


async def test_services_start_in_order_and_end_in_reverse() -> None:
    log: list[str] = []
    made = [Recorder("a", log), Recorder("b", log)]
    await start_all(made)
    assert await drain_all(made, 1.0)
    await stop_all(made)
    assert log == ["start a", "start b", "drain b", "drain a", "stop b", "stop a"]


async def test_when_one_does_not_start_those_before_it_are_stopped() -> None:
    log: list[str] = []
    with pytest.raises(RuntimeError):
        await start_all([Recorder("a", log), Recorder("b", log, fails="start"), Recorder("c", log)])
    assert log == ["start a", "start b", "stop a"]


async def test_one_that_does_not_drain_in_time_does_not_keep_the_others() -> None:
    log: list[str] = []
    assert not await drain_all([Recorder("a", log), Recorder("b", log, hangs=True)], 0.01)
    assert log == ["drain b", "drain a"]


async def test_one_that_fails_to_stop_does_not_keep_the_others() -> None:
    log: list[str] = []
    await stop_all([Recorder("a", log), Recorder("b", log, fails="stop")])
    assert log == ["stop b", "stop a"]


async def test_a_crashed_task_runs_again_and_its_siblings_do_not_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "RESTART_SECONDS_FIRST", 0.0)
    runs, restarts = 0, list[str]()
    again = asyncio.Event()

    async def crashes_twice() -> None:
        nonlocal runs
        runs += 1
        if runs <= 2:
            raise RuntimeError("crash")
        again.set()
        await asyncio.Event().wait()

    sibling = asyncio.create_task(asyncio.Event().wait())
    task = asyncio.create_task(run_supervised("part", crashes_twice, restarts.append))
    async with asyncio.timeout(5):
        await again.wait()
    assert restarts == ["part", "part"]
    assert not sibling.done()
    for each in (task, sibling):
        each.cancel()
    await asyncio.gather(task, sibling, return_exceptions=True)


async def test_a_task_service_is_cancelled_when_it_is_stopped() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    service = TaskService("part", work)
    await service.start()
    await asyncio.sleep(0)
    await service.stop()
    assert ended.is_set()
    await service.stop()
