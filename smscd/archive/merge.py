"""Merges what the journal says within one batch into the rows that the batch writes: pure, no I/O.

A message that was admitted within the batch becomes one new row with all that was learned of it; one of an earlier
batch becomes one change. Writing in one batch or in many ends in the same rows: a final state stays whatever comes
after it, the other states only rise, money and callbacks are sums.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import msgspec

from smscd.core.callback_records import CallbackKind, CallbackOutcome, CallbackResult
from smscd.core.records import (
    InboundRecord,
    JournalKind,
    LedgerRecord,
    MessageRecord,
    OrphanRecord,
    Outcome,
    ReceiptRecord,
    ResultRecord,
    State,
)
from storage.postgres.journal import DeadLetter
from storage.postgres.learned import Learned, Moved
from storage.postgres.rows import CallbackState, stored_text

Fact: TypeAlias = ResultRecord | ReceiptRecord | CallbackResult | Moved
"""A record that becomes a segment or an event."""

_REPEATED, _APART, _FINAL = b"012"
_TOLD = ord("1")
# Plain integers: comparing with a member of an enum costs several times as much.
_ACCEPTED = int(Outcome.ACCEPTED)
_FLAGGED = frozenset((int(Outcome.DOUBTED), int(Outcome.UNANNOUNCED)))
"""What announces a possible duplicate: who was refused sends again. What is cancelled after all is none."""
_ENDS = frozenset((int(Outcome.FAILED), int(Outcome.EXPIRED), int(Outcome.UNKNOWN), int(Outcome.CANCELED)))
_DELIVERED = int(State.DELIVERED)
_LOW_BALANCE = int(CallbackKind.LOW_BALANCE)
_FANNED, _PENDING = int(CallbackOutcome.FANNED), int(CallbackOutcome.PENDING)
_FIRST_FINAL = int(State.DELIVERED)

_encode = msgspec.msgpack.Encoder().encode
_decode_admitted = msgspec.msgpack.Decoder(list[MessageRecord]).decode
_decode_turn = msgspec.msgpack.Decoder(list[ResultRecord]).decode
_decode_receipts = msgspec.msgpack.Decoder(list[ReceiptRecord]).decode
_decode_inbound = msgspec.msgpack.Decoder(list[InboundRecord]).decode
_decode_callbacks = msgspec.msgpack.Decoder(list[CallbackResult]).decode
_decode_orphans = msgspec.msgpack.Decoder(list[OrphanRecord]).decode
_decode_ledger = msgspec.msgpack.Decoder(list[LedgerRecord]).decode


class Entry(Protocol):
    """A journal entry, as storage.redis.journal reads it."""

    @property
    def id(self) -> str: ...
    @property
    def kind(self) -> bytes: ...
    @property
    def blob(self) -> bytes: ...
    @property
    def effects(self) -> bytes: ...
    @property
    def refunds(self) -> bytes: ...


class Batch:
    """One batch in the making: add() the entries in order, then read off what is to be written.

    replaced: messages of earlier batches of which the customer exchanged what is sent, or that moved to another
    upstream. moved: each move, of whatever message.
    overflow: admitted ones that wait in PostgreSQL alone, in their order.
    learned: what is new of messages, admitted in this batch or before. sent, attempts, receipts, repeated,
    dead_callbacks: the records that become segments and events. deliveries: of events to endpoints. told: how warnings
    of a low balance ended. charges,
    refunds: by account, micros and how many messages. orders: an operator's, with the entry that each came in. orphans:
    receipts whose message nobody found. parked: those that still wait for theirs.
    """

    def __init__(self) -> None:
        self.first_id = ""
        self.last_id = ""
        self.entries = 0
        self.records = 0
        self.size_bytes = 0
        self.entry_ms: list[int] = []
        self.admitted: dict[int, MessageRecord] = {}
        self.inbound: dict[int, InboundRecord] = {}
        self.replaced: dict[int, MessageRecord] = {}
        self.moved: list[Moved] = []
        self.overflow: list[MessageRecord] = []
        self.learned: dict[int, Learned] = {}
        self.sent: list[ResultRecord] = []
        self.attempts: list[ResultRecord] = []
        self.receipts: list[ReceiptRecord] = []
        self.repeated: list[ReceiptRecord] = []
        self.dead_callbacks: list[CallbackResult] = []
        self.deliveries: list[CallbackResult] = []
        self.told: list[CallbackResult] = []
        self.charges: dict[str, list[int]] = {}
        self.refunds: dict[str, list[int]] = {}
        self.refunded: list[tuple[Learned, str]] = []
        self.orders: list[tuple[str, LedgerRecord]] = []
        self.orphans: list[OrphanRecord] = []
        self.parked: list[OrphanRecord] = []
        self.dead: list[DeadLetter] = []
        self._kinds: dict[bytes, Callable[[Entry], int]] = {
            JournalKind.ADMITTED: self._add_admitted,
            JournalKind.TURN: self._add_turn,
            JournalKind.RECEIPTS: self._add_receipts,
            JournalKind.INBOUND: self._add_inbound,
            JournalKind.CALLBACKS: self._add_callbacks,
            JournalKind.LEDGER: self._add_ledger,
            JournalKind.REPLACED: self._add_replaced,
            JournalKind.ORPHANS: self._add_orphans,
            JournalKind.PARKED: self._add_parked,
        }

    def add(self, entry: Entry) -> None:
        """Merge the next entry. One that cannot be read goes to the dead letters whole."""
        if not self.first_id:
            self.first_id = entry.id
        self.last_id = entry.id
        self.entries += 1
        self.size_bytes += len(entry.blob) + len(entry.effects) + len(entry.refunds) + 64
        self.entry_ms.append(int(entry.id.partition("-")[0]))
        try:
            self.records += self._kinds[entry.kind](entry)
        except (msgspec.MsgspecError, ValueError, KeyError) as error:
            kind = entry.kind.decode("ascii", "replace")
            self.dead.append(DeadLetter(kind=kind, record=entry.blob, error=f"entry {entry.id}: {error!r}"))

    def changes(self) -> list[tuple[int, Learned]]:
        """What was learned of messages of earlier batches."""
        admitted, inbound = self.admitted, self.inbound
        return [item for item in self.learned.items() if item[0] not in admitted and item[0] not in inbound]

    def _learned(self, message_id: int) -> Learned:
        found = self.learned.get(message_id)
        if found is None:
            found = self.learned[message_id] = Learned()
        return found

    def _add_admitted(self, entry: Entry) -> int:
        records, effects = _decode_admitted(entry.blob), entry.effects
        if effects and len(effects) != len(records):
            raise ValueError(f"{len(records)} messages have {len(effects)} effects")
        admitted, charges = self.admitted, self.charges
        payer: str | None = None
        sums = [0, 0]
        for record in records:
            if record.account != payer:
                payer = record.account
                sums = charges.setdefault(payer, [0, 0])
            sums[0] += record.price_micros
            sums[1] += 1
            message_id = record.id
            if message_id in admitted:
                self.dead.append(dead_letter("A", record, f"entry {entry.id}: the id {message_id} was admitted twice"))
            else:
                admitted[message_id] = record
        if effects:
            self.overflow += (record for record, effect in zip(records, effects, strict=True) if effect == _APART)
        return len(records)

    def _add_replaced(self, entry: Entry) -> int:
        """What is sent instead, and by which upstream; price and account stay."""
        records = _decode_admitted(entry.blob)
        if entry.effects:
            left, at_ms = entry.effects.decode(), self.entry_ms[-1]
            self.moved += [Moved(record.id, record.account, at_ms, left, record.upstream) for record in records]
        for record in records:
            found = self.learned.get(record.id)
            if found is not None and found.upstream:
                found.upstream = record.upstream
            (self.admitted if record.id in self.admitted else self.replaced)[record.id] = record
        return len(records)

    def _add_turn(self, entry: Entry) -> int:
        """An end that came after a receipt's is an event and nothing more."""
        records, told = _decode_turn(entry.blob), iter(entry.refunds)
        learned, sent, proposed = self.learned, self.sent, 0
        for record in records:
            found = learned.get(record.id)
            if found is None:
                found = learned[record.id] = Learned()
            found.upstream = record.upstream
            state, attempt = record.state, record.attempt
            if attempt > found.attempts:
                found.attempts = attempt
            if record.outcome == _ACCEPTED:
                sent.append(record)
                if found.state < state < _FIRST_FINAL:
                    found.state = state
                elif found.state != state:
                    settle(found, state, record.at_ms, None)
            else:
                self.attempts.append(record)
                if record.outcome in _FLAGGED:
                    found.maybe_duplicate = True
                if record.outcome in _ENDS and next(told, _TOLD) != _TOLD:
                    proposed += record.refund_micros > 0
                    continue
                status = record.command_status
                settle(found, state, record.at_ms, f"0x{status:08x}" if status else None)
            if record.due:
                found.callbacks_open += 1
            if record.refund_micros:
                if entry.effects[proposed : proposed + 1] == b"1":
                    self._refund(found, record.account, record.id, record.refund_micros)
                proposed += 1
        return len(records)

    def _add_receipts(self, entry: Entry) -> int:
        """A receipt changes its message when its effect is FINAL, or when it tells an intermediate state; one of
        several segments, or one that came again, is an event and nothing more."""
        records = _decode_receipts(entry.blob)
        effects, proposed = entry.effects, 0
        if len(effects) != len(records):
            raise ValueError(f"{len(records)} receipts have {len(effects)} effects")
        learned, receipts = self.learned, self.receipts
        for record, effect in zip(records, effects, strict=True):
            if effect == _REPEATED:
                self.repeated.append(record)
            else:
                receipts.append(record)
            state = record.state
            if effect == _FINAL or (effect != _REPEATED and state < _FIRST_FINAL):
                found = learned.get(record.id)
                if found is None:
                    found = learned[record.id] = Learned()
                if found.state >= _FIRST_FINAL:
                    pass
                elif state == _DELIVERED:
                    found.state = state
                    found.done_ms = record.at_ms
                    found.error_code = None
                else:
                    error = stored_text(record.err).decode() if effect == _FINAL else None
                    settle(found, state, record.at_ms, error)
                if record.due:
                    found.callbacks_open += 1
            if record.refund_micros:
                if entry.refunds[proposed : proposed + 1] == b"1":
                    self._refund(self._learned(record.id), record.account, record.id, record.refund_micros)
                proposed += 1
        return len(records)

    def _add_inbound(self, entry: Entry) -> int:
        records = _decode_inbound(entry.blob)
        for record in records:
            if record.id in self.inbound:
                self.dead.append(dead_letter("M", record, f"entry {entry.id}: the id {record.id} came in twice"))
            else:
                self.inbound[record.id] = record
        return len(records)

    def _add_callbacks(self, entry: Entry) -> int:
        records = _decode_callbacks(entry.blob)
        learned = self.learned
        for record in records:
            outcome = record.outcome
            if record.endpoint:
                self.deliveries.append(record)
            if outcome == _PENDING:
                continue
            if record.kind == _LOW_BALANCE:
                if outcome != _FANNED or not record.attempts:
                    self.told.append(record)
                continue
            found = learned.get(record.id)
            if found is None:
                found = learned[record.id] = Learned()
            if outcome == _FANNED:
                found.callbacks_open += 0 if record.is_replay else record.attempts - 1
                continue
            if not record.is_replay:
                found.callbacks_open -= 1
            found.callback_ms = record.at_ms
            found.callback_attempts = record.attempts
            if outcome == CallbackOutcome.DELIVERED:
                found.callback_state = CallbackState.DELIVERED
            else:
                found.callback_state = CallbackState.DEAD
                self.dead_callbacks.append(record)
        return len(records)

    def _add_ledger(self, entry: Entry) -> int:
        records = _decode_ledger(entry.blob)
        self.orders += [(entry.id, record) for record in records]
        return len(records)

    def _add_orphans(self, entry: Entry) -> int:
        records = _decode_orphans(entry.blob)
        self.orphans += records
        return len(records)

    def _add_parked(self, entry: Entry) -> int:
        records = _decode_orphans(entry.blob)
        self.parked += records
        return len(records)

    def _refund(self, found: Learned, account: str, message_id: int, micros: int) -> None:
        if not account and message_id in self.admitted:
            account = self.admitted[message_id].account
        sums = self.refunds.setdefault(account, [0, 0])
        sums[0] += micros
        sums[1] += 1
        found.refunded_micros += micros
        self.refunded.append((found, account))


