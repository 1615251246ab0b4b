"""The optional part: read as far as it can be, written strictly."""

from __future__ import annotations

import pytest

from protocols.smpp import tlv
from protocols.smpp.constants import TlvTag
from protocols.smpp.errors import EncodeError

REFERENCE = b"\x02\x04\0\2\x12\x34"
STATE = b"\x04\x27\0\1\2"
VENDOR = b"\x14\x00\0\3abc"


def test_tlvs_come_in_their_order_with_values_verbatim() -> None:
    assert tlv.parse(STATE + VENDOR + STATE) == [(0x0427, b"\2"), (0x1400, b"abc"), (0x0427, b"\2")]
    assert tlv.parse(b"") == []


@pytest.mark.parametrize("broken", [b"\x14", b"\x14\x00\0", b"\x14\x00\0\4abc", b"\xff\xff\xff\xff", b"\0"])
def test_a_broken_tlv_costs_only_itself(broken: bytes) -> None:
    assert tlv.parse(REFERENCE + broken) == [(0x0204, b"\x12\x34")]


def test_one_nul_too_many_before_the_tlvs_is_skipped() -> None:
    assert tlv.parse(b"\0" + REFERENCE + STATE) == [(0x0204, b"\x12\x34"), (0x0427, b"\2")]
    assert tlv.parse(b"\0") == []


def test_reading_goes_by_the_table() -> None:
    raw = REFERENCE + b"\x00\x1e\0\3ab\0" + VENDOR + b"\x04\x24\0\2\0\1" + b"\x13\x0c\0\0"
    assert tlv.read(raw) == {
        TlvTag.USER_MESSAGE_REFERENCE: 0x1234,
        TlvTag.RECEIPTED_MESSAGE_ID: b"ab",
        TlvTag.MESSAGE_PAYLOAD: b"\0\1",
        TlvTag.ALERT_ON_MESSAGE_DELIVERY: b"",
    }


def test_a_value_that_does_not_fit_its_format_is_skipped() -> None:
    assert tlv.read(b"\x02\x04\0\1\x12" + STATE) == {TlvTag.MESSAGE_STATE: 2}
    assert tlv.read_integer(b"\x02\x04\0\1\x12", TlvTag.USER_MESSAGE_REFERENCE) is None
    assert tlv.read_integer(b"", TlvTag.USER_MESSAGE_REFERENCE) is None
    assert tlv.read_integer(REFERENCE, TlvTag.USER_MESSAGE_REFERENCE) == 0x1234


def test_the_first_tlv_of_a_tag_counts() -> None:
    assert tlv.read(STATE + b"\x04\x27\0\1\5") == {TlvTag.MESSAGE_STATE: 2}
    assert tlv.find(STATE + b"\x04\x27\0\1\5", TlvTag.MESSAGE_STATE) == b"\2"
    assert tlv.find(STATE, TlvTag.SAR_MSG_REF_NUM) is None


@pytest.mark.parametrize("octets", [b"abc", b"abc\0", b"abc\0\0"])
def test_a_string_is_read_with_no_nul_one_or_two(octets: bytes) -> None:
    assert tlv.read(tlv.encode([(TlvTag.RECEIPTED_MESSAGE_ID, octets)])) == {TlvTag.RECEIPTED_MESSAGE_ID: b"abc"}


@pytest.mark.parametrize("tag", tlv.TLV_FORMATS)
def test_every_known_tlv_is_written_as_it_is_read(tag: TlvTag) -> None:
    form = tlv.TLV_FORMATS[tag]
    value: int | bytes
    if form.kind is tlv.TlvKind.INTEGER:
        value = (1 << 8 * form.size_max) - 1
    else:
        value = b"x" * (form.size_max - (form.kind is tlv.TlvKind.C_OCTETS))
    raw = tlv.encode_value(tag, value)
    assert tlv.read(raw) == {tag: value}
    assert tlv.clean(raw) == raw


@pytest.mark.parametrize(
    ("tag", "size_min", "size_max"),
    [
        (TlvTag.SOURCE_SUBADDRESS, 2, 23),
        (TlvTag.DEST_SUBADDRESS, 2, 23),
        (TlvTag.CALLBACK_NUM, 4, 19),
        (TlvTag.CALLBACK_NUM_ATAG, 0, 65),
        (TlvTag.NETWORK_ERROR_CODE, 3, 3),
        (TlvTag.BROADCAST_AREA_IDENTIFIER, 1, 101),
        (TlvTag.BROADCAST_CONTENT_TYPE, 3, 3),
        (TlvTag.BROADCAST_FREQUENCY_INTERVAL, 3, 3),
        (TlvTag.SOURCE_NODE_ID, 6, 6),
        (TlvTag.DEST_ADDR_NP_INFORMATION, 10, 10),
        (TlvTag.DEST_ADDR_NP_COUNTRY, 1, 5),
        (TlvTag.MS_VALIDITY, 1, 4),
        (TlvTag.ALERT_ON_MESSAGE_DELIVERY, 0, 1),
    ],
)
def test_octets_are_as_many_as_their_format_says(tag: TlvTag, size_min: int, size_max: int) -> None:
    for size in {size_min, size_max}:
        assert tlv.read(tlv.encode_value(tag, b"x" * size)) == {tag: b"x" * size}
    for size in {size_max + 1, size_min - 1} - {-1}:
        assert tlv.read(tlv.encode([(tag, b"x" * size)])) == {}
        with pytest.raises(EncodeError):
            tlv.encode_value(tag, b"x" * size)


def test_every_tag_has_a_format() -> None:
    assert set(tlv.TLV_FORMATS) == set(TlvTag)


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        (TlvTag.MESSAGE_STATE, 256),
        (TlvTag.MESSAGE_STATE, -1),
        (TlvTag.MESSAGE_STATE, b"\2"),
        (TlvTag.MESSAGE_PAYLOAD, 1),
        (TlvTag.NETWORK_ERROR_CODE, b"\3\0"),
        (TlvTag.RECEIPTED_MESSAGE_ID, b"x" * 65),
        (TlvTag.RECEIPTED_MESSAGE_ID, b"a\0b"),
    ],
)
def test_a_value_that_does_not_fit_is_not_sent(tag: TlvTag, value: int | bytes) -> None:
    with pytest.raises(EncodeError):
        tlv.encode_value(tag, value)


@pytest.mark.parametrize("item", [(0x10000, b""), (-1, b""), (0x1400, b"x" * 65536)])
def test_a_tag_or_a_length_beyond_two_octets_is_not_sent(item: tuple[int, bytes]) -> None:
    with pytest.raises(EncodeError):
        tlv.encode([item])


def test_cleaning_drops_what_cannot_be_read_and_keeps_unknown_tags() -> None:
    assert tlv.clean(VENDOR + STATE + b"\x14\x00\0\4abc") == VENDOR + STATE
    assert tlv.clean(b"\0" + VENDOR) == VENDOR
    assert tlv.clean(b"") == b""
