"""Which events a batch has for the accounts that ask for them: pure, no I/O."""

from __future__ import annotations

from collections.abc import Collection

from protocols.smpp.receipt import STAT_OF_STATE
from smscd.archive.merge import Batch
from smscd.core.lifecycle import stat_of
from smscd.core.records import ReceiptRecord, ResultRecord, State
from storage.postgres.account_events import Ended

_FIRST_FINAL = int(State.DELIVERED)
_STATS = frozenset(STAT_OF_STATE.values())


def ended_of(batch: Batch, accounts: Collection[str]) -> list[Ended]:
    """How messages ended, as their callbacks say it. A record does not always tell its account: the row does."""
    learned, found = batch.learned, dict[int, Ended]()
    facts: list[ReceiptRecord | ResultRecord] = [*batch.receipts, *batch.attempts, *batch.sent]
    for fact in facts:
        if fact.state < _FIRST_FINAL or (fact.account and fact.account not in accounts):
            continue
        known = learned.get(fact.id)
        if known is None or known.state != fact.state or known.done_ms != fact.at_ms or fact.id in found:
            continue
        if isinstance(fact, ReceiptRecord):
            stat = fact.stat if fact.stat in _STATS else stat_of(State(fact.state))
            told = fact.done_ms, stat, fact.err or b"000"
        else:
            told = fact.at_ms, stat_of(State(fact.state)), b"%03d" % fact.command_status
        found[fact.id] = Ended(fact.id, fact.state, fact.at_ms, *told)
    return list(found.values())


def received_of(batch: Batch, accounts: Collection[str]) -> list[tuple[int, int]]:
    """Messages from phones, whole where they came in parts: id, and when they came."""
    return [
        (record.id, record.at_ms)
        for record in batch.inbound.values()
        if record.account in accounts and not record.group_id
    ]
