"""Named TLVs of a profile; the Indian DLT's entity and template ids are the example."""

from __future__ import annotations

import pytest

from protocols.smpp import tlv
from protocols.smpp.constants import CommandStatus
from protocols.smpp.errors import EncodeError, PduError
from protocols.smpp.tlv import TlvKind
from protocols.smpp.vendor_tlvs import NamedTlv, TlvProfile

DLT = TlvProfile(
    (
        NamedTlv(0x1400, "dlt_entity_id", TlvKind.C_OCTETS, 2, 31, is_required=True),
        NamedTlv(0x1401, "dlt_template_id", TlvKind.C_OCTETS, 2, 31, is_required=True),
        NamedTlv(0x1402, "dlt_telemarketer_id", TlvKind.OCTETS, 0, 64),
        NamedTlv(0x1403, "priority_class", TlvKind.INTEGER, 1, 2),
    )
)
ENTITY = b"\x14\x00\0\x0c" + b"11012345678\0"
TEMPLATE = b"\x14\x01\0\x0b" + b"1107654321\0"


def test_values_have_names_both_ways() -> None:
    values: dict[str, int | bytes] = {
        "priority_class": 3,
        "dlt_entity_id": b"11012345678",
        "dlt_template_id": b"1107654321",
        "dlt_telemarketer_id": b"\0\1",
    }
    raw = DLT.encode(values)
    assert raw == ENTITY + TEMPLATE + b"\x14\x02\0\2\0\1" + b"\x14\x03\0\2\0\3"
    assert DLT.decode(raw) == values
    DLT.check(raw)


def test_what_the_profile_does_not_name_is_not_touched() -> None:
    raw = b"\x15\0\0\1x" + ENTITY + b"\x02\x04\0\2\0\1"
    assert DLT.decode(raw) == {"dlt_entity_id": b"11012345678"}
    assert DLT.encode({}) == b""
    assert tlv.clean(raw) == raw


@pytest.mark.parametrize(
    ("octets", "value"), [(b"12", b"12"), (b"12\0", b"12"), (b"12\0\0", b"12"), (b"1" * 30, b"1" * 30)]
)
def test_a_string_is_read_with_no_nul_one_or_two(octets: bytes, value: bytes) -> None:
    raw = tlv.encode([(0x1400, octets), (0x1401, b"1\0")])
    assert DLT.decode(raw)["dlt_entity_id"] == value
    DLT.check(raw)


def test_the_first_of_a_tag_counts_and_what_does_not_fit_is_left_out() -> None:
    raw = tlv.encode([(0x1403, b"\1\2\3"), (0x1403, b"\7"), (0x1403, b"\x08")])
    assert DLT.decode(raw) == {"priority_class": 7}


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"", CommandStatus.ESME_RMISSINGTLV),
        (ENTITY, CommandStatus.ESME_RMISSINGTLV),
        (ENTITY + TEMPLATE[:-1], CommandStatus.ESME_RMISSINGTLV),
        (tlv.encode([(0x1400, b"1" * 31)]) + TEMPLATE, CommandStatus.ESME_RINVTLVLEN),
        (tlv.encode([(0x1400, b"\0")]) + TEMPLATE, CommandStatus.ESME_RINVTLVLEN),
        (ENTITY + TEMPLATE + tlv.encode([(0x1403, b"")]), CommandStatus.ESME_RINVTLVLEN),
        (ENTITY + TEMPLATE + tlv.encode([(0x1402, b"x" * 65)]), CommandStatus.ESME_RINVTLVLEN),
    ],
)
def test_what_is_missing_or_has_a_wrong_size_is_refused(raw: bytes, status: CommandStatus) -> None:
    with pytest.raises(PduError) as caught:
        DLT.check(raw)
    assert caught.value.command_status == status
    assert status in (0xC3, 0xC2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dlt_entity_id", b"1" * 31),
        ("dlt_entity_id", b""),
        ("dlt_entity_id", b"1\0002"),
        ("dlt_entity_id", 7),
        ("priority_class", 65536),
        ("priority_class", -1),
        ("priority_class", b"\1"),
        ("unheard_of", 1),
    ],
)
def test_a_value_that_does_not_fit_or_has_no_row_is_not_sent(name: str, value: int | bytes) -> None:
    with pytest.raises(EncodeError):
        DLT.encode({name: value})


@pytest.mark.parametrize(
    "rows",
    [
        (NamedTlv(0x1400, "a", TlvKind.OCTETS, 0, 1), NamedTlv(0x1400, "b", TlvKind.OCTETS, 0, 1)),
        (NamedTlv(0x1400, "a", TlvKind.OCTETS, 0, 1), NamedTlv(0x1401, "a", TlvKind.OCTETS, 0, 1)),
        (NamedTlv(0, "a", TlvKind.OCTETS, 0, 1),),
        (NamedTlv(0x10000, "a", TlvKind.OCTETS, 0, 1),),
        (NamedTlv(0x1400, "a", TlvKind.OCTETS, 2, 1),),
        (NamedTlv(0x1400, "a", TlvKind.INTEGER, 0, 1),),
        (NamedTlv(0x1400, "a", TlvKind.C_OCTETS, 0, 1),),
        (NamedTlv(0x1400, "a", TlvKind.OCTETS, 0, 65536),),
    ],
)
def test_a_profile_that_contradicts_itself_is_refused(rows: tuple[NamedTlv, ...]) -> None:
    with pytest.raises(ValueError, match="TLV"):
        TlvProfile(rows)
