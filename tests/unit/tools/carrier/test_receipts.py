"""The carrier's receipts are what the codec would encode, and come out of their buckets in time and in order."""

import pytest

from protocols.smpp import tlv
from protocols.smpp.codec import decode, encode, encode_body
from protocols.smpp.pdu import DeliverSm, SubmitSm
from tools.carrier.receipts import Accepted, Buckets, ReceiptBuilder, decimal_id, hex_id

SUBMITTED = 1_790_000_000.0


def submit(**changes: object) -> SubmitSm:
    pdu = SubmitSm(
        source_addr_ton=5,
        source_addr=b"ACME",
        dest_addr_ton=1,
        dest_addr_npi=1,
        destination_addr=b"447700900123",
        registered_delivery=1,
        short_message=b"token1 and a text of more than twenty characters",
    )
    for name, value in changes.items():
        setattr(pdu, name, value)
    return pdu


def built(pdu: SubmitSm, stat: bytes = b"DELIVRD", err: bytes = b"000", delay: float = 60.0) -> DeliverSm:
    accepted = Accepted(pdu, 26, b"token1", SUBMITTED, stat, err)
    (receipt,) = ReceiptBuilder(decimal_id).build([accepted], SUBMITTED + delay)
    header = encode(DeliverSm(sequence_number=1))[:16]
    data = (16 + len(receipt.body)).to_bytes(4, "big") + header[4:16] + receipt.body
    decoded = decode(data)
    assert isinstance(decoded, DeliverSm)
    return decoded


def test_receipt_swaps_the_addresses_and_is_marked_as_a_receipt() -> None:
    pdu = built(submit())
    assert (pdu.source_addr_ton, pdu.source_addr_npi, pdu.source_addr) == (1, 1, b"447700900123")
    assert (pdu.dest_addr_ton, pdu.dest_addr_npi, pdu.destination_addr) == (5, 0, b"ACME")
    assert pdu.esm_class == 0x04


def test_receipt_text_has_the_usual_form_and_both_dates() -> None:
    assert built(submit()).short_message == (
        b"id:26 sub:001 dlvrd:001 submit date:2609211413 done date:2609211414 stat:DELIVRD err:000 "
        b"text:token1 and a text of"
    )


def test_failed_receipt_counts_nothing_delivered() -> None:
    text = built(submit(), b"UNDELIV", b"001").short_message
    assert b"dlvrd:000" in text
    assert b"stat:UNDELIV err:001" in text


def test_receipt_carries_id_and_state_as_tlvs() -> None:
    assert tlv.parse(built(submit(), b"REJECTD", b"003").tlvs) == [(0x001E, b"26\0"), (0x0427, b"\x08")]


def test_hand_built_body_is_what_the_codec_encodes() -> None:
    pdu = built(submit(service_type=b"CMT"))
    accepted = Accepted(submit(service_type=b"CMT"), 26, b"token1", SUBMITTED, b"DELIVRD", b"000")
    (receipt,) = ReceiptBuilder(decimal_id).build([accepted], SUBMITTED + 60)
    assert receipt.body == encode_body(pdu)


@pytest.mark.parametrize("changes", [{"data_coding": 8}, {"esm_class": 0x40}])
def test_text_that_is_not_plain_is_not_quoted(changes: dict[str, object]) -> None:
    assert built(submit(**changes)).short_message.endswith(b" text:")


def test_ids_are_written_in_the_asked_form() -> None:
    accepted = Accepted(submit(), 255, b"token1", SUBMITTED, b"DELIVRD", b"000")
    (receipt,) = ReceiptBuilder(hex_id, with_tlvs=False).build([accepted], SUBMITTED)
    assert receipt.id == b"ff"
    assert b"id:ff " in receipt.body
    assert receipt.body.endswith(b"text:token1 and a text of")


def test_items_come_out_when_they_are_due_and_in_order() -> None:
    buckets: Buckets[str] = Buckets(width_seconds=0.01)
    buckets.add(2.0, ["c"])
    buckets.add(1.0, ["a", "b"])
    assert buckets.count == 3
    due = buckets.next_due()
    assert due is not None
    assert 1.0 <= due <= 1.011
    assert buckets.take_due(0.999) == []
    assert buckets.take_due(1.011) == ["a", "b"]
    assert buckets.take_due(5.0) == ["c"]
    assert (buckets.next_due(), buckets.count) == (None, 0)


def test_items_of_one_bucket_share_one_entry() -> None:
    buckets: Buckets[int] = Buckets(width_seconds=0.01)
    for n in range(100):
        buckets.add(1.0 + n / 1_000_000, [n])
    assert buckets.take_due(1.02) == list(range(100))
