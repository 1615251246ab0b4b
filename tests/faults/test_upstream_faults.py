"""Ten carriers misbehave at once, and the eleventh does not notice: U1 of the fault catalogue.

One daemon, two workers. A route for each carrier and none beside it, so that what a carrier does not take waits for it;
but for the one that only throttles: what waits for that goes to the healthy one.
In CI scaled down: shorter times, the same traffic a second.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import asyncpg
import pytest

from smscd.admin.doubts import Doubts
from storage.redis.changes import ChangeAsks
from storage.redis.keys import ShardKeys
from storage.redis.link import RedisLink
from storage.redis.rest import RestReader
from tests.faults.carriers import TroubledCarriers
from tests.faults.rig import GENERATOR_SECONDS, IS_FULL, QUIET_SECONDS, Rig, running_rig, say
from tools.bench.latency import Latencies
from tools.bench.upstreams import apply_routes, command, other_account
from tools.bench.workload import DESTINATION_PREFIX
from tools.carrier.options import CarrierOptions
from tools.carrier.trouble import Trouble
from tools.checker import Judgement
from tools.children import BenchChild, wait_until
from tools.record import Line, read_record

pytestmark = pytest.mark.timeout(900)

HEALTHY_RATE = 150
TROUBLED_RATE = 80
BASELINE_SECONDS = 15.0 if IS_FULL else 1.5
TROUBLE_SECONDS = 60.0 if IS_FULL else 4.0
SLOW_SECONDS = 30.0 if IS_FULL else 2.0
TIMEOUT_SECONDS = 20.0 if IS_FULL else 1.0
OPEN_SECONDS = 5.0 if IS_FULL else 0.5
THROTTLED_SECONDS = 20.0 if IS_FULL else 1.5
MOVE_SECONDS = 5.0 if IS_FULL else 0.5
LATENCY_MS = 20
WINDOW = 10
FAILURES_MAX = 5
P99_RATIO_MAX = 1.5 if IS_FULL else 3.0  # beside other tests, a second's baseline says little of the next


def troubled(**trouble: object) -> CarrierOptions:
    return CarrierOptions(latency_seconds=0.02, trouble=Trouble(**trouble))  # type: ignore[arg-type]  # the caller's


TROUBLES: Mapping[str, CarrierOptions | None] = {
    "down": None,
    "slow": CarrierOptions(latency_seconds=SLOW_SECONDS),
    "throttling": troubled(mood=b"058"),
    "flapping": troubled(flap_seconds=2.0),
    "garbage": troubled(garbage=True),
    "reversed": troubled(reversed_seconds=0.2),
    "early": troubled(mood=b"777"),
    "silent": troubled(mood=b"404"),
    "doubled": troubled(mood=b"888"),
    "closing": troubled(closes_after=1),
}
NEVER_TAKING = ("down", "garbage", "silent", "closing")
"""What a breaker is for: these take nothing until they are healed."""
PREFIXES = {name: f"447701{number:02d}" for number, name in enumerate(TROUBLES)}


class Rows:
    """A rig whose other upstreams misbehave."""

    def __init__(self, rig: Rig, carriers: TroubledCarriers) -> None:
        self.rig = rig
        self.carriers = carriers
        self.upstreams = {name: f"upstream{number}" for number, name in enumerate(TROUBLES, 2)}

    def route(self) -> None:
        """A route for each carrier, and one of them with another way."""
        routes = {DESTINATION_PREFIX: ["upstream1"]} | {PREFIXES[name]: [self.upstreams[name]] for name in TROUBLES}
        routes[PREFIXES["throttling"]].append("upstream1")
        apply_routes(self.rig.demo, self.rig.directory, routes)

    def set_window(self, size: int) -> None:
        """Change the profile of every upstream but the healthy one."""
        text = "".join(f"[upstreams.{upstream}]\nwindow_size = {size}\n" for upstream in self.upstreams.values())
        file = self.rig.directory / "windows.toml"
        file.write_text(text)
        command(self.rig.demo, "apply", str(file), "--yes")

    def healthy(self, seconds: float) -> BenchChild:
        """Traffic to the healthy carrier for so long."""
        return self.rig.generate(f"--rate={HEALTHY_RATE}", "--linger=0", count=int(HEALTHY_RATE * seconds))

    def troubled(self, seconds: float) -> BenchChild:
        """Traffic to all others."""
        file = other_account(self.rig.demo, self.rig.directory)
        prefixes = [f"--prefix={prefix}" for prefix in PREFIXES.values()]
        pace = (f"--rate={TROUBLED_RATE}", f"--patience={QUIET_SECONDS}", f"--linger={QUIET_SECONDS}")
        options = (f"--ready-file={file}", *prefixes, *pace)
        return self.rig.generate(*options, count=int(TROUBLED_RATE * seconds))

    def figures(self, metric: str) -> dict[str, float]:
        """A metric by carrier, as the daemon says it."""
        with urlopen(f"{self.rig.demo.ready.admin.url.rstrip('/')}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        said = {line.split('"')[1]: float(line.split()[-1]) for line in lines if line.startswith(f"{metric}{{")}
        return {name: said.get(upstream, 0.0) for name, upstream in self.upstreams.items()}

    def submits(self, name: str) -> list[Line]:
        """What one of the carriers was sent."""
        return [line for line in read_record(self.carriers.records[name]) if line.kind == b"submit"]

    def are_all_probed(self) -> bool:
        """Whether the breaker of each carrier that takes nothing has opened, and again after a probe; without a bind
        there is no probe."""
        opened = self.figures("smscd_upstream_breaker_opened_total")
        return all(opened[name] >= (1 if name == "down" else 2) for name in NEVER_TAKING)

    def settled(self) -> Judgement:
        """The checker's word once everything has come to rest, or after a minute."""
        deadline = time.monotonic() + QUIET_SECONDS
        judgement = self.rig.judge()
        while not judgement.is_clean and time.monotonic() < deadline:
            self.rule()
            time.sleep(0.25)
            judgement = self.rig.judge()
        return judgement

    def rule(self) -> None:
        """What an operator does about messages that were sent three times to a carrier that never said anything."""

        async def order() -> None:
            ready = self.rig.demo.ready
            keys, link = ShardKeys(0), RedisLink(ready.valkey_url, name="test")
            connection = await asyncpg.connect(ready.postgres_dsn)
            try:
                doubts = Doubts(connection, RestReader(keys, link), ChangeAsks(keys, link))
                for upstream in self.upstreams.values():
                    await doubts.rule_upstream("resend", upstream, "test")
            finally:
                await connection.close()
                await link.close()

        asyncio.run(order())


