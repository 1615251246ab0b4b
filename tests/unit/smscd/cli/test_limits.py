"""The options of an account's limits."""

from __future__ import annotations

from typing import Any

import click
import pytest

from smscd.cli.limits import Country, MoneyOrNone, changed
from smscd.core.limits import Limits

NOTHING: dict[str, Any] = {"spend_per_day": None, "velocity_minute": None, "velocity_day": None, "countries": ()}


@pytest.mark.parametrize(("text", "stored"), [("none", "none"), ("0", 0), ("12.50", 12_500_000)])
def test_an_amount_or_none(text: str, stored: object) -> None:
    assert MoneyOrNone().convert(text, None, None) == stored


@pytest.mark.parametrize("text", ["-1", "0.0000001", "much"])
def test_what_nobody_can_spend_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        MoneyOrNone().convert(text, None, None)


def test_a_country_is_two_letters_that_one_has() -> None:
    assert [Country().convert(text, None, None) for text in ("gb", "XK", "ANY")] == ["GB", "XK", "any"]
    with pytest.raises(click.BadParameter, match="such as GB"):
        Country().convert("UK", None, None)


def test_what_is_not_given_stays() -> None:
    held = Limits(5, 50, 500, frozenset({"GB"}))
    assert changed(held, NOTHING) == held
    assert changed(held, NOTHING | {"spend_per_day": "none"}) == Limits(None, 50, 500, frozenset({"GB"}))
    assert changed(held, NOTHING | {"velocity_minute": 0, "velocity_day": 7}) == Limits(5, 0, 7, frozenset({"GB"}))
    assert changed(held, NOTHING | {"countries": ("FR", "IE")}).allowed_countries == {"FR", "IE"}
    assert changed(held, NOTHING | {"countries": ("any",)}).allowed_countries == frozenset()
