"""`smscd ledger verify` against a running instance: silent under traffic, loud about what somebody altered by hand."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest
import redis

from smscd.supervision.locate import RUN_FILE
from smscd.supervision.ready import read_run
from storage.redis.keys import ShardKeys
from tests.integration.demo_process import DemoProcess

MESSAGES = 3_000
RATE = 600


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoProcess]:
    place = tmp_path_factory.mktemp("ledger")
    place.chmod(0o755)
    with DemoProcess(
        place, "--workers=2", f"--data-dir={place / 'data'}", environment={"SMSCD_AUDIT_EVERY_SECONDS": "0.5"}
    ) as running:
        yield running.wait_ready()


def verify(demo: DemoProcess, *options: str) -> tuple[int, dict[str, Any]]:
    data_dir = demo.ready_file.parent / "data"
    done = demo.command("ledger", "verify", f"--data-dir={data_dir}", "--json", *options)
    return done.returncode, json.loads(done.stdout)


def altered(demo: DemoProcess, statement: str) -> None:
    """Run a statement as the owner of the database, which the daemon's role may not."""
    run = read_run(demo.ready_file.parent / "data" / RUN_FILE)
    assert run is not None

    async def work() -> None:
        connection = await asyncpg.connect(run.postgres_owner_dsn)
        try:
            assert not (await connection.execute(statement)).endswith(" 0")
        finally:
            await connection.close()

    asyncio.run(work())


def test_there_is_no_difference_while_traffic_flows(demo: DemoProcess) -> None:
    generator = subprocess.Popen(
        [sys.executable, "-m", "smscd", "bench", "smpp", f"--ready-file={demo.ready_file}", f"--count={MESSAGES}",
         f"--rate={RATE}", "--connections=2"],
        env=demo.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    rounds, behind = 0, 0
    while generator.poll() is None or not rounds:
        status, found = verify(demo)
        assert (status, found["differences"]) == (0, [])
        rounds += 1
        behind += found["journal_entries"]
    assert generator.returncode == 0
    assert demo.metric("smscd_ledger_audits_total") > 3 and "ledger.difference" not in demo.text
    assert rounds >= 3 and behind > 0, "the writer was never behind, so that nothing was shown"


def test_what_was_altered_by_hand_is_found_with_its_cause_and_status_1(demo: DemoProcess) -> None:
    with redis.Redis.from_url(demo.ready["valkey_url"]) as store:
        store.hincrby(ShardKeys(0).acct("demo"), "balance", 1_000_000)
        status, found = verify(demo)
        [difference] = found["differences"]
        assert status == 1
        assert (difference["kind"], difference["account"], difference["micros"]) == ("balance", "demo", 1_000_000)
        demo.until(lambda: demo.metric('smscd_ledger_differences{kind="balance"}') == 1)
        demo.until(lambda: json.loads(demo.get("/health/")[1])["checks"]["ledger"]["status"] == "warn")
        assert demo.get("/health/")[0] == 200 and "ledger.difference" in demo.text
        store.hincrby(ShardKeys(0).acct("demo"), "balance", -1_000_000)
    demo.until(lambda: demo.metric('smscd_ledger_differences{kind="balance"}') == 0)
    altered(demo, "UPDATE messages SET price_micros = price_micros - 1 WHERE id = (SELECT min(id) FROM messages)")
    status, found = verify(demo)
    assert status == 1 and [difference["kind"] for difference in found["differences"]] == ["entry"]
    altered(demo, "UPDATE ledger_entries SET operator = 'nobody' WHERE kind = 'topup'")
    status, found = verify(demo)
    assert status == 1 and {difference["kind"] for difference in found["differences"]} == {"entry", "chain"}
    status, found = verify(demo, "--account=demo")
    assert status == 1 and [difference["kind"] for difference in found["differences"]] == ["chain"]


def test_an_account_that_nobody_has_is_an_error_with_a_sentence(demo: DemoProcess) -> None:
    status, found = verify(demo, "--account=nobody")
    assert status == 1 and "nobody" in found["error"]


def test_people_get_lines_and_the_number_of_differences_last(demo: DemoProcess) -> None:
    done = demo.command("ledger", "verify", f"--data-dir={demo.ready_file.parent / 'data'}")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "2 differences"
    assert "entry     demo: the charge entry" in done.stdout
