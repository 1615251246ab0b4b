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
    assert header.concatenation == udh.Concatenation(0x0102, 3, 2)


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
