"""A carrier goes down with messages queued: the other carrier of the route delivers them, none twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from smscd.core.directory import Account, Route, Snapshot
from smscd.core.directory_index import DirectoryIndex
from smscd.core.records import Outcome
from smscd.core.upstream import Upstream
from storage.redis.breakers import Breakers
from storage.redis.dispatch import DispatchStore, Move, MoveReply
from storage.redis.keys import ShardKeys
from tests.integration.egress_rig import BALANCE, PRICE, Books, Egress, carrier_process, until

KEYS = ShardKeys(0)


def two_carriers(first: int, second: int) -> DirectoryIndex:
    def carrier(name: str, port: int) -> Upstream:
        return Upstream(id=name, host="127.0.0.1", port=port, system_id="us", password="secret", window_size=10)

    return DirectoryIndex(
        Snapshot(
            accounts=(Account(id="acme", binds_max=10),),
            upstreams=(carrier("carrier", first), carrier("second", second)),
            routes=(Route(prefix="44", upstreams=("carrier", "second")),),
        )
    )


class Crash:
    """The owner dies at its first move before the script, and at its third after it: all that it knew is gone."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self._move = DispatchStore.move
        patch.setattr(DispatchStore, "move", lambda store, move: self.crash(store, move))

    async def crash(self, store: DispatchStore, move: Move) -> MoveReply:
        self.calls += 1
        if self.calls == 1:
            raise RuntimeError("before the script")
        reply = await self._move(store, move)
        if self.calls == 3:
            raise RuntimeError("after the script")
        return reply


async def test_what_waits_for_a_carrier_that_died_is_delivered_by_the_other(
    valkey_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash = Crash(monkeypatch)
    books = Books(valkey_url)
    await books.open()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    async with (
        carrier_process(tmp_path / "one", "--latency", "0.1") as dying,
        carrier_process(tmp_path / "two") as other,
    ):
        index = two_carriers(dying.port, other.port)
        egress = Egress(valkey_url, index, failover_seconds=0.5)
        await egress.start()
        await egress.bound()
        ids = await books.admit([b"44770%07d" % (number * 1000 + 100) for number in range(2000)])
        await dying.submits(50)
        dying.process.kill()
        await dying.process.wait()
        await until(lambda: len(other._submits()) > 1800, seconds=20)
        out = await Breakers(KEYS, books.link).read()
        assert [one.upstream for one in out] == ["carrier"]
        async with asyncio.timeout(10):
            while int(await books.link.command("HGET", KEYS.depth, "second") or 0):  # Redis' condition
                await asyncio.sleep(0.05)
        assert crash.calls > 3, "both crash points were reached"
        results = await books.records(b"T")
        doubted = {record.id for record in results if record.outcome == Outcome.DOUBTED}
        accepted = [record for record in results if record.outcome == Outcome.ACCEPTED]
        by_other = {record.id for record in accepted if record.upstream == "second"}
        by_dying = {record.id for record in accepted if record.upstream == "carrier"}
        assert by_dying | by_other | doubted == set(ids), "lost"
        assert not by_other & (by_dying | doubted), "what was sent stays with its upstream"
        assert len(accepted) == len({record.id for record in accepted})
        await until(lambda: len(other._submits()) >= len(by_other))  # its record is written after its answer
        assert sorted(int(line[2]) for line in other._submits()) == sorted(by_other), "each once"
        moved = await books.records(b"P")
        assert {record.id for record in moved} == by_other and {record.upstream for record in moved} == {"second"}
        assert await books.depth() == len(doubted)
        assert await books.balance() == BALANCE - PRICE * len(ids)
        await egress.stop()
    await books.close()