def p99s(rig: Rig, report: dict[str, Any]) -> tuple[float, float]:
    """Milliseconds from the submit at the ESME to the submit at the carrier, and to the receipt, of 99 in 100."""
    token_start = report["run"].encode()
    sent: dict[bytes, int] = {}
    ids: dict[bytes, bytes] = {}
    told: dict[bytes, int] = {}
    taken: dict[bytes, int] = {}
    for line in read_record(rig.client_record):
        if line.kind == b"sent" and line.token.startswith(token_start):
            sent[line.token] = line.ms
        elif line.kind == b"answer" and line.token in sent:
            ids[line.id] = line.token
        elif line.kind == b"receipt":
            told[line.id] = line.ms
    for line in read_record(rig.carrier.record):
        if line.kind == b"submit" and line.token in sent:
            taken[line.token] = line.ms
    assert len(taken) == len(sent) == len(ids)
    out = Latencies((taken[token] - ms) / 1000 for token, ms in sent.items()).summary()
    back = Latencies((told[id] - sent[token]) / 1000 for id, token in ids.items()).summary()
    return out["p99_ms"], back["p99_ms"]


def is_within(found: Sequence[float], baselines: Sequence[Sequence[float]]) -> bool:
    """Whether no figure is above P99_RATIO_MAX times what it is when all is well."""
    return all(figure <= P99_RATIO_MAX * max(known) for figure, *known in zip(found, *baselines, strict=True))


