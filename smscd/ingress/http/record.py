"""What the record says of a message, as the HTTP interface shows it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET

from smscd.core.callbacks import address_text, encoding_name
from smscd.core.directory_index import DirectoryIndex
from smscd.core.ids import message_ms
from smscd.core.records import State
from smscd.ingress.http.views import Message, MessageDetail, MessageError, Money, TimelineItem, moment, money
from storage.postgres.messages import StoredMessage, TimelineEntry, get_message, recorded_id
from storage.postgres.pool import Pool
from storage.postgres.rows import Direction
from storage.redis.journal import JournalReader

_ERRORS = {
    State.UNDELIVERED: "The carrier could not deliver the message.",
    State.EXPIRED: "The message was not delivered within its validity.",
    State.REJECTED: "The carrier rejected the message.",
    State.FAILED: "The carrier did not accept the message.",
    State.UNKNOWN: "What became of the message is not known.",
}


class Record:
    """Reads single messages; an http_resources.MessageReader. pool: opens the pool when it is first needed."""

    def __init__(
        self, pool: Callable[[], Pool], journal: JournalReader, directory: Callable[[], DirectoryIndex]
    ) -> None:
        self._pool = pool
        self._journal = journal
        self._directory = directory

    async def find(self, account: str, message_id: int) -> MessageDetail | None:
        """A message of this account with its timeline; None when the record does not have it (yet)."""
        found = await get_message(self._pool(), message_id, account=account, with_timeline=True)
        if found is None:
            return None
        known = self._directory().account(account)
        return message_detail(found, known.currency if known is not None else "")

    async def recorded_until(self, _account: str) -> str:
        """The journal id up to which the record goes."""
        return await recorded_id(self._pool(), 0) or "0-0"

    async def journalled_until(self, _account: str) -> str:
        """The id of the last journal entry."""
        return await self._journal.last_id()


def message_shown(found: StoredMessage, currency: str) -> Message:
    """A row as the customer sees it."""
    return Message(**_shown(found, currency))


def message_detail(found: StoredMessage, currency: str) -> MessageDetail:
    """A row and its timeline as the customer sees them."""
    return MessageDetail(
        **_shown(found, currency),
        done_at=_moment(found.done_at) if found.done_at is not None else None,
        metadata=msgspec.json.decode(found.metadata, type=dict[str, str]) if found.metadata else None,
        timeline=[_item(entry) for entry in found.timeline],
    )


def _shown(found: StoredMessage, currency: str) -> dict[str, Any]:
    error = None
    if found.state in _ERRORS:
        error = MessageError(found.error_code or found.state.name.lower(), _ERRORS[found.state])
    return {
        "id": str(found.id),
        "status": found.state.name.lower(),
        "direction": "inbound" if found.direction == Direction.INBOUND else "outbound",
        "to": address_text(found.dest_ton, found.dest),
        "sender": address_text(found.source_ton, found.source),
        "encoding": encoding_name(found.data_coding),
        "segments": max(1, found.parts),
        "price": Money(money(found.price_micros - found.refunded_micros), currency),
        "client_ref": found.client_ref,
        "error": error,
        "created_at": moment(message_ms(found.id)),
        "send_at": _moment(found.send_at) if found.send_at is not None else UNSET,
    }


def _item(entry: TimelineEntry) -> TimelineItem:
    return TimelineItem(
        at=_moment(entry.at),
        what=entry.what,
        segment=entry.segment,
        attempt=entry.attempt,
        upstream=entry.upstream,
        detail=entry.detail,
    )


def _moment(at: datetime) -> str:
    return moment(round(at.timestamp() * 1000))
