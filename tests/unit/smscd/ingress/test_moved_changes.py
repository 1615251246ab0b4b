"""A message that moves to another upstream while a customer wants it changed: the other owner is asked anew."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from smscd.core.records import ChangeKind, ChangeRequest, State
from smscd.ingress.changes import Change, MessageChanges
from storage.postgres.rows import Direction
from storage.redis.changes import ChangeAnswer


class Played:
    """The record, which shows one upstream after the other, and owners with an answer for each request."""

    def __init__(self, upstreams: list[str], answers: list[ChangeAnswer]) -> None:
        self.upstreams = upstreams
        self.given = answers
        self.asked: list[tuple[str, bool]] = []

    async def find(self, account: str, ids: list[int]) -> dict[int, Any]:
        found = SimpleNamespace(upstream=self.upstreams[0], state=State.QUEUED, direction=Direction.OUTBOUND)
        return {ids[0]: found}

    async def catch_up(self) -> None:
        """The record is always there."""

    async def ask(self, request: ChangeRequest) -> None:
        self.asked.append((request.message.upstream, request.is_queued))
        self.upstreams = self.upstreams[1:] or self.upstreams

    async def answers(self, upstream: str, ids: list[int]) -> list[ChangeAnswer | None]:
        return [self.given.pop(0)]


async def change(played: Played) -> Change:
    changes = MessageChanges(played, played)  # type: ignore[arg-type]  # the doubles
    return await changes._change(ChangeKind.CANCEL, "acme", 7, lambda found: found)  # type: ignore[arg-type,return-value]


async def test_the_owner_that_it_moved_to_is_not_told_that_it_said_anything_before() -> None:
    played = Played(["one", "two"], [ChangeAnswer.ABSENT, ChangeAnswer.ABSENT, ChangeAnswer.DONE])
    assert await change(played) is Change.DONE
    assert played.asked == [("one", False), ("two", False), ("two", True)]


async def test_an_owner_that_says_twice_that_it_has_nothing_is_not_asked_again() -> None:
    played = Played(["one"], [ChangeAnswer.ABSENT, ChangeAnswer.ABSENT])
    assert await change(played) is Change.NOT_ANSWERED
    assert played.asked == [("one", False), ("one", True)]
