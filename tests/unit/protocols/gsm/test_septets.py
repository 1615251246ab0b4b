"""Packed septets, with and without a header, and what the last seven bits mean. Quirk 30."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.gsm import udh
from protocols.gsm.alphabets import GSM
from protocols.gsm.septets import fill_bits, pack, unpack

SEPTETS = st.binary(max_size=170).map(lambda octets: bytes(octet & 0x7F for octet in octets))


@pytest.mark.parametrize(
    ("text", "packed"),
    [
        ("", ""),
        ("a", "61"),
        ("hellohello", "e8329bfd4697d9ec37"),
        ("Hello", "c8329bfd06"),
        ("How are you?", "c8f71d14969741f977fd07"),
        ("€", "9b32"),
        ("@", "00"),
    ],
)
def test_known_packings(text: str, packed: str) -> None:
    octets = bytes.fromhex(packed)
    assert pack(GSM.encode(text)) == octets
    assert GSM.decode(unpack(octets)) == text


def test_160_septets_are_140_octets_and_153_with_a_header_134() -> None:
    assert len(pack(b"a" * 160)) == 140
    assert len(pack(b"a" * 153, header_octets=6)) == 134
    assert len(pack(b"a" * 152, header_octets=7)) == 133
    assert len(pack(b"a" * 149, header_octets=9)) == 131


@pytest.mark.parametrize(("header_octets", "bits"), [(0, 0), (6, 1), (7, 0), (8, 6), (9, 5), (10, 4), (13, 1)])
def test_quirk_30_a_header_is_filled_up_to_a_septet(header_octets: int, bits: int) -> None:
    assert fill_bits(header_octets) == bits
    assert (8 * header_octets + bits) % 7 == 0


def test_quirk_30_the_first_septet_behind_a_concatenation_header_starts_at_bit_1() -> None:
    header = udh.build([udh.concatenation_8(1, 2, 1)])
    assert pack(b"\x7f", len(header)) == b"\xfe"
    assert pack(b"A\x00", len(header)) == bytes((0x41 << 1, 0))
    assert unpack(b"\xfe", len(header)) == b"\x7f"


@pytest.mark.parametrize("size", [7, 15, 159])
def test_quirk_30_with_8n_minus_1_septets_a_cr_stands_where_an_at_sign_would_be_read(size: int) -> None:
    octets = pack(b"a" * size)
    assert octets[-1] >> 1 == 0x0D
    assert unpack(octets) == b"a" * size


@pytest.mark.parametrize("size", [7, 15])
def test_quirk_30_zero_bits_at_the_end_are_an_at_sign_unless_the_peer_is_known_to_pad_with_them(size: int) -> None:
    octets = pack(b"a" * size + b"\x00")
    assert octets[-1] >> 1 == 0
    assert unpack(octets) == b"a" * size + b"\x00"
    assert unpack(octets, is_zero_padding=True) == b"a" * size


def test_quirk_30_a_real_cr_on_an_octet_boundary_is_doubled() -> None:
    assert unpack(pack(b"aaaaaaa\r")) == b"aaaaaaa\r\r"
    assert len(pack(b"aaaaaaa\r")) == 8
    assert unpack(pack(b"aaaaaa\r")) == b"aaaaaa\r"


def test_what_is_no_septet_is_not_packed() -> None:
    with pytest.raises(ValueError, match="0x80"):
        pack(b"\x80")


@given(SEPTETS, st.integers(0, 20))
def test_septets_come_back(septets: bytes, header_octets: int) -> None:
    """All of them but for a last CR, which the specification doubles: the same to a reader (section 6.1.2.3.1)."""
    again = unpack(pack(septets, header_octets), header_octets)
    assert again == septets or (septets.endswith(b"\r") and again == septets + b"\r")


@given(st.binary(max_size=140), st.integers(0, 20))
def test_any_octets_are_unpacked_to_septets(octets: bytes, header_octets: int) -> None:
    assert unpack(octets, header_octets).isascii()
