"""The user data header: parsed, built, refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.gsm import udh


def test_a_concatenation_header_is_read() -> None:
    header = udh.parse(b"\x05\x00\x03\x2a\x03\x02hello")
    assert header.length == 6
    assert header.concatenation == udh.Concatenation(0x2A, 3, 2)


def test_a_sixteen_bit_reference_is_read() -> None:
    header = udh.parse(b"\x06\x08\x04\x01\x02\x03\x02hello")
    assert header.length == 7
    assert header.concatenation == udh.Concatenation(0x0102, 3, 2, is_wide=True)


def test_other_elements_are_kept_in_order() -> None:
    header = udh.parse(b"\x0b\x05\x04\x0b\x84\x23\xf0\x00\x03\x01\x02\x01body")
    assert header.elements == ((udh.PORTS_16, b"\x0b\x84\x23\xf0"), (udh.CONCATENATION_8, b"\x01\x02\x01"))
    assert udh.build(header.elements) == b"\x0b\x05\x04\x0b\x84\x23\xf0\x00\x03\x01\x02\x01"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x05\x00\x03\x01",
        b"\x05\x00\x04\x01\x02\x01",
        b"\x05\x00\x02\x01\x02\x00",
        b"\x05\x00\x03\x01\x02\x03",
        b"\x05\x00\x03\x01\x00\x00",
        b"\x05\x00\x03\x01\x02\x00",
        b"\x06\x00\x03\x01\x02\x01\x24",
        b"\x01\x24",
    ],
)
def test_a_header_that_does_not_fit_is_refused(content: bytes) -> None:
    with pytest.raises(udh.UdhError):
        udh.parse(content)


def test_of_elements_that_exclude_each_other_the_last_counts() -> None:
    header = udh.parse(udh.build([udh.concatenation_8(1, 2, 1), udh.concatenation_16(0x203, 4, 3)]))
    assert header.concatenation == udh.Concatenation(0x203, 4, 3, is_wide=True)
    header = udh.parse(udh.build([(udh.PORTS_8, b"\x01\x02"), (udh.PORTS_16, b"\x0b\x84\x23\xf0")]))
    assert header.ports == (2948, 9200)


def test_ports_are_read_in_either_width_and_left_alone_in_any_other() -> None:
    assert udh.parse(udh.build([(udh.PORTS_8, b"\xf5\x01")])).ports == (0xF5, 1)
    assert udh.parse(udh.build([(udh.PORTS_16, b"\x01")])).ports is None
    assert udh.parse(udh.build([udh.concatenation_8(1, 2, 1)])).ports is None


def test_what_is_no_concatenation_is_kept_when_that_is_changed() -> None:
    kept = ((udh.PORTS_16, b"\x0b\x84\x23\xf0"), *udh.national_shifts(locking=1, single_shift=2), (0x70, b""))
    header = udh.parse(udh.build([kept[0], udh.concatenation_16(7, 2, 1), *kept[1:]]))
    assert header.others == kept


def test_national_shifts_are_elements_of_one_octet() -> None:
    assert udh.build(udh.national_shifts(locking=3, single_shift=1)) == b"\x06\x24\x01\x01\x25\x01\x03"
    assert udh.national_shifts() == ()


def test_an_empty_header_is_a_header() -> None:
    assert udh.parse(b"\x00text") == udh.Udh((), 1)


def test_elements_that_are_too_long_are_refused() -> None:
    with pytest.raises(udh.UdhError):
        udh.build([(0x70, bytes(138))])
    with pytest.raises(udh.UdhError):
        udh.build([(0x70, bytes(70)), (0x71, bytes(70))])


@given(st.binary(max_size=160))
def test_any_octets_are_parsed_or_refused_with_the_one_error(content: bytes) -> None:
    try:
        header = udh.parse(content)
    except udh.UdhError:
        return
    assert udh.build(header.elements) == content[: header.length]
