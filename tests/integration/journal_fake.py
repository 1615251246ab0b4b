"""A journal in memory, and whole lives of messages to fill it with; the storage's interface, without a Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from smscd.core.callback_records import CallbackOutcome, CallbackResult
from smscd.core.records import InboundRecord, LedgerRecord, MessageRecord, Outcome, ReceiptRecord, ResultRecord, State

ID_EPOCH_MS = 1_577_836_800_000
NOW_MS = 1_795_000_000_000  # 2026-11-18
_encode = msgspec.msgpack.encode


@dataclass(slots=True)
class FakeEntry:
    """One journal entry."""

    id: str
    kind: bytes
    blob: bytes
    effects: bytes = b""
    refunds: bytes = b""


@dataclass
class FakeJournal:
    """What JournalReader does, on a list. now_ms stamps the entries."""

    now_ms: int = NOW_MS
    entries: list[FakeEntry] = field(default_factory=list)
    trimmed: str = "0-0"
    top: str = "0-0"
    on_read: Callable[[], None] | None = None
    _sequence: int = 0

    def append(self, kind: bytes, records: Sequence[msgspec.Struct], effects: bytes = b"", refunds: bytes = b"") -> str:
        """Add one entry at now_ms."""
        return self.append_blob(kind, _encode(list(records)), effects, refunds)

    def append_blob(self, kind: bytes, blob: bytes, effects: bytes = b"", refunds: bytes = b"") -> str:
        """Add one entry whose blob need not be readable."""
        self._sequence += 1
        self.top = f"{self.now_ms}-{self._sequence}"
        self.entries.append(FakeEntry(self.top, kind, blob, effects, refunds))
        return self.top

    async def read(self, after: str, count: int) -> list[FakeEntry]:
        """At most count entries after an id."""
        if self.on_read is not None:
            self.on_read()
        lowest, highest = 0, len(self.entries)
        while lowest < highest:
            middle = (lowest + highest) // 2
            if order(self.entries[middle].id) <= order(after):
                lowest = middle + 1
            else:
                highest = middle
        return self.entries[lowest : lowest + count]

    async def last_id(self) -> str:
        """The newest id."""
        return self.top

    async def trim(self, below: str) -> None:
        """Delete what is below."""
        self.entries = [entry for entry in self.entries if order(entry.id) >= order(below)]
        self.trimmed = below


def order(entry_id: str) -> tuple[int, int]:
    """Ids as numbers that compare."""
    first, _, second = entry_id.partition("-")
    return int(first), int(second)


def message_id(at_ms: int, number: int) -> int:
    """An id of a millisecond; number below 4096."""
    return (at_ms - ID_EPOCH_MS) << 22 | 1 << 12 | number


def message(id: int, **changed: object) -> MessageRecord:
    """An ordinary admitted message."""
    values: dict[str, object] = {
        "id": id, "account": "demo", "upstream": "carrier", "priority": 1, "door": 1, "source_ton": 5,
        "source_npi": 0, "source": b"ACME", "dest_ton": 1, "dest_npi": 1,
        "dest": b"4479%08d" % (id % 100_000_000), "esm_class": 0, "protocol_id": 0, "data_coding": 0,
        "registered_delivery": 1, "segments": [b"Your code is 123456, keep it to yourself"],
        "price_micros": 10_000, "valid_until_ms": NOW_MS + 86_400_000, "via": 1,
    }  # fmt: skip
    return MessageRecord(**{**values, **changed})  # type: ignore[arg-type]  # the test's own values


def sent(record: MessageRecord, at_ms: int, segment: int = 0, **changed: object) -> ResultRecord:
    """The carrier accepted a segment."""
    values: dict[str, object] = {
        "id": record.id, "segment": segment, "outcome": Outcome.ACCEPTED, "at_ms": at_ms,
        "upstream": record.upstream, "upstream_message_id": b"%x%02d" % (record.id, segment), "command_status": 0,
        "attempt": 0, "state": State.SENT,
    }  # fmt: skip
    return ResultRecord(**{**values, **changed})  # type: ignore[arg-type]  # the test's own values


def receipt(record: MessageRecord, at_ms: int, segment: int = 0, **changed: object) -> ReceiptRecord:
    """The carrier says that a segment was delivered."""
    values: dict[str, object] = {
        "id": record.id, "segment": segment, "segments": len(record.segments), "account": record.account,
        "at_ms": at_ms, "upstream": record.upstream, "upstream_message_id": b"%x%02d" % (record.id, segment),
        "state": State.DELIVERED, "stat": b"DELIVRD", "err": b"000", "done_ms": at_ms,
        "text": b"id:%x sub:001 dlvrd:001 submit date:2611181200 done date:2611181200 stat:DELIVRD err:000 text:Your "
        % record.id, "due": True,
    }  # fmt: skip
    return ReceiptRecord(**{**values, **changed})  # type: ignore[arg-type]  # the test's own values


def delivered_callback(record: MessageRecord, at_ms: int, **changed: object) -> CallbackResult:
    """The customer has the receipt."""
    values: dict[str, object] = {
        "id": record.id, "kind": 1, "account": record.account, "outcome": CallbackOutcome.DELIVERED, "at_ms": at_ms,
        "attempts": 1,
    }  # fmt: skip
    return CallbackResult(**{**values, **changed})  # type: ignore[arg-type]  # the test's own values


def inbound(id: int, at_ms: int, **changed: object) -> InboundRecord:
    """A mobile-originated message."""
    values: dict[str, object] = {
        "id": id, "account": "demo", "upstream": "carrier", "source_ton": 1, "source_npi": 1, "source": b"447900000001",
        "dest_ton": 3, "dest_npi": 0, "dest": b"12345", "esm_class": 0, "protocol_id": 0, "data_coding": 0,
        "body": b"STOP", "at_ms": at_ms, "via": 1,
    }  # fmt: skip
    return InboundRecord(**{**values, **changed})  # type: ignore[arg-type]  # the test's own values


def top_up(micros: int, at_ms: int, reference: str = "invoice-1", account: str = "demo") -> LedgerRecord:
    """Money comes in."""
    return LedgerRecord(
        account=account, kind="topup", amount_micros=micros, reference=reference, at_ms=at_ms, operator="root"
    )


def append_lives(journal: FakeJournal, count: int, *, batch: int = 200, step_ms: int = 20, gap: int = 12) -> list[int]:
    """Fill the journal with whole lives; the ids. One batch of each kind every step_ms; sent, receipt and callback
    come `gap`, 2 x gap and 2 x gap + 2 steps after the admission, so that they fall into the same or later batches."""
    steps = -(-count // batch)
    batches: list[list[MessageRecord]] = []
    ids: list[int] = []
    for step in range(steps + 2 * gap + 2):
        journal.now_ms += step_ms
        now_ms = journal.now_ms
        if step < steps:
            size = min(batch, count - step * batch)
            batches.append([message(message_id(now_ms, number)) for number in range(size)])
            ids += [record.id for record in batches[-1]]
            journal.append(b"A", batches[-1])
        for kind, late, make in (
            (b"T", gap, sent),
            (b"R", 2 * gap, receipt),
            (b"C", 2 * gap + 2, delivered_callback),
        ):
            if late <= step < steps + late:
                records = [make(record, now_ms) for record in batches[step - late]]
                journal.append(kind, records, b"2" * len(records) if kind == b"R" else b"")
    return ids


def append_money(journal: FakeJournal) -> None:
    """Five seconds of charges to two accounts and one that pays nothing, with a refund each, and a correction."""
    for step in range(5):
        journal.now_ms += 1_000
        batch = [
            message(message_id(journal.now_ms, number), account=account, price_micros=7 + number)
            for number, account in enumerate(["demo", "acme", "demo", "free"])
        ]
        batch[3].price_micros = 0
        journal.append(b"A", batch)
        refund = sent(
            batch[0], journal.now_ms, outcome=Outcome.FAILED, upstream_message_id=b"", state=State.FAILED,
            refund_micros=7, account="demo",
        )  # fmt: skip
        journal.append(b"T", [refund], b"1")
        if step == 2:
            fine = LedgerRecord(account="acme", kind="correction", amount_micros=-3, reference="", at_ms=NOW_MS)
            journal.append(b"L", [fine])


def total_price(records: Iterable[MessageRecord]) -> int:
    """What was charged for these."""
    return sum(record.price_micros for record in records)