def bursts(lines: list[Line], pause_ms: int = 60) -> list[int]:
    """How many submits came together, each time that some came."""
    counts = [1] if lines else []
    for before, line in pairwise(lines):
        if line.ms - before.ms > pause_ms:
            counts.append(0)
        counts[-1] += 1
    return counts


def assert_broken(name: str, counts: list[int]) -> None:
    """At most five failures before the breaker opened, and one message each time afterwards.

    A failure is a session that was lost with what was in its window, or a message that was not answered; of those a
    window is on the way before the first one fails.
    """
    if name == "silent":
        while len(counts) > 1 and sum(counts[:2]) <= WINDOW:  # the window was filled by and by
            counts = [counts[0] + counts[1], *counts[2:]]
        assert counts[0] <= WINDOW
        failures_max = 1
    else:
        failures_max = FAILURES_MAX
    assert len(counts) > failures_max, f"{name} was not probed: {counts}"
    assert set(counts[failures_max:]) == {1}, (name, counts)


def test_ten_carriers_misbehave_and_the_eleventh_does_not_notice(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    profile = urlencode(
        {
            "window_size": WINDOW,
            "response_timeout_seconds": TIMEOUT_SECONDS,
            "breaker_failures_max": FAILURES_MAX,
            "breaker_open_seconds": OPEN_SECONDS,
            "retry_base_seconds": 0.5,
            "retry_max_seconds": 2,
        }
    )
    carriers = TroubledCarriers(tmp_path, TROUBLES)
    with carriers.running():
        urls = [f"smpp://us:secret@127.0.0.1:{carriers.ports[name]}?{profile}" for name in TROUBLES]
        options = ("--workers=2", *(word for url in urls for word in ("--upstream", url)))
        environment = {
            "SMSCD_FAILOVER_THROTTLED_SECONDS": str(THROTTLED_SECONDS),
            "SMSCD_FAILOVER_MOVE_AFTER_SECONDS": str(MOVE_SECONDS),
        }
        records = carriers.records.values()
        with running_rig(tmp_path, environment=environment, demo_options=options, records=records) as rig:
            rows = Rows(rig, carriers)
            rows.route()
            misbehave(rows)


def misbehave(rows: Rows) -> None:
    """U1."""
    rig = rows.rig
    before = p99s(rig, rows.healthy(BASELINE_SECONDS).report(GENERATOR_SECONDS))
    rows.carriers.misbehave()
    rows.troubled(TROUBLE_SECONDS)
    wait_until(lambda: all(rows.submits(name) for name in TROUBLES if name != "down"), 30, "all are in trouble")
    report = rows.healthy(TROUBLE_SECONDS).report(GENERATOR_SECONDS)
    found = p99s(rig, report)
    wait_until(rows.are_all_probed, 60, "every breaker is open and has probed")
    wait_until(
        lambda: rows.figures("smscd_upstream_moved_messages_total")["throttling"], 60, "what is throttled goes on"
    )
    out = {row["name"]: row["out"] for row in json.loads(command(rig.demo, "upstream", "list", "--json"))}
    assert out["upstream1"] == "" and out[rows.upstreams["throttling"]] == "only throttles", out
    assert all(out[rows.upstreams[name]].startswith("breaker ") for name in NEVER_TAKING), out
    sent = {name: bursts(rows.submits(name)) for name in TROUBLES if name != "down"}
    rows.carriers.heal()
    rows.set_window(WINDOW + 1)  # a changed profile ends the pause between two binds
    judgement = rows.settled()
    baselines = [before]
    if not is_within(found, baselines):  # something else may have become slower or faster meanwhile
        baselines.append(p99s(rig, rows.healthy(BASELINE_SECONDS).report(GENERATOR_SECONDS)))
    say("U1", report, judgement, p99_ms=found, baseline_ms=baselines, sent=sent)
    for name in NEVER_TAKING:
        if name != "down":
            assert_broken(name, sent[name])
    first, second = rows.submits("down")[:2]
    assert second.ms - first.ms >= LATENCY_MS * 3 // 4, "more than one message was the probe of the one that was down"
    assert judgement.is_clean, judgement
    assert is_within(found, baselines), (found, baselines)
