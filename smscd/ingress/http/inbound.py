"""GET /v1/inbound: messages from phones to the account's numbers, whole where they came in parts, newest first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Final, Protocol

import msgspec
from aiohttp import web
from msgspec import Meta

from smscd.core.callbacks import ENCODINGS, address_text, encoding_name, text_of
from smscd.core.directory_index import AccountEntry
from smscd.core.ids import message_ms
from smscd.ingress.http.answers import Answer
from smscd.ingress.http.listing import PARAMETERS as LISTED
from smscd.ingress.http.listing import Asked, parse_query
from smscd.ingress.http.problems import BUSY, NOT_FOUND, Problem, invalid, problem, unavailable
from smscd.ingress.http.queries import Turns, read_id, write_cursor
from smscd.ingress.http.server import Route
from smscd.ingress.http.views import Digits, moment
from smscd.ingress.record import RecordBehind
from storage.postgres.message_pages import read_page
from storage.postgres.messages import StoredMessage
from storage.postgres.pool import Pool
from storage.postgres.rows import Direction

PATH: Final = "/v1/inbound"
READS_MAX: Final = 2
PARAMETERS: Final = {name: LISTED[name] for name in LISTED if name not in ("status", "direction")}
_encode = msgspec.json.Encoder().encode


class Rows(Protocol):
    """smscd.ingress.record.RecordReader, as it is needed here."""

    async def find(self, account: str, message_ids: Sequence[int]) -> dict[int, StoredMessage]:
        """Messages of an account by id; those that the record does not have are missing."""

    async def catch_up(self) -> None:
        """Return when the record has all that was so until now."""


class InboundMessage(msgspec.Struct, kw_only=True, rename={"sender": "from"}):
    """A message from a phone, as the webhook message.received tells it."""

    id: Annotated[Digits, Meta(examples=["7236514482193408003"])]
    sender: str
    to: Annotated[str, Meta(description="Your number.")]
    text: Annotated[str | None, Meta(description="null where nobody can say what text it is: see content_hex.")]
    encoding: Annotated[str, Meta(extra_json_schema={"enum": list(ENCODINGS)})]
    content_hex: Annotated[str, Meta(description="The octets as they came.", pattern="^([0-9a-f]{2})*$")]
    received_at: Annotated[str, Meta(extra_json_schema={"format": "date-time"}, examples=["2026-11-22T14:48:34.504Z"])]


class InboundPage(msgspec.Struct, kw_only=True):
    """Messages, newest first. There is more as long as next_cursor is not null, also after fewer than limit."""

    data: list[InboundMessage]
    next_cursor: Annotated[str | None, Meta(description="Hand it back as cursor.", examples=["AQAAAAAAAAAq"])] = None


class Inbound:
    """The resources; routes() is what a server is made with. pool: opens the pool when it is first needed."""

    def __init__(self, pool: Callable[[], Pool], rows: Rows, clock_ms: Callable[[], int]) -> None:
        self._pool = pool
        self._rows = rows
        self._clock_ms = clock_ms
        self._turns = Turns(READS_MAX)

    def routes(self) -> list[Route]:
        """The routes, as the document has them."""
        return [Route(PATH, keyed={"GET": self.page}), Route(PATH + "/{id}", keyed={"GET": self.message})]

    async def page(self, request: web.BaseRequest, entry: AccountEntry, _: str) -> Answer | Problem:
        """GET /v1/inbound: from the record, so a message of this moment comes a little later."""
        asked = parse_query(list(request.query.items()), self._clock_ms(), PARAMETERS)
        if not isinstance(asked, Asked):
            return invalid(asked)
        wanted = asked.wanted._replace(direction=Direction.INBOUND, without_parts=True)
        async with self._turns.take() as is_mine:
            if not is_mine:
                return problem(BUSY, "Too many lists are being read; try again.", headers=(("Retry-After", "1"),))
            page = await read_page(
                self._pool(), entry.account.id, wanted, limit=asked.limit, first_id=asked.first_id, end_id=asked.end_id
            )
        cursor = write_cursor(page.next_id) if page.next_id is not None else None
        return Answer(200, _encode(InboundPage(data=[_shown(each) for each in page.messages], next_cursor=cursor)))

    async def message(self, _: web.BaseRequest, entry: AccountEntry, text: str) -> Answer | Problem:
        """GET /v1/inbound/{id}: waits for the writer before it says 404."""
        message_id, account = read_id(text), entry.account.id
        if message_id is None:
            return problem(NOT_FOUND)
        found = (await self._rows.find(account, [message_id])).get(message_id)
        if found is None:
            try:
                await self._rows.catch_up()
            except RecordBehind:
                return unavailable("The record is behind; whether this message exists is not known yet. Ask again.")
            found = (await self._rows.find(account, [message_id])).get(message_id)
        if found is None or found.direction != Direction.INBOUND or found.group_id is not None:
            return problem(NOT_FOUND, "The account was sent no message with this id.")
        return Answer(200, _encode(_shown(found)))


def _shown(found: StoredMessage) -> InboundMessage:
    body = b"".join(found.segments)
    return InboundMessage(
        id=str(found.id),
        sender=address_text(found.source_ton, found.source),
        to=address_text(found.dest_ton, found.dest),
        text=text_of(body, found.data_coding, found.esm_class),
        encoding=encoding_name(found.data_coding),
        content_hex=body.hex(),
        received_at=moment(message_ms(found.id)),
    )
