"""What the ledger and the totals of messages say, over the admin API: read from PostgreSQL, a part at a time."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, Final

from smscd.admin import queries
from smscd.admin.desk import Desk
from smscd.admin.orders import no_account
from smscd.admin.resources import Asked, Done, Operation, Query, answered
from smscd.core.ids import message_ms
from smscd.ingress.http.problems import FieldError, Problem, invalid
from smscd.ingress.http.queries import LIMIT_DEFAULT, MOMENT, Parameter, one_of, write_cursor
from smscd.ingress.http.views import moment
from storage.postgres.account_entries import ENTRY_KINDS, BookedEntry, read_page
from storage.postgres.operators import find_account
from storage.postgres.pool import acquired
from storage.postgres.totals import computed_days, stored_totals

DAYS_MAX: Final = 400


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if len(text) == 10 else None
    except ValueError:
        return None


def _day(sentence: str) -> Query:
    parameter = Parameter(_date, "must be a date such as 2026-11-01")
    schema = {"type": "string", "format": "date"}
    return Query(parameter=parameter, schema=schema, sentence=sentence, is_required=True)


def _moment(sentence: str) -> Query:
    schema = {"type": "string", "anyOf": [{"format": "date-time"}, {"format": "date"}]}
    return Query(parameter=MOMENT, schema=schema, sentence=sentence)


class StatementResources:
    """Answers for /accounts/{account}/transactions, /accounts/{account}/spent and /totals."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def operations(self) -> list[Operation]:
        """All of them."""
        kinds = Query(
            parameter=Parameter(one_of(ENTRY_KINDS), f"must be one of {', '.join(ENTRY_KINDS)}", is_list=True),
            schema={"type": "array", "items": {"type": "string", "enum": list(ENTRY_KINDS)}},
            sentence="Only these. A page may then hold fewer than limit and not be the last.",
        )
        return [
            Operation(
                method="GET",
                path="accounts/{account}/transactions",
                id="listTransactions",
                summary="What its balance changed by, newest first, with each entry's balance.",
                call=self._transactions,
                query={
                    "kind": kinds,
                    "created_after": _moment("From this moment on."),
                    "created_before": _moment("Before this moment."),
                    "limit": queries.LIMITED,
                    "cursor": queries.PLACE,
                },
            ),
            Operation(
                method="GET",
                path="accounts/{account}/spent",
                id="getSpent",
                summary="What it was charged today (UTC) where that is limited; null where it is not.",
                call=self._spent,
            ),
            Operation(
                method="GET",
                path="totals",
                id="listTotals",
                summary="What the messages of days that are over came to, by account, country and upstream.",
                call=self._totals,
                query={
                    "from": _day("From this day on (UTC)."),
                    "until": _day("Up to, not including, this day."),
                    "account": queries.text("Of this account alone."),
                },
            ),
        ]

    async def _transactions(self, asked: Asked) -> Done | Problem:
        account, query = asked.names["account"], asked.query
        terms = await find_account(self._desk.database, account)
        if terms is None:
            return answered(no_account(account))
        page = await read_page(
            self._desk.database,
            account,
            limit=query.get("limit", LIMIT_DEFAULT),
            kinds=tuple(query.get("kind", ENTRY_KINDS)),
            first_id=query.get("created_after", 0),
            end_id=query.get("created_before"),
            from_seq=query.get("cursor"),
        )
        cursor = write_cursor(page.next_seq) if page.next_seq is not None else None
        return Done(
            200, {"currency": terms.currency, "data": [_entry(one) for one in page.entries], "next_cursor": cursor}
        )

    async def _spent(self, asked: Asked) -> Done | Problem:
        account = asked.names["account"]
        terms = await find_account(self._desk.database, account)
        if terms is None:
            return answered(no_account(account))
        # Nobody counts it where it is not limited.
        is_limited = terms.spend_per_day_micros is not None
        spent = await self._desk.balances.spent_today(account) if is_limited else None
        return Done(200, {"account": account, "currency": terms.currency, "spent_today_micros": spent})

    async def _totals(self, asked: Asked) -> Done | Problem:
        """Of the days that are stored; those that are not, today among them, are named."""
        first, end = asked.query["from"], asked.query["until"]
        days = (end - first).days
        if not 0 < days <= DAYS_MAX:
            return invalid([FieldError("/until", f"must be later than from, by {DAYS_MAX} days at most")])
        async with acquired(self._desk.database) as connection, connection.transaction(isolation="repeatable_read"):
            computed = await computed_days(connection, first, end)
            rows = await stored_totals(connection, first, end, asked.query.get("account"))
        missing = [str(day) for day in (first + timedelta(number) for number in range(days)) if day not in computed]
        return Done(
            200,
            {
                "rows": [
                    {"day": row.day, **row.key._asdict(), "currency": row.currency, **row.counts._asdict()}
                    for row in rows
                ],
                "not_added_up": missing,
            },
        )


def _entry(entry: BookedEntry) -> dict[str, Any]:
    return {**entry._asdict(), "id": str(entry.id), "created_at": moment(message_ms(entry.id))}
