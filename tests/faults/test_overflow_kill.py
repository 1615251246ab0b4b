"""kill -9 of the daemon while most of a queue waits in PostgreSQL: nothing is lost, and the money is right."""

import asyncio
from pathlib import Path

import pytest

from smscd.supervision.seed import DEMO_WINDOW
from storage.postgres.pool import connect
from tests.faults.rig import GENERATOR_SECONDS, Rig, running_rig, say
from tools.children import wait_until

pytestmark = pytest.mark.timeout(120)

IN_REDIS_MAX = 100
MESSAGES = 1_200
TAIL = 300


def test_killed_daemon_loses_nothing_of_a_tail_in_postgres(tmp_path: Path) -> None:
    limit = {"SMSCD_ADMISSION_QUEUE_IN_REDIS_MAX": str(IN_REDIS_MAX)}
    with running_rig(tmp_path, "--latency=0.3", environment=limit) as rig:
        generator = rig.generate("--rate=1000", count=MESSAGES)
        rig.wait_for_answers(MESSAGES)
        wait_until(lambda: TAIL < tail(rig) < MESSAGES - 3 * IN_REDIS_MAX, 30, "a tail that is brought back")
        restart_seconds = rig.restart_daemon()
        report = generator.report(GENERATOR_SECONDS)
        judgement = rig.settled()
        left = tail(rig)
        say("K2 overflow", report, judgement, restart_seconds=round(restart_seconds, 2))
    assert judgement.is_clean, judgement
    assert judgement.flagged <= DEMO_WINDOW
    assert report["sent"] == MESSAGES and left == 0


def tail(rig: Rig) -> int:
    """Messages that wait in PostgreSQL alone."""

    async def count() -> int:
        connection = await connect(rig.demo.ready.postgres_dsn, name="test")
        try:
            return int(await connection.fetchval("SELECT count(*) FROM overflow"))
        finally:
            await connection.close()

    return asyncio.run(count())
