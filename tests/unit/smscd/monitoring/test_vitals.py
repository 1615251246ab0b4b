"""What of Redis's own words the health check understands."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import msgspec
import pytest

from smscd.monitoring.health import Heartbeat, UpstreamBeat
from smscd.monitoring.vitals import BoundUpstreams, free_bytes, memory_share
from storage.redis.errors import StorageUnavailable
from storage.redis.keys import ShardKeys
from storage.redis.link import RedisLink


def test_memory_is_a_share_of_the_limit() -> None:
    assert memory_share(b"# Memory\r\nused_memory:50\r\nmaxmemory:200\r\n") == pytest.approx(0.25)


def test_without_a_limit_there_is_no_share() -> None:
    assert memory_share("used_memory:50\r\nmaxmemory:0\r\n") is None


def test_the_free_space_of_a_directory_that_is_not_there_is_unknown(tmp_path: Path) -> None:
    assert (free_bytes(tmp_path) or 0) > 0
    assert free_bytes(tmp_path / "none") is None
    assert free_bytes(None) is None


class FakeLink:
    """A link that answers what the test says, and counts."""

    def __init__(self, *heartbeats: Heartbeat) -> None:
        self.heartbeats = heartbeats
        self.asked = 0
        self.error: Exception | None = None
        self.is_refused = False

    async def pipeline(self, commands: object, timeout: float) -> list[object]:
        self.asked += 1
        if self.error is not None:
            raise self.error
        if self.is_refused:
            return [[b"100", b"0"], ValueError("LOADING")]
        return [[b"100", b"0"], [part for beat in self.heartbeats for part in (beat.owner, msgspec.json.encode(beat))]]


async def test_an_upstream_is_up_when_a_live_worker_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=10.0, monotonic=lambda: clock.now)
    monkeypatch.setattr("smscd.monitoring.vitals.time", clock)
    told = {"up": UpstreamBeat(is_up=True, binds=1), "open": UpstreamBeat(is_up=False, binds=1)}
    link = FakeLink(
        Heartbeat(owner="a", at_ms=99_000, upstreams=told),
        Heartbeat(owner="b", at_ms=90_000, upstreams={"dead": UpstreamBeat(is_up=True)}),
    )
    bound = BoundUpstreams(cast(RedisLink, link), ShardKeys(0))
    assert [await bound.has(name) for name in ("up", "open", "dead", "none")] == [True, False, False, False]
    assert link.asked == 1
    for link.error, link.is_refused in ((StorageUnavailable("away"), False), (None, True)):
        clock.now += 2.0
        assert await bound.has("up"), "as it was"
    clock.now += 2.0
    link.is_refused, link.heartbeats = False, ()
    assert not await bound.has("up")
    assert link.asked == 4
