"""The ledger's arithmetic: entries in a chain per account, each sealed by a hash over itself and the one before.

The hash is SHA-256 over: the 32 bytes of the previous entry's hash (32 zero bytes for the first), then each of account,
seq, kind, amount_micros, balance_micros, messages, journal_from, journal_to, reference, operator, note, at (in
milliseconds since the Unix epoch), id, in this order, as a 4-byte big-endian length and the value's UTF-8 text; numbers
in decimal; null is the length ff ff ff ff without a value. A correction has corrects after them, in the same way.
Whoever changes, drops or inserts an entry breaks the chain.

Amounts are signed: a charge is negative. balance_micros is the balance after the entry.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import asyncpg

from storage.postgres.pool import Database, acquired
from storage.postgres.statements import load

_SQL = load("ledger")
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NULL = b"\xff\xff\xff\xff"


@dataclass(frozen=True, slots=True)
class Head:
    """The end of an account's chain."""

    seq: int = 0
    balance_micros: int = 0
    hash: bytes = bytes(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One row of ledger_entries. kind: charge, refund, topup, adjust or correction. messages: how many it sums up.

    corrects: of a correction, the reference of the entry that it corrects.
    """

    id: int
    account: str
    seq: int
    kind: str
    amount_micros: int
    balance_micros: int
    messages: int
    journal_from: str
    journal_to: str
    reference: str | None
    operator: str | None
    note: str | None
    at_ms: int
    prev_hash: bytes
    hash: bytes = b""
    corrects: str | None = None


def entry_hash(entry: LedgerEntry) -> bytes:
    """The hash that seals an entry, as the module's docstring defines it."""
    parts = [entry.prev_hash]
    covered = (
        entry.account, entry.seq, entry.kind, entry.amount_micros, entry.balance_micros, entry.messages,
        entry.journal_from, entry.journal_to, entry.reference, entry.operator, entry.note, entry.at_ms, entry.id,
    )  # fmt: skip
    for value in covered if entry.corrects is None else (*covered, entry.corrects):
        if value is None:
            parts.append(_NULL)
        else:
            text = str(value).encode()
            parts += (len(text).to_bytes(4, "big"), text)
    return hashlib.sha256(b"".join(parts)).digest()


def next_entry(
    head: Head,
    *,
    id: int,
    account: str,
    kind: str,
    amount_micros: int,
    messages: int,
    journal_from: str,
    journal_to: str,
    at_ms: int,
    reference: str | None = None,
    operator: str | None = None,
    note: str | None = None,
    corrects: str | None = None,
) -> LedgerEntry:
    """The sealed entry that follows a chain's end."""
    draft = LedgerEntry(
        id=id,
        account=account,
        seq=head.seq + 1,
        kind=kind,
        amount_micros=amount_micros,
        balance_micros=head.balance_micros + amount_micros,
        messages=messages,
        journal_from=journal_from,
        journal_to=journal_to,
        reference=reference,
        operator=operator,
        note=note,
        at_ms=at_ms,
        prev_hash=head.hash,
        corrects=corrects,
    )
    return replace(draft, hash=entry_hash(draft))


def head_of(entry: LedgerEntry) -> Head:
    """The chain's end when this entry is its last."""
    return Head(seq=entry.seq, balance_micros=entry.balance_micros, hash=entry.hash)


def chain_fault(head: Head, entry: LedgerEntry) -> str | None:
    """What is wrong with the entry that follows `head`, or None."""
    if entry.seq != head.seq + 1:
        return f"entry {head.seq + 1} of {entry.account} is missing, or {entry.seq} stands twice"
    if entry.prev_hash != head.hash:
        return f"entry {entry.seq} of {entry.account} does not follow the one before it"
    if entry.balance_micros != head.balance_micros + entry.amount_micros:
        return f"the balance of entry {entry.seq} of {entry.account} does not add up"
    if entry_hash(entry) != entry.hash:
        return f"entry {entry.seq} of {entry.account} was changed after it was written"
    return None


def end_fault(entries: Sequence[LedgerEntry]) -> str | None:
    """What is wrong among entries that follow each other, or None; the first one's own place is believed."""
    if not entries:
        return None
    first = entries[0]
    head = Head(first.seq - 1, first.balance_micros - first.amount_micros, first.prev_hash)
    for entry in entries:
        if fault := chain_fault(head, entry):
            return fault
        head = head_of(entry)
    return None


async def verify(database: Database, account: str) -> tuple[Head, str | None]:
    """Walk an account's whole chain: its end, or the last good place and what is wrong after it."""
    head = Head()
    async with acquired(database) as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        async for row in connection.cursor(_SQL["entries"], account, prefetch=1000):
            entry = _entry(row)
            if fault := chain_fault(head, entry):
                return head, fault
            head = head_of(entry)
    return head, None


async def balance(database: Database, account: str) -> int:
    """The balance after the account's last entry; 0 without entries."""
    async with acquired(database) as connection:
        found = await connection.fetchval(_SQL["balance"], account)
    return found or 0


async def balances(database: Database) -> dict[str, int]:
    """The recorded balance of every account that has entries."""
    async with acquired(database) as connection:
        return {row["account"]: row["balance_micros"] for row in await connection.fetch(_SQL["balances"])}


async def entry_of(database: Database, reference: str) -> LedgerEntry | None:
    """The entry of an operator's order, whichever account's it is."""
    async with acquired(database) as connection:
        row = await connection.fetchrow(_SQL["entry_of"], reference)
    return None if row is None else _entry(row)


async def entries(database: Database, account: str, *, limit: int = 100) -> list[LedgerEntry]:
    """The newest entries of an account, newest first."""
    async with acquired(database) as connection:
        return [_entry(row) for row in await connection.fetch(_SQL["newest_entries"], account, limit)]


def _entry(row: asyncpg.Record) -> LedgerEntry:
    values = dict(row)
    values["at_ms"] = (values.pop("at") - _UNIX_EPOCH) // timedelta(milliseconds=1)
    return LedgerEntry(**values)
