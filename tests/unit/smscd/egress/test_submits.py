"""The submit_sm of a segment."""

from __future__ import annotations

import pytest

from protocols.smpp import tlv
from protocols.smpp.codec import DECODERS
from protocols.smpp.constants import CommandId, TlvTag
from protocols.smpp.errors import EncodeError
from protocols.smpp.pdu import SubmitSm
from smscd.core.records import MessageRecord
from smscd.egress.submits import SubmitEncoder
from tests.unit.smscd.egress.doubles import NOW_MS, message, profile


def pdu_of(record: MessageRecord, segment: int = 0, encoder: SubmitEncoder | None = None) -> SubmitSm:
    body = (encoder or SubmitEncoder(profile())).body(record, segment, NOW_MS)
    pdu: SubmitSm = DECODERS[CommandId.SUBMIT_SM](body, 0, len(body), 0, 0)
    return pdu


def test_every_field_of_the_record_arrives() -> None:
    vendor = tlv.encode([(0x1400, b"dlt")])
    record = message(
        1, segments=[b"a", b"b"], esm_class=0x40, protocol_id=0x7F, data_coding=8, service_type=b"CMT", tlvs=vendor,
        source_ton=1, source_npi=1, source=b"4917", valid_until_ms=NOW_MS + 90_061_000,
    )  # fmt: skip
    pdu = pdu_of(record, 1)
    assert (pdu.source_addr_ton, pdu.source_addr_npi, pdu.source_addr) == (1, 1, b"4917")
    assert (pdu.dest_addr_ton, pdu.dest_addr_npi, pdu.destination_addr) == (1, 1, record.dest)
    assert (pdu.esm_class, pdu.protocol_id, pdu.data_coding, pdu.service_type) == (0x40, 0x7F, 8, b"CMT")
    assert (pdu.short_message, pdu.tlvs) == (b"b", vendor)
    assert pdu.validity_period == b"000001010101000R"


def test_the_profile_says_which_receipts_are_asked_for() -> None:
    pdu = pdu_of(message(1, registered_delivery=0), encoder=SubmitEncoder(profile(registered_delivery=0x11)))
    assert pdu.registered_delivery == 0x11


def test_a_text_beyond_short_message_goes_into_message_payload() -> None:
    pdu = pdu_of(message(1, segments=[b"x" * 255]))
    assert pdu.short_message == b"" and tlv.find(pdu.tlvs, TlvTag.MESSAGE_PAYLOAD) == b"x" * 255


def test_nothing_of_one_message_is_left_in_the_next() -> None:
    encoder = SubmitEncoder(profile())
    pdu_of(message(1, segments=[b"x" * 300], service_type=b"CMT"), encoder=encoder)
    assert encoder.body(message(2), 0, NOW_MS) == SubmitEncoder(profile()).body(message(2), 0, NOW_MS)


def test_validities_beyond_a_relative_time_are_cut() -> None:
    pdu = pdu_of(message(1, valid_until_ms=NOW_MS + 40 * 86_400_000))
    assert pdu.validity_period == b"000031000000000R"


def test_what_does_not_fit_is_an_error() -> None:
    with pytest.raises(EncodeError):
        pdu_of(message(1, source=b"x" * 21))
