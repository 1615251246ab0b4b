"""GET /v1/transactions: an account's entries in the ledger, newest first, a bounded part of the record at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Final, NamedTuple

import msgspec
from aiohttp import web
from msgspec import Meta

from smscd.core.directory_index import AccountEntry
from smscd.core.ids import message_ms
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
from smscd.ingress.http.server import Route
from smscd.ingress.http.views import Digits, Money, moment, money
from storage.postgres.account_entries import ENTRY_KINDS, BookedEntry, EntryPage, read_page
from storage.postgres.pool import Pool

PATH: Final = "/v1/transactions"
READS_MAX: Final = 3

PARAMETERS: Final = {
    "limit": LIMIT,
    "cursor": CURSOR,
    "kind": Parameter(one_of(ENTRY_KINDS), f"must be {', '.join(ENTRY_KINDS[:-1])} or {ENTRY_KINDS[-1]}", is_list=True),
    "created_after": MOMENT,
    "created_before": MOMENT,
}
_encode = msgspec.json.Encoder().encode


class Transaction(msgspec.Struct, kw_only=True):
    """One entry of the ledger: all charges or all refunds of some messages, or money that came in or was corrected."""

    id: Annotated[Digits, Meta(examples=["7236514482193408002"])]
    kind: Annotated[str, Meta(extra_json_schema={"enum": list(ENTRY_KINDS)}, examples=["charge"])]
    amount: Annotated[Money, Meta(description="What the balance changed by; a charge is negative.")]
    balance: Annotated[Money, Meta(description="The balance after it.")]
    messages: Annotated[int, Meta(ge=0, description="How many messages it is of; 0 for money.", examples=[12])]
    reference: Annotated[str | None, Meta(description="Of a payment.", examples=["invoice-2026-117"])] = None
    note: str | None = None
    created_at: Annotated[str, Meta(extra_json_schema={"format": "date-time"}, examples=["2026-11-22T14:48:34.504Z"])]


class TransactionPage(msgspec.Struct, kw_only=True):
    """Entries, newest first. There is more as long as next_cursor is not null, also after fewer than limit."""

    data: list[Transaction]
    next_cursor: Annotated[str | None, Meta(description="Hand it back as cursor.", examples=["AQAAAAAAAAAq"])] = None


class Asked(NamedTuple):
    """What a valid query asks for. Ids bound the time; end_id None: up to now. from_seq None: from the newest on."""

    limit: int = LIMIT_DEFAULT
    kinds: Sequence[str] = ENTRY_KINDS
    first_id: int = 0
    end_id: int | None = None
    from_seq: int | None = None


def parse_query(query: Sequence[tuple[str, str]]) -> Asked | list[FieldError]:
    """The parameters of a URL, decoded; or everything that is wrong with them. `kind` may stand more than once."""
    values, errors = read_query(query, PARAMETERS)
    if errors:
        return errors
    return Asked(
        limit=values.get("limit", LIMIT_DEFAULT),
        kinds=tuple(values.get("kind", ENTRY_KINDS)),
        first_id=values.get("created_after", 0),
        end_id=values.get("created_before"),
        from_seq=values.get("cursor"),
    )


class Transactions:
    """The resource; routes() is what a server is made with. pool: opens the pool when it is first needed."""

    def __init__(self, pool: Callable[[], Pool]) -> None:
        self._pool = pool
        self._turns = Turns(READS_MAX)

    def routes(self) -> list[Route]:
        """The routes, as the document has them."""
        return [Route(PATH, keyed={"GET": self.page})]

    async def page(self, request: web.BaseRequest, entry: AccountEntry, _: str) -> Answer | Problem:
        """GET /v1/transactions: from the record, so a charge of this moment comes a little later."""
        asked = parse_query(list(request.query.items()))
        if not isinstance(asked, Asked):
            return invalid(asked)
        account = entry.account
        async with self._turns.take() as is_mine:
            if not is_mine:
                return problem(BUSY, "Too many statements are being read; try again.", headers=(("Retry-After", "1"),))
            page = await read_page(self._pool(), account.id, **asked._asdict())
        return Answer(200, _encode(_shown(page, account.currency)))


def _shown(page: EntryPage, currency: str) -> TransactionPage:
    return TransactionPage(
        data=[_transaction(found, currency) for found in page.entries],
        next_cursor=write_cursor(page.next_seq) if page.next_seq is not None else None,
    )


def _transaction(found: BookedEntry, currency: str) -> Transaction:
    return Transaction(
        id=str(found.id),
        kind=found.kind,
        amount=Money(money(found.amount_micros), currency),
        balance=Money(money(found.balance_micros), currency),
        messages=found.messages,
        reference=found.reference,
        note=found.note,
        created_at=moment(message_ms(found.id)),
    )
