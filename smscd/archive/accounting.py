"""Turns a batch's sums into ledger entries: ids, order, chain. Pure: a batch tried twice gives the same entries.

One entry an account for all its refunds in the batch, one for all its charges, one for each order of an operator; money
that comes in stands before money that goes out, so that no balance in the ledger is lower than it ever was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from smscd.archive.merge import Batch, dead_letter
from storage.postgres.journal import DeadLetter
from storage.postgres.ledger import Head, LedgerEntry, head_of, next_entry

ID_EPOCH_MS = 1_577_836_800_000
ORDER_KINDS = ("topup", "adjust", "correction")


def entry_ids(last_id: int, at_ms: int, shard: int) -> Iterator[int]:
    """Ids that grow from batch to batch and differ between shards: 41 bits of time, 10 of shard, 12 counted up."""
    following = max((at_ms - ID_EPOCH_MS) << 22 | shard << 12, last_id + 1)
    while True:
        if following >> 12 & 0x3FF != shard:  # counted past the last of this millisecond
            following = ((following >> 22) + 1) << 22 | shard << 12
        yield following
        following += 1


@dataclass(slots=True)
class Accounting:
    """The ids of the entries that a batch makes, in the order in which they are made."""

    last_id: int
    orders: list[int] = field(default_factory=list)
    refunds: dict[str, int] = field(default_factory=dict)
    charges: dict[str, int] = field(default_factory=dict)


def assign_ids(batch: Batch, last_id: int, shard: int) -> Accounting:
    """Give every entry of the batch its id, and tell the refunded messages which entry they are part of."""
    ids = entry_ids(last_id, batch.entry_ms[-1], shard)
    result = Accounting(last_id)
    result.orders = [next(ids) for _ in batch.orders]
    result.refunds = {account: next(ids) for account, (micros, _) in batch.refunds.items() if micros}
    result.charges = {account: next(ids) for account, (micros, _) in batch.charges.items() if micros}
    result.last_id = max([last_id, *result.orders, *result.refunds.values(), *result.charges.values()])
    for found, account in batch.refunded:
        found.refund_entry = result.refunds.get(account, 0)
    return result


def accounts_of(batch: Batch) -> set[str]:
    """Whose chains the batch adds to."""
    return {*batch.charges, *batch.refunds, *(record.account for _, record in batch.orders)}


@dataclass(slots=True)
class Booked:
    """What goes into the ledger. heads: the new ends of the chains. dead: orders whose reference was taken already."""

    entries: list[LedgerEntry] = field(default_factory=list)
    heads: dict[str, Head] = field(default_factory=dict)
    dead: list[DeadLetter] = field(default_factory=list)


def book(batch: Batch, ids: Accounting, heads: Mapping[str, Head], taken: set[str]) -> Booked:
    """Make the entries. heads: the ends of all chains concerned. taken: references that the ledger has already.

    An order whose reference is taken is booked without it, because Redis has moved the money: and it is set aside for
    the operator.
    """
    result = Booked(heads=dict(heads))
    used = set(taken)

    def append(account: str, entry: LedgerEntry) -> None:
        result.entries.append(entry)
        result.heads[account] = head_of(entry)

    for entry_id, (journal_id, order) in zip(ids.orders, batch.orders, strict=True):
        reference: str | None = clean(order.reference)
        if reference is not None and reference in used:
            error = f"entry {journal_id}: the reference is in the ledger already; booked without it"
            result.dead.append(dead_letter("L", order, error))
            reference = None
        elif reference is not None:
            used.add(reference)
        append(
            order.account,
            next_entry(
                result.heads[order.account],
                id=entry_id,
                account=order.account,
                kind=order.kind if order.kind in ORDER_KINDS else "adjust",
                amount_micros=order.amount_micros,
                messages=0,
                journal_from=journal_id,
                journal_to=journal_id,
                at_ms=order.at_ms,
                reference=reference,
                operator=clean(order.operator),
                note=clean(order.note),
                corrects=clean(order.corrects),
            ),
        )
    for kind, entry_of, sums, sign in (
        ("refund", ids.refunds, batch.refunds, 1),
        ("charge", ids.charges, batch.charges, -1),
    ):
        for account, entry_id in entry_of.items():
            micros, messages = sums[account]
            append(
                account,
                next_entry(
                    result.heads[account],
                    id=entry_id,
                    account=account,
                    kind=kind,
                    amount_micros=sign * micros,
                    messages=messages,
                    journal_from=batch.first_id,
                    journal_to=batch.last_id,
                    at_ms=batch.entry_ms[-1],
                ),
            )
    return result


def references_of(batch: Batch) -> list[str]:
    """The references of the batch's orders."""
    return [reference for _, order in batch.orders if (reference := clean(order.reference)) is not None]


def clean(text: str) -> str | None:
    """An operator's text as PostgreSQL takes it; None for an empty one."""
    return text.replace("\0", "\\x00") or None
