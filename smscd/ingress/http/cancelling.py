"""DELETE /v1/messages/{id}: takes back a message that has not left; the same as cancel_sm."""

from __future__ import annotations

from typing import Final, Protocol

import msgspec
from aiohttp import web

from smscd.core.directory_index import AccountEntry
from smscd.ingress.changes import Change
from smscd.ingress.http.answers import Answer
from smscd.ingress.http.problems import NOT_CANCELABLE, NOT_FOUND, Problem, problem, unavailable
from smscd.ingress.http.queries import read_id
from smscd.ingress.http.server import Route
from smscd.ingress.http.views import MessageDetail
from smscd.ingress.record import RecordBehind

PATH: Final = "/v1/messages/{id}"
_NOBODY: Final = "Nobody could say in time whether the message has left. It may still be canceled; ask again."
_BEHIND: Final = "The record is behind; whether the message is canceled is not known yet. Ask again."
_encode = msgspec.json.Encoder().encode


class Changes(Protocol):
    """smscd.ingress.changes.MessageChanges, as it is needed here."""

    async def cancel(self, account: str, message_id: int) -> Change:
        """End a message that was not sent."""

    async def catch_up(self) -> None:
        """Return when the record has all that was so until now."""


class Reader(Protocol):
    """smscd.ingress.http.record.Record, as it is needed here."""

    async def find(self, account: str, message_id: int) -> MessageDetail | None:
        """A message of this account with its timeline."""


class Cancelling:
    """The resource; routes() is what a server is made with."""

    def __init__(self, changes: Changes, messages: Reader) -> None:
        self._changes = changes
        self._messages = messages

    def routes(self) -> list[Route]:
        """The routes, as the document has them."""
        return [Route(PATH, keyed={"DELETE": self.cancel})]

    async def cancel(self, _: web.BaseRequest, entry: AccountEntry, text: str) -> Answer | Problem:
        """200 with the message when it is canceled, by this request or an earlier one; refunded once."""
        message_id, account = read_id(text), entry.account.id
        if message_id is None:
            return problem(NOT_FOUND)
        try:
            change = await self._changes.cancel(account, message_id)
            if change is Change.DONE:
                await self._changes.catch_up()
        except RecordBehind:
            return unavailable(_BEHIND)
        if change is Change.LATE:
            return problem(NOT_CANCELABLE)
        if change is Change.NOT_ANSWERED:
            return unavailable(_NOBODY)
        found = await self._messages.find(account, message_id) if change is Change.DONE else None
        if found is None:
            return problem(NOT_FOUND, "The account has no message with this id.")
        return Answer(200, _encode(found))
