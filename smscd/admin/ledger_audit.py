"""The proof of the ledger as operators ask for it, by command and over HTTP: of all accounts, or of some."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from smscd.admin.orders import Refusal
from smscd.archive.audit import Audit, Balances, Journal, Progress, audit
from storage.postgres.audit import snapshot
from storage.postgres.pool import Connection


def _quiet(_what: str, _share: float) -> None:
    """Progress that nobody looks at."""


class Verified(msgspec.Struct, kw_only=True):
    """What was looked at, and everything that does not add up.

    entries_without_record: their messages went with a partition. journal_entries: after what the ledger has.
    """

    accounts: int
    entries: int
    entries_without_record: int
    journal_entries: int
    differences: list[dict[str, Any]]


async def verify(
    connection: Connection,
    balances: Balances,
    journal: Journal,
    accounts: Collection[str] = (),
    progress: Progress = _quiet,
) -> Audit | Refusal:
    """Recompute every entry, every chain and every balance on one snapshot.

    accounts: of these alone, when some are named; then no entry is made again from its messages.
    connection: the longer its limit of time, the larger a ledger may be.
    """
    async with snapshot(connection) as record:
        if strangers := sorted(set(accounts) - set(await record.accounts())):
            return Refusal("not_found", 404, f"There is no account {strangers[0]}: `smscd account list` shows all.")
        return await audit(record, balances, journal, accounts=list(accounts) or None, progress=progress)


def shown(found: Audit) -> Verified:
    """What was found as JSON, the same by command and over HTTP."""
    return Verified(
        accounts=found.accounts,
        entries=found.entries,
        entries_without_record=found.old_entries,
        journal_entries=found.tail_entries,
        differences=[difference._asdict() for difference in found.differences],
    )
