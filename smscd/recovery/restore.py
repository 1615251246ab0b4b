"""From the record to what Redis shall hold of each message, pure: queues, what may have been sent, marks, callbacks.

What nobody can know any more is decided for the side of the customer: a segment that may have been sent is in doubt,
and a callback that may have been delivered is due once more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec

from protocols.smpp.message_ids import canonical_id
from smscd.core.callback_records import CallbackRecord
from smscd.core.directory_index import DirectoryIndex
from smscd.core.error_table import ErrorTable
from smscd.core.lifecycle import states_until
from smscd.core.records import MessageRecord, Outcome, State, Via
from smscd.core.upstream import Upstream
from smscd.egress.dispatch.blobs import ACCEPTED, SETTLED_MARK, WAITING, RestRecord
from smscd.egress.dispatch.turn import RESENDS_MAX, sent_context
from smscd.egress.owed_callbacks import inbound_due, receipts_due, waiting_part
from smscd.egress.receipts.record import states_of
from storage.postgres.messages import StoredMessage, record_of
from storage.postgres.recovery import Found, Since
from storage.postgres.rows import Direction, EventKind
from storage.redis.keys import DAY_MS, HOUR_MS, id_ms
from storage.redis.overflow import Place
from storage.redis.recovery import Restored

NEVER = 0
_encode = msgspec.msgpack.Encoder().encode
_UNKNOWN_UPSTREAM = Upstream(id="", host="", port=0, system_id="", password="")


class Restorer:
    """directory: the configuration as it is now. now_ms: when Redis is rebuilt.

    owed: how many of a message's open callbacks are on their way to endpoints, and restored from that.
    """

    def __init__(
        self, directory: DirectoryIndex, since: Since, now_ms: int, owed: Mapping[int, int] | None = None
    ) -> None:
        self._owed = owed or {}
        self._directory = directory
        self._since = since
        self._now_ms = now_ms

    def restore(self, page: Sequence[Found]) -> Restored:
        """What a page of the record gives Redis."""
        into = Restored()
        for found in page:
            if owed := self._owed.get(found.message.id):
                found.message = replace(found.message, callbacks_open=found.message.callbacks_open - owed)
            if found.message.direction == Direction.INBOUND:
                self._inbound(found.message, into)
            else:
                self._outbound(found, into)
        return into

    def _inbound(self, message: StoredMessage, into: Restored) -> None:
        if message.callbacks_open > 0:
            self._callbacks(message, [inbound_due(message, self._directory)], into)
        elif (part := waiting_part(message, self._directory)) is not None:
            into.held.setdefault(message.upstream, []).append(part)

    def _outbound(self, found: Found, into: Restored) -> None:
        message = found.message
        record = record_of(message)
        accepted = {row.segment for row in found.sent}
        if message.state < State.SENT and len(accepted) < len(record.segments):
            self._unsent(record, accepted, found, into)
        self._correlation(record, found, into)
        if message.refunded_micros:
            into.refunded.append(message.id)
        if message.callbacks_open > 0:
            self._callbacks(message, receipts_due(message, record, found.sent, found.events), into)
        was_refused = any(event.kind == EventKind.UNANNOUNCED for event in found.events)
        if was_refused and message.state < State.SENT:
            into.cancels.append(message.id)
        key, answer = message.request_key, message.stored_answer
        if key and answer and not was_refused and message.id >= self._since.answers_id:
            into.answers.append((message.account, id_ms(message.id) // DAY_MS, key.encode(), answer))

    def _unsent(self, record: MessageRecord, accepted: set[int], found: Found, into: Restored) -> None:
        """Queue what no upstream has accepted: in doubt, unless it waits for a time that has not come."""
        doubts = Counter(event.segment for event in found.events if event.kind == EventKind.DOUBTED)
        record.resends = min(max(doubts.values(), default=0), RESENDS_MAX)
        into.waiting[record.upstream] += 1
        if found.is_apart:
            into.apart[record.upstream] += 1
            return
        profile = self._directory.upstream(record.upstream) or _UNKNOWN_UPSTREAM
        due_ms = waits_until(record, found, profile, self._now_ms)
        place = Place(record.upstream, record.priority, record.account)
        if due_ms == NEVER:
            into.doubtful[record.upstream] += 1
            doubt = b"i%d" % record.resends
            marks = [SETTLED_MARK if segment in accepted else doubt for segment in range(len(record.segments))]
            into.queued.setdefault(place, []).append((_encode(record), marks))
        elif accepted:
            states = bytes(ACCEPTED if segment in accepted else WAITING for segment in range(len(record.segments)))
            rest = RestRecord(record, states, record.resends, due_ms)
            into.rest.append((record.upstream, record.id, _encode(rest)))
        else:
            into.later.append((due_ms, place, _encode(record)))

    def _correlation(self, record: MessageRecord, found: Found, into: Restored) -> None:
        """Receipts of what was sent of late find their message, and change nothing twice."""
        hot = [row for row in found.sent if row.sent_ms >= self._since.sent_ms]
        for row in hot:
            if row.upstream_message_id:
                profile = self._directory.upstream(row.upstream) or _UNKNOWN_UPSTREAM
                key = canonical_id(row.upstream_message_id, profile.receipt_id)
                place = (row.upstream, row.sent_ms // HOUR_MS)
                into.sent.setdefault(place, []).append((key, _encode(sent_context(record, row.segment))))
        until_ms = states_until(record)
        is_open = bool(hot) or (until_ms > 0 and found.message.state < State.SENT)
        ends = {
            event.segment: event.state
            for event in (found.events if is_open and len(record.segments) > 1 else ())
            if event.kind == EventKind.RECEIPT and event.state >= State.DELIVERED
        }
        states = states_of(found.message.state, ends)
        into.states += [(record.id, suffix, value) for suffix, value in states]
        if states and until_ms:
            into.until[record.id] = until_ms

    def _callbacks(self, message: StoredMessage, callbacks: Sequence[CallbackRecord], into: Restored) -> None:
        blobs = [_encode(callback) for callback in callbacks]
        if message.via == Via.WEBHOOK:
            into.hooks += blobs
        elif message.via == Via.SMPP and blobs:
            into.out.setdefault(message.account, []).extend(blobs)


def waits_until(record: MessageRecord, found: Found, profile: Upstream, now_ms: int) -> int:
    """When a message that is scheduled, or was refused for a while, is due; NEVER when it can have been sent since.

    The jitter of its delay is not recorded: it was not sent before the shortest, and is now sent after the longest.
    """
    if record.send_at_ms > now_ms:
        return record.send_at_ms
    attempts = [event for event in found.events if event.kind in (Outcome.RETRIED, Outcome.DOUBTED)]
    last_ms = max((event.at_ms for event in attempts), default=0)
    newest = [event for event in attempts if event.at_ms == last_ms]
    if any(event.kind == Outcome.DOUBTED for event in newest) or not newest:
        return NEVER
    if any(row.sent_ms > last_ms for row in found.sent):
        return NEVER
    refused = newest[-1]
    errors = ErrorTable(profile)
    earliest, latest = (
        min(last_ms + errors.delay_ms(refused.command_status, refused.attempt - 1, chance), record.valid_until_ms)
        for chance in (1.0, 0.0)
    )
    return latest if earliest > now_ms else NEVER
