"""The laws hold in every world that a seed makes; seeds that once failed are run for ever.

`make simulate ARGS="--seeds 2000"` runs more of them. See decisions/0027.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulation.run import run_seed
from tests.simulation.store import Server, scripts_on_virtual_time
from tests.simulation.world import World

SEEDS = 60
GROUP = 5
REGRESSIONS = Path(__file__).with_name("regressions.txt")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """Runs a seed on a server of this module's own."""
    with scripts_on_virtual_time() as bells:
        server = Server(tmp_path_factory.mktemp("simulation"))
        yield lambda seed: run_seed(seed, server, bells)
        server.close()


def regressions() -> list[int]:
    """The seeds in the file; what follows one says what it found."""
    lines = REGRESSIONS.read_text().splitlines()
    return [int(line.split()[0]) for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("first", range(0, SEEDS, GROUP))
def test_the_laws_hold_after_each_step(run, first: int) -> None:  # type: ignore[no-untyped-def]
    for seed in range(first, first + GROUP):
        run(seed)


@pytest.mark.parametrize("seed", regressions())
def test_a_seed_that_once_failed_holds(run, seed: int) -> None:  # type: ignore[no-untyped-def]
    run(seed)


def test_a_seed_is_the_same_world_each_time(run) -> None:  # type: ignore[no-untyped-def]
    worlds: list[World] = [run(2), run(3), run(2)]
    assert worlds[0].digest() == worlds[2].digest() != worlds[1].digest()
    assert len(worlds[0].books.admitted) > 5
