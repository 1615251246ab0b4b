"""Requests that can be read and must not be accepted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from protocols.smpp import tlv
from protocols.smpp.constants import CommandStatus, TlvTag
from protocols.smpp.pdu import DataSm, ReplaceSm, SmeAddress, SubmitMulti, SubmitSm
from protocols.smpp.validation import check_data, check_multi, check_replace, check_submit

S = CommandStatus
UDH = b"\5\0\3\x2a\2\1"


def payload(octets: bytes) -> bytes:
    return tlv.encode_value(TlvTag.MESSAGE_PAYLOAD, octets)


SUBMITS: list[tuple[dict[str, Any], CommandStatus | None]] = [
    ({}, None),
    ({"short_message": b""}, None),
    ({"priority_flag": 3}, None),
    ({"priority_flag": 4}, S.ESME_RINVPRTFLG),
    ({"priority_flag": 255}, S.ESME_RINVPRTFLG),
    ({"registered_delivery": 0x1F}, None),
    ({"registered_delivery": 3}, None),
    ({"registered_delivery": 0x20}, S.ESME_RINVREGDLVFLG),
    ({"registered_delivery": 0x81}, S.ESME_RINVREGDLVFLG),
    ({"replace_if_present_flag": 1}, None),
    ({"replace_if_present_flag": 2}, S.ESME_RINVREPFLAG),
    ({"sm_default_msg_id": 254}, None),
    ({"sm_default_msg_id": 255}, S.ESME_RINVDFTMSGID),
    ({"esm_class": 0x03}, None),
    ({"esm_class": 0x08}, None),
    ({"esm_class": 0x90}, None),
    ({"esm_class": 0x04}, S.ESME_RINVESMCLASS),
    ({"esm_class": 0x20}, S.ESME_RINVESMCLASS),
    ({"esm_class": 0x40, "short_message": UDH + b"hello"}, None),
    ({"esm_class": 0x40, "short_message": UDH}, None),
    ({"esm_class": 0x40, "short_message": UDH[:-1]}, S.ESME_RINVESMCLASS),
    ({"esm_class": 0x40, "short_message": b""}, S.ESME_RINVESMCLASS),
    ({"esm_class": 0x40, "short_message": b"", "tlvs": payload(UDH + b"x")}, None),
    ({"esm_class": 0x43, "short_message": b"", "tlvs": payload(UDH[:3])}, S.ESME_RINVESMCLASS),
    ({"tlvs": payload(b"hello")}, S.ESME_RINVMSGLEN),
    ({"tlvs": payload(b"")}, S.ESME_RINVMSGLEN),
    ({"short_message": b"", "tlvs": payload(b"hello")}, None),
    ({"tlvs": b"\x14\0\0\1x"}, None),
    ({"tlvs": b"\x04\x24\xff"}, None),
]
SAR = tlv.encode([(0x020C, b"\0\7"), (0x020E, b"\2"), (0x020F, b"\1")])
PORTS = b"\6\5\4\x0b\x84\0\0"
# Half a character of UCS-2 at the end: of a whole message nobody can show it, of a part the next one has the rest.
HALVES: list[tuple[dict[str, Any], CommandStatus | None]] = [
    ({"data_coding": 8, "short_message": b"\0a\0b"}, None),
    ({"data_coding": 8, "short_message": b""}, None),
    ({"data_coding": 8, "short_message": b"\0a\0"}, S.ESME_RINVMSGLEN),
    ({"data_coding": 8, "short_message": b"\0a\0", "tlvs": b"\x14\0\0\1x"}, S.ESME_RINVMSGLEN),
    ({"data_coding": 8, "short_message": b"\0a\0", "esm_class": 0x80}, S.ESME_RINVMSGLEN),
    ({"data_coding": 8, "short_message": b"", "tlvs": payload(b"\0a\0b")}, None),
    ({"data_coding": 8, "short_message": b"", "tlvs": payload(b"\0a\0")}, S.ESME_RINVMSGLEN),
    ({"data_coding": 8, "esm_class": 0x40, "short_message": PORTS + b"\0a"}, None),
    ({"data_coding": 8, "esm_class": 0x40, "short_message": PORTS + b"\0a\0"}, S.ESME_RINVMSGLEN),
    ({"data_coding": 8, "esm_class": 0x40, "short_message": b"\2\0\0" + b"\0a\0"}, S.ESME_RINVMSGLEN),
    ({"data_coding": 8, "esm_class": 0x40, "short_message": UDH + b"\0a\0"}, None),
    ({"data_coding": 8, "esm_class": 0x40, "short_message": b"\6\x08\4\0\x2a\2\1" + b"\0a\0"}, None),
    ({"data_coding": 8, "short_message": b"\0a\0", "tlvs": SAR}, None),
    ({"data_coding": 0x18, "short_message": b"\0a\0"}, S.ESME_RINVMSGLEN),
    ({"data_coding": 0x1B, "short_message": b"\0a\0"}, S.ESME_RINVMSGLEN),
    ({"data_coding": 0xE8, "short_message": b"\0a\0"}, S.ESME_RINVMSGLEN),
    ({"data_coding": 0x28, "short_message": b"\0a\0"}, None),
    *(({"data_coding": data_coding, "short_message": b"odd"}, None) for data_coding in (0, 1, 2, 3, 4, 0x0C, 0xF5)),
]


def sar(reference: bytes = b"\0\7", total: int = 2, sequence: int = 1) -> dict[str, Any]:
    return {"tlvs": tlv.encode([(0x020C, reference), (0x020E, bytes((total,))), (0x020F, bytes((sequence,)))])}


PARTS: list[tuple[dict[str, Any], CommandStatus | None]] = [
    (sar(), None),
    (sar(total=255, sequence=255), None),
    (sar(sequence=0), S.ESME_RINVOPTPARAMVAL),
    (sar(sequence=3), S.ESME_RINVOPTPARAMVAL),
    (sar(total=0, sequence=0), S.ESME_RINVOPTPARAMVAL),
    (sar(total=0), S.ESME_RINVOPTPARAMVAL),
    (sar() | {"esm_class": 0x40, "short_message": UDH + b"hi"}, S.ESME_ROPTPARNOTALLWD),
    (sar() | {"esm_class": 0x40, "short_message": b"\6\x08\4\0\x2a\2\1hi"}, S.ESME_ROPTPARNOTALLWD),
    (sar() | {"esm_class": 0x40, "short_message": PORTS + b"hi"}, None),
    ({"esm_class": 0x40, "short_message": b"", "tlvs": payload(UDH) + SAR}, S.ESME_ROPTPARNOTALLWD),
    # Section 5.3.2.22: one without the others is ignored, and so is one that cannot be read.
    *(({"tlvs": SAR[:at]}, None) for at in (6, 11)),
    ({"tlvs": SAR[6:]}, None),
    ({"tlvs": tlv.encode([(0x020F, b"\0")])}, None),
    (sar(reference=b"\7", sequence=0), None),
    # The octets of the tag and its length in another value are no TLV.
    ({"tlvs": b"\x14\0\0\4\2\x0f\0\1"}, None),
]


@pytest.mark.parametrize(("fields", "status"), SUBMITS + HALVES + PARTS)
def test_a_submit_is_refused_by_what_is_wrong_with_it(
    submit: Callable[..., SubmitSm], fields: dict[str, Any], status: CommandStatus | None
) -> None:
    assert check_submit(submit(**fields)) is status
    values = {"short_message": b"hello"} | fields
    assert check_submit(SubmitMulti(dest_address=(SmeAddress(),), **values)) is status


@pytest.mark.parametrize(
    ("count", "version", "status"),
    [
        (254, 0x34, None),
        (255, 0x34, S.ESME_RINVNUMDESTS),
        (255, 0x33, S.ESME_RINVNUMDESTS),
        (255, 0x50, None),
    ],
)
def test_5_0_has_one_destination_more(count: int, version: int, status: CommandStatus | None) -> None:
    assert check_multi(SubmitMulti(dest_address=(SmeAddress(),) * count), version) is status
    assert check_multi(SubmitMulti(dest_address=(SmeAddress(),), priority_flag=5), version) is S.ESME_RINVPRTFLG


def test_5_0_has_one_priority_more(submit: Callable[..., SubmitSm]) -> None:
    assert check_submit(submit(priority_flag=4), 0x50) is None
    assert check_submit(submit(priority_flag=5), 0x50) is S.ESME_RINVPRTFLG


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, None),
        ({"tlvs": payload(b"hello")}, None),
        ({"service_type": b"x" * 6}, S.ESME_RINVSERTYP),
        ({"registered_delivery": 0x40}, S.ESME_RINVREGDLVFLG),
        ({"esm_class": 0x04}, S.ESME_RINVESMCLASS),
        ({"esm_class": 0x40, "tlvs": payload(UDH)}, None),
        ({"esm_class": 0x40, "tlvs": payload(b"\5")}, S.ESME_RINVESMCLASS),
        ({"esm_class": 0x40}, S.ESME_RINVESMCLASS),
        ({"data_coding": 8, "tlvs": payload(b"\0a\0")}, S.ESME_RINVMSGLEN),
        ({"data_coding": 8, "tlvs": payload(b"\0a\0") + SAR}, None),
        ({"data_coding": 8, "tlvs": payload(b"\0a\0b")}, None),
        ({"tlvs": payload(b"hi") + sar(sequence=3)["tlvs"]}, S.ESME_RINVOPTPARAMVAL),
        ({"esm_class": 0x40, "tlvs": payload(UDH) + SAR}, S.ESME_ROPTPARNOTALLWD),
    ],
)
def test_a_data_sm_is_refused_by_what_is_wrong_with_it(fields: dict[str, Any], status: CommandStatus | None) -> None:
    assert check_data(DataSm(**fields)) is status


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, None),
        ({"message_id": b""}, S.ESME_RINVMSGID),
        ({"registered_delivery": 0x40}, S.ESME_RINVREGDLVFLG),
        ({"sm_default_msg_id": 255}, S.ESME_RINVDFTMSGID),
        ({"tlvs": payload(b"hello")}, S.ESME_RINVMSGLEN),
        ({"short_message": b"", "tlvs": payload(b"hello")}, None),
    ],
)
def test_a_replace_is_refused_by_what_is_wrong_with_it(fields: dict[str, Any], status: CommandStatus | None) -> None:
    values = {"message_id": b"7", "short_message": b"new"} | fields
    assert check_replace(ReplaceSm(**values)) is status
