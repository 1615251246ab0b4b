"""What a receipt does to its message: its state, a refund, and what is told of it, also of a long one."""

from __future__ import annotations

from typing import Any

import pytest

from protocols.smpp.pdu import DeliverSm
from protocols.smpp.receipt import parse_receipt
from smscd.core.records import ParkedReceipt, State, Tariff
from smscd.egress.dispatch.turn import sent_context
from smscd.egress.receipts.judging import parked_receipt, receipt_item
from storage.redis.keys import DAY_MS
from tests.unit.smscd.egress.doubles import FIRST_ID, NOW_MS, encode, message
from tests.unit.smscd.egress.receipts.receipts_rig import ROK, Rig, only, receipt


async def test_the_customer_sees_one_result_for_several_segments() -> None:
    rig = Rig()
    long = message(1, segments=[b"a", b"b", b"c"])
    for segment, name in enumerate((b"x", b"y", b"z")):
        rig.redis.corr[name] = encode(sent_context(long, segment))
    rig.come(receipt(b"x"), receipt(b"y"))
    await rig.settle()
    assert not rig.redis.callbacks()
    rig.come(receipt(b"z"))
    await rig.settle()
    assert [callback.state for callback in rig.redis.callbacks()] == [State.DELIVERED]


def test_what_a_receipt_leaves_is_known_for_as_long_as_its_message_says() -> None:
    long = message(1, segments=[b"a", b"b"], valid_until_ms=NOW_MS + 5 * DAY_MS)
    for context in (sent_context(long, 0), sent_context(message(1), 0)):
        for state in (State.DELIVERED, State.SENT):
            came = ParkedReceipt(b"abc", b"STAT", b"000", state, NOW_MS, b"raw", NOW_MS)
            assert receipt_item(context, came, "carrier", NOW_MS).until_ms == context.states_until_ms
    assert sent_context(long, 0).states_until_ms == NOW_MS + 5 * DAY_MS


@pytest.mark.parametrize(
    ("tariff", "stat", "refund"),
    [
        (Tariff.ON_DELIVERY, b"UNDELIV", 70_000),
        (Tariff.ON_DELIVERY, b"REJECTD", 70_000),
        (Tariff.ON_DELIVERY, b"EXPIRED", 70_000),
        (Tariff.ON_DELIVERY, b"DELIVRD", 0),
        (Tariff.ON_DELIVERY, b"UNKNOWN", 0),
        (Tariff.ON_ACCEPT, b"UNDELIV", 0),
    ],
)
async def test_the_tariff_decides_whether_a_failed_delivery_is_paid_back(
    tariff: Tariff, stat: bytes, refund: int
) -> None:
    rig = Rig()
    rig.know(b"abc", tariff=int(tariff))
    rig.come(receipt(b"abc", stat))
    await rig.settle()
    assert rig.redis.refunded.get(FIRST_ID + 1, 0) == refund


async def test_an_intermediate_notification_ends_nothing_and_is_told_only_to_who_asked() -> None:
    """Quirk 37: the ESME gets only what it asked for."""
    for asked, told in ((0x01, 0), (0x11, 1)):
        rig = Rig()
        rig.know(b"abc", registered_delivery=asked)
        rig.come(receipt(b"abc", b"ENROUTE", esm_class=0x20))
        await rig.settle()
        assert only(rig.redis.receipt_records).state == State.SENT
        assert not rig.redis.states
        assert len(rig.redis.callbacks()) == told


async def test_a_receipt_that_cannot_be_read_is_kept_and_never_becomes_a_message() -> None:
    """Quirk 1: never dropped, never an MO."""
    rig = Rig()
    rig.come(DeliverSm(esm_class=0x04, short_message=b"\xff\xfegarbage", destination_addr=b"12345"))
    await rig.settle()
    assert not rig.redis.inbound_records and len(rig.redis.park) == 1
    assert next(iter(rig.redis.park)).startswith(b"unreadable:")
    assert rig.link.answers == [(1, ROK)]


