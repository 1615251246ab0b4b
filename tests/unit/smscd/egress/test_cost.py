"""The measurement of what egress costs still runs, and no part costs ten times its budget."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tests.unit.smscd.egress import cost


@pytest.mark.parametrize(
    ("measure", "budget_us"), [(cost.dispatching, 12), (cost.receiving, 14), (cost.delivering, 10)]
)
async def test_a_message_costs_no_multiple_of_its_budget(
    measure: Callable[[], Awaitable[float]], budget_us: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "ROUNDS", 3)
    costs = [await measure() for _ in range(3)]
    assert 0 < min(costs) < 10 * budget_us
