"""submit_sm read as submissions."""

from __future__ import annotations

from typing import Any

import pytest

from protocols.smpp import tlv
from protocols.smpp.constants import TlvTag
from protocols.smpp.pdu import SubmitSm
from smscd.core.directory import Account
from smscd.core.reasons import Reason, Rejected
from smscd.core.records import Door
from smscd.core.submission import Submission
from smscd.ingress.smpp.submissions import submission_of

ACCOUNT = Account(id="acme")
NOW = 1_795_358_919_000  # 2026-11-22T14:48:39Z
PAYLOAD = int(TlvTag.MESSAGE_PAYLOAD)


def submit_sm(**changes: Any) -> SubmitSm:
    given: dict[str, Any] = {
        "source_addr_ton": 5,
        "source_addr": b"ACME",
        "dest_addr_ton": 1,
        "dest_addr_npi": 1,
        "destination_addr": b"447700900123",
        "registered_delivery": 1,
        "short_message": b"hello",
    }
    return SubmitSm(**(given | changes))


def read(**changes: Any) -> Submission:
    result = submission_of(submit_sm(**changes), ACCOUNT, NOW)
    assert isinstance(result, Submission), result
    return result


def refused(**changes: Any) -> Reason:
    result = submission_of(submit_sm(**changes), ACCOUNT, NOW)
    assert isinstance(result, Rejected), result
    return result.reason


def test_the_fields_arrive_as_they_were_sent() -> None:
    found = read(
        service_type=b"CMT",
        source_addr_npi=9,
        esm_class=0x40,
        protocol_id=0x41,
        priority_flag=3,
        data_coding=0xF5,
        short_message=b"\x00\x01\x02",
        registered_delivery=0x11,
    )
    assert found == Submission(
        ACCOUNT, Door.SMPP, b"ACME", b"447700900123", b"\x00\x01\x02", 0xF5, 0x40, 0x11, 0x41, 5, 9, 1, 1, b"CMT",
        priority_flag=3,
    )  # fmt: skip


def test_an_empty_message_is_a_message() -> None:
    assert read(short_message=b"").content == b""


def test_a_payload_takes_the_place_of_the_short_message() -> None:
    found = read(short_message=b"", tlvs=tlv.encode([(PAYLOAD, b"x" * 1_000), (0x1400, b"keep")]))
    assert found.content == b"x" * 1_000
    assert found.tlvs == tlv.encode([(0x1400, b"keep")])


def test_a_payload_beside_a_short_message_is_refused() -> None:
    assert refused(tlvs=tlv.encode([(PAYLOAD, b"x")])) is Reason.INVALID_LENGTH


def test_the_request_key_is_taken_out_and_everything_else_goes_on() -> None:
    found = read(tlvs=tlv.encode([(0x1401, b"a"), (0x1500, b"8e03978e\x00"), (0x1400, b"b")]))
    assert found.request_key == b"8e03978e"
    assert found.tlvs == tlv.encode([(0x1401, b"a"), (0x1400, b"b")])
    assert read(tlvs=tlv.encode([(0x1500, b"\x00")])).request_key is None
    assert read(tlvs=tlv.encode([(0x1500, b"k" * 64)])).request_key == b"k" * 64


def test_what_an_esme_says_to_us_alone_does_not_go_on() -> None:
    kept = [(0x1400, b"b"), (int(TlvTag.USER_MESSAGE_REFERENCE), b"\0\1"), (int(TlvTag.SET_DPF), b"\1")]
    hop = [
        (0x0426, b"\1"), (0x0428, b"\x55"), (0x0210, b"\x34"), (0x001D, b"\0"), (0x0420, b"\1"), (0x0422, b"\0"),
        (0x0425, b"\1"),
    ]  # fmt: skip
    found = read(tlvs=tlv.encode([kept[0], *hop, *kept[1:]]))
    assert tlv.parse(found.tlvs) == kept
    assert read(tlvs=tlv.encode(hop)) == read()


@pytest.mark.parametrize("key", [b"k" * 65, b"a b", b"caf\xe9", b"a\x00b"])
def test_a_request_key_that_is_none_is_refused(key: bytes) -> None:
    assert refused(tlvs=tlv.encode([(0x1500, key)])) is Reason.INVALID_TLV_VALUE


def test_the_tag_of_the_request_key_is_configurable() -> None:
    pdu = submit_sm(tlvs=tlv.encode([(0x1500, b"x"), (0x2000, b"key")]))
    found = submission_of(pdu, ACCOUNT, NOW, 0x2000)
    assert isinstance(found, Submission)
    assert (found.request_key, found.tlvs) == (b"key", tlv.encode([(0x1500, b"x")]))


def test_validity_is_read_in_both_forms() -> None:
    """Quirk 38: relative and absolute."""
    relative = read(validity_period=b"000000010000000R")
    assert (relative.validity_seconds, relative.valid_until_ms) == (3_600, None)
    absolute = read(validity_period=b"261122154839000+")
    assert (absolute.validity_seconds, absolute.valid_until_ms) == (None, NOW + 3_600_000)


def test_a_relative_validity_reads_the_same_a_second_later() -> None:
    pdu = submit_sm(validity_period=b"000003000000000R")
    assert submission_of(pdu, ACCOUNT, NOW) == submission_of(pdu, ACCOUNT, NOW + 1_234)


def test_quirk_38_a_schedule_is_read_in_both_forms_and_a_relative_one_stays_relative() -> None:
    absolute = read(schedule_delivery_time=b"261122154839004+")
    assert (absolute.send_at_ms, absolute.send_after_seconds) == (1_795_358_919_000, None)
    relative = submit_sm(schedule_delivery_time=b"000001020000000R")
    found = submission_of(relative, ACCOUNT, NOW)
    assert isinstance(found, Submission) and (found.send_at_ms, found.send_after_seconds) == (None, 93_600)
    assert submission_of(relative, ACCOUNT, NOW + 1_234) == found


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"validity_period": b"tomorrow"}, Reason.INVALID_VALIDITY),
        ({"validity_period": b"261322154839000+"}, Reason.INVALID_VALIDITY),
        ({"schedule_delivery_time": b"261322154839000+"}, Reason.INVALID_SCHEDULE),
        ({"sm_default_msg_id": 3, "short_message": b""}, Reason.INVALID_DEFAULT_MESSAGE),
    ],
)
def test_what_cannot_be_done_is_refused(changes: dict[str, Any], reason: Reason) -> None:
    """Quirks 38 and 45: bad times, and a replacement by submission, have their own statuses."""
    assert refused(**changes) is reason


def test_a_default_message_beside_a_text_is_no_matter() -> None:
    assert read(sm_default_msg_id=3).content == b"hello"


def test_a_broken_tlv_does_not_cost_the_message() -> None:
    found = read(tlvs=tlv.encode([(0x1400, b"b")]) + b"\x14\x01\x00\xff")
    assert found.tlvs == tlv.encode([(0x1400, b"b")])
