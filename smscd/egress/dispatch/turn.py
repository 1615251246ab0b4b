"""The decisions of a dispatcher, without I/O: answers, time-outs, lost binds and the clock become one Turn.

A Draft collects what the next turn will record. Each function takes facts, moves the items that they are about, and
adds what Redis, the journal and the customer must learn. DESIGN sections 1 (law 5) and 4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import msgspec

from protocols.smpp.constants import CommandStatus
from protocols.smpp.message_ids import canonical_id
from smscd.core.callbacks import acceptance_callback, excerpt_coding_of, excerpt_of
from smscd.core.error_table import ErrorTable
from smscd.core.lifecycle import StatusKind, states_until
from smscd.core.records import (
    ChangeKind,
    ChangeRequest,
    MessageRecord,
    Outcome,
    ResultRecord,
    SentContext,
    State,
    Tariff,
)
from smscd.egress.dispatch.blobs import ACCEPTED, DOUBTED, LATE, SENDING, WAITING, Blob, Item
from smscd.egress.dispatch.entries import Entries
from smscd.egress.figures import Tally
from storage.redis.changes import ChangeAnswer

RESENDS_MAX: Final = 2
IN_DOUBT: Final = ("", "resend", "hold", "fail")
"""MessageRecord.in_doubt as Upstream.in_doubt says it; nothing is the upstream's own."""
REST_AFTER_MS: Final = 10_000

Ref: TypeAlias = tuple[Item, int]
Answers: TypeAlias = Sequence[tuple[Ref, int, bytes]]

_encode = msgspec.msgpack.Encoder().encode
_COUNTED: Final = {
    State.FAILED: "failed", State.EXPIRED: "expired", State.UNKNOWN: "unknown", State.CANCELED: "canceled"
}  # fmt: skip
_ACCEPTED, _SENT, _SENDING = int(Outcome.ACCEPTED), int(State.SENT), int(State.SENDING)


