"""Loss of power under the real Valkey: P1, P2 and P3 of the fault catalogue."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis

from smscd.core.records import LedgerRecord
from storage.embedded.binaries import VALKEY_VARIABLE
from storage.embedded.valkey import EmbeddedValkey
from storage.redis.errors import StorageUnavailable
from tests.faults.power import Power, kill_group, power_of
from tests.faults.rig import GENERATOR_SECONDS, IS_FULL, MESSAGES, Rig, running_rig, say
from tests.integration.money_model import Account, Asked, Model
from tests.integration.money_store import Shard
from tools.bench.processes import process_ids
from tools.children import wait_until

ROUNDS = 40 if IS_FULL else 6
PAID_IN = 10**12
DEPTH_MAX = 10**9
SLOW_REWRITE_MICROSECONDS = 200_000
"""Each key takes so long: a rewrite is under way for as long as the test needs."""

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def power(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Power:
    """Valkey started from now on has its power watched."""
    made = power_of(tmp_path)
    monkeypatch.setenv(VALKEY_VARIABLE, str(made.program))
    return made


@dataclass(slots=True)
class Traffic:
    """Two nodes that admit without pause. acknowledged: ids of messages that were told yes."""

    shard: Shard
    model: Model
    acknowledged: list[int] = field(default_factory=list)
    last_id: int = 0

    async def node(self, number: int) -> None:
        """Admit one batch after another until the server is gone."""
        while True:
            asked = []
            for _ in range(20):
                self.last_id += 1
                asked.append(Asked("payer", [self.last_id], 10_001))
            verdicts = await self.shard.admit(asked, self.model, number)
            assert set(verdicts) == {"A"}
            self.acknowledged += [one.messages[0] for one in asked]


@asynccontextmanager
async def served(directory: Path) -> AsyncIterator[tuple[EmbeddedValkey, Shard]]:
    """A Valkey of the test's own, and a shard on it with money for one account."""
    server = EmbeddedValkey(directory)
    await server.start()
    shard = Shard(server, directory, in_redis_max=DEPTH_MAX)
    try:
        await begin(shard)
        yield server, shard
    finally:
        await shard.close()
        await server.stop()


async def begin(shard: Shard) -> None:
    """An empty shard, and money for one account."""
    await shard.open()
    await shard.balances.top_up(LedgerRecord("payer", "topup", PAID_IN, "first", 1))


async def lose_power(server: EmbeddedValkey, power: Power, directory: Path) -> tuple[int, bool]:
    """Kill, cut, start again: the octets that were lost, and whether it was in the middle of a rewrite."""
    assert server.pid is not None
    was_rewriting = kill_group(server.pid)
    while server.pid is not None:
        await asyncio.sleep(0.002)
    await server.stop()
    lost = power.cut(directory)
    await server.start()
    return lost, was_rewriting


async def lost_messages(shard: Shard, acknowledged: list[int]) -> int:
    """How many that were told yes are in no journal. The balance has to fit the journal, whatever that has."""
    books = await shard.books()
    held = await shard.balances.balance("payer") or 0
    assert held == books.balances["payer"], "charged what is not there, or not charged what is"
    queued = await shard.spots()
    assert queued.keys() == books.prices.keys()
    return len(set(acknowledged) - books.prices.keys())


async def run_rounds(directory: Path, power: Power, chance: random.Random, policy: str = "") -> dict[str, int]:
    """Lose the power again and again under traffic, every other time during a rewrite of the file.

    policy: an appendfsync other than that of our own configuration.
    """
    figures = {"acknowledged": 0, "lost": 0, "octets_cut": 0, "during_rewrite": 0}
    async with served(directory) as (server, shard):
        for number in range(ROUNDS):
            await begin(shard)
            if policy:
                await shard.raw.command("CONFIG", "SET", "appendfsync", policy)
            traffic = Traffic(shard, Model(DEPTH_MAX, DEPTH_MAX, {"payer": Account(0, 0)}))
            nodes = [asyncio.create_task(traffic.node(n)) for n in (0, 1)]
            await asyncio.sleep(chance.uniform(0.1, 0.4))
            if number % 2:
                await shard.raw.command("CONFIG", "SET", "rdb-key-save-delay", SLOW_REWRITE_MICROSECONDS)
                await shard.raw.command("BGREWRITEAOF")
                await asyncio.sleep(chance.uniform(0.1, 0.4))
            octets, was_rewriting = await lose_power(server, power, directory)
            for node in nodes:
                node.cancel()
            ended = await asyncio.gather(*nodes, return_exceptions=True)
            assert all(isinstance(end, StorageUnavailable | asyncio.CancelledError) for end in ended), ended
            await until_back(shard)
            await shard.take()
            figures["octets_cut"] += octets
            figures["during_rewrite"] += was_rewriting
            figures["acknowledged"] += len(traffic.acknowledged)
            figures["lost"] += await lost_messages(shard, traffic.acknowledged)
    return figures


async def until_back(shard: Shard) -> None:
    """Wait until the server answers."""
    async with asyncio.timeout(30):
        while True:
            try:
                await shard.raw.command("PING")
                return
            except StorageUnavailable:
                await asyncio.sleep(0.01)


