"""kill -9 of the daemon, of Redis and of PostgreSQL in the middle of the traffic: K2, K3, K4 of the fault catalogue."""

import asyncio
from pathlib import Path

import pytest

from smscd.supervision.seed import DEMO_WINDOW
from tests.faults.rig import (
    GENERATOR_SECONDS,
    IS_FULL,
    KILLS,
    MESSAGES,
    longest_pause_ms,
    running_rig,
    say,
    slowest_refusal_ms,
)
from tools.checker import Judgement, read_records
from tools.webhook_sink import WebhookSink

pytestmark = pytest.mark.timeout(600)

SERVING_AGAIN_SECONDS = 3.0 if IS_FULL else 30.0
REFUSED_WITHIN_MS = 1_200 if IS_FULL else 5_000
ACCEPTING_WITHIN_MS = 4_000 if IS_FULL else 20_000


@pytest.mark.parametrize("keys", [False, True], ids=["without keys", "with keys"])
def test_killed_daemon_loses_nothing_and_announces_every_duplicate(tmp_path: Path, keys: bool) -> None:
    with running_rig(tmp_path) as rig:
        generator = rig.generate(*(["--keys"] if keys else []))
        restarts = [rig.restart_daemon() for _ in rig.kill_points()]
        report = generator.report(GENERATOR_SECONDS)
        judgement = rig.settled()
        say("K2", report, judgement, restart_seconds=[round(seconds, 2) for seconds in restarts], with_keys=keys)
        assert judgement.is_clean, judgement
        assert len(restarts) == KILLS
        assert max(restarts) <= SERVING_AGAIN_SECONDS
        assert judgement.flagged <= KILLS * DEMO_WINDOW
        assert report["sent"] == MESSAGES
        if keys:
            assert report["unanswered"] == 0
            assert judgement.accepted + judgement.refused >= MESSAGES


def test_killed_redis_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    with running_rig(tmp_path) as rig:
        generator = rig.generate()
        for _ in rig.kill_points():
            rig.kill_server("valkey-server")
        report = generator.report(GENERATOR_SECONDS)
        judgement = rig.settled()
        lines = read_records([rig.client_record])
        refusal, pause = slowest_refusal_ms(lines), longest_pause_ms(rig.answers())
        say("K3", report, judgement, slowest_refusal_ms=refusal, longest_pause_ms=pause)
        assert judgement.is_clean, judgement
        assert judgement.flagged == 0
        assert refusal <= REFUSED_WITHIN_MS
        assert pause <= ACCEPTING_WITHIN_MS


def test_killed_postgres_leaves_no_row_missing_or_double_and_admission_goes_on(tmp_path: Path) -> None:
    with running_rig(tmp_path) as rig:
        generator = rig.generate()
        for _ in rig.kill_points():
            rig.kill_server("postgres")
        report = generator.report(GENERATOR_SECONDS)
        judgement = rig.settled()
        pause = longest_pause_ms(rig.answers())
        say("K4", report, judgement, longest_pause_ms=pause)
        assert judgement.is_clean, judgement
        assert judgement.flagged == 0
        assert report["accepted"] == MESSAGES
        assert pause <= (1_000 if IS_FULL else 5_000)


async def test_killed_daemon_forgets_no_webhook(tmp_path: Path) -> None:
    """K2 through the other door: the third side of the record is the webhook receiver."""

    def run(sink: WebhookSink) -> Judgement:
        with running_rig(tmp_path) as rig:
            generator = rig.generate_http(sink.url)
            restarts = [rig.restart_daemon() for _ in rig.kill_points()]
            report = generator.report(GENERATOR_SECONDS)
            judgement = rig.settled()
            say("K2 HTTP", report, judgement, restart_seconds=[round(seconds, 2) for seconds in restarts])
            assert report["accepted"] > MESSAGES // 2
            return judgement

    sink = WebhookSink(tmp_path / "hooks.record")
    await sink.start()
    try:
        judgement = await asyncio.to_thread(run, sink)
    finally:
        await sink.close()
    assert judgement.is_clean, judgement
    assert judgement.flagged <= KILLS * DEMO_WINDOW
