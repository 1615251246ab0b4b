"""The laws hold when a worker dies, or stands still, between two steps of a turn."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.simulation.moments import (
    AdmissionIsNotAnswered,
    DiesWhenAccepted,
    DiesWhenReceipted,
    DiesWhenWritten,
    IsCutOffWhenTold,
    Moment,
    StandsStillBeforeTheBytes,
    TurnComesLate,
)
from tests.simulation.run import run_world
from tests.simulation.store import Server, scripts_on_virtual_time

SEEDS = 3
KINDS = (
    AdmissionIsNotAnswered,
    DiesWhenWritten,
    DiesWhenAccepted,
    DiesWhenReceipted,
    StandsStillBeforeTheBytes,
    TurnComesLate,
    IsCutOffWhenTold,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """Runs a world on a server of this module's own."""
    with scripts_on_virtual_time() as bells:
        server = Server(tmp_path_factory.mktemp("moments"))
        yield lambda kind, seed: run_world(kind, seed, server, bells)
        server.close()


@pytest.mark.parametrize("kind", KINDS)
def test_the_laws_hold_at_this_moment(run, kind: type[Moment]) -> None:  # type: ignore[no-untyped-def]
    for seed in range(SEEDS):
        assert run(kind, seed).is_met
