"""Receipts whose message nobody found, for operators: listed, and matched later, in another form of ids, or by hand.

What is matched is applied by the owner of the upstream like a receipt that comes now; applied twice it changes nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from protocols.smpp.message_ids import IdForm, canonical_id, responses
from smscd.core.records import MatchRequest, State
from smscd.egress.dispatch.turn import sent_context
from smscd.egress.receipts.cold import decide
from smscd.egress.receipts.record import ColdFound, PostgresRecord, states_of
from storage.postgres import operators
from storage.postgres.configuration import load_snapshot
from storage.postgres.messages import find_ends, get_message, record_of
from storage.postgres.orphans import Orphan, close_orphans, get_orphan, open_orphans
from storage.postgres.pool import Database
from storage.postgres.rows import Direction
from storage.redis.matches import MatchAsks

MATCHED_AT_ONCE: Final = 50
ANSWER_SECONDS: Final = 5.0
POLL_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a match is not made. detail: a sentence that says what to do. field: of the body, where one is at fault."""

    code: str
    status: int
    detail: str
    field: str = ""


class Orphans:
    """What operators may do. database: the record, and the log of what operators did."""

    def __init__(self, database: Database, asks: MatchAsks) -> None:
        self._database = database
        self._asks = asks
        self._record = PostgresRecord(lambda: database)

    async def listed(self, *, upstream: str | None, since: datetime | None, limit: int) -> list[Orphan]:
        """Those that are open, oldest first."""
        return await open_orphans(self._database, upstream=upstream, since=since, limit=limit)

    async def match(self, operator: str, *, upstream: str | None, form: str | None) -> dict[str, int] | Refused:
        """Look all open ones up again, as far back as there are partitions; how many came to what.

        form: how receipts spell ids; that of each upstream's profile when None. Counted are final, recorded and
        repeated (matched), unknown, ambiguous and unreadable (not), and not_answered. Raises RecordAway.
        """
        forms = {
            profile.id: form or profile.receipt_id
            for profile in (await load_snapshot(self._database, with_prices=False)).upstreams
        }
        if upstream is not None and upstream not in forms:
            return Refused("not_found", 404, f"There is no upstream {upstream}.")
        if form is not None and form not in list(IdForm):
            return Refused("validation_failed", 422, f"A form is one of {', '.join(IdForm)}, not {form}.", "form")
        counts: Counter[str] = Counter()
        after = 0
        while True:
            page = await open_orphans(self._database, upstream=upstream, after=after, limit=MATCHED_AT_ONCE)
            if not page:
                return dict(counts)
            after = page[-1].id
            for name in dict.fromkeys(orphan.upstream for orphan in page):
                mine = [orphan for orphan in page if orphan.upstream == name]
                counts += await self._match(name, forms.get(name, form or IdForm.SAME), mine, operator)

    async def match_one(
        self, number: int, message_id: int, operator: str, *, segment: int = 1
    ) -> dict[str, object] | Refused:
        """Match an orphan by hand. segment: the number of the submit_sm that it is of, from 1."""
        orphan = await get_orphan(self._database, number)
        if orphan is None:
            return Refused("not_found", 404, f"There is no orphan {number}.")
        if orphan.matched_at is not None:
            detail = f"The orphan {number} was matched with message {orphan.message_id} already."
            return Refused("already_matched", 409, detail)
        message = await get_message(self._database, message_id)
        if message is None or message.direction != Direction.OUTBOUND:
            return Refused("unknown_message", 422, f"There is no message {message_id} that was sent.", "message")
        if not 1 <= segment <= len(message.segments):
            detail = f"Message {message_id} has {len(message.segments)} segments: there is none of number {segment}."
            return Refused("validation_failed", 422, detail, "segment")
        if message.upstream != orphan.upstream:
            detail = f"Message {message_id} went over {message.upstream}, and the receipt came over {orphan.upstream}."
            return Refused("another_upstream", 422, detail)
        if message.state < State.SENT:
            detail = (
                f"Message {message_id} is not recorded as sent. When it is in doubt (`smscd doubt list`), rule on it "
                "with `smscd doubt resend` or `smscd doubt fail`."
            )
            return Refused("not_sent", 409, detail)
        ends = await find_ends(self._database, [message_id])
        found = ColdFound(
            response_id=orphan.upstream_message_id,
            context=sent_context(record_of(message), segment - 1),
            states=states_of(message.state, ends.get(message_id, {})),
        )
        [effect] = (await self._apply(orphan.upstream, {number: (orphan, found)}, operator)).values()
        return {"orphan": number, "message": str(message_id), "segment": segment, "effect": effect}

    async def _match(self, upstream: str, form: str, orphans: Sequence[Orphan], operator: str) -> Counter[str]:
        spelled = dict.fromkeys(way for orphan in orphans for way in responses(orphan.upstream_message_id, form))
        by_id: dict[bytes, list[ColdFound]] = {}
        for segment in await self._record.find(upstream, list(spelled), 0) if spelled else ():
            by_id.setdefault(canonical_id(segment.response_id, form), []).append(segment)
        counts: Counter[str] = Counter()
        matched: dict[int, tuple[Orphan, ColdFound]] = {}
        for orphan in orphans:
            key = canonical_id(orphan.upstream_message_id, form, is_receipt=True)
            verdict = decide([orphan.receipt], form, by_id.get(key, ()))
            if isinstance(verdict, ColdFound):
                matched[orphan.id] = orphan, verdict
            else:
                counts[verdict] += 1
        if matched:
            counts.update((await self._apply(upstream, matched, operator)).values())
        return counts

    async def _apply(
        self, upstream: str, matched: Mapping[int, tuple[Orphan, ColdFound]], operator: str
    ) -> dict[int, str]:
        """Have the owner apply them, and close those that it did; what each came to. Written down first."""
        said = {str(number): str(found.context.id) for number, (_, found) in matched.items()}
        await operators.log(self._database, operator, "orphan.match", upstream, new={"matches": said})
        await self._asks.ask(
            upstream,
            {
                number: MatchRequest(found.context, orphan.receipt, found.states)
                for number, (orphan, found) in matched.items()
            },
        )
        clock = asyncio.get_running_loop().time
        ends = clock() + ANSWER_SECONDS
        effects: dict[int, str] = {}
        while len(effects) < len(matched) and clock() < ends:
            await asyncio.sleep(POLL_SECONDS)
            effects |= await self._asks.answers(upstream, [number for number in matched if number not in effects])
        closed = [(number, matched[number][1].context.id, matched[number][1].context.segment) for number in effects]
        if closed:
            await close_orphans(self._database, closed)
        if silent := {number: said[number] for number in said if int(number) not in effects}:
            await operators.log(self._database, operator, "orphan.match.refused", upstream, new={"matches": silent})
        return effects | {number: "not_answered" for number in matched if number not in effects}


def shown(orphan: Orphan) -> dict[str, object]:
    """One as JSON, the same by command and over HTTP. The text of the receipt is not shown."""
    return {
        "id": orphan.id,
        "upstream": orphan.upstream,
        "came_at": orphan.came_at.isoformat(),
        "upstream_message_id": _text(orphan.upstream_message_id),
        "reason": orphan.reason,
        "stat": orphan.stat,
        "err": orphan.err,
        "source": _text(orphan.source),
        "dest": _text(orphan.dest),
    }


def _text(octets: bytes) -> str:
    return octets.decode("ascii", "backslashreplace")
