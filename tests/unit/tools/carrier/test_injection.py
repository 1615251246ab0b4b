"""PDUs from their description in JSON."""

from __future__ import annotations

import msgspec
import pytest

from protocols.smpp import tlv
from protocols.smpp.codec import decode
from protocols.smpp.pdu import DeliverSm, SubmitSmResp
from tools.carrier.injection import FIRST_NUMBER, PduRequest, octets_of


def made(text: str) -> bytes:
    return octets_of(msgspec.json.decode(text, type=PduRequest))


def test_fields_are_numbers_text_or_octets() -> None:
    pdu = decode(
        made(
            '{"command": "deliver_sm", "fields": {"source_addr": "4477", "esm_class": 4, "short_message": '
            '{"hex": "00ff"}}, "tlvs": [{"tag": 30, "hex": "313200"}, {"tag": 5121}]}'
        )
    )
    assert isinstance(pdu, DeliverSm)
    assert (pdu.source_addr, pdu.esm_class, pdu.short_message) == (b"4477", 4, b"\x00\xff")
    assert tlv.parse(pdu.tlvs) == [(30, b"12\0"), (5121, b"")]
    assert pdu.sequence_number >= FIRST_NUMBER


def test_number_and_status_may_be_chosen() -> None:
    pdu = decode(made('{"command": "submit_sm_resp", "sequence_number": 7, "command_status": 88}'))
    assert isinstance(pdu, SubmitSmResp)
    assert (pdu.sequence_number, pdu.command_status) == (7, 88)


def test_octets_are_taken_as_they_are() -> None:
    assert made('{"hex": "00 00 00 ff"}') == b"\0\0\0\xff"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{}", "command, or hex"),
        ('{"command": "deliver_sm", "hex": "00"}', "command, or hex"),
        ('{"command": "deliver_mms"}', "no command"),
        ('{"command": "deliver_sm", "fields": {"colour": 1}}', "no field colour"),
        ('{"command": "deliver_sm", "fields": {"esm_class": "four"}}', "esm_class"),
        ('{"command": "deliver_sm", "fields": {"source_addr": 4}}', "another kind"),
        ('{"command": "deliver_sm", "fields": {"esm_class": 256}}', "esm_class"),
        ('{"command": "deliver_sm", "fields": {"short_message": {"hex": "0"}}}', "hex"),
        ('{"hex": "zz"}', "hex"),
    ],
)
def test_what_cannot_be_made_says_why(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        made(text)
