"""GET /v1/messages: an account's messages, newest first, a bounded part of the record at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Final, NamedTuple

import msgspec
from aiohttp import web
from msgspec import Meta

from smscd.core.directory_index import AccountEntry
from smscd.core.ids import first_id, message_ms
from smscd.core.records import State
from smscd.ingress.http.answers import Answer
from smscd.ingress.http.problems import BUSY, FieldError, Problem, invalid, problem
from smscd.ingress.http.queries import (
    CURSOR,
    LIMIT,
    LIMIT_DEFAULT,
    MOMENT,
    Parameter,
    Turns,
    one_of,
    read_query,
    write_cursor,
)
from smscd.ingress.http.record import message_shown
from smscd.ingress.http.server import Route
from smscd.ingress.http.views import DIRECTIONS, STATUSES, Message
from storage.postgres.message_pages import MessageFilter, read_page
from storage.postgres.pool import Pool
from storage.postgres.rows import Direction

PATH: Final = "/v1/messages"
READS_MAX: Final = 2
SPAN_MS: Final = 30 * 86_400_000
"""How far back is looked where nobody says: partitions before that are left alone."""

ADDRESS_PATTERN: Final = r"^\+?[ -~]{1,21}$"
_ADDRESS: Final = re.compile(ADDRESS_PATTERN)
_encode = msgspec.json.Encoder().encode


def _address(text: str) -> bytes | None:
    """An address as it is stored; a number with or without its plus sign, or with the space that an unescaped + is."""
    if not _ADDRESS.fullmatch(text):
        return None
    return text.removeprefix("+").removeprefix(" ").encode() if text[1:].isdigit() else text.encode()


PARAMETERS: Final = {
    "limit": LIMIT,
    "cursor": CURSOR,
    "status": Parameter(one_of(STATUSES), f"must be {', '.join(STATUSES[:-1])} or {STATUSES[-1]}", is_list=True),
    "direction": Parameter(one_of(DIRECTIONS), f"must be {' or '.join(DIRECTIONS)}"),
    "to": Parameter(_address, "must be an address: a number with + before it as %2B, a short code, or a name"),
    "from": Parameter(_address, "must be an address: a number with + before it as %2B, a short code, or a name"),
    "created_after": MOMENT,
    "created_before": MOMENT,
}


class MessagePage(msgspec.Struct, kw_only=True):
    """Messages, newest first. There is more as long as next_cursor is not null, also after fewer than limit."""

    data: list[Message]
    next_cursor: Annotated[str | None, Meta(description="Hand it back as cursor.", examples=["AQAAAAAAAAAq"])] = None


class Asked(NamedTuple):
    """What a valid query asks for. from_id: the newest that may be shown; end_id: they are all below it."""

    limit: int
    wanted: MessageFilter
    first_id: int
    end_id: int


def parse_query(
    query: Sequence[tuple[str, str]], now_ms: int, parameters: Mapping[str, Parameter] = PARAMETERS
) -> Asked | list[FieldError]:
    """The parameters of a URL, decoded; or everything that is wrong with them. `status` may stand more than once.

    Without created_after it is looked SPAN_MS back from created_before, or from now where that is earlier.
    """
    values, errors = read_query(query, parameters)
    if errors:
        return errors
    newest = first_id(now_ms + 1_000)
    end_id = min(values.get("created_before", newest), newest)
    after = values.get("created_after")
    if after is None:
        after = first_id(message_ms(end_id) - SPAN_MS)
    direction = values.get("direction")
    wanted = MessageFilter(
        states=tuple(State[status.upper()] for status in values.get("status", ())),
        direction=Direction[direction.upper()] if direction is not None else None,
        source=values.get("from"),
        dest=values.get("to"),
    )
    cursor = values.get("cursor")
    return Asked(values.get("limit", LIMIT_DEFAULT), wanted, after, end_id if cursor is None else min(cursor, end_id))


class Listing:
    """The resource; routes() is what a server is made with. pool: opens the pool when it is first needed."""

    def __init__(self, pool: Callable[[], Pool], clock_ms: Callable[[], int]) -> None:
        self._pool = pool
        self._clock_ms = clock_ms
        self._turns = Turns(READS_MAX)

    def routes(self) -> list[Route]:
        """The routes, as the document has them."""
        return [Route(PATH, keyed={"GET": self.page})]

    async def page(self, request: web.BaseRequest, entry: AccountEntry, _: str) -> Answer | Problem:
        """GET /v1/messages: from the record, so a message of this moment comes a little later."""
        asked = parse_query(list(request.query.items()), self._clock_ms())
        if not isinstance(asked, Asked):
            return invalid(asked)
        account = entry.account
        async with self._turns.take() as is_mine:
            if not is_mine:
                return problem(BUSY, "Too many lists are being read; try again.", headers=(("Retry-After", "1"),))
            page = await read_page(
                self._pool(), account.id, asked.wanted, limit=asked.limit, first_id=asked.first_id, end_id=asked.end_id
            )
        shown = [message_shown(found, account.currency) for found in page.messages]
        cursor = write_cursor(page.next_id) if page.next_id is not None else None
        return Answer(200, _encode(MessagePage(data=shown, next_cursor=cursor)))
