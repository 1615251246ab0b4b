"""Reads out of the record what a lost Redis is built from again, in pages of bounded size, oldest messages first."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from storage.postgres.messages import StoredMessage, get_messages
from storage.postgres.overflow import still_waiting
from storage.postgres.partitions import ID_TIME_SHIFT
from storage.postgres.pool import Connection
from storage.postgres.rows import Direction, wire_bytes
from storage.postgres.statements import load

PAGE_MESSAGES = 2_000
WINDOW_MS = 3_600_000
CALLBACK_LIFE_MS = 30 * 86_400_000
"""How long after its admission a message may still be told of: validity, late receipts and all attempts."""
LOCK_KEY = 0x736D_7363_6472
_SQL = load("recovery")


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """How far back is read. Unsent messages and open callbacks have no limit.

    sent_ms: receipts of what was sent since then must find their message, which is not older than sent_id. ended_ms:
    also when it has ended since then, because an upstream repeats what it saw no answer to. answers_id: since when the
    answers to requests with a key must be the same. parts_id: since when a part of a message from a phone may wait.
    """

    sent_ms: int
    sent_id: int
    ended_ms: int
    answers_id: int
    parts_id: int


class SentRow(NamedTuple):
    """A row of `segments`."""

    message_id: int
    segment: int
    upstream: str
    upstream_message_id: bytes
    sent_ms: int


class EventRow(NamedTuple):
    """A row of `message_events`. kind: rows.EventKind."""

    message_id: int
    kind: int
    at_ms: int
    segment: int
    attempt: int
    state: int
    command_status: int
    stat: bytes
    err: bytes
    raw: bytes


@dataclass(slots=True)
class Found:
    """A message with all that was recorded of it; no events of one that was sent whole and asks for nothing more.

    is_apart: it waits in PostgreSQL alone.
    """

    message: StoredMessage
    sent: list[SentRow]
    events: list[EventRow]
    is_apart: bool = False


async def bounds(connection: Connection) -> tuple[int, int]:
    """The first and the last id of a message; zeros without messages."""
    row = await connection.fetchrow(_SQL["bounds"])
    assert row is not None  # an aggregate
    return row["least"], row["greatest"]


async def pages(
    connection: Connection, since: Since, first_id: int, last_id: int
) -> AsyncIterator[tuple[int, list[Found]]]:
    """What Redis has to know of the messages from first_id to last_id: (id that was read up to, messages) each time.

    Also yields when nothing was found for an hour of the record, so that progress can be shown.
    """
    window = WINDOW_MS << ID_TIME_SHIFT
    at = first_id
    while at <= last_id:
        end = min(at + window, last_id + 1)
        while True:
            limits = (since.sent_id, since.ended_ms, since.answers_id, since.parts_id)
            ids = [row["id"] for row in await connection.fetch(_SQL["find"], at, end, *limits, PAGE_MESSAGES)]
            at = ids[-1] + 1 if len(ids) == PAGE_MESSAGES else end
            yield at, await read(connection, ids)
            if len(ids) < PAGE_MESSAGES:
                break


async def read(connection: Connection, ids: Sequence[int], *, with_events: bool = False) -> list[Found]:
    """These messages with all that was recorded of them. with_events: also of those whose story asks for none."""
    if not ids:
        return []
    messages = await get_messages(connection, ids, None)
    found = {message.id: Found(message, [], []) for message in sorted(messages, key=lambda message: message.id)}
    for row in await connection.fetch(_SQL["segments"], ids):
        sent = SentRow(*row)
        found[sent.message_id].sent.append(sent._replace(upstream_message_id=wire_bytes(row["upstream_message_id"])))
    for message_id in await still_waiting(
        connection, [one.message.id for one in found.values() if _waits(one.message)]
    ):
        found[message_id].is_apart = True
    asked = [one.message.id for one in found.values() if with_events or _has_a_story(one.message)]
    for row in await connection.fetch(_SQL["events"], asked) if asked else ():
        event = EventRow(*row)
        found[event.message_id].events.append(
            event._replace(stat=wire_bytes(row["stat"] or ""), err=wire_bytes(row["err"] or ""), raw=row["raw"] or b"")
        )
    return list(found.values())


def _has_a_story(message: StoredMessage) -> bool:
    """True when what Redis has to know depends on more than how the message stands."""
    if message.direction == Direction.INBOUND:
        return False
    return bool(_waits(message) or message.callbacks_open or len(message.segments) > 1 or message.stored_answer)


def _waits(message: StoredMessage) -> bool:
    """True for a message to a phone that no upstream has taken."""
    return message.direction == Direction.OUTBOUND and message.state <= 2


async def lock(connection: Connection) -> bool:
    """Have recovery alone to this connection, until it is closed."""
    return bool(await connection.fetchval(_SQL["lock"], LOCK_KEY))


async def users(connection: Connection) -> list[str]:
    """What else of ours is connected to this database, by its name; commands that only look are left out."""
    return [row["application_name"] for row in await connection.fetch(_SQL["users"])]
