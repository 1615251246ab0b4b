"""Live SMPP sessions for operators: of ESMEs and of upstreams, on all workers; listed, and ended one by one.

All workers are asked over Redis, so it does not matter on which machine a session is.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import Final

import msgspec

from smscd.admin.orders import Refusal
from smscd.core.live_sessions import LiveSession, SessionAnswer, SessionAsk
from smscd.monitoring.vitals import live_workers
from storage.postgres import operators
from storage.postgres.pool import Database
from storage.redis.keys import ShardKeys
from storage.redis.link import RedisLink
from storage.redis.sessions import SessionAsks

ANSWER_SECONDS: Final = 2.0
POLL_SECONDS: Final = 0.02
RING_AGAIN_POLLS: Final = 10
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(SessionAnswer).decode


@dataclass(frozen=True, slots=True)
class Sessions:
    """What the workers said. silent: those that live and did not answer in time; their sessions are not among these."""

    found: list[LiveSession]
    silent: list[str]


class LiveSessions:
    """What operators may do. database: for the log of what they did."""

    def __init__(self, database: Database, keys: ShardKeys, link: RedisLink) -> None:
        self._database = database
        self._keys = keys
        self._link = link
        self._asks = SessionAsks(keys, link)

    async def listed(self, *, side: str | None = None, name: str | None = None) -> Sessions:
        """Those that are bound, of a side and of an account or upstream where these are given."""
        answers, silent = await self._ask(SessionAsk())
        found = [
            one
            for answer in answers
            for one in answer.sessions
            if side in (None, one.side) and name in (None, one.name)
        ]
        return Sessions(sorted(found, key=lambda one: (one.side, one.name, one.since_ms)), silent)

    async def disconnect(self, session: str, operator: str) -> LiveSession | Refusal:
        """End one: what is under way on it is answered first. An ESME may bind again, an upstream is bound anew.

        Written down before the worker is asked.
        """
        now = await self.listed()
        known = next((one for one in now.found if one.id == session), None)
        if known is None:
            said = f" {', '.join(now.silent)} did not answer: ask again." if now.silent else ""
            return Refusal("not_found", 404, f"There is no session {session}.{said}")
        old = {"session": session, **{name: getattr(known, name) for name in _LOGGED}}
        await operators.log(self._database, operator, "session.disconnect", known.name, old=old)
        answers, silent = await self._ask(SessionAsk(session))
        if any(answer.ended for answer in answers):
            return known
        if silent:
            return Refusal("not_answered", 409, f"{', '.join(silent)} did not answer: list the sessions again.")
        return Refusal("not_found", 404, f"The session {session} has ended meanwhile.")

    async def _ask(self, ask: SessionAsk) -> tuple[list[SessionAnswer], list[str]]:
        number = secrets.token_hex(8)
        workers = await live_workers(self._link, self._keys)
        await self._asks.ask(number, _encode(ask))
        clock = asyncio.get_running_loop().time
        ends, polls = clock() + ANSWER_SECONDS, 0
        answers: dict[str, bytes] = {}
        while set(workers) - answers.keys() and clock() < ends:
            await asyncio.sleep(POLL_SECONDS)
            answers = await self._asks.answers(number)
            polls += 1
            if not polls % RING_AGAIN_POLLS:
                await self._asks.ring()
        await self._asks.close(number)
        return [_decode(answer) for answer in answers.values()], sorted(set(workers) - answers.keys())


_LOGGED: Final = ("side", "system_id", "mode", "address", "worker")
