"""Builds a lost Redis from PostgreSQL, or says what it would do: DESIGN section 7.

The order makes it safe to begin again after any interruption: Redis is marked as half built, emptied and filled; then
the recorded offset moves past everything that any journal ever had, which fences a writer of the old world and every
older copy of Redis; then Redis is marked as whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from smscd.core.directory_index import DirectoryIndex
from smscd.core.ids import first_id
from smscd.core.planning import LIFE_MAX_MS
from smscd.recovery.parked import kept_receipts
from smscd.recovery.report import Report
from smscd.recovery.restore import Restorer
from storage.postgres import ledger, operators, overflow, warnings, webhooks
from storage.postgres import recovery as record
from storage.postgres.configuration import load_snapshot
from storage.postgres.installation import Installation
from storage.postgres.journal import Offset, advance_offset, read_offset
from storage.postgres.messages import recorded_id
from storage.postgres.pool import Connection
from storage.redis.dispatch import HOT_SECONDS
from storage.redis.journal import entry_order
from storage.redis.keys import DAY_MS, ShardKeys
from storage.redis.link import RedisLink
from storage.redis.overflow import Place, Waiting
from storage.redis.recovery import Rebuild, RedisState, Restored, look, position_after, users

SHARD = 0
SPARE_MS = 3_600_000
JOIN_MS_MAX = 86_400_000 + SPARE_MS
NOTHING = "0-0"
ENTRIES_CHECKED = 1_000

Progress = Callable[[str, float], None]
"""Told what is done (balances, record) and how much of it, 0 to 1."""


class RecoveryRefused(Exception):
    """It is not done; the text says why, and what to do. Redis is as it was unless the text says so."""


class Recovery:
    """One run on the storage of an installation that nobody serves. link: one without a guard."""

    def __init__(self, database: Connection, link: RedisLink, installation: Installation, *, is_forced: bool) -> None:
        self._database = database
        self._link = link
        self._keys = ShardKeys(SHARD)
        self._installation = installation
        self._is_forced = is_forced

    async def check(self) -> RedisState:
        """Have both storages alone, and see that there is something to recover. Raises RecoveryRefused."""
        if not await record.lock(self._database):
            raise RecoveryRefused("Another `smscd recover` is at work on this database. Wait for its end.")
        busy = [*await users(self._link), *await record.users(self._database)]
        if busy:
            raise RecoveryRefused(
                f"smscd is running on this Redis or PostgreSQL ({', '.join(busy)}): stop it on all machines first."
            )
        state = await look(self._link, self._keys)
        mine = str(self._installation.id)
        if state.installation not in ("", mine):
            raise RecoveryRefused(
                f"Redis belongs to installation {state.installation}, PostgreSQL to {mine}. Check redis_url and "
                "postgres_dsn: one of them points to another installation."
            )
        recorded = await recorded_id(self._database, SHARD) or NOTHING
        is_behind = entry_order(state.journal_id) < entry_order(recorded)
        is_behind = is_behind or (not state.installation and recorded != NOTHING)
        if not is_behind and not state.is_half_built and not self._is_forced:
            raise RecoveryRefused(
                f"Redis has all that is recorded (its journal ends at {state.journal_id}, PostgreSQL has {recorded}): "
                "there is nothing to recover, start smscd. --force builds it anew all the same, and loses what "
                "PostgreSQL does not have."
            )
        return state

    async def plan(self, progress: Progress) -> Report:
        """Read everything and change nothing; what run() would do. Raises RecoveryRefused."""
        return await self._work(await self.check(), None, progress)

    async def run(self, progress: Progress, operator: str = "") -> Report:
        """Rebuild Redis, and write down first who has it done. Raises RecoveryRefused, StorageUnavailable; after that
        one run it again."""
        state = await self.check()
        if operator:
            await operators.log(self._database, operator, "recover", "redis", new={"is_forced": self._is_forced})
        return await self._work(state, Rebuild(self._keys, self._link), progress)

    def _believe(self, report: Report) -> None:
        """A balance that the ledger cannot prove is not taken over by itself."""
        if report.faults and not self._is_forced:
            account, fault = next(iter(report.faults.items()))
            raise RecoveryRefused(
                f"The ledger cannot be believed: {fault}"
                + (f" (and {len(report.faults) - 1} more accounts)" if len(report.faults) > 1 else "")
                + f". Look at it with `smscd ledger verify --account {account}`; --force takes the balance of its "
                "last entry all the same."
            )

    async def _work(self, state: RedisState, rebuild: Rebuild | None, progress: Progress) -> Report:
        database = self._database
        offset = await read_offset(database, SHARD) if rebuild is not None else None
        report, balances = await self._balances(progress)
        if rebuild is not None:
            self._believe(report)
            await rebuild.begin(state.now_ms)
            await overflow.clear_overflow(database)
            await rebuild.write_balances(balances)
        report.callbacks_webhook += await warnings.unended(database)
        least, greatest = await record.bounds(database)
        since = horizons(state.now_ms, entry_order(report.recorded)[0])
        directory = DirectoryIndex(await load_snapshot(database, with_prices=False))
        owed: Counter[int] = Counter()
        async for waiting in webhooks.waiting(database):
            owed.update(delivery.message_id for delivery in waiting if delivery.is_owed)
            restored = Restored(hooks_later=[(delivery.next_ms, delivery.record) for delivery in waiting])
            report.add(restored)
            if rebuild is not None:
                await rebuild.write(restored)
        restorer = Restorer(directory, since, state.now_ms, owed)
        parked = await kept_receipts(database, directory, since.ended_ms)
        report.parked = sum(len(one) for receipts in parked.values() for _, one in receipts.values())
        async for at, page in record.pages(database, since, least, greatest):
            restored = restorer.restore(page)
            report.add(restored)
            if rebuild is not None:
                await rebuild.write(restored)
            progress("record", (at - least) / max(1, greatest - least))
        if rebuild is not None and offset is not None:
            for upstream, receipts in parked.items():
                await rebuild.write_parked(upstream, receipts)
            await rebuild.write_depths(report.waiting)
            apart = await overflow.count_overflow(database)
            await rebuild.write_overflow({Place(*row[:3]): Waiting(row.tail, row.scheduled) for row in apart})
            await warnings.queue_anew(database)
            await self._finish(rebuild, state, offset, greatest)
        return report

    async def _balances(self, progress: Progress) -> tuple[Report, dict[str, int]]:
        """The balance of every account, from the end of its chain, which must hold together."""
        report = Report(await recorded_id(self._database, SHARD) or NOTHING)
        balances = await ledger.balances(self._database)
        for done, account in enumerate(balances, 1):
            entries = await ledger.entries(self._database, account, limit=ENTRIES_CHECKED)
            fault = ledger.end_fault(entries[::-1])
            if fault is not None:
                report.faults[account] = fault
            progress("balances", done / len(balances))
        report.accounts = len(balances)
        return report, balances

    async def _finish(self, rebuild: Rebuild, state: RedisState, offset: Offset, last_message: int) -> None:
        position = position_after(offset.last_id, state.now_ms)
        await rebuild.set_position(position)
        if not await advance_offset(self._database, SHARD, offset, Offset(position, offset.ledger_id)):
            raise RecoveryRefused(
                "PostgreSQL was written to meanwhile: some smscd still runs. Stop it, and run this again; until then "
                "Redis is half built and nobody can serve from it."
            )
        await rebuild.end(
            str(self._installation.id),
            self._installation.shards,
            position,
            max(state.now_ms, state.epoch + 1),
            max(first_id(state.now_ms), last_message),
        )


def horizons(now_ms: int, recorded_ms: int) -> record.Since:
    """How far back is looked for what is kept for a time. recorded_ms: when the world of before was last at work."""
    sent_ms = now_ms - HOT_SECONDS * 1000
    return record.Since(
        sent_ms=sent_ms,
        sent_id=first_id(sent_ms - LIFE_MAX_MS - SPARE_MS),
        ended_ms=recorded_ms - SPARE_MS,
        answers_id=first_id((now_ms // DAY_MS - 1) * DAY_MS),
        parts_id=first_id(recorded_ms - JOIN_MS_MAX),
    )
