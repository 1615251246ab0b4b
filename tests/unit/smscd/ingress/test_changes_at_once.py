"""Wishes to change one message that come while another is under way."""

from __future__ import annotations

import asyncio
from typing import Any

from smscd.core.records import ChangeKind
from smscd.ingress.changes import Change, MessageChanges
from storage.redis.changes import ChangeAnswer
from tests.unit.smscd.ingress.test_moved_changes import Played


def cancelling(changes: MessageChanges, kind: ChangeKind = ChangeKind.CANCEL, account: str = "acme") -> Any:
    return changes._change(kind, account, 7, lambda found: found)  # type: ignore[arg-type,return-value]


async def test_all_who_cancel_one_message_at_once_get_the_one_answer() -> None:
    for answer, change in ((ChangeAnswer.DONE, Change.DONE), (ChangeAnswer.LATE, Change.LATE)):
        played = Played(["one"], [answer, ChangeAnswer.LATE])
        changes = MessageChanges(played, played)  # type: ignore[arg-type]  # the doubles
        assert await asyncio.gather(*(cancelling(changes) for _ in range(5))) == [change] * 5
        assert played.asked == [("one", False)]
        assert await cancelling(changes) is Change.LATE, "who comes later is answered anew"
        assert not changes._changing


async def test_one_who_gives_up_takes_nobody_with_him() -> None:
    played = Played(["one"], [ChangeAnswer.DONE])
    changes = MessageChanges(played, played)  # type: ignore[arg-type]  # the doubles
    first, second = asyncio.create_task(cancelling(changes)), asyncio.create_task(cancelling(changes))
    await asyncio.sleep(0)
    first.cancel()
    assert await second is Change.DONE


async def test_a_replacement_does_not_get_the_answer_of_a_cancelling() -> None:
    played = Played(["one"], [ChangeAnswer.DONE])
    changes = MessageChanges(played, played)  # type: ignore[arg-type]  # the doubles
    wishes = (ChangeKind.CANCEL, ChangeKind.REPLACE)
    found = await asyncio.gather(*(cancelling(changes, kind) for kind in wishes))
    assert found == [Change.DONE, Change.NOT_ANSWERED]
