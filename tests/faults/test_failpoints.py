"""SIGKILL of a worker at each crash point, one after another in one run: K1 of the fault catalogue.

There are two carriers, so that what waits for the first, while its link is cut, moves to the second.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from smscd.supervision.seed import DEMO_WINDOW
from storage.postgres.pool import connect
from storage.postgres.rows import EventKind
from tests.faults.failpoints.sitecustomize import POINTS, SIDES
from tests.faults.proxy import Proxy
from tests.faults.rig import GENERATOR_SECONDS, IS_FULL, Rig, running_rig, say
from tools.children import BenchChild, CarrierChild, ending, wait_until
from tools.webhook_sink import WebhookSink

pytestmark = pytest.mark.timeout(900)

ALL = [f"{side} {name}" for name in POINTS for side in SIDES]
FEW = ["after admit", "after turn", "after move", "after write", "after apply", "after rows", "after settle hooks"]
NAMES = ALL * 3 if IS_FULL else FEW
SMPP_COUNT, HTTP_COUNT = 1_500, 200
REACHED_SECONDS = 20.0
SERVING_SECONDS = 20.0


class Killer:
    """Kills at one failpoint after another, under traffic over both doors; each generator is followed by another."""

    def __init__(self, rig: Rig, armed: Path, sink: WebhookSink, link: Proxy) -> None:
        """link: that to the first carrier."""
        self._rig = rig
        self._link = link
        self._armed = armed
        self._sink = sink
        self._running: list[BenchChild] = []
        self.serving_again: dict[str, float] = {}

    def kill_at(self, name: str) -> None:
        """Have a worker die at this point, and wait until what was in doubt by that was sent again.

        The next kill would be the next doubt of the same messages otherwise, and the third one stays.
        """
        file = self._armed / name
        if name.endswith(" move"):
            taken = self._taken_by_first()
            self._wait(lambda: self._taken_by_first() > taken, f"messages go to the first carrier before '{name}'")
            self._link.cut()
        file.touch()
        wait_until(lambda: self._has_traffic() and not file.exists(), REACHED_SECONDS, f"a worker comes to '{name}'")
        self._link.heal()
        killed, accepted = time.monotonic(), len(self._accepted())
        self._wait(lambda: len(self._accepted()) >= accepted + 10, f"a yes after '{name}'")
        self.serving_again[name] = round(time.monotonic() - killed, 2)
        last = self._accepted()[-1]
        self._wait(lambda: self._is_taken(last), f"a carrier gets more after '{name}'")
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

    def _taken_by_first(self) -> int:
        return self._rig.carrier.record.read_bytes().count(b"submit\t")

    def _is_taken(self, token: bytes) -> bool:
        return any(token in carrier.record.read_bytes() for carrier in (self._rig.carrier, *self._rig.others))

    def _accepted(self) -> list[bytes]:
        """Tokens, in the order of their answers."""
        return [line.token for line in self._rig.answers() if line.status == b"0"]


@contextmanager
def two_carriers(directory: Path, environment: Mapping[str, str]) -> Iterator[tuple[Rig, Proxy]]:
    """A rig with a second carrier, and the proxy in the link to the first."""
    (directory / "second").mkdir()
    second = CarrierChild(directory / "second", "--latency=0.02")
    with ending(second), ExitStack() as stack:
        second.start()
        links: list[Proxy] = []

        def first(carrier: CarrierChild) -> str:
            links.append(stack.enter_context(Proxy(carrier.port).running()))
            return f"smpp://rig:secret@127.0.0.1:{links[0].port}"

        options = ("--upstream", second.upstream_url)
        with running_rig(directory, environment=environment, demo_options=options, upstream=first) as rig:
            rig.others.append(second)
            yield rig, links[0]


def moved(rig: Rig) -> int:
    """How many moves the record has."""

    async def ask() -> int:
        connection = await connect(rig.demo.ready.postgres_dsn, name="test")
        try:
            return int(
                await connection.fetchval("SELECT count(*) FROM message_events WHERE kind = $1", EventKind.MOVED)
            )
        finally:
            await connection.close()

    return asyncio.run(ask())


async def test_a_worker_killed_at_each_crash_point_loses_nothing(tmp_path: Path) -> None:
    def run(sink: WebhookSink) -> None:
        armed = tmp_path / "armed"
        armed.mkdir()
        environment = {
            "PYTHONPATH": str(Path(__file__).parent / "failpoints"),
            "SMSCD_FAILPOINTS": str(armed),
            "SMSCD_FAILOVER_MOVE_AFTER_SECONDS": "0.3",
            "SMSCD_FAILOVER_NO_BIND_SECONDS": "0.3",
        }
        with two_carriers(tmp_path, environment) as (rig, link):
            killer = Killer(rig, armed, sink, link)
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
            assert judgement.flagged <= (len(NAMES) + sum(name.endswith(" move") for name in NAMES)) * DEMO_WINDOW
            assert moved(rig) > 0
            assert killer.serving_again.keys() == set(NAMES)

    sink = WebhookSink(tmp_path / "hooks.record")
    await sink.start()
    try:
        await asyncio.to_thread(run, sink)
    finally:
        await sink.close()
