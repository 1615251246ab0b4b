"""What is parked is looked at again: in other forms of ids once it is ripe, in bounded steps."""

from __future__ import annotations

from structlog.testing import capture_logs

from smscd.core.records import ParkedReceipt, SentContext, State
from smscd.egress.dispatch.turn import sent_context
from smscd.egress.figures import UpstreamFigures
from smscd.egress.receipts.forms import SUGGESTED_AFTER
from smscd.egress.receipts.parked import RIPE_MS, SWEPT_AT_ONCE, Pair, ParkedReceipts
from tests.unit.smscd.egress.doubles import NOW_MS, encode, message, profile
from tests.unit.smscd.egress.redis_double import FakeReceiptStore, FakeRedis

LATER = NOW_MS + RIPE_MS
FIRST = 0x1F2E3D


class Rig:
    """Parked receipts of an upstream that is called "same", and what was made of them."""

    def __init__(self, **changes: object) -> None:
        self.redis = FakeRedis()
        self.store = FakeReceiptStore(self.redis)
        self.figures = UpstreamFigures("carrier")
        self.applied: list[tuple[bytes, int]] = []
        self.reported: list[tuple[bytes, bytes, bytes, int]] = []
        self.parked = ParkedReceipts(
            profile(**changes),
            self.store,  # type: ignore[arg-type]  # the double
            self.figures,
            self._apply,
            lambda *receipt: self.reported.append(receipt),
        )

    async def _apply(self, pairs: list[Pair]) -> None:
        self.applied += [(key, context.id) for key, context, _ in pairs]
        await self.store.unpark([key for key, _, _ in pairs])

    def know(self, response: bytes, number: int = 1, dest: bytes = b"447700900123") -> SentContext:
        context = sent_context(message(number, dest=dest), 0)
        self.redis.corr[response] = encode(context)
        return context

    def park(self, receipt_id: bytes, source: bytes = b"447700900123") -> None:
        receipt = ParkedReceipt(
            receipt_id, b"DELIVRD", b"000", State.DELIVERED, NOW_MS, b"raw", NOW_MS, source=source, dest=b"ACME"
        )
        self.redis.park[receipt_id] = [encode(receipt)]
        self.figures.receipts += 1
        self.figures.receipts_parked += 1


async def test_quirk_2_a_receipt_of_another_form_is_matched_once_its_response_must_have_come() -> None:
    rig = Rig()
    context = rig.know(b"%X" % FIRST)
    rig.park(b"%d" % FIRST)
    await rig.parked.sweep(LATER - 1)
    assert not rig.applied, "the response that it means may still come"
    await rig.parked.sweep(LATER)
    assert rig.applied == [(b"%d" % FIRST, context.id)] and not rig.redis.park
    assert rig.figures.receipts_by_form == {"decimal": 1}


async def test_quirk_2_the_form_to_pin_is_suggested_once() -> None:
    rig = Rig()
    for number in range(2 * SUGGESTED_AFTER):
        rig.know(b"%X" % (FIRST + number), number + 1)
        rig.park(b"%d" % (FIRST + number))
    with capture_logs() as logs:
        await rig.parked.sweep(LATER)
        await rig.parked.sweep(LATER)
    [line] = [line for line in logs if line["event"] == "upstream.receipt_id_suggested"]
    assert line["receipt_id"] == "decimal" and 'receipt_id = "decimal"' in line["what"]
    assert len(rig.applied) == 2 * SUGGESTED_AFTER


async def test_quirk_2_an_ambiguous_receipt_stays_parked_and_is_told_once() -> None:
    rig = Rig()
    rig.know(b"A", 1)
    rig.know(b"16", 2)
    rig.park(b"10")
    with capture_logs() as logs:
        for _ in range(3):
            await rig.parked.sweep(LATER)
    assert not rig.applied and b"10" in rig.redis.park
    assert [line["event"] for line in logs] == ["receipt.ambiguous"] and rig.figures.receipts_ambiguous == 1


async def test_an_upstream_whose_receipts_are_understood_has_its_orphans_left_alone() -> None:
    rig = Rig()
    rig.figures.receipts += SUGGESTED_AFTER
    rig.know(b"A")
    rig.park(b"10")
    await rig.parked.sweep(LATER)
    assert not rig.applied


async def test_quirk_2_the_receipts_of_what_was_sent_before_the_form_was_pinned_arrive() -> None:
    """Also once the others are understood by the pinned form, and nobody is told to pin it again."""
    rig = Rig()
    count = 2 * SUGGESTED_AFTER
    for number in range(count):
        rig.know(b"%X" % (FIRST + number), number + 1)
        rig.park(b"%d" % (FIRST + number))
    rig.parked.reconfigure(profile(receipt_id="decimal"))
    rig.figures.receipts += 10 * SUGGESTED_AFTER
    with capture_logs() as logs:
        await rig.parked.sweep(LATER)
    assert len(rig.applied) == count and not rig.redis.park
    assert not logs and not rig.figures.receipts_by_form


async def test_quirk_2_an_id_of_as_many_digits_as_fit_does_not_end_the_look_at_the_others() -> None:
    """In decimal digits it is longer than any id: under them a response of the same id is kept."""
    rig = Rig(receipt_id="decimal")
    context = rig.know(b"%d" % int(b"F" * 64, 16))
    rig.park(b"F" * 64)
    await rig.parked.sweep(LATER)
    assert rig.applied == [(b"F" * 64, context.id)]
    assert rig.figures.receipts_by_form == {"case": 1}, "the key does not say whether the response had capitals"


async def test_a_sweep_is_bounded_and_comes_again_at_once_while_it_settles_much() -> None:
    rig = Rig()
    for number in range(2 * SWEPT_AT_ONCE + 10):
        rig.know(b"%X" % (FIRST + number), number + 1)
        rig.park(b"%d" % (FIRST + number))
    assert await rig.parked.sweep(LATER)
    assert len(rig.applied) == SWEPT_AT_ONCE
    assert await rig.parked.sweep(LATER)
    assert not await rig.parked.sweep(LATER)
    assert len(rig.applied) == 2 * SWEPT_AT_ONCE + 10 and not rig.redis.park


async def test_orphans_are_passed_over_and_do_not_hide_what_comes_after_them() -> None:
    rig = Rig()
    for number in range(SWEPT_AT_ONCE):
        rig.park(b"orphan-%d" % number)
    rig.know(b"%X" % FIRST)
    rig.park(b"%d" % FIRST)
    assert not await rig.parked.sweep(LATER)
    assert not rig.applied
    await rig.parked.sweep(LATER)
    assert [key for key, _ in rig.applied] == [b"%d" % FIRST]


async def test_a_receipt_that_stays_unmatched_is_told_again_because_a_doubt_may_come_after_it() -> None:
    rig = Rig()
    rig.know(b"%X" % FIRST)
    rig.park(b"%d" % FIRST)
    rig.park(b"nobody's")
    await rig.parked.sweep(LATER - 1)
    assert not rig.reported
    await rig.parked.sweep(LATER)
    await rig.parked.sweep(LATER)
    assert rig.reported == [(b"ACME", b"447700900123", b"nobody's", NOW_MS)] * 2


async def test_a_receipt_that_may_be_several_messages_settles_no_doubt() -> None:
    rig = Rig()
    rig.know(b"A", 1)
    rig.know(b"16", 2)
    rig.park(b"10")
    await rig.parked.sweep(LATER)
    assert not rig.reported
