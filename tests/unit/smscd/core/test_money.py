"""Money as customers read it."""

from __future__ import annotations

import pytest

from smscd.core.money import money


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "0.0000"),
        (10_000, "0.0100"),
        (12_345, "0.012345"),
        (12_340, "0.01234"),
        (-1, "-0.000001"),
        (-1_500_000, "-1.5000"),
        (2**53, "9007199254.740992"),
    ],
)
def test_it_is_exact_and_has_at_least_four_places(micros: int, text: str) -> None:
    assert money(micros) == text
