"""Receipts that Redis knows nothing of: looked up in the record once each, so many a second, and then orphans."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from protocols.smpp.message_ids import canonical_id
from smscd.core.ids import first_id
from smscd.core.records import ParkedReceipt, SentContext, State
from smscd.egress.dispatch.turn import sent_context
from smscd.egress.figures import UpstreamFigures
from smscd.egress.receipts.cold import (
    BACK_MS,
    CROWDED,
    CROWDED_AFTER_MS,
    LOOK_EVERY_MS,
    ORPHANED_AFTER_MS,
    RIPE_MS,
    SPELLED_AT_ONCE,
    ColdReceipts,
    Pair,
    decide,
)
from smscd.egress.receipts.record import ColdFound, RecordAway, states_of
from tests.unit.smscd.egress.doubles import FIRST_ID, NOW_MS, encode, message, profile
from tests.unit.smscd.egress.redis_double import FakeReceiptStore, FakeRedis

LATER = NOW_MS + RIPE_MS
NUMBER = b"447700900123"


class PlayedRecord:
    """A record that counts how often it is asked, and for how many ids."""

    def __init__(self) -> None:
        self.known: list[ColdFound] = []
        self.asked: list[list[bytes]] = []
        self.oldest: list[int] = []
        self.is_away = False

    async def find(self, upstream: str, response_ids: Sequence[bytes], oldest_id: int) -> list[ColdFound]:
        assert upstream == "carrier"
        self.asked.append(list(response_ids))
        self.oldest.append(oldest_id)
        if self.is_away:
            raise RecordAway("gone")
        return [found for found in self.known if found.response_id in response_ids]


class Rig:
    """The cold side of an upstream, and what was made of its receipts."""

    def __init__(self, **changes: object) -> None:
        self.redis = FakeRedis()
        self.store = FakeReceiptStore(self.redis)
        self.record = PlayedRecord()
        self.figures = UpstreamFigures("carrier")
        self.applied: list[tuple[bytes, int]] = []
        self.now_ms = LATER
        self.cold = ColdReceipts(profile(**changes), self.store, self.record, self.figures, self._apply)  # type: ignore[arg-type]

    async def _apply(self, pairs: list[Pair]) -> None:
        self.applied += [(key, context.id) for key, context, _ in pairs]
        await self.store.unpark([key for key, _, _ in pairs])

    def know(self, response: bytes, number: int = 1, dest: bytes = NUMBER, **changes: object) -> ColdFound:
        found = ColdFound(
            response_id=response, context=sent_context(message(number, dest=dest), 0), states=[], **changes
        )  # type: ignore[arg-type]
        self.record.known.append(found)
        return found

    def park(self, receipt_id: bytes, source: bytes = NUMBER, at_ms: int = NOW_MS, form: str = "same") -> None:
        key = canonical_id(receipt_id, form, is_receipt=True) or b"unreadable:1"
        self.redis.park[key] = [encode(parked(receipt_id, source, at_ms))]

    async def sweep(self, seconds: float = 0.0) -> bool:
        self.now_ms += int(seconds * 1000)
        return await self.cold.sweep(self.now_ms)


def parked(receipt_id: bytes, source: bytes = NUMBER, at_ms: int = NOW_MS) -> ParkedReceipt:
    return ParkedReceipt(
        receipt_id, b"DELIVRD", b"000", State.DELIVERED, NOW_MS, b"raw", at_ms, source=source, dest=b"ACME"
    )


async def test_quirk_6_a_late_receipt_finds_its_message_in_the_record() -> None:
    rig = Rig()
    rig.know(b"abc")
    rig.park(b"abc")
    rig.now_ms = LATER - 1
    await rig.sweep()
    assert not rig.record.asked, "its response may still come"
    await rig.sweep(1)
    assert rig.applied == [(b"abc", FIRST_ID + 1)] and not rig.redis.park
    assert rig.record.oldest == [first_id(rig.now_ms - BACK_MS)]
    assert rig.figures.receipts_cold == 1


async def test_garbage_is_looked_up_once_and_so_many_a_second() -> None:
    rig = Rig()
    for number in range(3 * SPELLED_AT_ONCE):
        rig.park(b"garbage-%05d" % number, at_ms=NOW_MS + number // 700)
    asked_each_second = []
    for _ in range(40):
        await rig.sweep(0.25)
        asked_each_second.append(len(rig.record.asked))
    seconds = 40 * 0.25
    assert len(rig.record.asked) == 3 < seconds * 1000 / LOOK_EVERY_MS
    assert all(len(ids) <= SPELLED_AT_ONCE for ids in rig.record.asked)
    assert sorted(one for ids in rig.record.asked for one in ids) == sorted(rig.redis.park), "each once"
    assert asked_each_second[:4] == [1] * 4, "one look a second at most"


async def test_what_was_looked_up_in_vain_is_kept_in_the_record_once() -> None:
    rig = Rig()
    rig.know(b"abc")
    rig.park(b"abc")
    rig.park(b"waits")
    rig.now_ms = LATER - 1
    await rig.sweep()
    assert not rig.redis.kept, "its response may still come, which costs nothing"
    for _ in range(5):
        await rig.sweep(1)
    assert rig.redis.kept == [b"waits"] and [*rig.redis.park] == [b"waits"]


async def test_what_comes_later_is_looked_up_though_much_was_before() -> None:
    rig = Rig()
    rig.park(b"garbage")
    await rig.sweep(1)
    rig.know(b"abc")
    rig.park(b"abc", at_ms=rig.now_ms)
    await rig.sweep(RIPE_MS / 1000)
    assert rig.applied == [(b"abc", FIRST_ID + 1)]
    assert rig.record.asked == [[b"garbage"], [b"abc"]]


async def test_without_postgresql_receipts_wait_and_none_becomes_an_orphan() -> None:
    rig = Rig()
    rig.know(b"abc")
    rig.park(b"abc")
    rig.record.is_away = True
    with capture_logs() as logs:
        for _ in range(3):
            await rig.sweep(ORPHANED_AFTER_MS / 1000)
    assert [line["event"] for line in logs] == ["receipts.record_away"] and b"abc" in rig.redis.park
    rig.record.is_away = False
    await rig.sweep(1)
    assert rig.applied == [(b"abc", FIRST_ID + 1)] and not rig.redis.orphans


async def test_an_orphan_is_told_to_the_record_before_it_is_forgotten() -> None:
    rig = Rig()
    rig.park(b"nobody's")
    rig.park(b"")
    await rig.sweep()
    assert len(rig.redis.park) == 2
    await rig.sweep(ORPHANED_AFTER_MS / 1000 - RIPE_MS / 1000 - 1)
    assert len(rig.redis.park) == 2 and not rig.redis.orphans
    with capture_logs() as logs:
        await rig.sweep(1)
    assert not rig.redis.park
    found = {record.reason: record.receipt.upstream_message_id for record in rig.redis.orphans.values()}
    assert found == {"unknown": b"nobody's", "unreadable": b""}
    assert [(line["event"], line["count"]) for line in logs] == [("receipts.orphaned", 2)]
    assert rig.figures.receipts_orphaned == 2


async def test_where_much_is_parked_room_is_made_sooner() -> None:
    rig = Rig()
    rig.park(b"nobody's")
    rig.figures.parked = CROWDED
    await rig.sweep()
    await rig.sweep((CROWDED_AFTER_MS - RIPE_MS) / 1000)
    assert len(rig.redis.orphans) == 1 and not rig.redis.park


async def test_an_orphan_that_is_told_twice_after_a_crash_is_one() -> None:
    rig = Rig()
    rig.park(b"nobody's")
    held = dict(rig.redis.park)
    await rig.sweep()
    await rig.sweep(ORPHANED_AFTER_MS / 1000)
    rig.redis.park = held
    heir = Rig()
    heir.redis.park, heir.redis.orphans = held, rig.redis.orphans
    await heir.sweep(ORPHANED_AFTER_MS / 1000)
    await heir.sweep(1)
    assert len(rig.redis.orphans) == 1 and not heir.redis.park


async def test_quirk_2_what_is_parked_is_looked_up_anew_when_another_form_is_pinned() -> None:
    rig = Rig()
    rig.know(b"0000001F")
    rig.park(b"31")
    await rig.sweep()
    assert not rig.applied
    rig.cold.reconfigure(profile(receipt_id="decimal"))
    await rig.sweep(1)
    assert rig.applied == [(b"31", FIRST_ID + 1)]


async def test_quirk_10_two_messages_under_one_id_are_an_orphan_unless_the_number_is_of_one() -> None:
    rig = Rig()
    rig.know(b"abc", 1, dest=b"447700900001")
    rig.know(b"abc", 2, dest=b"447700900002")
    rig.park(b"abc", source=b"447700900999")
    await rig.sweep()
    await rig.sweep(ORPHANED_AFTER_MS / 1000)
    assert not rig.applied and rig.figures.receipts_ambiguous == 1
    assert [record.reason for record in rig.redis.orphans.values()] == ["ambiguous"]
    rig.park(b"abc", source=b"447700900002", at_ms=rig.now_ms)
    await rig.sweep(RIPE_MS / 1000)
    assert rig.applied == [(b"abc", FIRST_ID + 2)]


async def test_quirk_10_an_id_that_is_ambiguous_in_redis_is_decided_by_its_number_too() -> None:
    rig = Rig()
    rig.know(b"abc", 1, dest=b"447700900001")
    rig.know(b"abc", 2, dest=b"447700900002")
    rig.redis.corr[b"abc"] = b"!"
    rig.park(b"abc", source=b"+447700900001")
    await rig.sweep()
    assert rig.applied == [(b"abc", FIRST_ID + 1)]


async def test_one_whose_response_is_known_by_now_is_neither_looked_up_nor_an_orphan() -> None:
    rig = Rig()
    found = rig.know(b"abc")
    rig.redis.corr[b"abc"] = encode(found.context)
    rig.park(b"abc")
    await rig.sweep()
    await rig.sweep(ORPHANED_AFTER_MS / 1000)
    assert not rig.applied and not rig.redis.orphans and b"abc" in rig.redis.park


def found(response: bytes, number: int, **changes: object) -> ColdFound:
    context: SentContext = sent_context(message(number, dest=NUMBER), 0)
    return ColdFound(response_id=response, context=context, states=[], **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("receipt_id", "form", "known", "expected"),
    [
        (b"abc", "same", [found(b"abc", 1)], FIRST_ID + 1),
        (b"abc", "same", [found(b"ABC", 1)], "unknown"),
        (b"abc", "case", [found(b"ABC", 1)], FIRST_ID + 1),
        (b"abc", "same", [found(b"abc", 1), found(b"abc", 1)], FIRST_ID + 1),
        (b"abc", "same", [found(b"abc", 1), found(b"abc", 2)], "ambiguous"),
        (b"0", "same", [found(b"0", 1, is_one_of_many=True)], "ambiguous"),
        (b"", "same", [found(b"", 1)], "unreadable"),
        (b"31", "decimal", [found(b"1F", 1), found(b"31", 2)], FIRST_ID + 1),
    ],
)
def test_what_the_record_says_is_believed_only_when_it_is_sure(
    receipt_id: bytes, form: str, known: list[ColdFound], expected: int | str
) -> None:
    verdict = decide([parked(receipt_id)], form, known)
    assert (verdict.context.id if isinstance(verdict, ColdFound) else verdict) == expected


def test_what_redis_is_told_of_a_message_is_what_it_had_kept_of_it() -> None:
    assert states_of(State.SENT, {}) == []
    assert states_of(State.UNDELIVERED, {}) == [(b"", 5)]
    ends = {0: State.DELIVERED, 2: State.DELIVERED, 1: State.EXPIRED}
    assert states_of(State.SENT, ends) == [(b":0", 4), (b":2", 4), (b":1", 6), (b":n", 2)]
