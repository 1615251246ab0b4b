"""GET /v1/transactions: an account's entries in the ledger, newest first, a bounded part of the record at a time."""

from __future__ import annotations

import asyncio
import re
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Final, NamedTuple

import msgspec
from aiohttp import web
from msgspec import Meta

from smscd.core.directory_index import AccountEntry
from smscd.core.ids import first_id, message_ms
from smscd.ingress.http.answers import Answer
from smscd.ingress.http.field_errors import pointer
from smscd.ingress.http.problems import BUSY, FieldError, Problem, invalid, problem
from smscd.ingress.http.server import Route
from smscd.ingress.http.views import Digits, Money, moment, money
from storage.postgres.account_entries import ENTRY_KINDS, ID_MAX, BookedEntry, EntryPage, read_page
from storage.postgres.pool import Pool

PATH: Final = "/v1/transactions"
LIMIT_DEFAULT: Final = 50
LIMIT_MAX: Final = 500
READS_MAX: Final = 3
"""Of one process at once: the pool has a connection more, and reading a statement shall not keep others from it."""
WAIT_SECONDS: Final = 2.0
PARAMETERS_MAX: Final = 20

RULES: Final = {
    "limit": f"must be a whole number from 1 to {LIMIT_MAX}",
    "cursor": "must be the next_cursor of an earlier answer",
    "kind": f"must be {', '.join(ENTRY_KINDS[:-1])} or {ENTRY_KINDS[-1]}",
    "created_after": "must be a time such as 2026-11-22T14:48:34Z, or a date",
    "created_before": "must be a time such as 2026-11-22T14:48:34Z, or a date",
}
"""What is said of a parameter that is not valid."""

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d([Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d))?")
_CURSOR: Final = struct.Struct(">BQ")
_CURSOR_VERSION: Final = 1
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
    errors: list[FieldError] = []
    found: dict[str, str] = {}
    kinds: list[str] = []
    for name, value in query[:PARAMETERS_MAX]:
        if name not in RULES:
            errors.append(FieldError(pointer(name), "unknown parameter"))
        elif name == "kind":
            kinds.append(value)
        elif name in found:
            errors.append(FieldError(pointer(name), "must stand once"))
        else:
            found[name] = value
    if len(query) > PARAMETERS_MAX:
        errors.append(FieldError("", f"there must be at most {PARAMETERS_MAX} parameters"))
    values = {name: _READERS[name](value) for name, value in found.items()}
    errors += [FieldError(pointer(name), RULES[name]) for name, value in values.items() if value is None]
    if any(kind not in ENTRY_KINDS for kind in kinds):
        errors.append(FieldError("/kind", RULES["kind"]))
    after, before = values.get("created_after"), values.get("created_before")
    if after is not None and before is not None and after >= before:
        errors.append(FieldError("/created_before", "must be later than created_after"))
    if errors:
        return errors
    return Asked(
        limit=values.get("limit") or LIMIT_DEFAULT,
        kinds=tuple(dict.fromkeys(kinds)) or ENTRY_KINDS,
        first_id=after or 0,
        end_id=before,
        from_seq=values.get("cursor"),
    )


class Transactions:
    """The resource; routes() is what a server is made with. pool: opens the pool when it is first needed."""

    def __init__(self, pool: Callable[[], Pool]) -> None:
        self._pool = pool
        self._reads = asyncio.Semaphore(READS_MAX)

    def routes(self) -> list[Route]:
        """The routes, as the document has them."""
        return [Route(PATH, keyed={"GET": self.page})]

    async def page(self, request: web.BaseRequest, entry: AccountEntry, _: str) -> Answer | Problem:
        """GET /v1/transactions: from the record, so a charge of this moment comes a little later."""
        asked = parse_query(list(request.query.items()))
        if not isinstance(asked, Asked):
            return invalid(asked)
        account = entry.account
        async with self._turn() as is_mine:
            if not is_mine:
                return problem(BUSY, "Too many statements are being read; try again.", headers=(("Retry-After", "1"),))
            page = await read_page(self._pool(), account.id, **asked._asdict())
        return Answer(200, _encode(_shown(page, account.currency)))

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[bool]:
        """One of READS_MAX turns; False when none came in time."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._reads.acquire()
        except TimeoutError:
            yield False
            return
        try:
            yield True
        finally:
            self._reads.release()


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


def write_cursor(seq: int) -> str:
    """A place in the chain as text that says nothing to its reader."""
    return urlsafe_b64encode(_CURSOR.pack(_CURSOR_VERSION, seq)).decode()


def read_cursor(text: str) -> int | None:
    """The place that write_cursor() was given; None for other text."""
    try:
        version, seq = _CURSOR.unpack(urlsafe_b64decode(text.encode()))
    except (Base64Error, ValueError, struct.error):
        return None
    return seq if version == _CURSOR_VERSION and seq <= ID_MAX and write_cursor(seq) == text else None


def _limit(text: str) -> int | None:
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(LIMIT_MAX))
    return int(text) if is_number and 1 <= int(text) <= LIMIT_MAX else None


def _first_id(text: str) -> int | None:
    """The least id of a moment; a date is its beginning in UTC, a fraction of a millisecond is the next millisecond."""
    if not _TIME.fullmatch(text):
        return None
    try:
        at = datetime.fromisoformat(text.upper() if "T" in text.upper() else f"{text}T00:00:00Z")
        micros = round(at.timestamp() * 1_000_000)
    except (ValueError, OverflowError):
        return None
    return min(first_id(-(-micros // 1_000)), ID_MAX)


_READERS: Final[Mapping[str, Callable[[str], int | None]]] = {
    "limit": _limit,
    "cursor": read_cursor,
    "created_after": _first_id,
    "created_before": _first_id,
}
