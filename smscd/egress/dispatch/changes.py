"""Changes that customers want of messages: decided by the owner of the upstream, who alone knows what it has sent.

A message that the owner holds is changed, or it is too late. One that it does not hold is over, or waits in a queue
that was not read yet. The asker finds out which from the record, and asks again; that is believed only while the
message has not been read in between. What is changed of an unread message makes its blob's copy `gone`: it is dropped
when it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol

from smscd.core.records import ChangeRequest
from smscd.egress.dispatch.blobs import Item
from smscd.egress.dispatch.turn import Draft
from storage.redis.changes import ChangeAnswer
from storage.redis.errors import StorageUnavailable

ABSENT_KEPT_MS: Final = 60_000


class AskReader(Protocol):
    """The part of DispatchStore that this needs."""

    async def asks(self) -> list[ChangeRequest]: ...


class Changes:
    """What one dispatcher knows of changes.

    gone: messages to be dropped when they are read. absent: messages that were said to be absent, with the time, and
    were not read since.
    """

    __slots__ = ("_absent", "_is_rung", "gone")

    def __init__(self) -> None:
        self.gone: set[int] = set()
        self._absent: dict[int, int] = {}
        self._is_rung = True

    def ring(self) -> None:
        """There may be requests."""
        self._is_rung = True

    async def take(self, store: AskReader, draft: Draft, held: Callable[[], Iterable[Item]]) -> None:
        """Put what was asked for, and the answers, into the draft. held(): every message that is here."""
        if not self._is_rung:
            return
        self._is_rung = False
        try:
            requests = await store.asks()
        except StorageUnavailable:
            self._is_rung = True
            return
        if not requests:
            return
        wanted = {request.message.id for request in requests}
        gone = self.gone
        items = {
            item.record.id: item
            for item in held()
            if item.record.id in wanted and not item.is_elsewhere and (item.blob is None or item.record.id not in gone)
        }
        for request in requests:
            message_id = request.message.id
            item = items.get(message_id)
            if item is not None:
                draft.changed(request, item)
            elif message_id in gone:
                draft.answer(message_id, ChangeAnswer.LATE)
            elif request.is_queued and self._absent.pop(message_id, None) is not None:
                draft.changed(request, None)
            else:
                self._absent[message_id] = draft.now_ms
                draft.answer(message_id, ChangeAnswer.ABSENT)
        self.gone.update(draft.turn.gone)

    def claimed(self, draft: Draft, items: Callable[[], Iterable[Item]]) -> None:
        """Queues were read: look for what is gone, and for what is absent no longer."""
        if self._absent:
            for item in items():
                if not item.is_elsewhere:
                    self._absent.pop(item.record.id, None)
        if self.gone:
            draft.gone(item for item in items() if item.record.id in self.gone)
            self.gone.difference_update(draft.turn.dropped)

    def prune(self, now_ms: int) -> None:
        """Forget absences that nobody came back for."""
        if self._absent:
            self._absent = {
                message_id: at_ms for message_id, at_ms in self._absent.items() if now_ms - at_ms < ABSENT_KEPT_MS
            }
