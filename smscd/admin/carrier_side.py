"""Doubts and orphans over HTTP: resources of the admin API."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from smscd.admin import orphans as views
from smscd.admin import queries
from smscd.admin.desk import Desk
from smscd.admin.doubts import LISTED_MAX, Doubts, UnknownUpstream, Verb
from smscd.admin.orphans import Orphans, Refused
from smscd.admin.resources import Asked, Done, Operation, StructBody
from smscd.egress.receipts.record import RecordAway
from smscd.ingress.http.problems import INVALID, NOT_FOUND, FieldError, Problem, invalid, problem, unavailable
from storage.redis.changes import ChangeAsks
from storage.redis.matches import MatchAsks
from storage.redis.rest import RestReader

LISTED: Final = 100
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


class CarrierSide:
    """Answers for /doubts and /orphans."""

    def __init__(self, doubts: Doubts, orphans: Orphans) -> None:
        self._doubts = doubts
        self._orphans = orphans

    def operations(self) -> list[Operation]:
        """All of them."""
        limit = queries.whole("How many at most.", 1, LISTED_MAX, LISTED)
        upstream = queries.text("Of this upstream.")
        return [
            Operation(
                method="GET",
                path="doubts",
                id="listDoubts",
                summary="Messages that may have been sent, oldest first.",
                call=self._list_doubts,
                query={"upstream": upstream, "account": queries.text("Of this account."), "limit": limit},
            ),
            Operation(
                method="POST",
                path="doubts/resend",
                id="resendDoubts",
                summary="Send them again; the customer may get them twice.",
                call=self._resend,
                body=StructBody(RuleRequest),
            ),
            Operation(
                method="POST",
                path="doubts/fail",
                id="failDoubts",
                summary="End them as failed: refunded by their tariff, and the customer is told.",
                call=self._fail,
                body=StructBody(RuleRequest),
            ),
            Operation(
                method="GET",
                path="orphans",
                id="listOrphans",
                summary="Receipts whose message nobody found, oldest first.",
                call=self._list_orphans,
                query={"upstream": upstream, "since": queries.moment("That came since then."), "limit": limit},
            ),
            Operation(
                method="POST",
                path="orphans/match",
                id="matchOrphans",
                summary="Look all of them up again.",
                call=self._match_all,
                body=StructBody(MatchAllRequest),
            ),
            Operation(
                method="POST",
                path="orphans/{number}/match",
                parts={"number": "[0-9]{1,18}"},
                id="matchOrphan",
                summary="Match one by hand.",
                call=self._match_one,
                body=StructBody(MatchOneRequest),
            ),
        ]

    async def _list_doubts(self, asked: Asked) -> Done | Problem:
        query = asked.query
        try:
            found = await self._doubts.listed(
                upstream=query.get("upstream"), account=query.get("account"), limit=query.get("limit", LISTED)
            )
        except UnknownUpstream as error:
            return problem(NOT_FOUND, str(error))
        return Done(200, {"doubts": [one.shown() for one in found]})

    async def _resend(self, asked: Asked) -> Done | Problem:
        return await self._rule("resend", asked)

    async def _fail(self, asked: Asked) -> Done | Problem:
        return await self._rule("fail", asked)

    async def _rule(self, verb: Verb, asked: Asked) -> Done | Problem:
        body: RuleRequest = asked.body
        if (body.messages is None) == (body.upstream is None):
            return invalid([FieldError("/messages", "give either messages or upstream")])
        if body.upstream is not None:
            try:
                counted = await self._doubts.rule_upstream(verb, body.upstream, asked.operator.name)
            except UnknownUpstream as error:
                return problem(NOT_FOUND, str(error))
            return Done(200, counted)
        ids = [int(one) for one in body.messages or ()]
        if wrong := [at for at, one in enumerate(ids) if one >= 2**63]:
            return invalid([FieldError(f"/messages/{at}", "an id is below 2^63") for at in wrong])
        ruled = await self._doubts.rule(verb, ids, asked.operator.name)
        said: dict[str, str] = {str(message_id): what for message_id, what in ruled.items()}
        return Done(200, {"messages": said, **Counter(said.values())})

    async def _list_orphans(self, asked: Asked) -> Done | Problem:
        query = asked.query
        found = await self._orphans.listed(
            upstream=query.get("upstream"), since=query.get("since"), limit=query.get("limit", LISTED)
        )
        return Done(200, {"orphans": [views.shown(one) for one in found]})

    async def _match_all(self, asked: Asked) -> Done | Problem:
        body: MatchAllRequest = asked.body
        try:
            found = await self._orphans.match(asked.operator.name, upstream=body.upstream, form=body.form)
        except RecordAway:
            return unavailable()
        return _problem_of(found) if isinstance(found, Refused) else Done(200, {**found})

    async def _match_one(self, asked: Asked) -> Done | Problem:
        body: MatchOneRequest = asked.body
        message_id = int(body.message)
        if message_id >= 2**63:
            return invalid([FieldError("/message", "an id is below 2^63")])
        number = int(asked.names["number"])
        found = await self._orphans.match_one(number, message_id, asked.operator.name, segment=body.segment)
        return _problem_of(found) if isinstance(found, Refused) else Done(200, found)


def carrier_side(desk: Desk) -> CarrierSide:
    """The resources on an instance's storage."""
    database, keys, link = desk.database, desk.keys, desk.link
    return CarrierSide(
        Doubts(database, RestReader(keys, link), ChangeAsks(keys, link)), Orphans(database, MatchAsks(keys, link))
    )


def _problem_of(refused: Refused) -> Problem:
    errors = (FieldError(f"/{refused.field}", refused.detail),) if refused.field else ()
    title = _TITLES[refused.status]
    return Problem(status=refused.status, code=refused.code, title=title, detail=refused.detail, errors=errors)
