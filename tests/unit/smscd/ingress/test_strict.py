"""Strict durability: who is told yes when, and who is refused before and after."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from smscd.core.planning import Planned
from smscd.core.reasons import Reason
from smscd.core.verdicts import Accepted, Duplicate, Refused, Verdict, VerdictSink
from smscd.ingress.strict import BEHIND, StrictAdmitter
from storage.redis.admission import Refusal
from storage.redis.errors import Unanswered
from tests.unit.smscd.ingress.test_admission import planned as plain

YES = Accepted(1, 7, 1)


def strict(number: int, key: bytes | None = None) -> Planned:
    made = plain(number, key=key)
    made.is_strict = True
    return made


class Rig:
    """An admitter that answers at once with `verdicts`; the journal ends at `journal`, PostgreSQL is at `record`."""

    def __init__(self) -> None:
        self.verdicts: list[Verdict] = [YES]
        self.journal, self.record = "5-0", "5-0"
        self.lag = 0
        self.hangs = self.is_away = False
        self.has_strict = True
        self.events: list[Any] = []
        self.stays: list[int] = []
        self.can_cancel = asyncio.Event()
        self.can_cancel.set()
        self.behind = 0
        self.admitter = StrictAdmitter(
            self,  # type: ignore[arg-type]  # all that is asked of an admitter and a store
            self,  # type: ignore[arg-type]
            recorded=self.recorded,
            has_strict=lambda: self.has_strict,
            on_behind=self.count,
            lag_seconds_max=2.0,
            wait_seconds=0.4,
        )

    def submit(self, planned: list[Planned], on_verdicts: VerdictSink) -> None:
        self.events.append(("submitted", len(planned)))
        on_verdicts(0, self.verdicts)

    async def cancel(self, refused: list[Refusal]) -> list[int]:
        await self.can_cancel.wait()
        self.events.append(("cancelled", refused))
        return self.stays

    async def is_empty(self) -> bool:
        if self.is_away:
            raise Unanswered("away")
        return False

    async def release(self, recorded: str) -> None:
        self.events.append(("released", recorded))

    async def journalled(self) -> str:
        return self.journal

    async def lag_ms(self, recorded: str) -> int:
        return self.lag

    async def recorded(self) -> str | None:
        if self.hangs:
            await asyncio.Event().wait()
        return self.record

    def count(self, messages: int) -> None:
        self.behind += messages

    def ask(self, *planned: Planned) -> None:
        self.admitter.submit(list(planned), lambda start, verdicts: self.events.append((start, verdicts)))

    @property
    def answers(self) -> list[Any]:
        return [event for event in self.events if isinstance(event[0], int)]

    async def until(self, done: Any) -> None:
        async with asyncio.timeout(5):
            while not done():
                await asyncio.sleep(0.005)

    async def until_current(self) -> None:
        await self.until(lambda: self.admitter._is_current)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig()
    task = asyncio.create_task(made.admitter.run())
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_other_accounts_are_answered_as_ever(rig: Rig) -> None:
    rig.lag, rig.record = 10**6, "0-0"
    rig.ask(plain(1))
    assert rig.events == [("submitted", 1), (0, [YES])]


async def test_a_yes_waits_for_the_record_and_comes_after_the_release(rig: Rig) -> None:
    await rig.until_current()
    rig.journal = "7-0"
    rig.ask(strict(1))
    await rig.until(lambda: rig.admitter._kept and rig.admitter._kept[0].until)
    rig.record = "6-9"
    await asyncio.sleep(0.1)
    assert not rig.answers
    rig.record = "7-0"
    await rig.until(lambda: rig.answers)
    assert rig.events.index(("released", "7-0")) < rig.events.index((0, [YES]))
    assert rig.behind == 0
    await rig.admitter.drain()


async def test_a_copy_is_told_yes_no_earlier_than_the_first(rig: Rig) -> None:
    await rig.until_current()
    rig.journal, rig.verdicts = "7-0", [Duplicate(1, 7, 1, 0, True)]
    rig.ask(strict(1, b"k"))
    await asyncio.sleep(0.1)
    assert not rig.answers
    rig.record = "7-0"
    await rig.until(lambda: rig.answers)
    assert rig.answers == [(0, rig.verdicts)]


async def test_a_no_does_not_wait(rig: Rig) -> None:
    await rig.until_current()
    rig.verdicts = [Refused(Reason.INSUFFICIENT_BALANCE)]
    rig.ask(strict(1))
    assert rig.answers == [(0, rig.verdicts)]


async def test_what_comes_while_the_record_is_behind_is_refused_before_it_is_admitted(rig: Rig) -> None:
    rig.ask(strict(1), strict(2))  # nobody has looked yet
    rig.lag = 1_999
    await rig.until_current()
    rig.lag = 2_001
    await rig.until(lambda: not rig.admitter._is_current)
    rig.ask(strict(3))
    assert rig.events == [event for event in rig.events if event[0] != "submitted"]
    assert rig.answers == [(0, [BEHIND, BEHIND]), (0, [BEHIND])]
    assert rig.behind == 3


@pytest.mark.parametrize("away", ["postgres", "hanging postgres", "redis"])
async def test_while_a_server_is_away_new_messages_are_refused(rig: Rig, away: str) -> None:
    await rig.until_current()
    if away == "redis":
        rig.is_away = True
    elif away == "postgres":
        rig.record = None  # type: ignore[assignment]
    else:
        rig.hangs = True

    def refused() -> bool:
        rig.ask(strict(1))
        return rig.answers != [] and rig.answers[-1] == (0, [BEHIND])

    await rig.until(refused)


async def test_a_commit_that_does_not_come_in_time_is_cancelled_and_refused_after_that(rig: Rig) -> None:
    """The message with a no of its own keeps it; nothing is answered before the cancellation is on disk."""
    await rig.until_current()
    rig.can_cancel.clear()
    rig.hangs, rig.journal = True, "7-0"
    rig.verdicts = [YES, Refused(Reason.QUEUE_FULL), Duplicate(9, 7, 1, 0, True)]
    began = time.monotonic()
    rig.ask(strict(1, b"k"), strict(2), strict(3, b"l"))
    await asyncio.sleep(0.6)
    assert not rig.answers
    rig.can_cancel.set()
    await rig.until(lambda: rig.answers)
    assert [event for event in rig.events if event[0] not in ("submitted", "released")] == [
        ("cancelled", [Refusal(1, "demo", "u1", b"k")]),
        (0, [BEHIND, Refused(Reason.QUEUE_FULL), BEHIND]),
    ]
    assert time.monotonic() - began < 3.0
    assert rig.behind == 2


async def test_what_a_copy_was_told_yes_for_is_not_refused_but_waits_on(rig: Rig) -> None:
    await rig.until_current()
    rig.journal, rig.stays = "7-0", [1]
    rig.ask(strict(1, b"k"))
    await rig.until(lambda: any(event[0] == "cancelled" for event in rig.events))
    await asyncio.sleep(0.1)
    assert not rig.answers
    rig.record = "7-0"
    await rig.until(lambda: rig.answers)
    assert rig.answers == [(0, [YES])]


async def test_what_a_dead_process_or_a_former_strict_account_left_is_released(rig: Rig) -> None:
    rig.has_strict = False
    await rig.until(lambda: ("released", "5-0") in rig.events)


async def test_an_error_of_asking_postgres_ends_the_run_and_the_next_one_answers(rig: Rig) -> None:
    await rig.until_current()
    rig.journal = "7-0"
    rig.ask(strict(1))
    real, rig.admitter._recorded = rig.admitter._recorded, broken
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(rig.admitter.run(), 5)
    rig.admitter._recorded, rig.record = real, "7-0"
    again = asyncio.create_task(rig.admitter.run())
    await rig.until(lambda: rig.answers)
    assert rig.answers == [(0, [YES])]
    again.cancel()


async def broken() -> str | None:
    raise ZeroDivisionError
