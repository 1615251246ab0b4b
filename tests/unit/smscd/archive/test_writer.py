"""The writer's own decisions: when a batch is full or old enough, and when the journal is trimmed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from smscd.archive.writer import Commit, Writer, WriterLimits, _Trimmer
from smscd.core.records import MessageRecord
from storage.postgres.pool import Connection
from tests.integration.journal_fake import FakeJournal

AT = 1_795_000_000_000


def record(id: int) -> MessageRecord:
    return MessageRecord(
        id, "demo", "carrier", 1, 1, 5, 0, b"ACME", 1, 1, b"447900000001", 0, 0, 0, 1, [b"hello"], 100, AT
    )


class Silent:
    """An observer that keeps only how far behind it was told."""

    def __init__(self) -> None:
        self.behind_seconds: list[float] = []
        self.errors: list[BaseException] = []

    def committed(self, commit: Commit) -> None:
        raise AssertionError("nothing can be committed here")

    def behind(self, seconds: float) -> None:
        self.behind_seconds.append(seconds)

    def interrupted(self, error: BaseException) -> None:
        self.errors.append(error)


async def nowhere(seconds: float) -> Connection:
    raise ConnectionRefusedError


def writer(
    journal: FakeJournal, now_ms: Callable[[], int], limits: WriterLimits, observer: Silent | None = None
) -> Writer:
    return Writer(
        shard=0, journal=journal, connect=nowhere, observer=observer or Silent(), now_ms=now_ms, limits=limits
    )


async def test_a_batch_waits_until_its_oldest_entry_is_old_enough() -> None:
    journal = FakeJournal(now_ms=AT)
    journal.append(b"A", [record(1)])
    late = [AT]

    def arrive() -> None:
        if len(journal.entries) == 1:
            journal.append(b"A", [record(2)])
        late[0] += 60

    journal.on_read = arrive
    limits = WriterLimits(linger_seconds=0.1)
    batch = await writer(journal, lambda: late[0], limits)._collect("0-0")
    assert batch is not None
    assert list(batch.admitted) == [1, 2]


async def test_an_entry_of_a_clock_that_stepped_ahead_waits_no_longer_than_another() -> None:
    journal = FakeJournal(now_ms=AT + 86_400_000)
    journal.append(b"A", [record(1)])
    batch = await asyncio.wait_for(writer(journal, lambda: AT, WriterLimits(linger_seconds=0.1))._collect("0-0"), 5)
    assert batch is not None and list(batch.admitted) == [1]


async def test_an_old_entry_is_not_made_to_wait() -> None:
    journal = FakeJournal(now_ms=AT)
    journal.append(b"A", [record(1)])
    limits = WriterLimits(linger_seconds=3_600.0)
    async with asyncio.timeout(5):
        batch = await writer(journal, lambda: AT + 3_600_000, limits)._collect("0-0")
    assert batch is not None


@pytest.mark.parametrize(
    "limits",
    [
        WriterLimits(linger_seconds=3_600.0, batch_records=10),
        WriterLimits(linger_seconds=3_600.0, batch_bytes=1_500, read_entries=3),
    ],
    ids=["records", "bytes"],
)
async def test_a_full_batch_does_not_wait_and_leaves_the_rest(limits: WriterLimits) -> None:
    journal = FakeJournal(now_ms=AT)
    for number in range(20):
        journal.append(b"A", [record(2 * number), record(2 * number + 1)])
    async with asyncio.timeout(5):
        batch = await writer(journal, lambda: AT, limits)._collect("0-0")
    assert batch is not None
    assert 10 <= batch.records < 40
    assert batch.last_id == journal.entries[batch.entries - 1].id


async def test_draining_ends_at_the_end_of_the_journal_without_waiting() -> None:
    journal = FakeJournal(now_ms=AT)
    journal.append(b"A", [record(1)])
    drained = writer(journal, lambda: AT, WriterLimits(linger_seconds=3_600.0))
    drained.drain()
    async with asyncio.timeout(5):
        batch = await drained._collect("0-0")
        assert batch is not None
        assert await drained._collect(batch.last_id) is None


async def test_while_postgres_is_away_the_age_of_the_oldest_entry_is_told_and_grows() -> None:
    journal, observer = FakeJournal(now_ms=AT), Silent()
    journal.append(b"A", [record(1)])
    now = [AT]

    def clock() -> int:
        now[0] += 1_000
        return now[0]

    limits = WriterLimits(backoff_seconds_first=0.001, backoff_seconds_max=0.002)
    away = writer(journal, clock, limits, observer)
    running = asyncio.create_task(away.run())
    async with asyncio.timeout(5):
        while len(observer.behind_seconds) < 3:
            await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert observer.behind_seconds[0] >= 1
    assert observer.behind_seconds == sorted(observer.behind_seconds)
    assert isinstance(observer.errors[0], ConnectionRefusedError)


def trimmer(journal: FakeJournal, **limits: float) -> _Trimmer:
    return _Trimmer(journal, WriterLimits(trim_every_seconds=0.0, **limits))  # type: ignore[arg-type]  # numbers


async def test_what_is_committed_stays_in_the_journal_for_a_while() -> None:
    journal = FakeJournal()
    trim = trimmer(journal, trim_after_seconds=600)
    trim.committed("100-0", 10, AT)
    trim.committed("200-0", 10, AT + 500_000)
    await trim.trim(AT + 599_999)
    assert journal.trimmed == "0-0"
    await trim.trim(AT + 600_000)
    assert journal.trimmed == "100-0"
    await trim.trim(AT + 1_100_000)
    assert journal.trimmed == "200-0"


async def test_more_than_the_limit_of_bytes_is_trimmed_sooner() -> None:
    journal = FakeJournal()
    trim = trimmer(journal, trim_after_bytes=100)
    for number in range(1, 6):
        trim.committed(f"{number}00-0", 40, AT)
    await trim.trim(AT)
    assert journal.trimmed == "300-0"


async def test_what_lies_below_the_offset_at_the_start_goes_by_time() -> None:
    journal = FakeJournal()
    trim = trimmer(journal, trim_after_seconds=600)
    trim.start("50-0", AT)
    trim.start("60-0", AT + 1)
    await trim.trim(AT + 600_000)
    assert journal.trimmed == "50-0"


async def test_trimming_is_not_tried_more_often_than_it_should() -> None:
    journal = FakeJournal()
    trim = _Trimmer(journal, WriterLimits(trim_every_seconds=5.0, trim_after_bytes=0))
    trim.committed("100-0", 1, AT)
    await trim.trim(AT)
    trim.committed("200-0", 1, AT)
    await trim.trim(AT + 4_999)
    assert journal.trimmed == "100-0"
    await trim.trim(AT + 5_000)
    assert journal.trimmed == "200-0"
