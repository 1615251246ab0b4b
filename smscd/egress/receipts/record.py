"""What the record says of receipts that Redis knows nothing of (any more): the segments that have their ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from smscd.core.records import SentContext, State
from smscd.egress.dispatch.turn import sent_context
from storage.postgres.messages import FOUND_OF_AN_ID_MAX, find_ends, find_segments, get_messages, record_of
from storage.postgres.pool import UNAVAILABLE, Database


class RecordAway(Exception):
    """PostgreSQL cannot be asked now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdFound:
    """A segment that was accepted under an id. is_one_of_many: there are more than were read.

    states: what receipt.lua keeps of its message, (what follows its id in the field, value) each.
    """

    response_id: bytes
    context: SentContext
    states: list[tuple[bytes, int]]
    is_one_of_many: bool = False


class ColdRecord(Protocol):
    """Whom the receipts' side asks."""

    async def find(self, upstream: str, response_ids: Sequence[bytes], oldest_id: int) -> list[ColdFound]:
        """The segments of messages from oldest_id on that an upstream has accepted under these ids.

        Raises RecordAway.
        """
        ...


class PostgresRecord:
    """The same of PostgreSQL. database: asked for at each look."""

    def __init__(self, database: Callable[[], Database]) -> None:
        self._database = database

    async def find(self, upstream: str, response_ids: Sequence[bytes], oldest_id: int) -> list[ColdFound]:
        """As ColdRecord has it."""
        try:
            database = self._database()
            rows = await find_segments(database, upstream, response_ids, oldest_id)
            if not rows:
                return []
            ids = list({row.message_id for row in rows})
            messages = {found.id: found for found in await get_messages(database, ids, None)}
            long = [found.id for found in messages.values() if len(found.segments) > 1]
            ends = await find_ends(database, long) if long else {}
        except UNAVAILABLE as error:
            raise RecordAway(str(error)) from error
        counts: dict[bytes, int] = {}
        for row in rows:
            counts[row.upstream_message_id] = counts.get(row.upstream_message_id, 0) + 1
        found = []
        for row in rows:
            message = messages.get(row.message_id)
            if message is not None:
                found.append(
                    ColdFound(
                        response_id=row.upstream_message_id,
                        context=sent_context(record_of(message), row.segment),
                        states=states_of(message.state, ends.get(message.id, {})),
                        is_one_of_many=counts[row.upstream_message_id] >= FOUND_OF_AN_ID_MAX,
                    )
                )
        return found


def states_of(state: State, ends: Mapping[int, int]) -> list[tuple[bytes, int]]:
    """What receipt.lua keeps of a message in `state`, of which these segments have had a final receipt."""
    states = [(b"", int(state))] if state.is_final else []
    states += [(b":%d" % segment, end) for segment, end in ends.items()]
    delivered = sum(end == State.DELIVERED for end in ends.values())
    if delivered:
        states.append((b":n", delivered))
    return states
