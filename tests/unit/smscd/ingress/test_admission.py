"""The admitter against a store that answers, stalls and loses replies as it is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from smscd.core.idempotency import StoredAnswer, encode_answer
from smscd.core.planning import Planned
from smscd.core.reasons import Reason
from smscd.core.records import MessageRecord
from smscd.core.verdicts import Accepted, Duplicate, Refused, Verdict
from smscd.ingress.admission import AdmissionMetrics, BatchAdmitter
from smscd.ingress.refusals import RefusalNote, RefusedBatch
from storage.redis.admission import AdmitItem, AdmitReply, Refusal
from storage.redis.errors import Fenced, Unanswered


class Store:
    """Answers each batch by `letters`, once `gate` is open."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.scheduled: list[bool] = []
        self.cancelled: list[Refusal] = []
        self.place = (3, 1)
        self.former: dict[tuple[int, int], bytes] = {}
        self.letters = b""
        self.extras: dict[int, bytes] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: Exception | None = None
        self.not_after: list[int] = []

    def redis_ms(self) -> int:
        return int(time.time() * 1000)

    async def admit(self, items: Sequence[AdmitItem], top_id: int, *, not_after_ms: int, timeout: float) -> AdmitReply:
        self.batches.append(len(items))
        self.scheduled += (item.is_scheduled for item in items)
        self.not_after.append(not_after_ms)
        try:
            await asyncio.wait_for(self.gate.wait(), timeout)
        except TimeoutError as error:
            raise Unanswered("no reply") from error
        if self.failure:
            raise self.failure
        return AdmitReply((self.letters or b"A" * len(items))[: len(items)], 1, "1-1", self.extras)

    async def resume(self) -> AdmitReply:
        await self.gate.wait()
        return AdmitReply(b"A" * self.batches[-1], 1, "1-1", {})

    async def cancel(self, items: Sequence[Refusal]) -> list[int]:
        self.cancelled += items
        return []

    def verdicts_at(self, place: tuple[int, int]) -> bytes:
        return self.former.get(place, b"")


class Rig:
    def __init__(self, path: Path) -> None:
        self.note = RefusalNote(path / "refused-0")
        self.store = Store()
        self.late = 0
        self.upstreams: set[str] = set()
        self.is_open = True
        self.admitter = BatchAdmitter(
            self.store,  # type: ignore[arg-type]  # a stand-in for the store
            metrics=AdmissionMetrics(lambda *_: None, self.count_late),
            on_admitted=self.upstreams.update,
            is_open=lambda: self.is_open,
            note=self.note,
            pending_max=2000,
        )
        self.verdicts: dict[int, Verdict] = {}
        self.calls: list[tuple[int, int]] = []

    def count_late(self, count: int) -> None:
        self.late += count

    def submit(self, planned: list[Planned]) -> None:
        def sink(start: int, verdicts: list[Verdict]) -> None:
            self.calls.append((start, len(verdicts)))
            for index, verdict in enumerate(verdicts):
                message_id = planned[start + index].record.id
                assert message_id not in self.verdicts
                self.verdicts[message_id] = verdict

        self.admitter.submit(planned, sink)

    async def until(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.verdicts) < count:
                await asyncio.sleep(0.005)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    made = Rig(tmp_path)
    task = asyncio.create_task(made.admitter.run())
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def planned(number: int, text: bytes = b"hi", key: bytes | None = None) -> Planned:
    record = MessageRecord(
        id=number, account="demo", upstream="u1", priority=1, door=1, source_ton=5, source_npi=0, source=b"A",
        dest_ton=1, dest_npi=1, dest=b"447700900123", esm_class=0, protocol_id=0, data_coding=0,
        registered_delivery=0, segments=[text], price_micros=7, valid_until_ms=1,
    )  # fmt: skip
    return Planned(record, 1, 0.0, 0, 0, 100, key, b"", b"h" * 16)


async def test_what_arrives_while_a_batch_is_under_way_becomes_the_next_batch(rig: Rig) -> None:
    rig.store.gate.clear()
    rig.submit([planned(0)])
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        while not rig.store.batches:
            await asyncio.sleep(0)
    rig.submit([planned(n) for n in range(1, 4)])
    rig.submit([planned(n) for n in range(4, 9)])
    rig.store.gate.set()
    await rig.until(9)
    assert rig.store.batches == [1, 8]
    assert rig.verdicts[8] == Accepted(8, 7, 1)
    assert rig.upstreams == {"u1"}
    assert rig.admitter.pending == 0


async def test_a_batch_has_at_most_500_messages_and_a_group_may_be_spread(rig: Rig) -> None:
    rig.submit([planned(n) for n in range(1200)])
    await rig.until(1200)
    assert rig.store.batches == [500, 500, 200]
    assert rig.calls == [(0, 500), (500, 500), (1000, 200)]