async def test_an_unknown_stat_is_recorded_and_ends_nothing() -> None:
    """Quirk 1: a `stat` that nobody knows."""
    rig = Rig()
    rig.know(b"abc")
    rig.come(receipt(b"abc", b"STRANGE"))
    await rig.settle()
    record = only(rig.redis.receipt_records)
    assert (record.stat, record.state) == (b"STRANGE", State.SENT)
    assert not rig.redis.states


async def test_quirk_7_an_intermediate_notification_that_comes_again_is_told_once() -> None:
    rig = Rig()
    rig.know(b"abc", registered_delivery=0x11)
    enroute = receipt(b"abc", b"ENROUTE", esm_class=0x20)
    rig.come(enroute, receipt(b"abc", b"ENROUTE", esm_class=0x20))
    rig.come(receipt(b"abc", b"ACCEPTD", esm_class=0x20))
    await rig.settle()
    assert [callback.stat for callback in rig.redis.callbacks()] == [b"ENROUTE", b"ACCEPTD"]
    assert rig.link.answers == [(1, ROK), (2, ROK), (3, ROK)]
    assert rig.figures.receipts_repeated == 1


LONG = {"segments": [b"a", b"b", b"c"], "registered_delivery": 0x11}


def long_rig(policy: str, known: str = "xyz", **changes: Any) -> Rig:
    """A message of three segments, whose ids are known by letters."""
    rig = Rig(receipt_segments=policy)
    for segment, name in enumerate("xyz"):
        if name in known:
            rig.redis.corr[name.encode()] = encode(sent_context(message(1, **LONG, **changes), segment))
    return rig


@pytest.mark.parametrize(
    ("policy", "receipts", "told"),
    [
        ("all", "xyz", ["DELIVRD"]),
        ("all", "xy", []),
        ("any", "y", ["DELIVRD"]),
        ("any", "xyz", ["DELIVRD"]),
        ("last", "xy", []),
        ("last", "z", ["DELIVRD"]),
        ("last", "zxy", ["DELIVRD"]),
    ],
)
async def test_quirk_8_the_customer_sees_one_result_whichever_segments_have_receipts(
    policy: str, receipts: str, told: list[str]
) -> None:
    rig = long_rig(policy)
    for name in receipts:
        rig.come(receipt(name.encode()))
        await rig.settle()
    assert [callback.stat.decode() for callback in rig.redis.callbacks()] == told
    assert bool(rig.redis.states) is bool(told)
    assert len(rig.link.answers) == len(receipts)


@pytest.mark.parametrize("policy", ["all", "any", "last"])
async def test_quirk_8_a_segment_that_was_not_delivered_ends_the_message_and_pays_back_once(policy: str) -> None:
    rig = long_rig(policy, tariff=int(Tariff.ON_DELIVERY))
    rig.come(receipt(b"x", b"UNDELIV"), receipt(b"z", b"UNDELIV"))
    await rig.settle()
    assert [callback.stat for callback in rig.redis.callbacks()] == [b"UNDELIV"]
    assert rig.redis.refunded == {FIRST_ID + 1: 70_000}


async def test_quirk_8_an_id_that_only_the_last_segment_was_given_is_enough() -> None:
    rig = long_rig("last", known="z")
    rig.come(receipt(b"z"))
    await rig.settle()
    assert [callback.stat for callback in rig.redis.callbacks()] == [b"DELIVRD"]


async def test_quirk_7_a_notification_without_a_date_is_known_again_also_after_it_was_parked() -> None:
    rig = Rig()
    undated = {"esm_class": 0x20, "short_message": b"id:abc stat:ENROUTE err:000", "source_addr": b"4917"}
    rig.come(DeliverSm(**undated))
    await rig.settle()
    rig.know(b"abc", registered_delivery=0x11)
    context = sent_context(message(1, registered_delivery=0x11), 0)
    pdu = DeliverSm(**undated)
    parked = [parked_receipt(pdu, parse_receipt(pdu), State.SENT, NOW_MS - 5000)]  # type: ignore[arg-type]
    await rig.receipts.apply_parked([(b"abc", context, parked)])
    rig.come(DeliverSm(**undated))
    await rig.settle()
    assert [callback.stat for callback in rig.redis.callbacks()] == [b"ENROUTE"]
