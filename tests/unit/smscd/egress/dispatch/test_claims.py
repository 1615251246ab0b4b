"""Claiming entries: cursors, what is read twice, and what is asked after a takeover."""

from __future__ import annotations

import pytest

from smscd.egress.dispatch.backlog import Backlog
from smscd.egress.dispatch.claims import Claims
from storage.redis.errors import StorageUnavailable
from tests.unit.smscd.egress.doubles import NOW_MS, QUEUE, message
from tests.unit.smscd.egress.redis_double import FakeDispatchStore, FakeRedis


class Rig:
    def __init__(self) -> None:
        self.redis = FakeRedis()
        self.store = FakeDispatchStore(self.redis)
        self.claims = Claims("carrier", self.store)
        self.backlog = Backlog()

    async def claim(self, wanted: int = 100) -> list[bytes]:
        """Ring, claim, and return the texts that wait since then."""
        self.claims.ring()
        self.lost = await self.claims.claim(self.backlog, wanted, NOW_MS)
        return [item.record.segments[0] for item in self.backlog.take(1000)]


async def test_entries_are_claimed_once() -> None:
    rig = Rig()
    rig.redis.admit(message(1))
    assert await rig.claim() == [b"text 1"]
    assert await rig.claim() == []
    rig.redis.admit(message(2))
    assert await rig.claim() == [b"text 2"]


async def test_a_queue_is_not_asked_again_before_the_bell_rings() -> None:
    rig = Rig()
    rig.redis.admit(message(1))
    await rig.claim()
    rig.redis.admit(message(2))
    assert await rig.claims.claim(rig.backlog, 100, NOW_MS) == [] and len(rig.backlog) == 0


async def test_a_queue_that_was_emptied_and_made_anew_is_read_from_its_start() -> None:
    rig = Rig()
    rig.redis.sequence = 1000
    rig.redis.admit(message(1))
    await rig.claim()
    rig.claims.forget(rig.claims.blobs())
    del rig.redis.queues[QUEUE]
    rig.redis.sequence = 5
    rig.redis.admit(message(2))
    assert await rig.claim() == [b"text 2"]


async def test_open_hashes_are_asked_for_until_a_queue_was_read_to_its_end() -> None:
    rig = Rig()
    entry = rig.redis.admit(message(1), message(2))
    rig.redis.open[(QUEUE, entry)] = {b"0.0": b"i0"}
    assert await rig.claim() == [b"text 2"]
    assert [(item.record.segments[0], segment) for item, segment in rig.lost] == [(b"text 1", 0)]
    asked = rig.store.opens_asked
    rig.redis.admit(message(3))
    await rig.claim()
    assert rig.store.opens_asked == asked == 1


async def test_a_long_queue_is_read_in_portions() -> None:
    rig = Rig()
    for number in range(500):
        rig.redis.admit(message(number))
    got: list[bytes] = []
    for _ in range(100):
        got += await rig.claim(wanted=40)
    assert got == [b"text %d" % number for number in range(500)]


async def test_a_failure_to_read_is_made_good_at_the_next_claim() -> None:
    rig = Rig()
    rig.redis.admit(message(1))
    rig.redis.unavailable = 1
    with pytest.raises(StorageUnavailable):
        await rig.claims.claim(rig.backlog, 100, NOW_MS)
    await rig.claims.claim(rig.backlog, 100, NOW_MS)
    assert len(rig.backlog) == 1
