"""Live SMPP sessions over the admin API."""

from __future__ import annotations

import structlog
from msgspec import Struct

from smscd.admin import queries
from smscd.admin.desk import Desk
from smscd.admin.orders import Refusal
from smscd.admin.resources import Asked, Done, Operation, answered
from smscd.admin.sessions import LiveSessions
from smscd.core.live_sessions import LiveSession
from smscd.ingress.http.problems import Problem

_log = structlog.get_logger(__name__)


class SessionList(Struct, kw_only=True):
    """What is bound now. silent: workers that live and did not answer in time; theirs are missing."""

    sessions: list[LiveSession]
    silent: list[str]


class SessionResources:
    """Answers for /sessions."""

    def __init__(self, desk: Desk) -> None:
        self._sessions = LiveSessions(desk.database, desk.keys, desk.link)

    def operations(self) -> list[Operation]:
        """All of them."""
        return [
            Operation(
                method="GET",
                path="sessions",
                id="listSessions",
                summary="Every SMPP session that is bound, of ESMEs and of upstreams, on all workers.",
                call=self._list,
                answer=SessionList,
                query={
                    "side": queries.choice("Only of ESMEs, or only of upstreams.", ("esme", "upstream")),
                    "name": queries.text("Of this account or upstream."),
                },
            ),
            Operation(
                method="POST",
                path="sessions/{session}/disconnect",
                id="disconnectSession",
                summary="End one in good order. An ESME may bind again; an upstream is bound anew.",
                call=self._disconnect,
                answer=LiveSession,
            ),
        ]

    async def _list(self, asked: Asked) -> Done | Problem:
        found = await self._sessions.listed(side=asked.query.get("side"), name=asked.query.get("name"))
        return Done(200, SessionList(sessions=found.found, silent=found.silent))

    async def _disconnect(self, asked: Asked) -> Done | Problem:
        found = await self._sessions.disconnect(asked.names["session"], asked.operator.name)
        if not isinstance(found, Refusal):
            _log.info("session.disconnected", name=found.name, side=found.side, operator=asked.operator.name)
        return answered(found)
