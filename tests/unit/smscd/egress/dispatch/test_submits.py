"""The submit_sm of a segment."""

from __future__ import annotations

import msgspec
import pytest

from protocols.smpp import tlv
from protocols.smpp.codec import DECODERS
from protocols.smpp.constants import CommandId, TlvTag
from protocols.smpp.errors import EncodeError
from protocols.smpp.pdu import SubmitSm
from smscd.core.records import Conversion, Form, MessageRecord
from smscd.egress.dispatch.submits import VALIDITIES_REMEMBERED, SubmitEncoder, is_in_tlvs
from tests.unit.smscd.egress.doubles import NOW_MS, message, profile


def pdu_of(record: MessageRecord, segment: int = 0, encoder: SubmitEncoder | None = None) -> SubmitSm:
    body = (encoder or SubmitEncoder(profile())).body(record, segment, NOW_MS)
    pdu: SubmitSm = DECODERS[CommandId.SUBMIT_SM](body, 0, len(body), 0, 0)
    return pdu


def test_every_field_of_the_record_arrives() -> None:
    vendor = tlv.encode([(0x1400, b"dlt")])
    record = message(
        1, segments=[b"a", b"b"], esm_class=0x40, protocol_id=0x7F, data_coding=8, service_type=b"CMT", tlvs=vendor,
        priority_flag=3, source_ton=1, source_npi=1, source=b"4917", valid_until_ms=NOW_MS + 90_061_000,
    )  # fmt: skip
    pdu = pdu_of(record, 1)
    assert (pdu.source_addr_ton, pdu.source_addr_npi, pdu.source_addr) == (1, 1, b"4917")
    assert (pdu.dest_addr_ton, pdu.dest_addr_npi, pdu.destination_addr) == (1, 1, record.dest)
    assert (pdu.esm_class, pdu.protocol_id, pdu.data_coding, pdu.service_type) == (0x40, 0x7F, 8, b"CMT")
    assert pdu.priority_flag == 3
    assert (pdu.short_message, pdu.tlvs) == (b"b", vendor)
    assert pdu.validity_period == b"000001010101000R"


def test_the_profile_says_which_receipts_are_asked_for() -> None:
    """Quirk 37: the upstream is asked by policy."""
    pdu = pdu_of(message(1, registered_delivery=0), encoder=SubmitEncoder(profile(registered_delivery=0x11)))
    assert pdu.registered_delivery == 0x11


def test_a_text_beyond_short_message_goes_into_message_payload() -> None:
    pdu = pdu_of(message(1, segments=[b"x" * 255]))
    assert pdu.short_message == b"" and tlv.find(pdu.tlvs, TlvTag.MESSAGE_PAYLOAD) == b"x" * 255


def test_nothing_of_one_message_is_left_in_the_next() -> None:
    encoder = SubmitEncoder(profile())
    pdu_of(message(1, segments=[b"x" * 300], service_type=b"CMT", priority_flag=3), encoder=encoder)
    assert encoder.body(message(2), 0, NOW_MS) == SubmitEncoder(profile()).body(message(2), 0, NOW_MS)


def test_validities_beyond_a_relative_time_are_cut() -> None:
    pdu = pdu_of(message(1, valid_until_ms=NOW_MS + 40 * 86_400_000))
    assert pdu.validity_period == b"000031000000000R"


def test_what_does_not_fit_is_an_error() -> None:
    with pytest.raises(EncodeError):
        pdu_of(message(1, source=b"x" * 21))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, False),
        ({"segments": [b"x" * 254]}, False),
        ({"segments": [b"a", b"x" * 255]}, True),
        ({"tlvs": tlv.encode([(0x1400, b"dlt")])}, False),
        ({"tlvs": tlv.encode([(TlvTag.SAR_TOTAL_SEGMENTS, b"\2")])}, True),
        ({"tlvs": tlv.encode([(TlvTag.MESSAGE_PAYLOAD, b"text")]), "segments": [b""]}, True),
        ({"conversion": Conversion(int(Form.SAR), 2, b"x", 0, 0, b"", b"x")}, True),
        ({"conversion": Conversion(int(Form.PAYLOAD), 2, b"x", 0, 0, b"", b"x")}, True),
        ({"conversion": Conversion(int(Form.AS_THEY_ARE), 2, b"x", 0, 0, b"", b"x")}, False),
    ],
)
def test_quirk_25_what_is_nothing_without_tlvs_is_known(changes: dict[str, object], expected: bool) -> None:
    assert is_in_tlvs(message(1, **changes)) is expected


