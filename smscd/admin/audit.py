"""The log of what operators did: as JSON, the same by command and over HTTP."""

from __future__ import annotations

from typing import Any

import msgspec

from smscd.admin import pages, queries
from smscd.admin.desk import Desk
from smscd.admin.resources import Asked, Done, Operation
from smscd.ingress.http.problems import FieldError, Problem, invalid
from storage.postgres.audit_log import AuditEntry, read_page


class Entry(msgspec.Struct, kw_only=True):
    """Who did what to whom, and whence. old, new: what it was and became; of a secret only that it changed."""

    id: str
    at: str
    operator: str
    address: str
    action: str
    subject: str
    old: dict[str, Any] | None
    new: dict[str, Any] | None


class AuditPage(msgspec.Struct, kw_only=True):
    """Entries, newest first. There is more as long as next_cursor is not null."""

    data: list[Entry]
    next_cursor: str | None = None


def shown(entry: AuditEntry) -> Entry:
    """An entry as JSON."""
    return Entry(
        id=str(entry.id),
        at=entry.at.isoformat(),
        operator=entry.operator,
        address=entry.address,
        action=entry.action,
        subject=entry.subject,
        old=entry.old,
        new=entry.new,
    )


class AuditResources:
    """Answers for /audit."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def operations(self) -> list[Operation]:
        """The one that there is: nobody can change the log."""
        return [
            Operation(
                method="GET",
                path="audit",
                id="listAudit",
                summary="What operators did, by command and over HTTP, newest first.",
                call=self._list,
                answer=AuditPage,
                query={
                    "operator": queries.text("By this operator; a command's is cli:USER."),
                    "action": queries.text("Of this action, or of all that begin so: account, account.suspend."),
                    "subject": queries.text("Done to this account, upstream, ..."),
                    "since": queries.moment("From this moment on."),
                    "until": queries.moment("Before this moment."),
                    **pages.PARAMETERS,
                },
            )
        ]

    async def _list(self, asked: Asked) -> Done | Problem:
        query = asked.query
        if "since" in query and "until" in query and query["since"] >= query["until"]:
            return invalid([FieldError("/until", "must be later than since")])
        filters = {name: value for name, value in query.items() if name not in pages.PARAMETERS}

        async def read(limit: int, before: int | None) -> list[AuditEntry]:
            return await read_page(self._desk.database, limit=limit, before=before, **filters)

        found, cursor = await pages.read_page(query, read)
        return Done(200, AuditPage(data=[shown(entry) for entry in found], next_cursor=cursor))
