"""The three-sided record around a running demo: a carrier and a generator of our own, kills, and the checker's word.

The figures are scaled down unless SMSCD_FAULTS=full, which `make faults` sets.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from tools.bench.processes import process_ids
from tools.checker import Judgement, judge, read_records, summary
from tools.checker_storage import read_stored
from tools.children import BenchChild, CarrierChild, DemoChild, ending, wait_until
from tools.record import Line

IS_FULL = os.environ.get("SMSCD_FAULTS") == "full"
MESSAGES = 20_000 if IS_FULL else 2_000
KILLS = 3 if IS_FULL else 1
RUN_SECONDS = 8.0
QUIET_SECONDS = 60.0
GENERATOR_SECONDS = 180.0


@dataclass(slots=True)
class Rig:
    """One run: the daemon under test, and the two sides that keep records beside it.

    others: carriers beside the first, whose records count as well; records: those of carriers that are started
    elsewhere. is_given_up: the daemon will not serve again, and is killed at the end instead of stopped.
    """

    directory: Path
    carrier: CarrierChild
    demo: DemoChild
    generators: list[BenchChild] = field(default_factory=list)
    others: list[CarrierChild] = field(default_factory=list)
    is_given_up: bool = False
    records: Collection[Path] = ()

    @property
    def client_record(self) -> Path:
        """What the generators write down."""
        return self.directory / "client.record"

    @property
    def hooks_record(self) -> Path:
        """What the webhook receiver writes down."""
        return self.directory / "hooks.record"

    def generate(self, *options: str, count: int = MESSAGES) -> BenchChild:
        """Start an ESME that sends `count` messages in about eight seconds, and binds again when it is cut off."""
        esme = ("--connections=2", "--reconnect", "--patience=25", "--linger=3")
        return self._generate("smpp", count, *esme, *options)

    def generate_http(self, callback_url: str, count: int = MESSAGES) -> BenchChild:
        """Start an HTTP generator that sends `count` messages in about eight seconds, with callbacks to a webhook."""
        return self._generate("http", count, "--connections=20", f"--callback-url={callback_url}")

    def _generate(self, kind: str, count: int, *options: str) -> BenchChild:
        pace = (f"--count={count}", f"--rate={count / RUN_SECONDS}")
        where = (f"--ready-file={self.demo.ready_file}", f"--record={self.client_record}")
        generator = BenchChild(self.directory, f"client{len(self.generators)}", kind, *where, *pace, *options)
        self.generators.append(generator)
        generator.start()
        return generator

    def answers(self) -> list[Line]:
        """The answers that the generators have had so far."""
        return [line for line in read_records([self.client_record]) if line.kind == b"answer"]

    def wait_for_answers(self, count: int) -> None:
        """Wait until that many messages are answered."""
        wait_until(lambda: len(self.answers()) >= count, GENERATOR_SECONDS, f"{count} answers")

    def kill_points(self, count: int = MESSAGES) -> Iterator[int]:
        """Stop at each moment at which something is to be killed: evenly spread over the run."""
        for kill in range(1, KILLS + 1):
            self.wait_for_answers(count * kill // (KILLS + 1))
            yield kill

    def kill_server(self, program: str) -> None:
        """kill -9 a server of the demo: valkey-server, or postgres, whose children end when they notice."""
        pids = process_ids(self.demo.pid, program)
        assert pids, f"the demo runs no {program}"
        os.kill(pids[0], signal.SIGKILL)

    def restart_daemon(self) -> float:
        """kill -9 the daemon and start it on the same data; returns the seconds until it serves again."""
        self.demo.kill()
        started = time.monotonic()
        self.demo.start()
        return time.monotonic() - started

    def judge(self, *, expects_receipts: bool = True) -> Judgement:
        """What the checker says now."""
        ready = self.demo.ready
        stored = asyncio.run(read_stored(ready.valkey_url, ready.postgres_dsn))
        records = read_records([self.client_record, self.hooks_record])
        started = [carrier.record for carrier in (self.carrier, *self.others)]
        return judge(records, read_records([*started, *self.records]), stored, expects_receipts=expects_receipts)

    def settled(self, *, expects_receipts: bool = True) -> Judgement:
        """The checker's word once everything has come to rest, or after a minute."""
        deadline = time.monotonic() + QUIET_SECONDS
        judgement = self.judge(expects_receipts=expects_receipts)
        while not judgement.is_clean and time.monotonic() < deadline:
            time.sleep(0.25)
            judgement = self.judge(expects_receipts=expects_receipts)
        return judgement


@contextmanager
def running_rig(
    directory: Path,
    *carrier_options: str,
    environment: Mapping[str, str] | None = None,
    demo_options: Sequence[str] = (),
    upstream: Callable[[CarrierChild], str] = lambda carrier: carrier.upstream_url,
    records: Collection[Path] = (),
) -> Iterator[Rig]:
    """A carrier that answers after 20 ms, so that there is always something in flight, and a demo bound to it.

    environment: settings of the demo, SMSCD_... each. upstream: the URL at which the demo finds the carrier.
    records: of other carriers, which demo_options name.
    """
    directory.chmod(0o755)
    carrier = CarrierChild(directory, "--latency=0.02", *carrier_options)
    carrier.start()
    rig = Rig(directory, carrier, DemoChild(directory, "--upstream", upstream(carrier), *demo_options), records=records)
    rig.demo.environment.update(environment or {})
    with ending(carrier, rig.demo):
        rig.demo.start()
        try:
            yield rig
        finally:
            with ending(*rig.generators):
                pass
        assert rig.is_given_up or rig.demo.stop() == 0


def say(row: str, report: dict[str, Any], judgement: Judgement, **figures: object) -> None:
    """Print a row's figures, which `make faults` shows."""
    names = ("sent", "accepted", "refused_by_status", "unanswered", "receipts")
    told = {name: report[name] for name in names if name in report}
    print(json.dumps({"row": row, "messages": MESSAGES, **told, **figures, "checker": summary(judgement)}))


def longest_pause_ms(answers: list[Line], *, accepted_only: bool = True) -> int:
    """The longest time between two answers (with ESME_ROK) that followed each other."""
    times = sorted(line.ms for line in answers if line.status == b"0" or not accepted_only)
    return max((later - earlier for earlier, later in pairwise(times)), default=0)


def slowest_refusal_ms(lines: list[Line]) -> int:
    """The longest time from sending a message to its refusal."""
    sent = {line.token: line.ms for line in lines if line.kind == b"sent"}
    refused = [line for line in lines if line.kind == b"answer" and line.status != b"0"]
    return max((line.ms - sent[line.token] for line in refused), default=0)
