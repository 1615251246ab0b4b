"""Messages in doubt, for operators: listed, and sent again or failed by the owner of their upstream.

A message in doubt may have been sent: sending it again may make it a duplicate, failing it may refund what arrived.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from smscd.core.records import ChangeKind, ChangeRequest, MessageRecord
from smscd.egress.dispatch.blobs import DOUBTED, RestRecord, decode_rest
from storage.postgres import operators
from storage.postgres.configuration import upstream_ids
from storage.postgres.pool import Database
from storage.redis.changes import ChangeAnswer, ChangeAsks
from storage.redis.rest import RestReader

LISTED_MAX: Final = 1_000
RULED_AT_ONCE: Final = 200
ANSWER_SECONDS: Final = 5.0
POLL_SECONDS: Final = 0.02

Verb: TypeAlias = Literal["resend", "fail"]
Ruled: TypeAlias = Literal["done", "not_in_doubt", "not_answered"]
"""What became of an order: done and durable; not in doubt (any more), or over; or no owner of the upstream answered,
so that it may still happen, and the list tells."""

_KINDS: Final = {"resend": ChangeKind.RESEND, "fail": ChangeKind.FAIL}
_RULED: Final[dict[ChangeAnswer, Ruled]] = {
    ChangeAnswer.DONE: "done",
    ChangeAnswer.LATE: "not_in_doubt",
    ChangeAnswer.ABSENT: "not_in_doubt",
}


class UnknownUpstream(Exception):
    """There is no such upstream. The text says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A message in doubt. segments: the numbers of those that may have been sent, from 1. since_ms: 0 when unknown."""

    message: MessageRecord
    segments: tuple[int, ...]
    since_ms: int
    resends: int

    def shown(self) -> dict[str, object]:
        """As JSON, the same by command and over HTTP."""
        message = self.message
        return {
            "id": str(message.id),
            "account": message.account,
            "upstream": message.upstream,
            "from": message.source.decode("latin-1"),
            "to": message.dest.decode("latin-1"),
            "segments": list(self.segments),
            "of": len(message.segments),
            "since_ms": self.since_ms,
            "valid_until_ms": message.valid_until_ms,
            "resends": self.resends,
            "price_micros": message.price_micros,
        }


class Doubts:
    """What operators may do. database: for the names of upstreams, and the log of what operators did.

    Methods that take an upstream raise UnknownUpstream.
    """

    def __init__(self, database: Database, rest: RestReader, asks: ChangeAsks) -> None:
        self._database = database
        self._rest = rest
        self._asks = asks

    async def listed(
        self, *, upstream: str | None = None, account: str | None = None, limit: int = LISTED_MAX
    ) -> list[Doubt]:
        """Those of an upstream or of all, oldest messages first; at most limit of them."""
        found: list[Doubt] = []
        for name in await self._names(upstream):
            async for blobs in self._rest.scan(name):
                found += (doubt for doubt in map(_doubt, blobs) if doubt is not None and _is_of(doubt, account))
                if len(found) >= limit:
                    break
        return sorted(found, key=lambda doubt: doubt.message.id)[:limit]

    async def rule(self, verb: Verb, message_ids: Sequence[int], operator: str) -> dict[int, Ruled]:
        """Have these sent again or failed; what became of each. Written down first."""
        ruled: dict[int, Ruled] = dict.fromkeys(message_ids, "not_in_doubt")
        names = await upstream_ids(self._database)
        for at in range(0, len(message_ids), RULED_AT_ONCE):
            part = message_ids[at : at + RULED_AT_ONCE]
            for name in names:
                doubts = [doubt for doubt in map(_doubt, await self._rest.get(name, part)) if doubt is not None]
                if doubts:
                    ruled |= await self._rule(verb, name, doubts, operator)
        return ruled

    async def rule_upstream(self, verb: Verb, upstream: str, operator: str) -> Counter[Ruled]:
        """The same for all that are in doubt now; how many came to what."""
        await self._names(upstream)
        ruled: dict[int, Ruled] = {}
        async for blobs in self._rest.scan(upstream):
            doubts = [doubt for doubt in map(_doubt, blobs) if doubt is not None]
            for at in range(0, len(doubts), RULED_AT_ONCE):
                ruled |= await self._rule(verb, upstream, doubts[at : at + RULED_AT_ONCE], operator)
        return Counter(ruled.values())

    async def _names(self, upstream: str | None) -> list[str]:
        names = await upstream_ids(self._database)
        if upstream is None:
            return names
        if upstream not in names:
            raise UnknownUpstream(f"There is no upstream {upstream}.")
        return [upstream]

    async def _rule(self, verb: Verb, upstream: str, doubts: Sequence[Doubt], operator: str) -> dict[int, Ruled]:
        ids = [doubt.message.id for doubt in doubts]
        action, named = f"doubt.{verb}", [str(message_id) for message_id in ids]
        await operators.log(self._database, operator, action, upstream, new={"messages": named})
        for doubt in doubts:
            await self._asks.ask(ChangeRequest(_KINDS[verb], doubt.message))
        ruled = await self._answers(upstream, ids)
        undone = {str(message_id): what for message_id, what in ruled.items() if what != "done"}
        if undone:
            await operators.log(self._database, operator, f"{action}.refused", upstream, new=undone)
        return ruled

    async def _answers(self, upstream: str, message_ids: Sequence[int]) -> dict[int, Ruled]:
        clock = asyncio.get_running_loop().time
        ends = clock() + ANSWER_SECONDS
        ruled: dict[int, Ruled] = {}
        waiting = list(message_ids)
        while waiting and clock() < ends:
            await asyncio.sleep(POLL_SECONDS)
            for message_id, answer in zip(waiting, await self._asks.answers(upstream, waiting), strict=True):
                if answer is not None:
                    ruled[message_id] = _RULED[answer]
            waiting = [message_id for message_id in waiting if message_id not in ruled]
        return ruled | dict.fromkeys(waiting, "not_answered")


def _doubt(blob: bytes) -> Doubt | None:
    rest: RestRecord = decode_rest(blob)
    segments = tuple(number for number, state in enumerate(rest.states, 1) if state == DOUBTED)
    if not segments:
        return None
    return Doubt(message=rest.message, segments=segments, since_ms=rest.doubted_ms, resends=rest.resends)


def _is_of(doubt: Doubt, account: str | None) -> bool:
    return account is None or doubt.message.account == account
