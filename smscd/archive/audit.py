"""Proves the ledger: each chain, each entry from the messages that it sums up, each balance in Redis; traffic goes on.

Three questions, on one snapshot of the record. Is each account's chain whole? Is each charge and refund the sum of its
messages? Is each balance in Redis what the ledger says at the writer's offset and every journal entry after it adds?
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from smscd.archive.merge import Batch, Entry
from storage.postgres.audit import Booked, Extent, Snapshot, Sum
from storage.postgres.partitions import ID_TIME_SHIFT, ms_at

ROWS_A_SLICE: Final = 500_000
SLICES_MIN: Final = 20
ACCOUNTS_AT_ONCE: Final = 1_000
ENTRIES_AT_ONCE: Final = 500
ACCOUNTS_SAMPLED: Final = 100
ENTRIES_SAMPLED: Final = 200
MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
CLOCKS_MS: Final = 60_000
DIFFERENCE_KINDS: Final = ("balance", "chain", "entry")
NEAR_MS: Final = 600_000
"""How far the time in a message's id and that of the entry that it is part of may be apart."""
LATE_MS: Final = 15 * 86_400_000
"""The same for a refund, which may come as late as a receipt."""

Progress = Callable[[str, float], None]
"""Told what is being looked at and how much of it is done, 0 to 1."""


class Difference(NamedTuple):
    """Something that does not add up. kind: one of DIFFERENCE_KINDS. micros: how far it is off, where that is known."""

    kind: str
    account: str
    what: str
    micros: int = 0


@dataclass(slots=True)
class Audit:
    """What was looked at. old_entries: charges and refunds whose messages were dropped with their partition: only their
    chain was looked at. tail_entries: of the journal after the writer's offset."""

    accounts: int = 0
    entries: int = 0
    old_entries: int = 0
    tail_entries: int = 0
    differences: list[Difference] = field(default_factory=list)


class Balances(Protocol):
    """The balances of one shard."""

    async def at_once(self, accounts: Sequence[str]) -> tuple[str, list[int]]: ...


class Journal(Protocol):
    """The journal of one shard."""

    async def read(self, after: str, count: int) -> Sequence[Entry]: ...


async def audit(
    record: Snapshot,
    balances: Balances,
    journal: Journal,
    *,
    shard: int = 0,
    accounts: Sequence[str] | None = None,
    progress: Progress = lambda what, share: None,
) -> Audit:
    """Ask all three questions. accounts: only of these; None: of all, and then each entry is made again as well.

    The balances come first: the journal behind the offset is kept for minutes only.
    """
    result = Audit()
    wanted = list(accounts) if accounts is not None else await record.accounts()
    result.accounts = len(wanted)
    await _balances(record, balances, journal, wanted, result, shard, progress)
    for number, account in enumerate(wanted):
        head, fault = await record.chain(account)
        result.entries += head.seq
        if fault is not None:
            result.differences.append(Difference("chain", account, fault))
        progress("chains", (number + 1) / len(wanted))
    if accounts is None:
        await _entries(record, result, progress)
    return result


async def sample(
    record: Snapshot, balances: Balances, journal: Journal, *, shard: int = 0, chance: Callable[[], float]
) -> Audit:
    """The same of a part that is chosen anew each time: some accounts, the ends of their chains, a minute of charges.

    chance: uniform in 0..1. It costs about a second of PostgreSQL whatever the size of the record.
    """
    result = Audit()
    accounts = await record.accounts()
    if len(accounts) > ACCOUNTS_SAMPLED:
        accounts = [accounts[int(chance() * len(accounts))] for _ in range(ACCOUNTS_SAMPLED)]
        accounts = list(dict.fromkeys(accounts))
    result.accounts = len(accounts)
    await _balances(record, balances, journal, accounts, result, shard, lambda what, share: None)
    for account in accounts:
        seen, fault = await record.chain_end(account, ENTRIES_SAMPLED)
        result.entries += seen
        if fault is not None:
            result.differences.append(Difference("chain", account, fault))
    await _charges_of_a_minute(record, result, chance)
    return result


async def _charges_of_a_minute(record: Snapshot, result: Audit, chance: Callable[[], float]) -> None:
    """Make the charges of one minute of the last day again; a refund's messages may lie anywhere, so not those."""
    extent = await record.extent()
    minute, day = MINUTE_MS << ID_TIME_SHIFT, DAY_MS << ID_TIME_SHIFT
    earliest = max(extent.first_entry, extent.record_begins + (NEAR_MS << ID_TIME_SHIFT), extent.last_entry - day)
    if not extent.last_entry or earliest > extent.last_entry:
        return
    first = earliest + int(chance() * (extent.last_entry - earliest))
    booked = [found for found in await record.booked(first, first + minute) if found.kind == "charge"]
    open_sums = _OpenSums()
    open_sums.add(await record.dead_letter_sums())
    open_sums.add(await record.message_sums(first - minute, first + 2 * minute))
    for found in booked:
        if difference := open_sums.judge(found):
            result.differences.append(difference)
    result.entries += len(booked)


# --- Redis against the ledger ----------------------------------------------------------------------------------------


