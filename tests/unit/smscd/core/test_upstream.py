"""Profiles are plain values, and contradict themselves nowhere."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from smscd.core.directory import Account
from smscd.core.upstream import Upstream, VendorTlv

UPSTREAM: dict[str, Any] = {"id": "up", "host": "h", "port": 1, "system_id": "s", "password": "p"}
TLV: dict[str, Any] = {"tag": 0x1400, "name": "entity", "type": "c_octets", "min": 2, "max": 20}


def test_the_default_profile_rewrites_nothing() -> None:
    upstream, account = Upstream(**UPSTREAM), Account(id="acme")
    assert (account.default_alphabet, account.languages, account.is_little_endian) == ("unknown", frozenset(), False)
    assert (upstream.default_alphabet, upstream.long_message, upstream.receipt_id) == ("unknown", "as_is", "same")
    assert (upstream.validity_form, upstream.service_type, upstream.vendor_tlvs) == ("relative", "*", ())
    assert upstream.receipt_stats == {}
    overrides = (upstream.esm_mode, upstream.source_ton, upstream.source_npi, upstream.dest_ton, upstream.dest_npi)
    assert (*overrides, upstream.priority_flag) == (-1,) * 6
    assert not any(
        (
            upstream.is_little_endian,
            upstream.is_zero_padded,
            upstream.receipt_by_text_alone,
            upstream.strips_trailing_nul,
        )
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("default_alphabet", "ebcdic"),
        ("long_message", "udh"),
        ("esm_mode", 4),
        ("esm_mode", -2),
        ("priority_flag", 4),
        ("validity_form", "never"),
        ("validity_offset_quarters", 49),
        ("source_ton", 256),
        ("dest_npi", -2),
        ("service_type", "LONGER"),
        ("receipt_id", "guess"),
        ("vendor_tlvs", [TLV | {"tag": 0}]),
        ("vendor_tlvs", [TLV | {"tag": 0x0424}]),
        ("vendor_tlvs", [TLV | {"type": "float"}]),
        ("vendor_tlvs", [TLV | {"min": 21}]),
        ("vendor_tlvs", [TLV | {"min": 0}]),
        ("vendor_tlvs", [TLV | {"type": "octets", "min": -1}]),
        ("vendor_tlvs", [TLV | {"max": 0x10000}]),
        ("vendor_tlvs", [TLV | {"type": "integer", "max": 9}]),
        ("vendor_tlvs", [TLV | {"requird": True}]),
        ("vendor_tlvs", [TLV, TLV | {"tag": 0x1401}]),
        ("vendor_tlvs", [TLV, TLV | {"name": "other"}]),
        ("receipt_stats", []),
        ("receipt_stats", {"": "DELIVRD"}),
        ("receipt_stats", {"x" * 33: "DELIVRD"}),
        ("receipt_stats", {"ACKED": "DELIVERED"}),
        ("receipt_stats", {"acked": "DELIVRD", "ACKED": "UNDELIV"}),
        ("receipt_stats", {"delivrd": "UNDELIV"}),
    ],
)
def test_a_value_that_means_nothing_is_refused_when_it_is_read(field: str, value: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(UPSTREAM | {field: value}, Upstream)


def test_quirk_1_words_of_receipts_have_no_case() -> None:
    read = msgspec.convert(UPSTREAM | {"receipt_stats": {"acked": "DELIVRD", "No Route": "UNDELIV"}}, Upstream)
    assert read.receipt_stats == {"ACKED": "DELIVRD", "NO ROUTE": "UNDELIV"}


def test_named_tlvs_are_read_as_the_database_writes_them() -> None:
    read = msgspec.convert(UPSTREAM | {"vendor_tlvs": [TLV | {"required": True}]}, Upstream)
    assert read.vendor_tlvs == (
        VendorTlv(tag=0x1400, name="entity", kind="c_octets", size_min=2, size_max=20, is_required=True),
    )
    assert msgspec.to_builtins(read.vendor_tlvs) == (TLV | {"required": True},)
