"""Cancelling, replacing and looking up messages for the doors: the record says who may, the owner what is so.

What the owner of the upstream does not hold is over, or waits in a queue that it has not read. The record, once it has
caught up with the owner's answer, says which; the owner is then asked a second time
(see smscd.egress.dispatch.changes).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from smscd.core.ids import first_id
from smscd.core.planning import LIFE_MAX_MS
from smscd.core.records import ChangeKind, ChangeRequest, MessageRecord, State
from smscd.ingress.record import RecordReader
from storage.postgres.messages import StoredMessage, record_of
from storage.postgres.rows import Direction
from storage.redis.changes import ChangeAnswer, ChangeAsks

ANSWER_SECONDS: Final = 2.0
POLL_SECONDS: Final = 0.01
CONCURRENCY_MAX: Final = 500
_WAITING: Final = (State.SCHEDULED, State.QUEUED, State.SENDING)


class Change(Enum):
    """What became of a wish to change a message.

    LATE: it was sent, or may have been, or is over. NOT_FOUND: the account has no such message. NOT_ANSWERED: nobody
    decided in time; it may still happen, and asking again tells.
    """

    DONE = auto()
    LATE = auto()
    NOT_FOUND = auto()
    NOT_ANSWERED = auto()


class MessageChanges:
    """One for a process; at most CONCURRENCY_MAX changes are under way, the others wait.

    All methods raise StorageUnavailable, RecordBehind, or what PostgreSQL raises when it is away.
    """

    def __init__(self, record: RecordReader, asks: ChangeAsks) -> None:
        self._record = record
        self._asks = asks
        self._room = asyncio.Semaphore(CONCURRENCY_MAX)
        self._changing: dict[tuple[str, int], tuple[ChangeKind, asyncio.Task[Change]]] = {}
        self._waiting: dict[tuple[str, int], tuple[float, asyncio.Future[ChangeAnswer | None]]] = {}
        self._polling: asyncio.Task[None] | None = None

    async def find(self, account: str, message_id: int) -> StoredMessage | None:
        """A message as it is now: one that is not over is read again once the record has caught up."""
        found = (await self._record.find(account, [message_id])).get(message_id)
        if found is not None and (found.state.is_final or found.direction == Direction.INBOUND):
            return found
        await self._record.catch_up()
        return (await self._record.find(account, [message_id])).get(message_id)

    async def group(self, account: str, group_id: int) -> list[StoredMessage]:
        """All messages of a submit_multi, as the record has them now."""
        return await self._record.find_group(account, group_id)

    async def pending(
        self, account: str, source: bytes, dest: bytes, service_type: bytes, now_ms: int, limit: int
    ) -> list[int]:
        """Ids of messages between two addresses that may not be sent yet, oldest first. service_type b"": any."""
        await self._record.catch_up()
        oldest_id = first_id(now_ms - LIFE_MAX_MS)
        return await self._record.find_pending(account, source, dest, service_type, oldest_id, limit)

    async def catch_up(self) -> None:
        """Return when all that was admitted until now could be found."""
        await self._record.catch_up()

    async def replaced_by(self, record: MessageRecord, before_id: int, now_ms: int, limit: int) -> list[int]:
        """Ids of messages that may not be sent yet, with the addresses and service_type of `record`; newest first.

        Older than before_id; searched are the newest messages of the account, so far back that a search is short.
        """
        await self._record.catch_up()
        return await self._record.find_replaced(record, first_id(now_ms - LIFE_MAX_MS), before_id, limit)

    async def cancel(self, account: str, message_id: int) -> Change:
        """End a message that was not sent. Who wants that while another's wish is under way gets the same answer."""
        return await self._change(ChangeKind.CANCEL, account, message_id, record_of)

    async def replace(self, account: str, message_id: int, make: Callable[[StoredMessage], MessageRecord]) -> Change:
        """Exchange what is sent. make: the record as it shall be, from the message as it is."""
        return await self._change(ChangeKind.REPLACE, account, message_id, make)

    async def _change(
        self,
        kind: ChangeKind,
        account: str,
        message_id: int,
        make: Callable[[StoredMessage], MessageRecord],
    ) -> Change:
        wish = (account, message_id)
        under_way = self._changing.get(wish)
        if under_way is None:
            under_way = (kind, asyncio.create_task(self._decide_in_room(kind, account, message_id, make)))
            self._changing[wish] = under_way
            under_way[1].add_done_callback(lambda _: self._changing.pop(wish))
        elif kind is not ChangeKind.CANCEL or under_way[0] is not kind:
            return Change.NOT_ANSWERED
        return await asyncio.shield(under_way[1])

    async def _decide_in_room(
        self,
        kind: ChangeKind,
        account: str,
        message_id: int,
        make: Callable[[StoredMessage], MessageRecord],
    ) -> Change:
        async with self._room:
            return await self._decide(kind, account, message_id, make)

    async def _decide(
        self,
        kind: ChangeKind,
        account: str,
        message_id: int,
        make: Callable[[StoredMessage], MessageRecord],
    ) -> Change:
        is_queued, asked = False, ""
        while True:
            found = await self.find(account, message_id)
            if found is None or found.direction == Direction.INBOUND:
                return Change.NOT_FOUND
            if found.state == State.CANCELED and kind is ChangeKind.CANCEL:
                return Change.DONE
            if found.state not in _WAITING:
                return Change.LATE
            if found.upstream != asked:  # it moved meanwhile, and the owner of the other has said nothing yet
                is_queued, asked = False, found.upstream
            await self._asks.ask(ChangeRequest(kind, make(found), is_queued))
            answer = await self._answer(found.upstream, message_id)
            if answer is None or (answer is ChangeAnswer.ABSENT and is_queued):
                return Change.NOT_ANSWERED
            if answer is not ChangeAnswer.ABSENT:
                return Change.DONE if answer is ChangeAnswer.DONE else Change.LATE
            is_queued = True

    async def _answer(self, upstream: str, message_id: int) -> ChangeAnswer | None:
        """What the owner says; None when nobody does within ANSWER_SECONDS. All who wait share the look at Redis."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[ChangeAnswer | None] = loop.create_future()
        self._waiting[upstream, message_id] = (loop.time() + ANSWER_SECONDS, answered)
        if self._polling is None:
            self._polling = asyncio.create_task(self._poll())
        return await answered

    async def _poll(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                await asyncio.sleep(POLL_SECONDS)
                for upstream in {upstream for upstream, _ in self._waiting}:
                    ids = [message_id for name, message_id in self._waiting if name == upstream]
                    found = await self._asks.answers(upstream, ids)
                    for message_id, answer in zip(ids, found, strict=True):
                        ends, answered = self._waiting[upstream, message_id]
                        if answer is not None or loop.time() >= ends:
                            del self._waiting[upstream, message_id]
                            if not answered.done():
                                answered.set_result(answer)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is the waiters' to know
            waiting, self._waiting = self._waiting, {}
            for _, answered in waiting.values():
                if not answered.done():
                    answered.set_exception(error)
        finally:
            self._polling = None
