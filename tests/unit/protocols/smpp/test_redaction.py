"""What an operator may see of a PDU."""

from __future__ import annotations

import pytest

from protocols.gsm.septets import pack
from protocols.smpp import tlv
from protocols.smpp.codec import decode, encode
from protocols.smpp.constants import TlvTag
from protocols.smpp.pdu import (
    BindTransceiver,
    DeliverSm,
    EnquireLink,
    SmeAddress,
    SubmitMulti,
    SubmitSm,
    SubmitSmResp,
)
from protocols.smpp.redaction import masked, redacted


def test_passwords_texts_and_numbers_are_hidden_and_lengths_stay() -> None:
    bind = decode(redacted(encode(BindTransceiver(system_id=b"acme", password=b"secret", sequence_number=7))))
    assert isinstance(bind, BindTransceiver)
    assert (bind.system_id, bind.password, bind.sequence_number) == (b"acme", b"******", 7)
    tlvs = tlv.encode([(TlvTag.MESSAGE_PAYLOAD, b"Code 123"), (0x1400, b"1101")])
    submit = SubmitSm(source_addr=b"ACME", destination_addr=b"+447700900123", short_message=b"Code 4711", tlvs=tlvs)
    shown = decode(redacted(encode(submit)))
    assert isinstance(shown, SubmitSm)
    assert (shown.source_addr, shown.destination_addr) == (b"ACME", b"+44770*******")
    assert shown.short_message == b"*********"
    assert tlv.parse(shown.tlvs) == [(TlvTag.MESSAGE_PAYLOAD, b"********"), (0x1400, b"1101")]


def test_a_receipt_stays_readable_but_for_the_excerpt_of_the_text() -> None:
    text = b"id:7 sub:001 dlvrd:001 submit date:2611252058 done date:2611252058 stat:DELIVRD err:000 text:Code 4711"
    shown = decode(redacted(encode(DeliverSm(esm_class=4, source_addr=b"447700900123", short_message=text))))
    assert isinstance(shown, DeliverSm)
    assert shown.short_message == text.replace(b"Code 4711", b"*********")
    assert shown.source_addr == b"44770*******"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"id:7 stat:DELIVRD TEXT:Code", b"id:7 stat:DELIVRD TEXT:****"),
        (b"msgid:7 stat:DELIVRD msg = Code", b"msgid:7 stat:DELIVRD msg =*****"),
        (b"id:7 stat:DELIVRD\0", b"id:7 stat:DELIVRD\0"),
        ("id:7 text:Code".encode("utf-16-be"), b"*" * 28),
        (pack(b"id:7 stat:DELIVRD text:Code"), b"*" * 24),
    ],
)
def test_an_excerpt_is_hidden_however_a_receipt_is_written(text: bytes, shown: bytes) -> None:
    pdu = decode(redacted(encode(DeliverSm(esm_class=4, short_message=text))))
    assert isinstance(pdu, DeliverSm) and pdu.short_message == shown


def test_what_has_nothing_to_hide_stays_as_it_is() -> None:
    for pdu in (EnquireLink(sequence_number=3), SubmitSmResp(message_id=b"7236514482193408001")):
        assert redacted(encode(pdu)) == encode(pdu)
    error = encode(SubmitSmResp(command_status=0x58, sequence_number=9))
    assert redacted(error)[:16] == error[:16]


def test_every_destination_of_a_submit_multi_is_masked() -> None:
    dests = [SmeAddress(destination_addr=b"447700900001"), SmeAddress(destination_addr=b"447700900002")]
    shown = decode(redacted(encode(SubmitMulti(dest_address=dests, short_message=b"x"))))
    assert isinstance(shown, SubmitMulti)
    assert [row.destination_addr for row in shown.dest_address if isinstance(row, SmeAddress)] == [b"44770*******"] * 2


@pytest.mark.parametrize(
    "frame",
    [
        bytes.fromhex("0000001a000000040000000000000001") + b"Code 4711!",
        bytes.fromhex("0000001a000099990000000000000001") + b"Code 4711!",
    ],
)
def test_what_cannot_be_read_is_hidden_whole(frame: bytes) -> None:
    assert redacted(frame) == frame[:16] + b"**********"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (b"", b""),
        (b"12345", b"12345"),
        (b"ACME", b"ACME"),
        (b"447700900123", b"44770*******"),
        (b"+4477009", b"+44770**"),
    ],
)
def test_numbers_keep_their_first_digits(address: bytes, shown: bytes) -> None:
    assert masked(address) == shown