@dataclass(slots=True)
class Draft(Entries):
    """The next turn in the making.

    profile, errors: of the upstream. chance: 0..1, for the jitter of retries.
    correlated, contexts: (canonical id, encoded SentContext) of accepted segments, and the contexts themselves.
    again: messages that the dispatcher shall send as soon as it can, or at their due_ms.
    doubtful: messages with a segment in doubt that is not sent again.
    """

    chance: Callable[[], float]
    errors: ErrorTable
    correlated: list[tuple[bytes, bytes]] = field(default_factory=list)
    contexts: list[SentContext] = field(default_factory=list)
    again: list[Item] = field(default_factory=list)
    doubtful: list[Item] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)

    # --- facts ------------------------------------------------------------------------------------------------------

    def answered(self, answers: Answers, at_ms: int | None = None) -> None:
        """submit_sm_resp: accepted segments, and refused ones with their command_status.

        at_ms: when the first of them came, so that none is dated after its receipt; now without it.
        """
        upstream, form = self.profile.id, self.profile.receipt_id
        now_ms = self.now_ms if at_ms is None else at_ms
        journal, touched = self.turn.journal, self._touched
        correlated, contexts = self.correlated, self.contexts
        accepted = whole = 0
        for (item, segment), status, message_id in answers:
            if status:
                self._refused(item, segment, status)
                continue
            accepted += 1
            record, states = item.record, item.states
            before = states[segment]
            if before == LATE:
                self.tally.late += 1
            states[segment] = ACCEPTED
            is_whole = len(states) == 1 or states.count(ACCEPTED) == len(states)
            if message_id:
                context = sent_context(record, segment)
                contexts.append(context)
                correlated.append((canonical_id(message_id, form), _encode(context)))
            else:
                self.tally.without_id += 1
            state = item.state if item.is_over else _SENT if is_whole else _SENDING
            result = ResultRecord(record.id, segment, _ACCEPTED, now_ms, upstream, message_id, 0, record.attempt, state)
            if is_whole and not item.is_over and record.callback_url is not None:
                callback = acceptance_callback(record, upstream, message_id, now_ms)
                if callback is not None:
                    self.turn.hooks.append(_encode(callback))
                    result.due = True
            journal.append(_encode(result))
            if item.is_over:
                continue
            blob = item.blob
            if blob is None:
                if is_whole:
                    self._leave(item, _SENT)
                else:
                    self.rests[record.id] = item
            else:
                if not blob.settling:
                    touched.append(blob)
                blob.settling.append(item.field(segment))
                if is_whole:
                    item.is_over = True
                    item.state = _SENT
                    blob.unsettled -= 1
            if is_whole:
                whole += 1
            elif item.refusal:
                self._conclude(item)
            elif item.doubted_ms and DOUBTED in states:
                self._give_up(item)
            elif item.doubted_ms:
                item.doubted_ms = 0
                if WAITING in states:
                    self.again.append(item)
        self.turn.depth_delta -= whole
        self.tally.accepted += accepted

    def timed_out(self, refs: Iterable[Ref]) -> None:
        """No answer in time: the slot is free, nothing is sent again, a late answer still counts."""
        for item, segment in refs:
            self.tally.timed_out += 1
            if item.states[segment] == SENDING:
                item.states[segment] = LATE
            if item.is_over:
                continue
            if item.refusal:
                self._conclude(item)
            elif item.doubted_ms:
                self._give_up(item)

    def lost(self, refs: Iterable[Ref]) -> None:
        """The bind was lost before these were answered: they are in doubt, and the policy says what follows."""
        by_message: dict[int, tuple[Item, list[int]]] = {}
        for item, segment in refs:
            if not item.is_over and item.states[segment] in (SENDING, LATE):
                by_message.setdefault(id(item), (item, []))[1].append(segment)
        for item, segments in by_message.values():
            self._doubt(item, segments)

    def withheld(self, items: Iterable[Item]) -> None:
        """A cancel request came before the intent: the message ends, paid back, and nobody is called back."""
        for item in items:
            if not item.is_over:
                self.tally.canceled += 1
                self._end(item, Outcome.CANCELED, State.CANCELED, refund=item.record.price_micros, tells=False)

    def changed(self, request: ChangeRequest, item: Item | None) -> None:
        """A customer wants a message cancelled or replaced. item: None when its blob is certainly unread."""
        message_id = request.message.id
        if request.kind in (ChangeKind.RESEND, ChangeKind.FAIL):
            self.answer(message_id, self._ruled(request.kind, item))
            return
        if item is not None and (item.is_over or item.resends or not item.is_untouched):
            self.answer(message_id, ChangeAnswer.LATE)
            return
        if item is None:
            item = Item(request.message, None, 0)
            self.turn.gone.append(message_id)
            self.again.append(item)
        if request.kind == ChangeKind.CANCEL:
            self.tally.canceled += 1
            self._end(item, Outcome.CANCELED, State.CANCELED, refund=item.record.price_micros)
        else:
            self._replace(item, request.message)
        self.answer(message_id, ChangeAnswer.DONE)

    def _ruled(self, kind: int, item: Item | None) -> ChangeAnswer:
        """An operator rules what becomes of a message in doubt: its segments are sent again, or it fails."""
        if item is None or item.is_over or DOUBTED not in item.states:
            return ChangeAnswer.LATE
        segments = [segment for segment, state in enumerate(item.states) if state == DOUBTED]
        if kind == ChangeKind.FAIL:
            self.tally.failed += 1
            self.tally.ruled_failed += len(segments)
            self._end(item, Outcome.FAILED, State.FAILED, segment=segments[0], refund=refund_of(item))
            return ChangeAnswer.DONE
        if item.record.valid_until_ms <= self.now_ms:
            return ChangeAnswer.LATE
        for segment in segments:
            item.states[segment] = WAITING
        item.resends += 1
        item.doubted_ms = 0
        self.tally.resent += len(segments)
        self.tally.ruled_resent += len(segments)
        self.to_rest(item)
        self.again.append(item)
        return ChangeAnswer.DONE

    def _replace(self, item: Item, message: MessageRecord) -> None:
        """Exchange what is to be sent. The blob holds the old text, so the message leaves it."""
        record = msgspec.structs.replace(message, attempt=item.record.attempt)
        if item.blob is not None:
            self.to_rest(item)
        due_ms = record.send_at_ms if record.send_at_ms > self.now_ms else 0
        if due_ms or item.record.send_at_ms > self.now_ms:
            # Whatever waits to send the old one finds it over.
            item.is_over = True
            item = Item(record, None, 0)
            item.due_ms = due_ms
            self.again.append(item)
        item.record = record
        item.states = bytearray(len(record.segments))
        self.rests[record.id] = item
        self.turn.replaced.append(_encode(record))
        self._journal(item, Outcome.REPLACED, State.SCHEDULED if due_ms else State.QUEUED)

    def gone(self, items: Iterable[Item]) -> None:
        """These were read only now, and ended or went on elsewhere before: nothing is to be done but to forget them."""
        for item in items:
            if not item.is_over:
                self._leave(item, State.CANCELED)
                self.turn.dropped.append(item.record.id)

    def unsendable(self, item: Item, segment: int, status: int = CommandStatus.ESME_RINVMSGLEN) -> None:
        """A segment does not fit into submit_sm at all, or not into the upstream's: the message fails here."""
        item.refusal = int(status)
        item.refused_segment = segment
        self._conclude(item)

    def end_of_validity(self, items: Iterable[Item]) -> None:
        """End those whose time is over: EXPIRED, or UNKNOWN when the upstream may have them all the same.

        One whose answer is still awaited is left until it comes or times out.
        """
        for item in items:
            if item.is_over or item.record.valid_until_ms > self.now_ms or SENDING in item.states:
                continue
            if LATE in item.states or DOUBTED in item.states or item.resends:
                self.tally.unknown += 1
                self._end(item, Outcome.UNKNOWN, State.UNKNOWN)
            else:
                self.tally.expired += 1
                self._end(item, Outcome.EXPIRED, State.EXPIRED, refund=refund_of(item))

    def time_passed(self, blobs: Iterable[Blob], rest: Iterable[Item]) -> None:
        """What only time brings: the end of validity, and a place of their own for stuck messages that pin a blob."""
        for blob in blobs:
            if blob.valid_until_ms <= self.now_ms:
                self.end_of_validity(blob.items)
            if self.now_ms - blob.claimed_ms >= REST_AFTER_MS:
                left = [item for item in blob.items if not item.is_over]
                if left and all(item.is_stuck for item in left):
                    for item in left:
                        self.to_rest(item)
        self.end_of_validity(rest)

    def untold(self, ends: Iterable[int]) -> list[int]:
        """A receipt had ended the messages of these ends, so that they count as what it said; their ids."""
        found = [self.turn.ends[at] for at in ends]
        for end in found:
            name = _COUNTED[State(end.state)]
            setattr(self.tally, name, getattr(self.tally, name) - 1)
        return [end.message_id for end in found]

    # --- what follows -----------------------------------------------------------------------------------------------

    def _refused(self, item: Item, segment: int, status: int) -> None:
        if item.is_over:
            return
        item.states[segment] = WAITING
        if not item.refusal or self.errors.kind(status) is StatusKind.PERMANENT:
            item.refusal = status
            item.refused_segment = segment
        self._conclude(item)

    def _conclude(self, item: Item) -> None:
        """Act upon a refusal as soon as no other segment of the message is awaited."""
        if SENDING in item.states:
            return
        status, item.refusal = item.refusal, 0
        kind = self.errors.kind(status)
        if kind is StatusKind.PERMANENT:
            self.tally.failed += 1
            self._end(
                item, Outcome.FAILED, State.FAILED, status=status, segment=item.refused_segment, refund=refund_of(item)
            )
            return
        if kind is StatusKind.THROTTLED:
            self.tally.throttled += 1
        elif kind is StatusKind.QUEUE_FULL:
            self.tally.queue_full += 1
        self._retry(item, status)

    def _retry(self, item: Item, status: int) -> None:
        record = item.record
        self.tally.retried += 1
        delay_ms = self.errors.delay_ms(status, record.attempt, self.chance())
        due_ms = min(self.now_ms + delay_ms, record.valid_until_ms)
        record.attempt += 1
        self._journal(item, Outcome.RETRIED, State.QUEUED, status=status, segment=item.refused_segment)
        blob = item.blob
        if blob is None or not item.is_untouched:
            item.due_ms = due_ms
            self.to_rest(item)
            self.again.append(item)
            return
        record.resends = item.resends
        self.turn.later.append((due_ms, blob.queue, _encode(record)))
        self._settle_all(item, blob)
        item.is_over = True
        item.state = State.QUEUED

    def _doubt(self, item: Item, segments: list[int]) -> None:
        is_fatal = bool(item.refusal) and self.errors.kind(item.refusal) is StatusKind.PERMANENT
        sends_again = (
            self._policy(item) == "resend"
            and not is_fatal
            and item.resends < RESENDS_MAX
            and self.now_ms < item.record.valid_until_ms
        )
        for segment in segments:
            item.states[segment] = WAITING if sends_again else DOUBTED
            self._journal(item, Outcome.DOUBTED, State.SENDING, segment=segment)
        self.tally.doubted += len(segments)
        if sends_again:
            item.resends += 1
            self.tally.resent += len(segments)
        else:
            self.doubtful.append(item)
        if item.blob is None:
            self.rests[item.record.id] = item
        if item.refusal:
            self._conclude(item)
        elif sends_again:
            self.again.append(item)
        else:
            self._give_up(item)
        if not sends_again and not item.is_over:
            item.doubted_ms = item.doubted_ms or self.now_ms
            self.to_rest(item)  # where the next owner, and who lists doubts, finds it as one

    def _give_up(self, item: Item) -> None:
        """Fail a message with a segment in doubt, where that is the policy, once no other segment is awaited."""
        if self._policy(item) == "fail" and DOUBTED in item.states and SENDING not in item.states:
            self.tally.failed += 1
            segment = item.states.index(DOUBTED)
            self._end(item, Outcome.FAILED, State.FAILED, segment=segment, refund=refund_of(item))

    def _policy(self, item: Item) -> str:
        return IN_DOUBT[item.record.in_doubt] or self.profile.in_doubt


def refund_of(item: Item) -> int:
    """What goes back for a message that failed or expired: nothing once a segment was accepted, or may have been,
    unless the tariff charges delivery only."""
    record = item.record
    is_unsent = item.is_untouched and not item.resends
    return record.price_micros if is_unsent or record.tariff == Tariff.ON_DELIVERY else 0


def sent_context(record: MessageRecord, segment: int) -> SentContext:
    """What the receipt of an accepted segment needs to reach the customer."""
    return SentContext(
        record.id, segment, len(record.segments), record.account, record.via, record.registered_delivery,
        record.source_ton, record.source_npi, record.source, record.dest_ton, record.dest_npi, record.dest,
        excerpt_coding_of(record), record.price_micros, record.tariff, excerpt_of(record), record.client_ref,
        record.callback_url, record.group_id, record.conversion.parts if record.conversion is not None else 0,
        states_until(record),
    )  # fmt: skip
