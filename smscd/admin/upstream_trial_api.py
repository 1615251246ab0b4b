"""The test of an upstream over the admin API: one message to a phone of the operator's, and what it taught."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
import structlog
from msgspec import Meta

from smscd.admin import upstream_trial
from smscd.admin.desk import Desk
from smscd.admin.one_at_a_time import PARAMETER, SECONDS, OneAtATime
from smscd.admin.orders import Refusal
from smscd.admin.resources import Asked, Done, Operation, StructBody, answered
from smscd.admin.upstream_trial import Addresses, Trial
from smscd.ingress.http.problems import Problem
from smscd.transport.dial import connect

AFTERWARDS_SECONDS: Final = 10
"""For the unbind, which comes after the time that the operator gave."""
_log = structlog.get_logger(__name__)


class TrialRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"sender": "from"}):
    """Where a test message goes, as what. from: empty for the carrier's default."""

    to: Annotated[str, Meta(min_length=1, max_length=32)]
    sender: Annotated[str, Meta(max_length=32)] = ""


_RULES: Final = {"to": "must be a phone number, such as +447700900123", "from": "must be a sender"}
_EXAMPLE: Final = {
    "upstream": "north",
    "good": True,
    "facts": {"bind": "accepted by north", "submit_sm": "ESME_ROK"},
    "remarks": [],
    "suggestion": {"receipt_id": "hex"},
    "looks": {"gsm": "@\u00a3$\u00e4\u00f6\u00f1 smscd test"},
}


class TrialResources:
    """Answers for /upstreams/{upstream}/test."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._turn = OneAtATime("The test of an upstream")

    def operations(self) -> list[Operation]:
        """The one that there is."""
        return [
            Operation(
                method="POST",
                path="upstreams/{upstream}/test",
                id="testUpstream",
                summary="Bind once more than the profile has, send one message, wait for its receipt; what to pin.",
                call=self._test,
                body=StructBody(TrialRequest, _RULES),
                query={"seconds": PARAMETER},
                example=_EXAMPLE,
                asks=TrialRequest(to="+447700900123"),
            )
        ]

    async def _test(self, asked: Asked) -> Done | Problem:
        body: TrialRequest = asked.body
        addresses = upstream_trial.addresses_of(body.to, body.sender)
        if isinstance(addresses, Refusal):
            return answered(addresses)
        seconds = asked.query.get("seconds", SECONDS)
        found = await self._turn.do(self._tried(asked, addresses, seconds), seconds + AFTERWARDS_SECONDS)
        if isinstance(found, Refusal):
            return answered(found)
        _log.info("upstream.tested", upstream=found.profile.id, operator=asked.operator.name, good=found.found.is_good)
        return Done(200, found.shown())

    async def _tried(self, asked: Asked, addresses: Addresses, seconds: float) -> Trial | Refusal:
        desk = self._desk
        profile = await upstream_trial.begin(asked.names["upstream"], addresses, asked.operator.name, desk.database)
        if isinstance(profile, Refusal):
            return profile
        return await upstream_trial.run(
            profile, addresses, dial=connect, wall_ms=desk.now_ms, receipt_seconds=seconds, seconds=seconds
        )
