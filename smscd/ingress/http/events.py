"""GET /v1/events: what webhooks tell, for those who would rather ask; oldest first, none left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from smscd.core.callback_records import CallbackKind, CallbackRecord
from smscd.core.callbacks import inbound_callback, low_balance_callback, webhook_event
from smscd.core.directory_index import AccountEntry, DirectoryIndex
from smscd.core.ids import message_ms
from smscd.core.profiles import decode_named, tlv_profile
from smscd.core.records import InboundRecord
from smscd.ingress.http.answers import Answer
from smscd.ingress.http.problems import BUSY, EVENTS_GONE, Problem, invalid, problem
from smscd.ingress.http.queries import CURSOR, LIMIT, LIMIT_DEFAULT, Parameter, Turns, read_query, write_cursor
from smscd.ingress.http.server import Route
from storage.postgres.account_events import StoredEvent, find_warnings, read_events
from storage.postgres.messages import StoredMessage, get_messages
from storage.postgres.pool import Pool
from storage.postgres.warnings import Warned

PATH: Final = "/v1/events"
READS_MAX: Final = 2
PARAMETERS: Final[Mapping[str, Parameter]] = {"after": CURSOR, "limit": LIMIT}
_encode = msgspec.json.Encoder().encode


class Event(msgspec.Struct, kw_only=True, rename={"kind": "type"}):
    """One event. id: as the header webhook-id has it; the rest is the webhook's body."""

    id: Annotated[str, Meta(examples=["msg_7236514482193408001_delivered"])]
    kind: Annotated[str, Meta(examples=["message.delivered"])]
    timestamp: Annotated[str, Meta(extra_json_schema={"format": "date-time"}, examples=["2026-11-22T14:48:39Z"])]
    data: Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "object"})]


class EventPage(msgspec.Struct, kw_only=True):
    """Events, oldest first. next_after: hand it back as after, also when there was nothing yet.

    has_more: whether it is worth asking again at once.
    """

    data: list[Event]
    next_after: Annotated[str, Meta(examples=["AQAAAAAAAAAq"])]
    has_more: bool


class _Body(msgspec.Struct, rename={"kind": "type"}):
    """A webhook's body."""

    kind: str
    timestamp: str
    data: msgspec.Raw


_decode = msgspec.json.Decoder(_Body).decode


class Events:
    """The resource; routes() is what a server is made with. pool: opens the pool when it is first needed."""

    def __init__(self, pool: Callable[[], Pool], directory: Callable[[], DirectoryIndex]) -> None:
        self._pool = pool
        self._directory = directory
        self._turns = Turns(READS_MAX)

    def routes(self) -> list[Route]:
        """The routes, as the document has them."""
        return [Route(PATH, keyed={"GET": self.page})]

    async def page(self, request: web.BaseRequest, entry: AccountEntry, _: str) -> Answer | Problem:
        """GET /v1/events: kept from the first question on, and for a week."""
        values, errors = read_query(list(request.query.items()), PARAMETERS)
        if errors:
            return invalid(errors)
        limit: int = values.get("limit", LIMIT_DEFAULT)
        async with self._turns.take() as is_mine:
            if not is_mine:
                return problem(BUSY, "Too many lists are being read; try again.", headers=(("Retry-After", "1"),))
            pool, account = self._pool(), entry.account.id
            page = await read_events(pool, account, values.get("after"), limit)
            if not page.is_kept:
                return problem(EVENTS_GONE)
            ids = [event.id for event in page.events if event.kind != CallbackKind.LOW_BALANCE]
            rows = {found.id: found for found in await get_messages(pool, ids, account)} if ids else {}
            entries = [event.id for event in page.events if event.kind == CallbackKind.LOW_BALANCE]
            warnings = await find_warnings(pool, entries) if entries else {}
        last = page.events[-1].position if page.events else values.get("after", page.floor)
        shown = self._shown(page.events, rows, warnings)
        return Answer(
            200,
            _encode(EventPage(data=shown, next_after=write_cursor(last), has_more=len(page.events) == limit)),
        )

    def _shown(
        self, events: Sequence[StoredEvent], rows: Mapping[int, StoredMessage], warnings: Mapping[int, Warned]
    ) -> list[Event]:
        """As a webhook would have them. What an event is of is gone only when its partition was dropped."""
        shown = []
        for event in events:
            if event.kind == CallbackKind.LOW_BALANCE:
                callback = _of_warning(warnings[event.id]) if event.id in warnings else None
            elif event.id not in rows:
                callback = None
            elif event.kind == CallbackKind.INBOUND:
                callback = self._of_inbound(event, rows[event.id])
            else:
                callback = _of_message(event, rows[event.id])
            if callback is not None:
                told = webhook_event(callback)
                body = _decode(told.body)
                shown.append(Event(id=told.id, kind=body.kind, timestamp=body.timestamp, data=body.data))
        return shown

    def _of_inbound(self, event: StoredEvent, found: StoredMessage) -> CallbackRecord:
        upstream = self._directory().upstream(found.upstream)
        profile = tlv_profile(upstream) if upstream is not None and found.tlvs else None
        record = InboundRecord(
            found.id,
            found.account,
            found.upstream,
            found.source_ton,
            found.source_npi,
            found.source,
            found.dest_ton,
            found.dest_npi,
            found.dest,
            found.esm_class,
            found.protocol_id,
            found.data_coding,
            b"".join(found.segments),
            event.told_ms,
        )
        return inbound_callback(record, decode_named(profile, found.tlvs or b"") if profile is not None else None)


def _of_message(event: StoredEvent, found: StoredMessage) -> CallbackRecord:
    """The callback of a message's end; the fields that no webhook shows are empty."""
    return CallbackRecord(
        int(CallbackKind.RECEIPT),
        found.id,
        found.account,
        event.state,
        event.stat,
        event.err,
        message_ms(found.id),
        event.told_ms,
        found.source_ton,
        found.source_npi,
        found.source,
        found.dest_ton,
        found.dest_npi,
        found.dest,
        0,
        found.data_coding,
        found.parts,
        b"",
        client_ref=found.client_ref,
    )


def _of_warning(found: Warned) -> CallbackRecord:
    return low_balance_callback(
        found.id,
        found.account,
        found.currency,
        balance_micros=found.balance_micros,
        low_balance_micros=found.low_balance_micros,
        at_ms=found.at_ms,
    )
