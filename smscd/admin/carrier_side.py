"""Doubts and orphans over HTTP: resources of the admin API."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta

from smscd.admin import orphans as views
from smscd.admin.api import BODY_BYTES_MAX, BODY_SECONDS, REQUESTS_MAX
from smscd.admin.doubts import LISTED_MAX, Doubts, UnknownUpstream, Verb
from smscd.admin.orphans import Orphans, Refused
from smscd.admin.resources import Done, Resource
from smscd.egress.receipts.record import RecordAway
from smscd.ingress.http.bodies import BodyReader
from smscd.ingress.http.problems import INVALID, NOT_FOUND, FieldError, Problem, invalid, problem, unavailable
from storage.postgres.operators import Token
from storage.postgres.pool import Database
from storage.redis.changes import ChangeAsks
from storage.redis.keys import ShardKeys
from storage.redis.link import RedisLink
from storage.redis.matches import MatchAsks
from storage.redis.rest import RestReader

IDS_MAX: Final = 500
_TITLES: Final = {404: NOT_FOUND.title, 409: "Conflict", 422: INVALID.title}

Id = Annotated[str, Meta(pattern="^[0-9]{1,19}$")]


class RuleRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is ruled on: messages, or all that is in doubt with an upstream."""

    messages: Annotated[list[Id], Meta(min_length=1, max_length=IDS_MAX)] | None = None
    upstream: str | None = None


class MatchAllRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which orphans are looked up again, and in which form of ids."""

    upstream: str | None = None
    form: str | None = None


class MatchOneRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The message that an orphan is of. segment: the number of its submit_sm, from 1."""

    message: Id
    segment: Annotated[int, Meta(ge=1, le=255)] = 1


_Body = TypeVar("_Body", RuleRequest, MatchAllRequest, MatchOneRequest)


class CarrierSide:
    """What is added to the admin API by routes()."""

    def __init__(self, doubts: Doubts, orphans: Orphans) -> None:
        self._doubts = doubts
        self._orphans = orphans
        self._bodies = BodyReader(
            bytes_max=BODY_BYTES_MAX, pending_bytes_max=REQUESTS_MAX * BODY_BYTES_MAX, seconds=BODY_SECONDS
        )

    def routes(self) -> list[tuple[str, Mapping[str, Resource]]]:
        """Paths below /admin/v1/, as patterns, with their methods."""
        return [
            ("doubts", {"GET": self._list_doubts}),
            ("doubts/(?P<verb>resend|fail)", {"POST": self._rule}),
            ("orphans", {"GET": self._list_orphans}),
            ("orphans/match", {"POST": self._match_all}),
            ("orphans/(?P<number>[0-9]{1,18})/match", {"POST": self._match_one}),
        ]

    async def _list_doubts(self, request: web.Request, _operator: Token, _names: dict[str, str]) -> Done | Problem:
        limit = _limit(request)
        if isinstance(limit, Problem):
            return limit
        try:
            found = await self._doubts.listed(
                upstream=request.query.get("upstream"), account=request.query.get("account"), limit=limit
            )
        except UnknownUpstream as error:
            return problem(NOT_FOUND, str(error))
        return Done(200, {"doubts": [one.shown() for one in found]})

    async def _rule(self, request: web.Request, operator: Token, names: dict[str, str]) -> Done | Problem:
        asked = await self._body(request, RuleRequest)
        if isinstance(asked, Problem):
            return asked
        if (asked.messages is None) == (asked.upstream is None):
            return invalid([FieldError("/messages", "give either messages or upstream")])
        verb: Verb = "resend" if names["verb"] == "resend" else "fail"
        if asked.upstream is not None:
            try:
                counted = await self._doubts.rule_upstream(verb, asked.upstream, operator.name)
            except UnknownUpstream as error:
                return problem(NOT_FOUND, str(error))
            return Done(200, {str(what): count for what, count in counted.items()})
        ids = [int(one) for one in asked.messages or ()]
        if max(ids) >= 2**63:
            return invalid([FieldError("/messages", "an id is below 2^63")])
        ruled = await self._doubts.rule(verb, ids, operator.name)
        said = {str(message_id): what for message_id, what in ruled.items()}
        return Done(200, {"messages": said, **Counter(said.values())})

    async def _list_orphans(self, request: web.Request, _operator: Token, _names: dict[str, str]) -> Done | Problem:
        limit = _limit(request)
        if isinstance(limit, Problem):
            return limit
        since = None
        if (asked := request.query.get("since")) is not None:
            try:
                since = datetime.fromisoformat(asked)
            except ValueError:
                since = None
            if since is None or since.tzinfo is None:
                return invalid([FieldError("since", "must be a time with its zone, such as 2026-01-31T00:00:00Z")])
        found = await self._orphans.listed(upstream=request.query.get("upstream"), since=since, limit=limit)
        return Done(200, {"orphans": [views.shown(one) for one in found]})

    async def _match_all(self, request: web.Request, operator: Token, _names: dict[str, str]) -> Done | Problem:
        asked = await self._body(request, MatchAllRequest)
        if isinstance(asked, Problem):
            return asked
        try:
            found = await self._orphans.match(operator.name, upstream=asked.upstream, form=asked.form)
        except RecordAway:
            return unavailable()
        return _problem_of(found) if isinstance(found, Refused) else Done(200, {**found})

    async def _match_one(self, request: web.Request, operator: Token, names: dict[str, str]) -> Done | Problem:
        asked = await self._body(request, MatchOneRequest)
        if isinstance(asked, Problem):
            return asked
        message_id = int(asked.message)
        if message_id >= 2**63:
            return invalid([FieldError("/message", "an id is below 2^63")])
        found = await self._orphans.match_one(int(names["number"]), message_id, operator.name, segment=asked.segment)
        return _problem_of(found) if isinstance(found, Refused) else Done(200, found)

    async def _body(self, request: web.Request, kind: type[_Body]) -> _Body | Problem:
        body = self._bodies.arrived(request)
        if body is None:
            body = await self._bodies.read(request)
        if isinstance(body, Problem):
            return body
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return invalid([FieldError("", f"{error}"[:200])])


def carrier_side(database: Database, keys: ShardKeys, link: RedisLink) -> CarrierSide:
    """The resources on an instance's storage."""
    return CarrierSide(
        Doubts(database, RestReader(keys, link), ChangeAsks(keys, link)), Orphans(database, MatchAsks(keys, link))
    )


def _limit(request: web.Request) -> int | Problem:
    text = request.query.get("limit", "100")
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= LISTED_MAX):
        return invalid([FieldError("limit", f"must be a number from 1 to {LISTED_MAX}")])
    return int(text)


def _problem_of(refused: Refused) -> Problem:
    return Problem(status=refused.status, code=refused.code, title=_TITLES[refused.status], detail=refused.detail)