async def test_a_batch_has_at_most_256_kib(rig: Rig) -> None:
    rig.submit([planned(n, b"x" * 100_000) for n in range(5)])
    await rig.until(5)
    assert rig.store.batches == [2, 2, 1]


async def test_each_letter_becomes_its_verdict(rig: Rig) -> None:
    rig.store.letters = b"ADTIQLSV"
    rig.store.extras = {1: encode_answer(StoredAnswer(77, b"h" * 16, 5, 2, 8)), 2: b"1500", 6: b"90000", 7: b"70000"}
    rig.submit([planned(n) for n in range(8)])
    await rig.until(8)
    assert rig.verdicts == {
        0: Accepted(0, 7, 1),
        1: Duplicate(77, 5, 2, 8, True),
        2: Refused(Reason.RATE_LIMITED, 1.5),
        3: Refused(Reason.INSUFFICIENT_BALANCE),
        4: Refused(Reason.QUEUE_FULL, 1.0),
        5: Refused(Reason.STORAGE_UNAVAILABLE, 1.0),
        6: Refused(Reason.SPEND_LIMIT, 90.0),
        7: Refused(Reason.PREFIX_VELOCITY, 70.0),
    }


async def test_when_redis_does_not_answer_everything_is_refused_within_a_second(rig: Rig) -> None:
    rig.store.gate.clear()
    started = time.monotonic()
    rig.submit([planned(1, key=b"k")])
    async with asyncio.timeout(5):
        while not rig.store.batches:
            await asyncio.sleep(0.001)
    rig.submit([planned(2)])
    await rig.until(2)
    assert time.monotonic() - started < 1.0
    assert set(rig.verdicts.values()) == {Refused(Reason.STORAGE_UNAVAILABLE, 1.0)}
    rig.store.gate.set()
    async with asyncio.timeout(5):
        while not rig.store.cancelled:
            await asyncio.sleep(0.005)
    assert rig.store.cancelled == [Refusal(1, "demo", "u1", b"k")]
    assert rig.late == 1


async def test_a_process_that_is_killed_after_a_refusal_leaves_what_the_next_one_cancels(tmp_path: Path) -> None:
    killed = Rig(tmp_path)
    killed.store.gate.clear()
    task = asyncio.create_task(killed.admitter.run())
    killed.submit([planned(1, key=b"k"), planned(2), planned(3)])
    await killed.until(3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert killed.store.cancelled == []
    refused = [Refusal(1, "demo", "u1", b"k"), Refusal(2, "demo", "u1", b""), Refusal(3, "demo", "u1", b"")]
    assert killed.note.read() == RefusedBatch((3, 1), [[refusal] for refusal in refused])

    following = Rig(tmp_path)
    following.store.former = {(3, 1): b"AIA"}
    task = asyncio.create_task(following.admitter.run())
    following.submit([planned(4)])
    await following.until(1)
    assert following.verdicts[4] == Accepted(4, 7, 1)
    assert following.store.cancelled == [refused[0], refused[2]]
    assert following.late == 2
    assert following.note.read() is None
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_note_of_a_batch_that_never_ran_or_that_cannot_be_read_cancels_nothing(tmp_path: Path) -> None:
    for left in (b"\x92", b"\x92\x92\x03\x01\x91\x91\x94\x01\xa1a\xa1u\xc4\x00"):
        (tmp_path / "refused-0").write_bytes(left)
        rig = Rig(tmp_path)
        task = asyncio.create_task(rig.admitter.run())
        rig.submit([planned(1)])
        await rig.until(1)
        assert rig.store.cancelled == []
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert rig.note.read() is None


async def test_not_after_lies_before_the_answers_deadline(rig: Rig) -> None:
    before = int(time.time() * 1000)
    rig.submit([planned(1)])
    await rig.until(1)
    assert before < rig.store.not_after[0] < before + 900


async def test_a_closed_admission_and_a_full_buffer_refuse_at_once(rig: Rig) -> None:
    rig.is_open = False
    rig.submit([planned(1)])
    assert rig.verdicts[1] == Refused(Reason.QUEUE_FULL, 1.0)
    rig.is_open = True
    rig.submit([planned(n) for n in range(10, 2011)])
    assert rig.verdicts[10] == Refused(Reason.QUEUE_FULL, 1.0)


async def test_a_lost_role_refuses_what_waits_and_ends_the_run(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.store.failure = Fenced("another")
    task = asyncio.create_task(rig.admitter.run())
    rig.submit([planned(n) for n in range(700)])
    with pytest.raises(Fenced):
        await asyncio.wait_for(task, 5)
    assert len(rig.verdicts) == 700
    assert set(rig.verdicts.values()) == {Refused(Reason.STORAGE_UNAVAILABLE, 1.0)}


async def test_the_store_is_told_which_messages_wait_for_their_time(rig: Rig) -> None:
    late = planned(2)
    late.record.send_at_ms = int(time.time() * 1000) + 60_000
    rig.submit([planned(1), late])
    await rig.until(2)
    assert rig.store.scheduled == [False, True]
