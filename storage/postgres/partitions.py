"""Plans and makes the partitions of the record: by year, month or day, ahead of time, all tables alike.

A partition holds the ids of its span of time (UTC), because an id carries its time. The DEFAULT partitions are a safety
net: rows that fell into one are moved when the partition that they belong to is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from storage.postgres.pool import Database, acquired
from storage.postgres.statements import load

ID_EPOCH_MS = 1_577_836_800_000
ID_TIME_SHIFT = 22
TABLES = ("messages", "segments", "message_events", "ledger_entries")
# How many spans after the present one are made, so that a year's, a quarter's or a fortnight's holiday does no harm.
AHEAD = {"year": 2, "month": 3, "day": 14}
# A clock that is behind by less than this still finds the partition of its rows.
BEHIND_MS = 86_400_000

_SQL = load("partitions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One partition to be: ids from lower_id up to, not including, upper_id."""

    suffix: str
    lower_id: int
    upper_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One partition that is. lower_id and upper_id are None for DEFAULT. rows_estimate: -1 when never analysed."""

    parent: str
    name: str
    lower_id: int | None
    upper_id: int | None
    rows_estimate: int
    size_bytes: int


def id_at(at_ms: int) -> int:
    """The least message id of a millisecond."""
    return (at_ms - ID_EPOCH_MS) << ID_TIME_SHIFT


def ms_at(message_id: int) -> int:
    """The millisecond in a message id."""
    return (message_id >> ID_TIME_SHIFT) + ID_EPOCH_MS


def spans(now_ms: int, granularity: str, ahead: int | None = None) -> list[Span]:
    """The span of a day before now, and all up to `ahead` after that of now (AHEAD by default)."""
    start = _floor(datetime.fromtimestamp((now_ms - BEHIND_MS) / 1000, UTC), granularity)
    present = _floor(datetime.fromtimestamp(now_ms / 1000, UTC), granularity)
    left = AHEAD[granularity] if ahead is None else ahead
    found = []
    while left >= 0:
        end = _following(start, granularity)
        found.append(Span(suffix=_suffix(start, granularity), lower_id=_id(start), upper_id=_id(end)))
        if start >= present:
            left -= 1
        start = end
    return found


def missing(wanted: Sequence[Span], existing: Iterable[tuple[int, int]], now_ms: int) -> list[Span]:
    """What of `wanted` no partition covers yet; cut to fit between those of another granularity.

    A gap that ended more than a day ago stays a gap: nothing new falls into it.
    """
    taken = sorted(existing)
    found = []
    for span in wanted:
        lower = span.lower_id
        for start, end in [*taken, (span.upper_id, span.upper_id)]:
            if start > lower and id_at(now_ms - BEHIND_MS) < (upper := min(start, span.upper_id)):
                is_whole = (lower, upper) == (span.lower_id, span.upper_id)
                suffix = span.suffix if is_whole else f"{span.suffix}_{_stamp(lower)}"
                found.append(Span(suffix=suffix, lower_id=lower, upper_id=upper))
            lower = max(lower, end)
            if lower >= span.upper_id:
                break
    return found


def made_until_ms(now_ms: int, partitions: Iterable[Partition]) -> int:
    """Up to when every table has partitions without a gap, from now on; now_ms when the present one is missing."""
    ends = []
    found = [partition for partition in partitions if partition.lower_id is not None]
    for table in TABLES:
        until = id_at(now_ms)
        for lower, upper in sorted((p.lower_id or 0, p.upper_id or 0) for p in found if p.parent == table):
            if lower <= until < upper:
                until = upper
        ends.append(until)
    return max(now_ms, ms_at(min(ends)))


async def list_partitions(database: Database) -> list[Partition]:
    """All partitions of the record, DEFAULT first in each table."""
    async with acquired(database) as connection:
        return [Partition(**dict(row)) for row in await connection.fetch(_SQL["list"])]


async def ensure_partitions(
    database: Database, now_ms: int, granularity: str, ahead: int | None = None
) -> dict[str, int]:
    """Make what is missing from now to `ahead` spans after it; the new names and the rows moved out of DEFAULT.

    Idempotent, and safe while others write. Raises LockNotAvailableError when a table was busy: try again.
    """
    made: dict[str, int] = {}
    wanted = spans(now_ms, granularity, ahead)
    async with acquired(database) as connection:
        existing = await list_partitions(connection)
        for table in TABLES:
            bounds = [
                (partition.lower_id, partition.upper_id)
                for partition in existing
                if partition.parent == table and partition.lower_id is not None and partition.upper_id is not None
            ]
            for span in missing(wanted, bounds, now_ms):
                moved = await connection.fetchval(_SQL["make"], table, span.suffix, span.lower_id, span.upper_id)
                if moved is not None:
                    made[f"{table}_{span.suffix}"] = moved
    return made


async def stray_rows(database: Database, count_max: int = 10_000) -> dict[str, int]:
    """How many rows lie in each table's DEFAULT partition, counted up to count_max. Not 0: raise an alert."""
    async with acquired(database) as connection:
        return {table: await connection.fetchval(_SQL[f"stray_{table}"], count_max) for table in TABLES}


def _floor(at: datetime, granularity: str) -> datetime:
    day = at.replace(hour=0, minute=0, second=0, microsecond=0)
    if granularity == "day":
        return day
    return day.replace(day=1) if granularity == "month" else day.replace(month=1, day=1)


def _following(start: datetime, granularity: str) -> datetime:
    if granularity == "day":
        return start + timedelta(days=1)
    if granularity == "month":
        return (start + timedelta(days=32)).replace(day=1)
    return start.replace(year=start.year + 1)


def _suffix(start: datetime, granularity: str) -> str:
    return start.strftime({"year": "y%Y", "month": "m%Y_%m", "day": "d%Y_%m_%d"}[granularity])


def _stamp(message_id: int) -> str:
    return datetime.fromtimestamp(ms_at(message_id) / 1000, UTC).strftime("%Y%m%d")


def _id(at: datetime) -> int:
    return id_at(int(at.timestamp() * 1000))