async def test_loss_of_power_loses_nothing_that_was_acknowledged(tmp_path: Path, power: Power) -> None:
    """P1: also in the middle of a rewrite."""
    figures = await run_rounds(tmp_path / "valkey", power, random.Random(1))
    print({"row": "P1", **figures})
    assert figures["lost"] == 0
    assert figures["during_rewrite"] == ROUNDS // 2
    assert figures["acknowledged"] > 100 * ROUNDS


async def test_negative_control_everysec_loses_what_was_acknowledged(tmp_path: Path, power: Power) -> None:
    """P2: a rig that finds nothing here would find nothing in P1 either."""
    figures = await run_rounds(tmp_path / "valkey", power, random.Random(2), "everysec")
    print({"row": "P2", **figures})
    assert figures["lost"] > 0
    assert figures["octets_cut"] > 0


async def test_a_script_torn_at_the_end_of_the_file_leaves_exact_sums_over_two_restarts(tmp_path: Path) -> None:
    """P3: torn at several places, each time a second restart follows at once, and traffic after it."""
    directory = tmp_path / "valkey"
    model = Model(DEPTH_MAX, DEPTH_MAX, {"payer": Account(0, 0)})
    async with served(directory) as (_, shard):
        last = 0
        for share in (0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0):
            asked = [Asked("payer", [last + n], 10_001) for n in range(1, 6)]
            last += 10
            link = shard.nodes[0]._session.link
            is_whole = await shard.torn(link, lambda asked=asked: shard.admit(asked, model), share, False)
            for _ in range(2):
                await shard.crash()
                assert await lost_messages(shard, []) == 0
            await shard.take()
            found = (await shard.books()).prices.keys()
            assert {one.messages[0] in found for one in asked} == {is_whole}
            assert is_whole == (share == 1.0)
            assert await shard.admit([Asked("payer", [last], 10_001)], model) == ["A"]
        assert await shard.balances.balance("payer") == PAID_IN - 10_001 * (7 + 5)


@pytest.fixture
def powered_rig(tmp_path: Path, power: Power) -> Iterator[Rig]:
    """The whole gateway on a Valkey whose power is watched."""
    with running_rig(tmp_path, environment={VALKEY_VARIABLE: str(power.program)}) as rig:
        yield rig


def lose_power_of_redis(rig: Rig, power: Power) -> bool:
    """The power of Valkey's machine is lost; the daemon starts it again. Whether it was rewriting its file."""
    [pid, *_] = process_ids(rig.demo.pid, "valkey-server")
    os.kill(rig.demo.pid, signal.SIGSTOP)
    was_rewriting = kill_group(pid)
    wait_until(lambda: is_dead(pid), 10.0, "Valkey is dead")
    power.cut(rig.demo.data / "valkey")
    os.kill(rig.demo.pid, signal.SIGCONT)
    return was_rewriting


def is_dead(pid: int) -> bool:
    """Ended, even when its parent is stopped and does not fetch it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def begin_a_rewrite(rig: Rig) -> None:
    """Start a rewrite that does not end by itself soon."""
    with redis.Redis.from_url(rig.demo.ready.valkey_url) as store:
        store.config_set("rdb-key-save-delay", SLOW_REWRITE_MICROSECONDS)
        store.bgrewriteaof()
        wait_until(lambda: store.info("persistence")["aof_rewrite_in_progress"], 10.0, "the rewrite has begun")


def test_the_gateway_loses_nothing_when_redis_loses_its_power(powered_rig: Rig, power: Power) -> None:
    """P1 with the full oracle: once while it only appends, once in the middle of a rewrite."""
    rig = powered_rig
    generator = rig.generate()
    rig.wait_for_answers(MESSAGES // 3)
    assert not lose_power_of_redis(rig, power)
    rig.wait_for_answers(2 * MESSAGES // 3)
    begin_a_rewrite(rig)
    assert lose_power_of_redis(rig, power)
    report = generator.report(GENERATOR_SECONDS)
    judgement = rig.settled()
    say("P1", report, judgement)
    assert judgement.is_clean, judgement
    assert judgement.flagged == 0


def test_negative_control_the_oracle_sees_what_everysec_loses(powered_rig: Rig, power: Power) -> None:
    """P2 with the full oracle: Redis has less than the record knows of, and the gateway does not serve on it."""
    rig = powered_rig
    with redis.Redis.from_url(rig.demo.ready.valkey_url) as store:
        store.config_set("appendfsync", "everysec")
    generator = rig.generate()
    rig.wait_for_answers(MESSAGES // 2)
    lose_power_of_redis(rig, power)
    rig.is_given_up = True
    lost_at_ms = time.time() * 1000

    def answers_since(*, accepted: bool) -> int:
        return sum(line.ms > lost_at_ms and (line.status == b"0") is accepted for line in rig.answers())

    wait_until(lambda: answers_since(accepted=False) > 100, 30.0, "messages are refused")
    generator.kill()
    judgement = rig.judge(expects_receipts=False)
    say("P2", {}, judgement)
    assert judgement.ledger_difference_micros > 0
    assert answers_since(accepted=True) == 0
