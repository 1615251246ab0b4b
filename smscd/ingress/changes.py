"""Cancelling, replacing and looking up messages for the doors: ownership from the record, the decision from the owner.

What the owner of the upstream does not hold is over, or waits in a queue that it has not read. The record, once it has
caught up with the owner's answer, says which; the owner is then asked a second time (see smscd.egress.changes).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from smscd.core.ids import first_id
from smscd.core.planning import VALIDITY_MAX_MS
from smscd.core.records import ChangeKind, ChangeRequest, MessageRecord, State
from smscd.ingress.record import RecordReader
from storage.postgres.messages import StoredMessage
from storage.postgres.rows import Direction
from storage.redis.changes import ChangeAnswer, ChangeAsks

ANSWER_SECONDS: Final = 2.0
POLL_SECONDS_FIRST: Final = 0.01
POLL_SECONDS_MAX: Final = 0.1
CONCURRENCY_MAX: Final = 64
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
        oldest_id = first_id(now_ms - VALIDITY_MAX_MS)
        return await self._record.find_pending(account, source, dest, service_type, oldest_id, limit)

    async def cancel(self, account: str, message_id: int) -> Change:
        """End a message that was not sent."""
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
        async with self._room:
            is_queued = False
            while True:
                found = await self.find(account, message_id)
                if found is None or found.direction == Direction.INBOUND:
                    return Change.NOT_FOUND
                if found.state == State.CANCELED and kind is ChangeKind.CANCEL:
                    return Change.DONE
                if found.state not in _WAITING:
                    return Change.LATE
                await self._asks.ask(ChangeRequest(kind, make(found), is_queued))
                answer = await self._answer(found.upstream, message_id)
                if answer is None or (answer is ChangeAnswer.ABSENT and is_queued):
                    return Change.NOT_ANSWERED
                if answer is not ChangeAnswer.ABSENT:
                    return Change.DONE if answer is ChangeAnswer.DONE else Change.LATE
                is_queued = True

    async def _answer(self, upstream: str, message_id: int) -> ChangeAnswer | None:
        """What the owner says; None when nobody does within ANSWER_SECONDS."""
        loop = asyncio.get_running_loop()
        ends, pause = loop.time() + ANSWER_SECONDS, POLL_SECONDS_FIRST
        while loop.time() < ends:
            await asyncio.sleep(pause)
            [answer] = await self._asks.answers(upstream, [message_id])
            if answer is not None:
                return answer
            pause = min(2 * pause, POLL_SECONDS_MAX)
        return None


def record_of(found: StoredMessage) -> MessageRecord:
    """The message as its queue has it, made again from the record."""
    return MessageRecord(
        id=found.id,
        account=found.account,
        upstream=found.upstream,
        priority=found.priority,
        door=found.door,
        source_ton=found.source_ton,
        source_npi=found.source_npi,
        source=found.source,
        dest_ton=found.dest_ton,
        dest_npi=found.dest_npi,
        dest=found.dest,
        esm_class=found.esm_class,
        protocol_id=found.protocol_id,
        data_coding=found.data_coding,
        registered_delivery=found.registered_delivery,
        segments=list(found.segments),
        price_micros=found.price_micros,
        valid_until_ms=round(found.valid_until.timestamp() * 1000) if found.valid_until is not None else 0,
        via=found.via,
        tariff=found.tariff,
        service_type=found.service_type,
        tlvs=found.tlvs or b"",
        client_ref=found.client_ref,
        callback_url=found.callback_url,
        metadata=found.metadata.encode() if found.metadata else None,
        request_key=found.request_key,
        attempt=found.attempts,
        group_id=found.group_id or 0,
        conversion=found.conversion,
    )
