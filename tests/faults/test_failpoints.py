"""SIGKILL of a worker at each crash point, one after another in one run: K1 of the fault catalogue."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from smscd.supervision.seed import DEMO_WINDOW
from tests.faults.failpoints.sitecustomize import POINTS, SIDES
from tests.faults.rig import GENERATOR_SECONDS, IS_FULL, Rig, running_rig, say
from tools.children import BenchChild, wait_until
from tools.webhook_sink import WebhookSink

pytestmark = pytest.mark.timeout(900)

ALL = [f"{side} {name}" for name in POINTS for side in SIDES]
FEW = ["after admit", "after turn", "after write", "after apply", "after rows", "after settle hooks"]
NAMES = ALL * 3 if IS_FULL else FEW
SMPP_COUNT, HTTP_COUNT = 1_500, 200
REACHED_SECONDS = 20.0
SERVING_SECONDS = 20.0


class Killer:
    """Kills at one failpoint after another, under traffic over both doors; each generator is followed by another."""

    def __init__(self, rig: Rig, armed: Path, sink: WebhookSink) -> None:
        self._rig = rig
        self._armed = armed
        self._sink = sink
        self._running: list[BenchChild] = []
        self.serving_again: dict[str, float] = {}

    def kill_at(self, name: str) -> None:
        """Have a worker die at this point, and wait until what was in doubt by that was sent again.

        The next kill would be the next doubt of the same messages otherwise, and the third one stays.
        """
        file = self._armed / name
        file.touch()
        wait_until(lambda: self._has_traffic() and not file.exists(), REACHED_SECONDS, f"a worker comes to '{name}'")
        killed, accepted = time.monotonic(), len(self._accepted())
        self._wait(lambda: len(self._accepted()) >= accepted + 10, f"a yes after '{name}'")
        self.serving_again[name] = round(time.monotonic() - killed, 2)
        last = self._accepted()[-1]
        self._wait(lambda: last in self._rig.carrier.record.read_bytes(), f"the carrier gets more after '{name}'")
        accepted = len(self._accepted())
        self._wait(lambda: len(self._accepted()) >= accepted + 50, f"more after '{name}'")

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        wait_until(lambda: self._has_traffic() and condition(), SERVING_SECONDS, what)

    def _has_traffic(self) -> bool:
        if not self._running or not self._running[0].is_running:
            self._running[:1] = [self._rig.generate("--no-wait", "--patience=3", count=SMPP_COUNT)]
        if len(self._running) < 2 or not self._running[1].is_running:
            self._running[1:] = [self._rig.generate_http(self._sink.url, count=HTTP_COUNT)]
        return True

    def _accepted(self) -> list[bytes]:
        """Tokens, in the order of their answers."""
        return [line.token for line in self._rig.answers() if line.status == b"0"]


async def test_a_worker_killed_at_each_crash_point_loses_nothing(tmp_path: Path) -> None:
    def run(sink: WebhookSink) -> None:
        armed = tmp_path / "armed"
        armed.mkdir()
        environment = {
            "PYTHONPATH": str(Path(__file__).parent / "failpoints"),
            "SMSCD_FAILPOINTS": str(armed),
        }
        with running_rig(tmp_path, environment=environment) as rig:
            killer = Killer(rig, armed, sink)
            for name in NAMES:
                killer.kill_at(name)
            for generator in [
                *rig.generators,
                rig.generate("--patience=5", "--rate=100", count=100),
            ]:  # the last one takes the receipts that are due
                generator.wait(GENERATOR_SECONDS)
            judgement = rig.settled()
            say("K1", {}, judgement, kills=len(NAMES), serving_again_seconds=killer.serving_again)
            assert judgement.is_clean, judgement
            assert judgement.flagged <= len(NAMES) * DEMO_WINDOW
            assert killer.serving_again.keys() == set(NAMES)

    sink = WebhookSink(tmp_path / "hooks.record")
    await sink.start()
    try:
        await asyncio.to_thread(run, sink)
    finally:
        await sink.close()
