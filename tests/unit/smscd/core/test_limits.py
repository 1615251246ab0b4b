"""Limits: what counts as a prefix, and which countries there are."""

from __future__ import annotations

import pytest

from smscd.core.directory import Account
from smscd.core.limits import Limits, countries_of, prefix_of


def test_a_prefix_is_a_number_less_its_last_four_digits() -> None:
    assert prefix_of(b"447700900123") == b"44770090"
    assert prefix_of(b"3197012") == b"319"
    assert prefix_of(b"112") == b""


def test_a_list_of_countries_has_codes_that_countries_have() -> None:
    assert countries_of(["GB", "IE", "GB"]) == {"GB", "IE"}
    assert countries_of([]) == frozenset()
    with pytest.raises(ValueError, match="UK is not a country"):
        countries_of(["GB", "UK"])


@pytest.mark.parametrize(
    "limits", [{"spend_per_day_micros": 0}, {"velocity_per_minute": 1}, {"velocity_per_day": 1}], ids=str
)
def test_an_account_with_a_limit_is_counted_and_another_is_not(limits: dict[str, int]) -> None:
    assert Account(id="a", allowed_countries=frozenset({"GB"})).limits is None
    assert Account(id="a", **limits).limits == Limits(**limits)  # type: ignore[arg-type]  # no field of text among them
