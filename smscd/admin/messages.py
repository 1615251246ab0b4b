"""Messages of any account for a support desk: one is looked at, without its text, and taken back while it waits."""

from __future__ import annotations

from typing import Any, Final, cast

import structlog

from smscd.admin.desk import Desk
from smscd.admin.orders import Refusal
from smscd.admin.resources import Asked, Done, Operation, answered
from smscd.core.records import State
from smscd.ingress.changes import Change, MessageChanges
from smscd.ingress.http.problems import Problem, unavailable
from smscd.ingress.record import RecordBehind, RecordReader
from storage.postgres import operators
from storage.postgres.messages import StoredMessage, get_message
from storage.postgres.pool import Database, Pool
from storage.redis.changes import ChangeAsks
from storage.redis.journal import JournalReader

ID_MAX: Final = (1 << 63) - 1
_log = structlog.get_logger(__name__)


def shown(found: StoredMessage) -> dict[str, Any]:
    """A message as JSON, with its timeline where it was read. What it says is not shown."""
    timeline = [
        {
            "at": at.at.isoformat(),
            "what": at.what,
            "segment": at.segment,
            "attempt": at.attempt,
            "upstream": at.upstream,
            "detail": at.detail,
        }
        for at in found.timeline
    ]
    return {
        "id": str(found.id),
        "account": found.account,
        "status": State(found.state).name.lower(),
        "from": found.source.decode("latin-1"),
        "to": found.dest.decode("latin-1"),
        "upstream": found.upstream or None,
        "segments": found.parts,
        "price_micros": found.price_micros,
        "refunded_micros": found.refunded_micros,
        "maybe_duplicate": found.maybe_duplicate,
        "error": found.error_code,
        "client_ref": found.client_ref,
        "request_key": found.request_key,
        "done_at": found.done_at.isoformat() if found.done_at is not None else None,
        "timeline": timeline,
    }


async def view(message_id: int, database: Database) -> StoredMessage | Refusal:
    """A message as the record has it, with its timeline."""
    found = await get_message(database, message_id, with_timeline=True) if message_id <= ID_MAX else None
    return found or Refusal("not_found", 404, f"The record has no message {message_id}.")


async def cancel(message_id: int, operator: str, database: Database, changes: MessageChanges) -> Change | Refusal:
    """Take a message back that was not sent: it ends as canceled, by its owner. Written down first."""
    found = await view(message_id, database)
    if isinstance(found, Refusal):
        await changes.catch_up()
        found = await view(message_id, database)
    if isinstance(found, Refusal):
        return found
    action, old, new = "message.cancel", {"status": State(found.state).name.lower()}, {"message": str(message_id)}
    await operators.log(database, operator, action, found.account, old=old, new=new)
    change = await changes.cancel(found.account, message_id)
    if change is not Change.DONE:
        await operators.log(
            database, operator, f"{action}.refused", found.account, new=new | {"said": change.name.lower()}
        )
    return change


class MessageResources:
    """Answers for /messages."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        record = RecordReader(lambda: cast(Pool, desk.database), JournalReader(desk.keys, desk.link))
        self._changes = MessageChanges(record, ChangeAsks(desk.keys, desk.link))

    def operations(self) -> list[Operation]:
        """All of them."""
        number = {"message": "[0-9]{1,19}"}
        return [
            Operation(
                method="GET",
                path="messages/{message}",
                parts=number,
                id="getMessage",
                summary="A message of any account, and its timeline, without its text.",
                call=self._view,
            ),
            Operation(
                method="POST",
                path="messages/{message}/cancel",
                parts=number,
                id="cancelMessage",
                summary="Take a message back that was not sent.",
                call=self._cancel,
            ),
        ]

    async def _view(self, asked: Asked) -> Done | Problem:
        found = await view(int(asked.names["message"]), self._desk.database)
        return answered(found if isinstance(found, Refusal) else shown(found))

    async def _cancel(self, asked: Asked) -> Done | Problem:
        message_id = int(asked.names["message"])
        try:
            found = await cancel(message_id, asked.operator.name, self._desk.database, self._changes)
        except RecordBehind:
            return unavailable("The record is behind: ask again.")
        if found is Change.DONE:
            _log.info("message.canceled", message_id=message_id, operator=asked.operator.name)
            return Done(200, {"id": str(message_id), "status": "canceled"})
        return answered(_REFUSALS[found] if isinstance(found, Change) else found)


_REFUSALS: Final = {
    Change.LATE: Refusal("too_late", 409, "It was sent, or may have been, or is over."),
    Change.NOT_FOUND: Refusal("not_found", 404, "The record has no such message that was sent by a customer."),
    Change.NOT_ANSWERED: Refusal(
        "not_answered", 409, "No process that owns its upstream decided in time: it may still happen, so look again."
    ),
}
