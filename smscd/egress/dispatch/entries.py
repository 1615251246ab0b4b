"""What a turn records of messages, and where each of them is afterwards: in its blob, in the rest, or nowhere."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from smscd.core.callbacks import result_callback
from smscd.core.lifecycle import states_until
from smscd.core.records import Outcome, ResultRecord, State, Via
from smscd.core.upstream import Upstream
from smscd.egress.dispatch.blobs import Blob, Item, rest_blob
from storage.redis.changes import ChangeAnswer
from storage.redis.dispatch import End, Turn

_encode = msgspec.msgpack.Encoder().encode


@dataclass(slots=True)
class Entries:
    """The turn that is written, by what Draft decides. rests: messages whose place in the rest changes."""

    profile: Upstream
    now_ms: int
    turn: Turn = field(default_factory=Turn, kw_only=True)
    rests: dict[int, Item] = field(default_factory=dict, kw_only=True)
    _touched: list[Blob] = field(default_factory=list, kw_only=True)

    def answer(self, message_id: int, answer: ChangeAnswer) -> None:
        """Tell who asked for a change."""
        self.turn.answers.append((message_id, answer.value))

    def to_rest(self, item: Item) -> None:
        """Move an unsettled message out of its blob, so that it does not pin the others."""
        blob = item.blob
        if blob is not None:
            self._settle_all(item, blob)
            item.blob = None
        self.rests[item.record.id] = item

    def finish(self) -> Turn:
        """Close the draft: what ended of each blob, or that all of it did; what the rest holds now."""
        turn = self.turn
        for blob in self._touched:
            if blob.unsettled == 0:
                turn.finished.append((blob.queue, blob.entry_id))
                blob.items = []
            else:
                turn.settled += [(blob.queue, blob.entry_id, name) for name in blob.settling]
            blob.settling = []
        for message_id, item in self.rests.items():
            if item.is_over:
                turn.rest_del.append(message_id)
            else:
                turn.rest_set.append((message_id, rest_blob(item)))
        return turn

    @property
    def finished_blobs(self) -> list[Blob]:
        """Blobs that this draft touched and of which nothing is left."""
        return [blob for blob in self._touched if blob.unsettled == 0]

    def _end(
        self,
        item: Item,
        outcome: Outcome,
        state: State,
        *,
        status: int = 0,
        segment: int = 0,
        refund: int = 0,
        tells: bool = True,
    ) -> None:
        """Make a message final: state, refund, callback, journal; nothing of it is left anywhere.

        When a receipt has ended it before, turn.lua leaves out what would tell a second end.
        """
        record, turn = item.record, self.turn
        callback = result_callback(record, state, status, self.now_ms) if tells else None
        account = "" if record.via == Via.WEBHOOK else record.account
        blob = b"" if callback is None else _encode(callback)
        turn.ends.append(End(record.id, int(state), blob, account, states_until(record)))
        if refund:
            turn.refunds.append((record.account, record.id, refund))
        self._journal(item, outcome, state, status=status, segment=segment, refund=refund, due=callback is not None)
        self.turn.depth_delta -= 1
        self._leave(item, state)

    def _leave(self, item: Item, state: int) -> None:
        item.is_over = True
        item.state = state
        if item.blob is None:
            self.rests[item.record.id] = item
        else:
            self._settle_all(item, item.blob)

    def _settle_all(self, item: Item, blob: Blob) -> None:
        if not blob.settling:
            self._touched.append(blob)
        blob.settling += [item.field(segment) for segment in range(len(item.states))]
        blob.unsettled -= 1

    def _journal(
        self,
        item: Item,
        outcome: Outcome,
        state: State,
        *,
        status: int = 0,
        segment: int = 0,
        refund: int = 0,
        due: bool = False,
    ) -> None:
        record = item.record
        self.turn.journal.append(
            _encode(
                ResultRecord(
                    record.id, segment, outcome, self.now_ms, self.profile.id, b"", status, record.attempt, state,
                    refund, record.account, due,
                )
            )
        )  # fmt: skip
