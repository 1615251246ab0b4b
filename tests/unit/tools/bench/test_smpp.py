"""What the SMPP generator puts on the wire, and how it reads a receipt."""

import pytest

from protocols.smpp import tlv
from protocols.smpp.codec import decode, encode
from protocols.smpp.pdu import DeliverSm, SubmitSm
from tools.bench.smpp import KEY_TLV, SmppOptions, body_template, receipt_of
from tools.bench.workload import destinations, token_at

OPTIONS = SmppOptions(host="127.0.0.1", port=1, system_id="x", password="y", run="abcdef")


def submit_of(body: bytes) -> SubmitSm:
    header = encode(SubmitSm(sequence_number=1))[:16]
    pdu = decode((16 + len(body)).to_bytes(4, "big") + header[4:] + body)
    assert isinstance(pdu, SubmitSm)
    return pdu


def test_body_is_a_submit_sm_with_the_token_first_in_its_text() -> None:
    heads, tail, keyed = body_template(OPTIONS)
    token = token_at("abcdef", 42)
    pdu = submit_of(heads[7] + token.encode() + tail)
    assert not keyed
    assert pdu.destination_addr == destinations()[7].encode()
    assert (pdu.source_addr_ton, pdu.source_addr, pdu.registered_delivery) == (5, b"BENCH", 1)
    assert pdu.short_message.startswith(token.encode() + b" ")
    assert len(pdu.short_message) == 60


def test_key_is_sent_as_a_vendor_tlv() -> None:
    options = SmppOptions(host="h", port=1, system_id="x", password="y", run="abcdef", with_keys=True, sender="4477")
    heads, tail, keyed = body_template(options)
    token = token_at("abcdef", 42).encode()
    pdu = submit_of(heads[0] + token + tail + token + b"\0")
    assert keyed
    assert tlv.parse(pdu.tlvs) == [(KEY_TLV, token + b"\0")]
    assert (pdu.source_addr_ton, pdu.source_addr_npi) == (1, 1)


@pytest.mark.parametrize(
    "text",
    [
        b"id:123 sub:001 dlvrd:001 submit date:2609211413 done date:2609211414 stat:DELIVRD err:000 text:x",
        b"dlvrd:001 ID:123 STAT:DELIVRD err:000",
    ],
)
def test_receipt_is_read_in_the_usual_form_and_in_others(text: bytes) -> None:
    assert receipt_of(DeliverSm(esm_class=0x04, short_message=text)) == (b"123", b"DELIVRD")


def test_message_that_is_no_receipt_is_none() -> None:
    assert receipt_of(DeliverSm(short_message=b"id:1 stat:DELIVRD")) is None
