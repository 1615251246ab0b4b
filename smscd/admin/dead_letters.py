"""What PostgreSQL refused to store of the journal, for operators: listed, and closed once somebody has seen to it.

Nothing here is sent again or stored again: what it charged is in the ledger already, and a row is part of the proof of
the ledger, so it stays when it is closed.
"""

from __future__ import annotations

from typing import Final

import msgspec
import structlog

from smscd.admin import pages, queries
from smscd.admin.desk import Desk
from smscd.admin.orders import Refusal
from smscd.admin.resources import Asked, Done, Operation, answered
from smscd.ingress.http.problems import Problem
from storage.postgres import dead_letters, operators
from storage.postgres.dead_letters import ID_MAX, JournalLetter
from storage.postgres.pool import Database, acquired

_log: Final = structlog.get_logger(__name__)


class Letter(msgspec.Struct, kw_only=True):
    """One record that could not be stored, without what the message says. error: what PostgreSQL said."""

    id: str
    at: str
    kind: str
    message_id: str | None
    account: str | None
    price_micros: int
    refunded_micros: int
    journal_from: str
    journal_to: str
    error: str
    closed_at: str | None
    closed_by: str | None


class LetterPage(msgspec.Struct, kw_only=True):
    """Records, newest first. There is more as long as next_cursor is not null."""

    data: list[Letter]
    next_cursor: str | None = None


def shown(letter: JournalLetter) -> Letter:
    """One as JSON, the same by command and over HTTP."""
    return Letter(
        id=str(letter.id),
        at=letter.at.isoformat(),
        kind=letter.kind,
        message_id=str(letter.message_id) if letter.message_id is not None else None,
        account=letter.account,
        price_micros=letter.price_micros,
        refunded_micros=letter.refunded_micros,
        journal_from=letter.journal_from,
        journal_to=letter.journal_to,
        error=letter.error,
        closed_at=letter.closed_at.isoformat() if letter.closed_at is not None else None,
        closed_by=letter.closed_by,
    )


async def discard(number: int, operator: str, database: Database) -> JournalLetter | Refusal:
    """Close one: it is not listed any more unless it is asked for."""
    async with acquired(database) as connection, connection.transaction():
        found = await dead_letters.find(connection, number) if number <= ID_MAX else None
        if found is None:
            return Refusal("not_found", 404, f"There is no dead letter {number}.")
        if found.closed_at is not None:
            return Refusal("already_closed", 409, f"{found.closed_by} has closed the dead letter {number} already.")
        await dead_letters.close(connection, number, operator)
        new = {"number": number, "kind": found.kind, "error": found.error}
        await operators.log(connection, operator, "dead_letter.discard", found.account or "", new=new)
        return await dead_letters.find(connection, number) or found


class DeadLetterResources:
    """Answers for /dead-letters/journal."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def operations(self) -> list[Operation]:
        """All of them."""
        return [
            Operation(
                method="GET",
                path="dead-letters/journal",
                id="listJournalDeadLetters",
                summary="Records that PostgreSQL refused to store, newest first.",
                call=self._list,
                answer=LetterPage,
                query={
                    "account": queries.text("Of this account."),
                    "closed": queries.flag("Those as well that somebody has seen to."),
                    **pages.PARAMETERS,
                },
            ),
            Operation(
                method="POST",
                path="dead-letters/journal/{number}/discard",
                parts={"number": "[0-9]{1,19}"},
                id="discardJournalDeadLetter",
                summary="Say that it has been seen to; it stays for the proof of the ledger.",
                call=self._discard,
                answer=Letter,
            ),
        ]

    async def _list(self, asked: Asked) -> Done | Problem:
        query = asked.query
        account, with_closed = query.get("account"), query.get("closed") == "true"

        async def read(limit: int, before: int | None) -> list[JournalLetter]:
            return await dead_letters.read_page(
                self._desk.database, limit=limit, before=before, account=account, with_closed=with_closed
            )

        found, cursor = await pages.read_page(query, read)
        return Done(200, LetterPage(data=[shown(letter) for letter in found], next_cursor=cursor))

    async def _discard(self, asked: Asked) -> Done | Problem:
        number = int(asked.names["number"])
        found = await discard(number, asked.operator.name, self._desk.database)
        if isinstance(found, Refusal):
            return answered(found)
        _log.info("dead_letter.discarded", number=number, operator=asked.operator.name)
        return Done(200, shown(found))