def settle(found: Learned, state: int, at_ms: int, error: str | None) -> None:
    """The next state: a final one stays; the others only rise. error explains a state that is not DELIVERED."""
    before = found.state
    if before >= _FIRST_FINAL:
        return
    if state > before:
        found.state = state
    if state >= _FIRST_FINAL:
        found.done_ms = at_ms
    if state == _DELIVERED:
        found.error_code = None
    elif error is not None:
        found.error_code = error


def dead_letter(
    kind: str,
    record: MessageRecord | InboundRecord | LedgerRecord | OrphanRecord | Fact,
    error: str,
    *,
    refunded_micros: int = 0,
    charge_entry: int | None = None,
) -> DeadLetter:
    """The dead letter of one record."""
    return DeadLetter(
        kind=kind,
        record=_encode(record),
        error=error.replace("\0", "\\x00"),
        message_id=None if isinstance(record, LedgerRecord | OrphanRecord) else record.id,
        account=None if isinstance(record, OrphanRecord) else record.account.replace("\0", "\\x00"),
        price_micros=record.price_micros if isinstance(record, MessageRecord) else 0,
        refunded_micros=refunded_micros,
        charge_entry=charge_entry,
    )


def is_storable(record: MessageRecord) -> bool:
    """False for what PostgreSQL is known to refuse: a NUL in a text. Asked only after it refused a batch."""
    texts = (record.account, record.upstream, record.client_ref, record.callback_url, record.request_key)
    return not any("\0" in text for text in texts if text) and b"\0" not in (record.metadata or b"")
