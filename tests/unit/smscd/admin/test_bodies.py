"""Amounts of the admin API: exact, in one of two forms."""

from __future__ import annotations

import pytest

from smscd.admin.bodies import OrderRequest, read_struct
from smscd.ingress.http.problems import Problem


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("0.000001", 1),
        ("-12.5", -12_500_000),
        ("9999999999.999999", 9_999_999_999_999_999),
        ("0.1", 100_000),
        ("007", 7_000_000),
    ],
)
def test_a_decimal_string_is_exact(text: str, micros: int) -> None:
    found = read_struct(b'{"reference": "r", "amount": "%b"}' % text.encode(), OrderRequest)
    assert isinstance(found, OrderRequest)
    assert found.micros == micros


@pytest.mark.parametrize(
    "text", ["", "1.", ".5", "1,5", "1.0000001", "1e3", "NaN", " 1", "+1", "10000000000", "\u0663"]
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    found = read_struct(b'{"reference": "r", "amount": "%b"}' % text.encode(), OrderRequest)
    assert isinstance(found, Problem)
    assert [error.pointer for error in found.errors] == ["/amount"]


def test_micro_units_are_taken_as_they_are() -> None:
    found = read_struct(
        b'{"reference": "r", "amount_micros": -7, "kind": "adjust", "note": "n", "force": true}', OrderRequest
    )
    assert found == OrderRequest("r", amount_micros=-7, kind="adjust", note="n", force=True)
    assert isinstance(found, OrderRequest) and found.micros == -7
