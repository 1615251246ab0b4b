"""Which segments go out next over which bind: begun messages first, binds evenly, a message on one bind in order."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from protocols.smpp.constants import CommandStatus
from protocols.smpp.errors import EncodeError
from smscd.egress.binds.links import Link
from smscd.egress.dispatch.backlog import Backlog
from smscd.egress.dispatch.blobs import SENDING, WAITING, Item
from smscd.egress.dispatch.submits import SubmitEncoder, is_in_tlvs
from smscd.egress.dispatch.turn import Draft, Ref
from storage.redis.dispatch import Intent

_log = structlog.get_logger(__name__)


class Lot:
    """What one bind is to send after the turn: bodies and refs in the same order.

    intents: for each ref its index in the turn's intents, -1 for a message of the rest. takes_tlvs: whether the bind
    sends TLVs, as the lot was made for.
    """

    __slots__ = ("bodies", "intents", "link", "refs", "room", "takes_tlvs")

    def __init__(self, link: Link, room: int) -> None:
        self.link = link
        self.room = room
        self.takes_tlvs = link.takes_tlvs
        self.bodies: list[bytes] = []
        self.refs: list[Ref] = []
        self.intents: list[int] = []

    @property
    def can_send(self) -> bool:
        """False when the bind cannot send, or is a new one, of a version before that of the lot."""
        return self.link.can_send and (self.link.takes_tlvs or not self.takes_tlvs)

    def send(self, now: float) -> int:
        """Write all of it; how many that were."""
        if self.refs:
            for item, _ in self.refs:
                item.sent_at = now
            self.link.send(list(zip(self.bodies, self.refs, strict=True)), now)
        return len(self.refs)


def assign(
    draft: Draft, backlog: Backlog | None, links: Sequence[Link], limit: int, encoder: SubmitEncoder, now: float
) -> tuple[list[Lot], int]:
    """Fill the binds' room with at most `limit` segments; return the lots and how many segments they hold.

    The intents go into the draft's turn. backlog: None to send only what is begun on a bind.
    """
    lots = [lot for link in links if (lot := Lot(link, link.room(now))).room > 0]
    used = 0
    for lot in lots:
        begun = lot.link.begun
        while begun and lot.room > 0 and used < limit:
            item = begun[0]
            if not item.due_ms:
                used += _place(draft, lot, item, limit - used, encoder)
                if _goes_on(item):
                    break
            begun.popleft()
            item.is_queued = False
    if backlog is None or not lots or used >= limit:
        return lots, used
    items = backlog.take(min(limit - used, sum(lot.room for lot in lots)))
    items.reverse()
    quota = -(-len(items) // len(lots))
    for is_last_round in (False, True):
        for lot in lots:
            left = len(items) if is_last_round else quota
            while items and left and lot.room > 0 and used < limit:
                item = items.pop()
                left -= 1
                used += _place(draft, lot, item, limit - used, encoder)
                if _goes_on(item):
                    item.is_queued = True
                    lot.link.begun.append(item)
    if items:
        items.reverse()
        backlog.put_back(items)
    return lots, used


def _place(draft: Draft, lot: Lot, item: Item, limit: int, encoder: SubmitEncoder) -> int:
    """Put the waiting segments of a message on a bind, as many as there is room for; return how many."""
    record = item.record
    if item.is_over or item.refusal:
        return 0
    if record.valid_until_ms <= draft.now_ms:
        draft.end_of_validity((item,))
        return 0
    if not lot.takes_tlvs and is_in_tlvs(record):
        _log.error("message.unsendable", message_id=record.id, error="it needs TLVs; the bind is older than SMPP 3.4")
        draft.unsendable(item, 0, CommandStatus.ESME_ROPTPARNOTALLWD)
        return 0
    states, blob = item.states, item.blob
    intents = draft.turn.intents
    placed = 0
    room = min(lot.room, limit)
    for segment in range(len(states)):
        if states[segment] != WAITING:
            continue
        if placed == room:
            break
        try:
            body = encoder.body(record, segment, draft.now_ms)
        except EncodeError as error:
            _log.error("message.unsendable", message_id=record.id, segment=segment, error=str(error))
            draft.unsendable(item, segment)
            break
        states[segment] = SENDING
        lot.bodies.append(body)
        lot.refs.append((item, segment))
        if blob is None:
            lot.intents.append(-1)
            draft.rests[record.id] = item
        else:
            lot.intents.append(len(intents))
            intents.append(Intent(blob.queue, blob.entry_id, item.field(segment), record.id, item.resends))
        placed += 1
    lot.room -= placed
    return placed


def _goes_on(item: Item) -> bool:
    """True when more of it is to follow on the same bind. A refused one is stopped until it is judged."""
    return WAITING in item.states and not item.is_over and not item.refusal


def drop_withheld(lots: Sequence[Lot], withheld: set[int]) -> list[Item]:
    """Take those out of the lots whose message was cancelled before its intent; return their messages."""
    items: dict[int, Item] = {}
    for lot in lots:
        kept = [at for at, intent in enumerate(lot.intents) if intent not in withheld]
        if len(kept) == len(lot.refs):
            continue
        for at, intent in enumerate(lot.intents):
            if intent in withheld:
                item, segment = lot.refs[at]
                item.states[segment] = WAITING
                items[id(item)] = item
        lot.bodies = [lot.bodies[at] for at in kept]
        lot.refs = [lot.refs[at] for at in kept]
        lot.intents = [lot.intents[at] for at in kept]
    return list(items.values())


def take_back(lot: Lot) -> list[Item]:
    """The lot cannot be written: its segments wait again, in their order. Their intents are written anew then."""
    items: dict[int, Item] = {}
    for item, segment in lot.refs:
        item.states[segment] = WAITING
        items[id(item)] = item
    lot.refs = []
    lot.bodies = []
    lot.intents = []
    return list(items.values())
