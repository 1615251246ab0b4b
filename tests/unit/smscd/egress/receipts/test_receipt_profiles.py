"""What an upstream delivers is read by its profile, and by the one that it has when it delivers."""

from __future__ import annotations

import pytest

from protocols.gsm.septets import pack
from protocols.smpp import tlv
from protocols.smpp.pdu import DeliverSm
from smscd.core.records import State
from smscd.core.upstream import VendorTlv
from tests.unit.smscd.egress.doubles import profile
from tests.unit.smscd.egress.receipts.receipts_rig import ROK, Rig, as_data, only, receipt

MCCMNC = VendorTlv(tag=0x1401, name="mccmnc", kind="integer", size_min=1, size_max=4)
NAMED = tlv.encode([(0x1401, b"\x66\x59")])


def in_ucs2(pdu: DeliverSm) -> DeliverSm:
    pdu.short_message = pdu.short_message.decode().encode("utf-16-le")
    pdu.data_coding = 8
    return pdu


def packed(pdu: DeliverSm) -> DeliverSm:
    pdu.short_message = pack(pdu.short_message)
    return pdu


async def test_quirks_29_and_30_receipts_find_their_messages_in_any_alphabet_of_the_profile() -> None:
    rig = Rig(default_alphabet="gsm_packed", is_little_endian=True)
    for upstream_id in (b"abc", b"def", b"ghi"):
        rig.know(upstream_id)
    rig.come(in_ucs2(receipt(b"abc")), packed(receipt(b"def")), receipt(b"ghi"))
    rig.come(as_data(packed(receipt(b"jkl"))))
    await rig.settle()
    assert [record.upstream_message_id for record in rig.redis.receipt_records] == [b"abc", b"def", b"ghi"]
    assert list(rig.redis.park) == [b"jkl"]
    assert rig.figures.receipts_unreadable == 0


async def test_quirk_5_a_changed_profile_counts_for_what_comes_next() -> None:
    rig = Rig()
    rig.know(b"abc")
    rig.come(receipt(b"abc", esm_class=0, destination_addr=b"999"))
    await rig.settle()
    assert len(rig.redis.inbound_records) == 1 and not rig.redis.receipt_records
    rig.receipts.reconfigure(profile(receipt_by_text_alone=True))
    rig.come(receipt(b"abc", esm_class=0, destination_addr=b"999"))
    await rig.settle()
    assert len(rig.redis.inbound_records) == 1
    assert only(rig.redis.receipt_records).state == State.DELIVERED


async def test_quirk_7_a_repeat_is_known_by_what_came_and_not_by_what_was_made_of_it() -> None:
    rig = Rig(default_alphabet="latin1")
    cafe = {"source_addr": b"491701", "destination_addr": b"12345", "short_message": b"caf\xe9"}
    rig.come(DeliverSm(**cafe))
    await rig.settle()
    rig.receipts.reconfigure(profile(default_alphabet="gsm"))
    rig.come(DeliverSm(**cafe), DeliverSm(**{**cafe, "short_message": b"caf\x05"}))
    await rig.settle()
    assert rig.figures.inbound_repeated == 1
    assert [record.body for record in rig.redis.inbound_records] == [b"caf\x05", b"caf\x05"]


@pytest.mark.parametrize("is_early", [True, False])
async def test_quirk_44_what_the_profile_names_in_a_receipt_is_told_with_it(is_early: bool) -> None:
    rig = Rig(vendor_tlvs=(MCCMNC,))
    if not is_early:
        rig.know(b"abc")
    rig.come(receipt(b"abc", tlvs=NAMED), receipt(b"def"))
    await rig.settle()
    if is_early:
        assert not rig.redis.callbacks()
        rig.know(b"abc")
        await rig.receipts.sweep()
    [told] = rig.redis.callbacks()
    assert told.named_tlvs == {"mccmnc": 26201}
    assert rig.link.answers == [(1, ROK), (2, ROK)]
