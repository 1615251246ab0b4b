"""/v1/keys: an account's keys, listed, made, replaced and revoked with a key that has the scope admin."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Protocol

import msgspec
from aiohttp import web
from msgspec import Meta

from smscd.core.directory_index import AccountEntry
from smscd.core.scopes import ADMIN, NAMES, ScopeName, key_name
from smscd.ingress.http.answers import Answer
from smscd.ingress.http.bodies import BodyReader
from smscd.ingress.http.problems import BUSY, FieldError, Problem, invalid, problem
from smscd.ingress.http.queries import Turns
from smscd.ingress.http.server import Route
from smscd.ingress.http.strict_bodies import read_strict

PATH: Final = "/v1/keys"
BODY_BYTES_MAX: Final = 16_384
TURNS: Final = 3
LABEL_CHARACTERS_MAX: Final = 100
LABEL_PATTERN: Final = r"^[^\x00-\x1f\x7f-\x9f]*$"
GRACE_SECONDS: Final = 24 * 3_600
GRACE_SECONDS_MAX: Final = 30 * 86_400
_MOMENT: Final = {"format": "date-time"}

RULES: Final = {
    "label": f"must be a string of at most {LABEL_CHARACTERS_MAX} characters without control characters",
    "scopes": f"must be a list of {', '.join(NAMES)}",
    "expires_at": "must be a date and a time with its zone (RFC 3339) to come, within ten years, or null",
    "replaces": "must be the name of one of your keys, or null",
    "grace_seconds": f"must be a whole number of seconds from 0 to {GRACE_SECONDS_MAX:,}",
}

Label = Annotated[str, Meta(max_length=LABEL_CHARACTERS_MAX, pattern=LABEL_PATTERN)]


class KeyRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key that is to be made. One that replaces another has its label and scopes, and none of its own."""

    label: Annotated[Label, Meta(description="What it is for; for people.", examples=["shop"])] = ""
    scopes: Annotated[
        list[ScopeName],
        Meta(max_length=3, description="What it may do: send, read, admin. None: send and read.", examples=[["send"]]),
    ] = []
    expires_at: Annotated[
        Annotated[datetime, Meta(tz=True)] | None, Meta(description="When it ends; null: never.", examples=[None])
    ] = None
    replaces: Annotated[
        Annotated[str, Meta(max_length=100)] | None,
        Meta(description="The name of a key in whose place it comes.", examples=[None]),
    ] = None
    grace_seconds: Annotated[
        int,
        Meta(
            ge=0,
            le=GRACE_SECONDS_MAX,
            description="How long the key that it replaces stays valid; 0 revokes it at once.",
            examples=[GRACE_SECONDS],
        ),
    ] = GRACE_SECONDS


class KeyView(msgspec.Struct, kw_only=True):
    """A key. last_used_at is at most a minute behind."""

    key: Annotated[str, Meta(description="Its name, which is how it begins.", examples=["smk_live_Zq3x"])]
    label: str
    scopes: list[ScopeName]
    status: Annotated[str, Meta(extra_json_schema={"enum": ["valid", "expired", "revoked"]})]
    created_at: Annotated[str, Meta(extra_json_schema=_MOMENT)]
    expires_at: Annotated[str | None, Meta(extra_json_schema=_MOMENT)]
    last_used_at: Annotated[str | None, Meta(extra_json_schema=_MOMENT)]


class KeyList(msgspec.Struct, kw_only=True):
    """All keys of the account, oldest first; of those that have ended, the last ones."""

    data: list[KeyView]


class NewKey(msgspec.Struct, kw_only=True):
    """A new key. api_key is what goes into X-Api-Key, and is shown only now."""

    key: str
    api_key: str
    label: str
    scopes: list[ScopeName]
    expires_at: Annotated[str | None, Meta(extra_json_schema=_MOMENT)]
    replaces: str | None = None
    replaced_valid_until: Annotated[str | None, Meta(extra_json_schema=_MOMENT)] = None


class RevokedKey(msgspec.Struct, kw_only=True):
    """A key that is not valid any more. changed: it was, before."""

    key: str
    changed: bool
    revoked: bool = True


class KeyOffice(Protocol):
    """Who keeps the keys. by: the name of the key that asks."""

    async def listed(self, account: str) -> KeyList:
        """All of an account."""

    async def make(self, account: str, asked: KeyRequest, by: str) -> NewKey | Problem:
        """Make one, or replace one."""

    async def revoke(self, account: str, key: str, by: str) -> RevokedKey | Problem:
        """End one."""


class AccountKeys:
    """The resources; routes() is what a server is made with. request_seconds: for a request."""

    def __init__(self, office: KeyOffice, request_seconds: float = 10.0) -> None:
        self._office = office
        self._turns = Turns(TURNS)
        self._bodies = BodyReader(
            bytes_max=BODY_BYTES_MAX, pending_bytes_max=64 * BODY_BYTES_MAX, seconds=request_seconds * 0.8
        )

    def routes(self) -> list[Route]:
        """The routes, as the document has them. Who else has a key is for an administrator to see."""
        return [
            Route(PATH, keyed={"GET": self.all, "POST": self.make}, scopes={"GET": ADMIN}),
            Route(PATH + "/{id}", keyed={"DELETE": self.revoke}),
        ]

    async def all(self, _request: web.BaseRequest, entry: AccountEntry, _: str) -> Answer | Problem:
        """GET /v1/keys."""
        async with self._turns.take() as is_mine:
            return _answer(200, await self._office.listed(entry.account.id)) if is_mine else _busy()

    async def make(self, request: web.BaseRequest, entry: AccountEntry, _: str) -> Answer | Problem:
        """POST /v1/keys."""
        body = self._bodies.arrived(request)
        if body is None:
            body = await self._bodies.read(request)
        if isinstance(body, Problem):
            return body
        asked = read_strict(body, KeyRequest, RULES)
        if isinstance(asked, Problem):
            return asked
        if asked.replaces is not None and (asked.label or asked.scopes):
            return invalid([FieldError("/replaces", "has label and scopes of its own: give none with it")])
        async with self._turns.take() as is_mine:
            if not is_mine:
                return _busy()
            return _answer(201, await self._office.make(entry.account.id, asked, _asking(request)))

    async def revoke(self, request: web.BaseRequest, entry: AccountEntry, key: str) -> Answer | Problem:
        """DELETE /v1/keys/{id}: at once, in every process."""
        async with self._turns.take() as is_mine:
            if not is_mine:
                return _busy()
            return _answer(200, await self._office.revoke(entry.account.id, key, _asking(request)))


def _asking(request: web.BaseRequest) -> str:
    """The name of the key that a request was let in with."""
    return key_name(request.headers["X-Api-Key"])


def _answer(status: int, found: msgspec.Struct | Problem) -> Answer | Problem:
    if isinstance(found, Problem):
        return found
    return Answer(status, msgspec.json.encode(found), {"Cache-Control": "no-store"})


def _busy() -> Problem:
    return problem(BUSY, "Too many keys are being looked at; try again.", headers=(("Retry-After", "1"),))
