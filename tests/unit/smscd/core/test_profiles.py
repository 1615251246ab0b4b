"""Profiles as the protocol's types: dialects, and TLVs by name (quirk 44)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from protocols.gsm.transcode import DefaultAlphabet, Dialect
from protocols.smpp import tlv
from protocols.smpp.constants import CommandStatus
from smscd.core.directory import Account
from smscd.core.planning import Planned
from smscd.core.profiles import PLAIN, decode_named, dialect_of, encode_named, is_plain, tlv_profile
from smscd.core.reasons import Reason, Rejected
from smscd.core.upstream import Upstream, VendorTlv
from tests.unit.smscd.core.profile_fixture import PRICE, Way

ROWS = (
    VendorTlv(tag=0x1400, name="entity", kind="c_octets", size_min=2, size_max=11, is_required=True),
    VendorTlv(tag=0x1401, name="mccmnc", kind="integer", size_min=1, size_max=4),
    VendorTlv(tag=0x1402, name="raw", kind="octets", size_min=0, size_max=3),
)
ENTITY = tlv.encode([(0x1400, b"1001\0")])


def upstream(**changes: Any) -> Upstream:
    return Upstream(id="up", host="h", port=1, system_id="s", password="p", **changes)


def refused(result: object) -> Rejected:
    assert isinstance(result, Rejected), result
    return result


def test_a_dialect_is_what_the_profile_says() -> None:
    assert dialect_of(Account(id="a")) == Dialect()
    assert dialect_of(Account(id="a", default_alphabet="latin1", is_little_endian=True)) == Dialect(
        default=DefaultAlphabet.LATIN_1, is_little_endian=True
    )
    assert dialect_of(upstream(default_alphabet="gsm_packed", is_zero_padded=True)) == Dialect(
        default=DefaultAlphabet.GSM_PACKED, is_zero_padding=True
    )


def test_only_what_nobody_has_to_rewrite_is_plain() -> None:
    assert is_plain(PLAIN) and is_plain(Dialect())
    assert not is_plain(Dialect(is_little_endian=True))
    for alphabet in ("gsm_packed", "latin1", "ascii"):
        assert not is_plain(dialect_of(upstream(default_alphabet=alphabet)))


@pytest.mark.parametrize("form", ["sar", "payload"])
def test_quirk_25_what_is_a_tlv_is_no_long_form_of_an_upstream_that_has_none(form: str) -> None:
    assert upstream(long_message=form, interface_version=0x34).long_message == form
    with pytest.raises(ValueError, match=f"long_message {form} needs TLVs"):
        upstream(long_message=form, interface_version=0x33)


def test_quirk_25_an_upstream_without_tlvs_can_require_none() -> None:
    row = VendorTlv(tag=0x1400, name="dlt", kind="octets", size_min=1, size_max=9)
    assert not upstream(vendor_tlvs=(row,), interface_version=0x33).needs_tlvs
    required = msgspec.structs.replace(row, is_required=True)
    assert upstream(vendor_tlvs=(required,), interface_version=0x34).needs_tlvs
    with pytest.raises(ValueError, match="a required TLV needs TLVs"):
        upstream(vendor_tlvs=(required,), interface_version=0x33)


# --- quirk 44: what the customer passes -------------------------------------------------------------------------------


def test_quirk_44_named_tlvs_of_json_become_octets_and_come_back() -> None:
    profile = tlv_profile(upstream(vendor_tlvs=ROWS))
    assert profile is not None
    values = {"raw": "00ff", "mccmnc": 26201, "entity": "1001"}
    raw = encode_named(profile, values)
    assert raw == ENTITY + tlv.encode([(0x1401, b"\0\0\x66\x59"), (0x1402, b"\0\xff")])
    assert isinstance(raw, bytes)
    assert decode_named(profile, raw) == values
    assert decode_named(profile, tlv.encode([(0x1400, b"caf\xe9\0")])) == {"entity": "café"}


def test_quirk_44_a_number_has_64_bits_at_most() -> None:
    row = VendorTlv(tag=0x1401, name="big", kind="integer", size_min=1, size_max=8)
    profile = tlv_profile(upstream(vendor_tlvs=(row,)))
    assert profile is not None
    assert decode_named(profile, tlv.encode([(0x1401, b"\xff" * 8)])) == {"big": (1 << 64) - 1}
    with pytest.raises(ValueError, match="TLV big of 1 to 9 octets"):
        VendorTlv(tag=0x1401, name="big", kind="integer", size_min=1, size_max=9)
    assert VendorTlv(tag=0x1401, name="big", kind="octets", size_min=0, size_max=0xFFFF).size_max == 0xFFFF


@pytest.mark.parametrize(
    ("values", "pointer"),
    [
        ({"colour": 1}, "/tlvs/colour"),
        ({"entity": 1}, "/tlvs/entity"),
        ({"entity": "12345678901"}, "/tlvs/entity"),
        ({"entity": "é"}, "/tlvs/entity"),
        ({"mccmnc": -1}, "/tlvs/mccmnc"),
        ({"mccmnc": 1 << 32}, "/tlvs/mccmnc"),
        ({"mccmnc": "x"}, "/tlvs/mccmnc"),
        ({"raw": "zz"}, "/tlvs/raw"),
        ({"raw": "00112233"}, "/tlvs/raw"),
    ],
)
def test_quirk_44_a_name_or_value_that_the_profile_does_not_have_is_refused(
    values: dict[str, int | str], pointer: str
) -> None:
    rejected = refused(encode_named(tlv_profile(upstream(vendor_tlvs=ROWS)), values))
    assert (rejected.reason, rejected.pointer) == (Reason.INVALID_TLV_VALUE, pointer)


def test_quirk_44_a_required_tlv_that_is_missing_is_refused_at_both_doors() -> None:
    way = Way({}, {"vendor_tlvs": ROWS})
    for result in (way.smpp(b"hello"), way.http("hello"), way.http("hello", named_tlvs={"mccmnc": 1})):
        rejected = refused(result)
        assert rejected.reason is Reason.MISSING_TLV
        assert (rejected.answer.command_status, rejected.answer.http_status) == (CommandStatus.ESME_RMISSINGTLV, 422)
        assert "entity" in rejected.sentence


def test_quirk_44_a_tlv_of_a_wrong_length_is_refused() -> None:
    way = Way({}, {"vendor_tlvs": ROWS})
    rejected = refused(way.smpp(b"hello", tlvs=ENTITY + tlv.encode([(0x1401, b"12345")])))
    assert rejected.reason is Reason.INVALID_TLV_LENGTH
    assert rejected.answer.command_status == CommandStatus.ESME_RINVTLVLEN


def test_quirk_44_what_is_named_and_what_nobody_named_go_to_the_upstream_with_every_segment() -> None:
    way = Way({}, {"vendor_tlvs": ROWS})
    others = tlv.encode([(0x1500, b"x")])
    for size in (5, 200):
        pdus = way.sent(way.smpp(b"a" * size, tlvs=ENTITY + others))
        assert [pdu.tlvs for pdu in pdus] == [ENTITY + others] * (1 if size == 5 else 2)


def test_quirk_44_both_doors_send_the_same() -> None:
    way = Way({}, {"vendor_tlvs": ROWS})
    smpp, http = way.smpp(b"hello", tlvs=ENTITY), way.http("hello", named_tlvs={"entity": "1001"})
    assert way.sent(smpp)[0].tlvs == way.sent(http)[0].tlvs == ENTITY
    assert isinstance(http, Planned) and http.record.price_micros == PRICE


def test_names_are_part_of_what_a_request_key_stands_for_and_tags_are_not() -> None:
    other = (ROWS[0], VendorTlv(tag=0x1409, name="mccmnc", kind="integer", size_min=1, size_max=2))
    hashes = []
    for rows, number in ((ROWS, 1), (other, 1), (ROWS, 2)):
        way = Way({}, {"vendor_tlvs": rows})
        planned = way.http("hello", request_key=b"k", named_tlvs={"entity": "1", "mccmnc": number})
        assert isinstance(planned, Planned)
        hashes.append(planned.body_hash)
    assert hashes[0] == hashes[1] != hashes[2]


def test_names_on_a_route_that_has_none_are_refused() -> None:
    assert refused(Way().http("hello", named_tlvs={"entity": "1"})).pointer == "/tlvs/entity"
