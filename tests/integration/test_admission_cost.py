"""What admission costs Redis, as `make bench-admission` measures it."""

from __future__ import annotations

from tools.bench.admission import ADMIT, APPEND, GOAL, measure


async def test_admission_with_every_check_costs_at_most_three_times_appending_the_same_blobs() -> None:
    found = await measure(rounds=4)
    assert found[f"{ADMIT}, request keys and limits"] <= GOAL * found[APPEND]
