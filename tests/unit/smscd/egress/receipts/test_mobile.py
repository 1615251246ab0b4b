"""Quirk 33: parts of messages from phones wait for each other where their upstream's owner is."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from protocols.gsm import udh
from protocols.smpp import tlv
from protocols.smpp.constants import TlvTag
from protocols.smpp.pdu import DeliverSm
from smscd.core import joining
from smscd.core.callback_records import CallbackRecord
from smscd.core.records import HeldPart, InboundRecord, Via
from smscd.egress.receipts import mobile, parked
from storage.redis.errors import Fenced
from storage.redis.receipts import ReceiptBatch
from tests.unit.smscd.egress.doubles import profile
from tests.unit.smscd.egress.pipes import until
from tests.unit.smscd.egress.receipts.receipts_rig import ROK, Rig, as_data, nobody_remembers
from tests.unit.smscd.egress.redis_double import FakeRedis, decode_callback

WINDOW_MS = 600_000
HOOK, WHOLE, PARTS = b"777", b"888", b"12345"


def part(sequence: int, total: int = 3, dest: bytes = HOOK, text: bytes | None = None, **changes: Any) -> DeliverSm:
    header = udh.build([udh.concatenation_8(7, total, sequence)])
    body = header + (b"part %d." % sequence if text is None else text)
    fields = {"source_addr": b"491701", "destination_addr": dest, "short_message": body, "esm_class": 0x40, **changes}
    return DeliverSm(**fields)


def hooks(redis: FakeRedis) -> list[CallbackRecord]:
    return [decode_callback(blob) for blob in redis.hooks]


def told(callbacks: list[CallbackRecord]) -> list[tuple[bytes, int, int]]:
    return [(callback.body, callback.parts, callback.parts_total) for callback in callbacks]


def records(redis: FakeRedis) -> list[InboundRecord]:
    return [record for record in redis.inbound_records if isinstance(record, InboundRecord)]


async def test_quirk_33_a_webhook_gets_the_whole_and_the_record_has_the_parts_too() -> None:
    rig = Rig()
    rig.come(part(3), part(1))
    await rig.settle()
    assert rig.link.answers == [(1, ROK), (2, ROK)] and not rig.redis.hooks and len(rig.redis.join) == 2
    rig.come(as_data(part(2)))
    await rig.settle()
    [callback] = hooks(rig.redis)
    assert told([callback]) == [(b"part 1.part 2.part 3.", 3, 3)]
    assert (callback.esm_class, callback.source, callback.dest) == (0, b"491701", HOOK)
    *parts, whole = records(rig.redis)
    assert whole.id == callback.id and (whole.group_id, whole.via, whole.account) == (0, Via.WEBHOOK, "beta")
    assert [record.body[5:] for record in parts] == [b"\3part 3.", b"\1part 1.", b"\2part 2."]
    assert {(record.group_id, record.via, record.account) for record in parts} == {(whole.id, 0, "beta")}
    assert len({record.id for record in records(rig.redis)}) == 4 and not rig.redis.join
    figures = rig.figures
    assert (figures.inbound, figures.inbound_joined, figures.inbound_partial) == (3, 1, 0)


async def test_quirk_33_an_esme_gets_parts_as_they_come_unless_its_account_says_whole() -> None:
    rig = Rig()
    for sequence in (2, 1):
        rig.come(part(sequence, 2, PARTS), part(sequence, 2, WHOLE))
    await rig.settle()
    as_they_came = rig.redis.callbacks("acme")
    assert told(as_they_came) == [(part(2, 2).short_message, 0, 0), (part(1, 2).short_message, 0, 0)]
    assert {callback.esm_class for callback in as_they_came} == {0x40}
    assert told(rig.redis.callbacks("patient")) == [(b"part 1.part 2.", 2, 2)]
    assert [record.group_id for record in records(rig.redis) if record.dest == PARTS] == [0, 0]


@pytest.mark.parametrize("window", [0, 30])
async def test_quirk_33_a_part_that_comes_again_is_answered_and_counts_once(window: int) -> None:
    rig = Rig(mo_repeat_seconds=window)
    rig.come(part(1, 2), part(1, 2))
    rig.come(part(1, 2))
    await rig.settle()
    rig.come(part(2, 2))
    await rig.settle()
    assert rig.link.answers == [(number, ROK) for number in range(1, 5)]
    assert told(hooks(rig.redis)) == [(b"part 1.part 2.", 2, 2)]
    assert len(records(rig.redis)) == 3 and rig.figures.inbound_repeated == 2


async def test_quirk_33_a_reference_that_is_used_again_tells_what_waited_as_partial() -> None:
    rig = Rig()
    rig.come(part(1), part(2), part(1, text=b"new "))
    rig.come(part(2, text=b"words "), part(3, text=b"here"))
    await rig.settle()
    assert told(hooks(rig.redis)) == [(b"part 1.part 2.", 2, 3), (b"new words here", 3, 3)]
    assert (rig.figures.inbound_joined, rig.figures.inbound_partial) == (1, 1)
    assert not rig.redis.join


async def test_quirk_33_what_waits_too_long_is_told_as_partial_and_a_later_part_waits_anew() -> None:
    rig = Rig()
    rig.come(part(1), part(3))
    await rig.settle()
    rig.now_ms += WINDOW_MS - 1
    async with rig.running():
        await until(lambda: rig.figures.inbound_waiting == 2)
        rig.now_ms += 1
        rig.come(part(2))
        await until(lambda: rig.receipts.is_idle)
        assert told(hooks(rig.redis)) == [(b"part 1.part 3.", 2, 3)]
        assert rig.figures.inbound_waiting == len(rig.redis.join) == 1
    assert rig.figures.inbound_waiting == 0, "the gauge is the owner's"


async def test_quirk_33_a_wait_is_over_when_its_time_has_come_and_not_at_the_next_sweep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parked, "SWEEP_SECONDS", 1_000.0)
    rig = Rig()
    rig.come(part(2))
    await rig.settle()
    rig.now_ms += WINDOW_MS - 20
    async with rig.running():
        await until(lambda: rig.figures.inbound_waiting)
        rig.now_ms += 20
        await until(lambda: rig.redis.hooks)
    assert told(hooks(rig.redis)) == [(b"part 2.", 1, 3)] and not rig.redis.join


async def test_quirk_33_the_next_owner_goes_on_with_what_waits() -> None:
    rig = Rig()
    rig.come(part(2), part(3))
    await rig.settle()
    heir = Rig(rig.redis)
    heir.come(part(1))
    await heir.settle()
    assert told(hooks(rig.redis)) == [(b"part 1.part 2.part 3.", 3, 3)]
    *parts, whole = records(rig.redis)
    assert {record.group_id for record in parts} == {whole.id}


async def test_quirk_33_a_part_that_comes_again_after_the_whole_was_told_begins_no_wait() -> None:
    """Its owner died before anybody heard that it was recorded."""
    rig = Rig()
    rig.come(part(1, 2))
    await rig.settle()
    rig.store.remember_inbound = nobody_remembers  # type: ignore[method-assign]
    rig.come(part(2, 2))
    await rig.settle()
    heir = Rig(rig.redis)
    heir.come(part(2, 2))
    await heir.settle()
    assert told(hooks(rig.redis)) == [(b"part 1.part 2.", 2, 2)] and not rig.redis.join
    assert heir.link.answers == [(1, ROK)] and heir.figures.inbound_repeated == 1


async def test_quirk_33_what_was_not_applied_does_not_wait() -> None:
    """The role is lost in the middle: what comes again at its next owner, or at this one, is no repeat."""
    rig = Rig()
    rig.come(part(1, 2))

    async def lost(batch: ReceiptBatch) -> list[Any]:
        raise Fenced("another one")

    apply, rig.store.apply = rig.store.apply, lost  # type: ignore[method-assign]
    with pytest.raises(Fenced):
        await rig.receipts.run()
    rig.store.apply = apply  # type: ignore[method-assign]
    assert not rig.link.answers and not rig.redis.join
    rig.come(part(1, 2), part(2, 2))
    await rig.settle()
    assert told(hooks(rig.redis)) == [(b"part 1.part 2.", 2, 2)]


async def test_quirk_33_a_profile_that_does_not_join_tells_parts_and_at_once_what_waited() -> None:
    rig = Rig()
    rig.come(part(1))
    await rig.settle()
    rig.receipts.reconfigure(profile(mo_join_seconds=0))
    rig.come(part(2))
    await rig.settle()
    assert told(hooks(rig.redis)) == [(b"part 1.", 1, 3), (part(2).short_message, 0, 0)]
    assert rig.figures.inbound_joined == 0 and not rig.redis.join


async def test_quirk_33_beyond_the_limit_the_oldest_is_partial_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    waits = joining.Waits
    monkeypatch.setattr(mobile, "Waits", lambda *held: waits(*held, parts_max=3))
    for reference in (b"491701", b"491702"):
        rig.come(part(1, source_addr=reference), part(2, source_addr=reference))
    await rig.settle()
    [callback] = hooks(rig.redis)
    assert (callback.source, callback.parts) == (b"491701", 2) and len(rig.redis.join) == 2


async def test_quirk_33_parts_to_no_number_of_ours_are_recorded_and_do_not_wait() -> None:
    rig = Rig()
    rig.come(part(1, dest=b"999"), part(2, dest=b"999"))
    await rig.settle()
    assert rig.figures.inbound_unknown == 2 and not rig.redis.join
    assert [record.group_id for record in records(rig.redis)] == [0, 0]


async def test_quirk_33_parts_wait_while_redis_is_away() -> None:
    rig = Rig()
    rig.come(part(1, 2), part(2, 2))
    rig.redis.unavailable = 4
    async with rig.running():
        await asyncio.sleep(0)
        assert not rig.link.answers
        await until(lambda: rig.receipts.is_idle)
    assert told(hooks(rig.redis)) == [(b"part 1.part 2.", 2, 2)]


async def test_quirk_33_parts_in_sar_tlvs_are_joined_and_other_tlvs_stay() -> None:
    rig = Rig()
    for sequence in (2, 1):
        numbers = (
            tlv.encode_value(TlvTag.SAR_MSG_REF_NUM, 300)
            + tlv.encode_value(TlvTag.SAR_TOTAL_SEGMENTS, 2)
            + tlv.encode_value(TlvTag.SAR_SEGMENT_SEQNUM, sequence)
        )
        tlvs = numbers + tlv.encode([(0x1400, b"x")])
        rig.come(part(sequence, short_message=b"%d." % sequence, esm_class=0, tlvs=tlvs))
    await rig.settle()
    [callback] = hooks(rig.redis)
    assert (callback.body, callback.parts, callback.tlvs) == (b"1.2.", 2, tlv.encode([(0x1400, b"x")]))


def test_a_part_of_the_next_release_is_read() -> None:
    held = HeldPart(1, 2, "acme", 1, 1, 7, 3, 1, 1, 1, b"4477", 3, 0, b"1", 0, 0, b"hi", 0, ((5, b"\1\2\3\4"),), b"")
    written = msgspec.msgpack.decode(msgspec.msgpack.encode(held))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode([*written, "more"]), type=HeldPart) == held
