"""What a process notices when Redis TIME is set under it. On a real server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from smscd.roles import leases
from smscd.roles.leases import LeaseKeeper
from storage.redis import scripts
from storage.redis.admission import AdmissionStore
from storage.redis.scripts import Script
from storage.redis.session import RoleSession, renew
from tests.integration.redis_rig import KEYS, Rig

HOUR_MS = 3_600_000


@pytest.fixture
async def rig(valkey_url: str) -> AsyncIterator[Rig]:
    made = Rig(valkey_url)
    yield made
    await made.close()


def set_clock(monkeypatch: pytest.MonkeyPatch, step_ms: int) -> None:
    """Has renew.lua see a TIME that was set this far ahead."""
    real, asked = scripts.load("renew"), b"redis.call('TIME')"
    assert real.source.count(asked) == 1
    source = real.source.replace(asked, b"{redis.call('TIME')[1] + %d, '0'}" % (step_ms // 1000))
    monkeypatch.setattr(scripts, "RENEW", Script("renew", source, f"{step_ms % 2**64:040x}"))


@pytest.mark.parametrize("step_ms", [HOUR_MS, -24 * HOUR_MS])
async def test_a_step_is_noticed_at_the_next_renewal_and_moves_no_clock_here(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, step_ms: int
) -> None:
    session = await rig.role("ingress:1")
    assert await renew([session], rig.raw) == [] and abs(session.ahead_ms) < 100
    set_clock(monkeypatch, step_ms)
    assert await renew([session], rig.raw) == []
    assert abs(session.ahead_ms - step_ms) < 1_100, "the script sees whole seconds"
    assert abs(session.redis_ms() - time.time() * 1000) < 500


@pytest.mark.parametrize("step_ms", [HOUR_MS, -24 * HOUR_MS])
async def test_who_starts_after_a_step_goes_by_the_time_of_its_daemon_and_admits_by_that_of_redis(
    rig: Rig, step_ms: int
) -> None:
    began = (await rig.role("ingress:1")).clock_offset_ms - step_ms
    session = RoleSession(rig.link(), KEYS, "ingress:2", "test/1", clock_offset_ms=began)
    assert await session.take() and session.clock_offset_ms == began
    now_ms = time.time() * 1000
    assert abs(session.redis_ms() - (now_ms - step_ms)) < 500
    assert abs(AdmissionStore(KEYS, session).redis_ms() - now_ms) < 500, "its script judges by TIME"
    assert await renew([session], rig.raw) == [] and abs(session.ahead_ms - step_ms) < 500


def test_a_slow_call_is_no_step() -> None:
    session = RoleSession(None, KEYS, "ingress:1", "i/0")  # type: ignore[arg-type]  # not asked for anything
    session.clock_offset_ms = 1_000_000
    for time_ms, ahead_ms in ((1_010_000, 0), (1_014_000, 0), (1_014_500, 500), (1_009_000, -1_000)):
        session.compare(time_ms, 10.0, 14.0)
        assert session.ahead_ms == ahead_ms


async def test_a_step_is_said_once_and_so_is_its_end(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.01)
    keeper = LeaseKeeper(rig.raw)
    keeper.add(await rig.role("ingress:1"), lambda: None)
    keeper.add(await rig.role("dispatch:u1"), lambda: None)
    with capture_logs() as logs:
        running = asyncio.create_task(keeper.run())
        try:
            for count, step_ms in ((1, HOUR_MS), (2, 0)):
                set_clock(monkeypatch, step_ms)
                async with asyncio.timeout(10):
                    while len(logs) < count:
                        await asyncio.sleep(0.01)
                await asyncio.sleep(0.05)
        finally:
            running.cancel()
    assert [(each["event"], each["ahead_seconds"] // 60) for each in logs] in (
        [("clock.stepped", 60), ("clock.stepped", 0)],
        [("clock.stepped", 59), ("clock.stepped", 0)],
        [("clock.stepped", 60), ("clock.stepped", -1)],
        [("clock.stepped", 59), ("clock.stepped", -1)],
    )
