"""Reads an account's messages by page, newest first, never more of the record than a page is allowed to look at."""

from __future__ import annotations

from typing import Final, NamedTuple

from smscd.core.records import State
from storage.postgres.messages import StoredMessage, message_of_row
from storage.postgres.pool import Database, acquired
from storage.postgres.rows import Direction, stored_text
from storage.postgres.statements import load

SCANNED_MAX: Final = 10_000
READ_SECONDS: Final = 5.0

_SQL = load("message_pages")


class MessageFilter(NamedTuple):
    """Which messages. states: empty for any; the others None for any. source, dest: bytes of the wire.

    without_parts: not what belongs to a whole: parts of a message from a phone, messages of a submit_multi.
    """

    states: tuple[State, ...] = ()
    direction: Direction | None = None
    source: bytes | None = None
    dest: bytes | None = None
    without_parts: bool = False


class MessagePage(NamedTuple):
    """Messages, newest first. next_id: the next page is of those below it; None when there is nothing after these."""

    messages: list[StoredMessage]
    next_id: int | None


async def read_page(
    database: Database, account: str, wanted: MessageFilter, *, limit: int, first_id: int, end_id: int
) -> MessagePage:
    """Up to `limit` messages with ids from first_id up to, not including, end_id.

    It looks at SCANNED_MAX messages at most: a page may hold fewer than limit, or nothing, and still have a next_id.
    """
    source, dest = (stored_text(wire).decode() if wire is not None else None for wire in (wanted.source, wanted.dest))
    async with acquired(database) as connection:
        looked_to = await connection.fetchval(
            _SQL["page_end"], account, first_id, end_id, SCANNED_MAX - 1, timeout=READ_SECONDS
        )
        rows = await connection.fetch(
            _SQL["page"], account, first_id if looked_to is None else looked_to, end_id,
            list(wanted.states) or None, wanted.direction, source, dest, limit, wanted.without_parts,
            timeout=READ_SECONDS,
        )  # fmt: skip
    messages = [message_of_row(row) for row in rows]
    return MessagePage(messages, messages[-1].id if len(messages) == limit else looked_to)
