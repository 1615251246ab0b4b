"""Callbacks that were given up, over the admin API: listed, and sent once more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from smscd.admin import queries
from smscd.admin.dead_callbacks import LISTED_MAX, Dead, DeadCallbacks
from smscd.admin.desk import Desk
from smscd.admin.resources import Asked, Done, Operation
from smscd.ingress.http.problems import FieldError, Problem, invalid
from storage.postgres.pool import acquired
from storage.redis.outbox import HookFeed

LISTED: Final = 100
DAYS: Final = 7
_log = structlog.get_logger(__name__)


class CallbackResources:
    """Answers for /dead-letters/callbacks."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def operations(self) -> list[Operation]:
        """All of them."""
        which = {
            "since": queries.moment("That ended since then; since a week ago otherwise."),
            "account": queries.text("Of this account."),
            "message": queries.whole("Of this message.", 1, (1 << 63) - 1),
            "limit": queries.whole("How many at most.", 1, LISTED_MAX, LISTED),
        }
        return [
            Operation(
                method="GET",
                path="dead-letters/callbacks",
                id="listDeadCallbacks",
                summary="Callbacks that were given up, oldest first. Of a URL only the host is shown.",
                call=self._list,
                query=which,
            ),
            Operation(
                method="POST",
                path="dead-letters/callbacks/replay",
                id="replayDeadCallbacks",
                summary="Send those of an account or a message once more, with the ids that they had.",
                call=self._replay,
                query=which,
            ),
        ]

    async def _list(self, asked: Asked) -> Done | Problem:
        async with acquired(self._desk.database) as connection:
            found = await self._found(DeadCallbacks(connection, self._feed()), asked)
        return Done(200, {"callbacks": [one.shown() for one in found]})

    async def _replay(self, asked: Asked) -> Done | Problem:
        if "account" not in asked.query and "message" not in asked.query:
            return invalid([FieldError("/account", "give account or message")])
        async with acquired(self._desk.database) as connection:
            dead = DeadCallbacks(connection, self._feed())
            count = await dead.replay(await self._found(dead, asked), asked.operator.name)
        _log.info("callback.replayed", count=count, operator=asked.operator.name)
        return Done(200, {"replayed": count})

    def _feed(self) -> HookFeed:
        return HookFeed(self._desk.keys, self._desk.link)

    async def _found(self, dead: DeadCallbacks, asked: Asked) -> list[Dead]:
        query = asked.query
        since = query.get("since", datetime.now(UTC) - timedelta(days=DAYS))
        return await dead.listed(
            since, account=query.get("account"), message_id=query.get("message"), limit=query.get("limit", LISTED)
        )