async def _balances(
    record: Snapshot,
    balances: Balances,
    journal: Journal,
    accounts: Sequence[str],
    result: Audit,
    shard: int,
    progress: Progress,
) -> None:
    booked = await record.balances()
    tail = _Tail(journal, await record.offset(shard))
    for at in range(0, len(accounts), ACCOUNTS_AT_ONCE):
        part = accounts[at : at + ACCOUNTS_AT_ONCE]
        until, held = await balances.at_once(part)
        await tail.read(until)
        for account, has in zip(part, held, strict=True):
            should = booked.get(account, 0) + tail.moved[account]
            if has != should:
                result.differences.append(Difference("balance", account, _balance_sentence(has, should), has - should))
        progress("balances", (at + len(part)) / len(accounts))
    result.tail_entries = tail.entries


def _balance_sentence(has: int, should: int) -> str:
    return (
        f"Redis has a balance of {has} micro-units, the ledger and the journal after it make {should}: "
        "the balance was changed past the scripts, or a ledger entry or journal entry was lost"
    )


class _Tail:
    """What the journal entries after an offset move, by account, as far as they were read."""

    def __init__(self, journal: Journal, offset: str) -> None:
        self.moved: Counter[str] = Counter()
        self.entries = 0
        self._journal = journal
        self._at = offset

    async def read(self, until: str) -> None:
        """Read on, up to and with the entry `until`."""
        end = _order(until)
        while _order(self._at) < end:
            batch = Batch()
            for entry in await self._journal.read(self._at, ENTRIES_AT_ONCE):
                if _order(entry.id) > end:
                    break
                batch.add(entry)
            if not batch.last_id:
                return
            self._at = batch.last_id
            self.entries += batch.entries
            for account, (micros, _) in batch.charges.items():
                self.moved[account] -= micros
            for account, (micros, _) in batch.refunds.items():
                self.moved[account] += micros
            for _, order in batch.orders:
                self.moved[order.account] += order.amount_micros


def _order(entry_id: str) -> tuple[int, int]:
    first, _, second = entry_id.partition("-")
    return int(first), int(second or 0)


# --- the ledger against the messages ---------------------------------------------------------------------------------


async def _entries(record: Snapshot, result: Audit, progress: Progress) -> None:
    """Go through messages and entries side by side, in the order of their ids, so that little is held at a time.

    An entry is younger than its messages, but for what clocks differ by: once all messages up to a time have been
    summed up, every entry of the time shortly before can be judged and forgotten.
    """
    extent = await record.extent()
    open_sums = _OpenSums()
    open_sums.add(await record.dead_letter_sums())
    first_entry = extent.first_entry
    # Nothing was dropped as long as the ledger is no older than the record.
    record_begins = extent.record_begins if first_entry < extent.record_begins else 0
    slices = list(_slices(extent))
    for number, (first, end) in enumerate(slices):
        open_sums.add(await record.message_sums(first, end))
        is_last = number == len(slices) - 1
        entries_end = max(first_entry, extent.last_entry + 1 if is_last else end - (CLOCKS_MS << ID_TIME_SHIFT))
        for booked in await record.booked(first_entry, entries_end):
            if _is_old(booked, record_begins):
                result.old_entries += 1
                open_sums.forget(booked.id)
            elif difference := open_sums.judge(booked):
                result.differences.append(difference)
        first_entry = entries_end
        progress("entries", (number + 1) / len(slices))
    result.differences += open_sums.left_over()


def _slices(extent: Extent) -> Iterator[tuple[int, int]]:
    """Ranges of ids, the same span of time each, that hold all messages and all entries."""
    first = min(filter(None, (extent.first_message, extent.first_entry)), default=0)
    end = max(extent.last_message, extent.last_entry) + 1
    count = max(SLICES_MIN, extent.rows_estimate // ROWS_A_SLICE)
    width = max(1, -(-(end - first) // count))
    for start in range(first, end, width):
        yield start, min(start + width, end)


def _is_old(booked: Booked, record_begins: int) -> bool:
    """True when messages of the entry may have been dropped with their partition."""
    apart = NEAR_MS if booked.kind == "charge" else LATE_MS
    return _order(booked.journal_from)[0] - apart < ms_at(record_begins)


class _OpenSums:
    """What messages say of entries that were not judged yet."""

    def __init__(self) -> None:
        self._sums: dict[int, Counter[tuple[str, str]]] = {}

    def add(self, sums: Sequence[Sum]) -> None:
        for found in sums:
            self._sums.setdefault(found.entry, Counter())[found.kind, found.account] += found.micros

    def forget(self, entry: int) -> None:
        self._sums.pop(entry, None)

    def judge(self, booked: Booked) -> Difference | None:
        """Compare an entry with its messages; it is not open any more."""
        sums = self._sums.pop(booked.id, Counter())
        says = sums.pop((booked.kind, booked.account), 0)
        amount = abs(booked.amount_micros)
        strangers = sorted({account for (_, account), micros in sums.items() if micros})
        if says == amount and not strangers:
            return None
        others = f", and messages of {', '.join(strangers)} name it as well" if strangers else ""
        return Difference(
            "entry",
            booked.account,
            f"the {booked.kind} entry {booked.seq} ({booked.id}) is of {amount} micro-units, its messages make {says}"
            f"{others}: the entry or a message was changed, or a message is missing",
            says - amount,
        )

    def left_over(self) -> list[Difference]:
        """Entries that messages name and the ledger does not have."""
        found = []
        for entry, sums in self._sums.items():
            for (kind, account), micros in sums.items():
                if micros:
                    what = f"messages make {micros} micro-units of {kind} entry {entry}, which is not in the ledger"
                    if not entry:
                        what = f"messages say {micros} micro-units of {kind} and name no entry: a message was changed"
                    found.append(Difference("entry", account, what, micros))
        return found