# --- profiles ---------------------------------------------------------------------------------------------------------


def test_quirk_39_and_43_the_profiles_types_and_service_type_go_in_place_of_the_customers() -> None:
    encoder = SubmitEncoder(profile(source_ton=99, source_npi=0, dest_ton=2, dest_npi=8, service_type="WAP"))
    record = message(1, service_type=b"CMT", source_ton=1, source_npi=1)
    pdu = pdu_of(record, encoder=encoder)
    assert (pdu.source_addr_ton, pdu.source_addr_npi, pdu.dest_addr_ton, pdu.dest_addr_npi) == (99, 0, 2, 8)
    assert (pdu.service_type, pdu.source_addr, pdu.destination_addr) == (b"WAP", record.source, record.dest)
    assert (record.source_ton, record.dest_ton, record.service_type) == (1, 1, b"CMT"), "the customer's own are kept"


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"source_ton": 99}, (99, 0, 1, 1, 1, b"CMT")),
        ({"source_npi": 9}, (5, 9, 1, 1, 1, b"CMT")),
        ({"dest_ton": 0}, (5, 0, 0, 1, 1, b"CMT")),
        ({"dest_npi": 0}, (5, 0, 1, 0, 1, b"CMT")),
        ({"priority_flag": 0}, (5, 0, 1, 1, 0, b"CMT")),
        ({"priority_flag": 3}, (5, 0, 1, 1, 3, b"CMT")),
        ({"service_type": ""}, (5, 0, 1, 1, 1, b"")),
    ],
)
def test_quirk_43_each_override_is_one_of_its_own(changes: dict[str, object], found: tuple[object, ...]) -> None:
    pdu = pdu_of(message(1, service_type=b"CMT", priority_flag=1), encoder=SubmitEncoder(profile(**changes)))
    numbers = (pdu.source_addr_ton, pdu.source_addr_npi, pdu.dest_addr_ton, pdu.dest_addr_npi)
    assert (*numbers, pdu.priority_flag, pdu.service_type) == found


@pytest.mark.parametrize(
    ("changes", "period"),
    [
        ({"validity_form": "relative"}, b"000000010000000R"),
        ({"validity_form": "absolute"}, b"270115090000000+"),
        ({"validity_form": "absolute", "validity_offset_quarters": 22}, b"270115143000022+"),
        ({"validity_form": "absolute", "validity_offset_quarters": -20}, b"270115040000020-"),
        ({"validity_form": "none"}, b""),
    ],
)
def test_quirk_38_the_validity_is_written_as_the_upstream_wants_it(changes: dict[str, object], period: bytes) -> None:
    pdu = pdu_of(message(1, valid_until_ms=NOW_MS + 3_600_000), encoder=SubmitEncoder(profile(**changes)))
    assert pdu.validity_period == period


@pytest.mark.parametrize(
    ("form", "first", "second"),
    [
        ("relative", b"000000010000000R", b"000000003000000R"),
        ("absolute", b"270115090000000+", b"270115090000000+"),
    ],
)
def test_quirk_38_the_time_spent_queued_is_gone_from_the_validity(form: str, first: bytes, second: bytes) -> None:
    encoder, record = SubmitEncoder(profile(validity_form=form)), message(1, valid_until_ms=NOW_MS + 3_600_000)
    periods = []
    for now_ms in (NOW_MS, NOW_MS + 1_800_000):
        body = encoder.body(record, 0, now_ms)
        pdu: SubmitSm = DECODERS[CommandId.SUBMIT_SM](body, 0, len(body), 0, 0)
        periods.append(pdu.validity_period)
    assert periods == [first, second]


def test_remembered_absolute_validities_are_bounded() -> None:
    encoder = SubmitEncoder(profile(validity_form="absolute"))
    for second in range(VALIDITIES_REMEMBERED + 10):
        encoder.body(message(1, valid_until_ms=NOW_MS + second * 1000), 0, NOW_MS)
    assert len(encoder._validities) <= VALIDITIES_REMEMBERED


def test_a_retry_sends_the_same_octets_but_for_the_validity() -> None:
    conversion = Conversion(int(Form.SAR), 2, b"x", 0, 0, b"", b"x")
    record = message(1, segments=[b"a", b"b"], conversion=conversion)
    again = msgspec.structs.replace(record, attempt=3, resends=1)
    assert pdu_of(record, 1) == pdu_of(again, 1)
