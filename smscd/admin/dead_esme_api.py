"""What no ESME took, over the admin API: listed, and sent once more."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import structlog

from smscd.admin import pages, queries
from smscd.admin.dead_esme import ID_MAX, DeadToEsmes, EsmeLetter, shown
from smscd.admin.desk import Desk
from smscd.admin.resources import Asked, Done, Operation
from smscd.ingress.http.problems import FieldError, Problem, invalid
from storage.postgres.messages import DeadToEsme
from storage.postgres.pool import acquired
from storage.redis.outbox import OutFeed

_log = structlog.get_logger(__name__)


class EsmeLetterPage(msgspec.Struct, kw_only=True):
    """Dead letters, newest messages first. There is more as long as next_cursor is not null."""

    data: list[EsmeLetter]
    next_cursor: str | None = None


class Redriven(msgspec.Struct, kw_only=True):
    """How many are sent once more. The same with next_cursor as cursor sends the next, unless it is null."""

    redriven: int
    next_cursor: str | None = None


class EsmeLetterResources:
    """Answers for /dead-letters/esmes."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def operations(self) -> list[Operation]:
        """All of them."""
        which = {
            "since": queries.moment("That were given up since then; since a week ago otherwise."),
            "account": queries.text("Of this account."),
            "message": queries.whole("Of this message.", 1, ID_MAX),
            **pages.PARAMETERS,
        }
        return [
            Operation(
                method="GET",
                path="dead-letters/esmes",
                id="listEsmeDeadLetters",
                summary="Receipts and messages from phones that no ESME took, newest messages first.",
                call=self._list,
                answer=EsmeLetterPage,
                example=EsmeLetterPage(
                    data=[
                        EsmeLetter(
                            message_id="908262119424004096",
                            account="acme",
                            kind="receipt",
                            status="delivered",
                            attempts=3,
                            error="refused with ESME_RX_P_APPN",
                            at="2026-11-26T12:00:00+00:00",
                        )
                    ]
                ),
                query=which,
            ),
            Operation(
                method="POST",
                path="dead-letters/esmes/redrive",
                id="redriveEsmeDeadLetters",
                summary="Send those of an account or a message once more, to whichever ESME of the account is bound.",
                call=self._redrive,
                answer=Redriven,
                example=Redriven(redriven=1),
                query=which,
            ),
        ]

    async def _list(self, asked: Asked) -> Done | Problem:
        async with acquired(self._desk.database) as connection:
            found, cursor = await self._page(DeadToEsmes(connection, self._outbox()), asked)
        return Done(200, EsmeLetterPage(data=[shown(one) for one in found], next_cursor=cursor))

    async def _redrive(self, asked: Asked) -> Done | Problem:
        if "account" not in asked.query and "message" not in asked.query:
            return invalid([FieldError("/account", "give account or message")])
        async with acquired(self._desk.database) as connection:
            dead = DeadToEsmes(connection, self._outbox())
            found, cursor = await self._page(dead, asked)
            count = await dead.redrive(found, asked.operator.name)
        _log.info("dead_letter.redriven", count=count, operator=asked.operator.name)
        return Done(200, Redriven(redriven=count, next_cursor=cursor))

    def _outbox(self) -> OutFeed:
        return OutFeed(self._desk.keys, self._desk.link)

    async def _page(self, dead: DeadToEsmes, asked: Asked) -> tuple[Sequence[DeadToEsme], str | None]:
        query = asked.query

        async def read(limit: int, before: int | None) -> list[DeadToEsme]:
            return await dead.listed(
                limit=limit,
                since=query.get("since"),
                before=before,
                account=query.get("account"),
                message_id=query.get("message"),
            )

        return await pages.read_page(query, read)
