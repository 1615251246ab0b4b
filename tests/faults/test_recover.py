"""Redis is lost, or an older copy of it comes back, in the middle of the traffic: P5 of the fault catalogue."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from redis import Redis

from smscd.core.records import State
from storage.redis.keys import ShardKeys
from tests.faults import moves
from tests.faults.rig import GENERATOR_SECONDS, IS_FULL, MESSAGES, Rig, running_rig, say
from tools.checker import Judgement
from tools.children import SMSCD, ChildFailed, wait_until
from tools.webhook_sink import WebhookSink

pytestmark = pytest.mark.timeout(600)

KEYS = ShardKeys(0)
LONG = "Long enough for three segments. " * 12
HOOKS = MESSAGES // 10
QUIET_SECONDS = 20.0


def post(rig: Rig, key: str, text: str, **fields: object) -> tuple[int, dict[str, Any]]:
    """POST /v1/messages with a request key: status and body."""
    http = rig.demo.ready.http
    request = urllib.request.Request(
        f"{http.url}/v1/messages",
        json.dumps({"to": "+447700900000", "from": "KEYS", "text": text, **fields}).encode(),
        {"X-Api-Key": http.api_key, "Content-Type": "application/json", "X-Request-ID": key},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


def recover(rig: Rig, *options: str) -> subprocess.CompletedProcess[str]:
    """`smscd recover` on the demo's directory."""
    command = [*SMSCD, "recover", "--data-dir", str(rig.demo.data), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def figures(rig: Rig, *options: str) -> dict[str, Any]:
    """What it did, or would do."""
    done = recover(rig, "--json", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def query(rig: Rig, sql: str) -> int:
    """One number out of the record."""

    async def ask() -> int:
        connection = await asyncpg.connect(rig.demo.ready.postgres_dsn)
        try:
            return int(await connection.fetchval(sql) or 0)
        finally:
            await connection.close()

    return asyncio.run(ask())


def is_written(rig: Rig) -> bool:
    """True when PostgreSQL has all of the journal."""

    async def offset() -> str:
        connection = await asyncpg.connect(rig.demo.ready.postgres_dsn)
        try:
            return str(await connection.fetchval("SELECT last_id FROM journal_offsets"))
        finally:
            await connection.close()

    with Redis.from_url(rig.demo.ready.valkey_url) as store:
        last = store.xinfo_stream(KEYS.journal)["last-generated-id"]
    return bool(last.decode() == asyncio.run(offset()))


@contextmanager
def frozen(rig: Rig) -> Iterator[None]:
    """The carrier hears and says nothing; what it was sent it reads afterwards."""
    os.kill(rig.carrier.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(rig.carrier.pid, signal.SIGCONT)


def refusal(rig: Rig) -> str:
    """What the demo says when it does not start."""
    with pytest.raises(ChildFailed) as failed:
        rig.demo.start()
    return str(failed.value)


def lose(rig: Rig, older_copy: Path | None) -> None:
    """The directory of Valkey is gone, or is what it was before."""
    valkey = rig.demo.data / "valkey"
    if older_copy is None:
        shutil.rmtree(valkey)
    else:
        shutil.rmtree(valkey / "aof")
        shutil.copytree(older_copy / "aof", valkey / "aof")


def verify(rig: Rig) -> None:
    """`smscd ledger verify` finds nothing."""
    command = [*SMSCD, "ledger", "verify", "--data-dir", str(rig.demo.data)]
    check = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (check.returncode, check.stdout.splitlines()[-1]) == (0, "0 differences"), check.stdout


def lose_and_recover(rig: Rig, older_copy: Path | None, moving: moves.MovingMessages) -> dict[str, Any]:
    """Kill everything while much is open, lose Redis, and serve again; what was recovered."""
    keys = [f"key-{number}" for number in range(20)]
    answers = {key: post(rig, key, f"{key} {LONG}") for key in keys}
    assert {status for status, _ in answers.values()} == {202}
    with frozen(rig):
        wait_until(lambda: is_written(rig), QUIET_SECONDS, "PostgreSQL has the journal")
        verify(rig)
        assert "Stop it first" in recover(rig, "--dry-run").stderr
        # Answers that a stopped carrier owes go on to time out: what is counted is counted just before the kill.
        wait_until(lambda: is_written(rig), QUIET_SECONDS, "PostgreSQL has the journal")
        unsent = query(rig, "SELECT count(*) FROM messages WHERE state < 3")
        awaited = query(rig, "SELECT count(*) FROM messages WHERE state = 3")
        callbacks = query(rig, "SELECT sum(callbacks_open) FROM messages")
        moved = query(rig, f"SELECT count(*) FROM messages WHERE state < 3 AND upstream = '{moves.UPSTREAMS['next']}'")
        entries = "SELECT balance_micros FROM ledger_entries WHERE account = 'demo'"
        balance = query(rig, f"{entries} ORDER BY seq DESC LIMIT 1")
        rig.demo.kill()
        lose(rig, older_copy)
        assert "smscd recover" in refusal(rig)
        planned = figures(rig, "--dry-run")
        assert "smscd recover" in refusal(rig)
        assert "--yes" in recover(rig).stderr  # nobody is there to ask
        assert (sum(planned["to_send"].values()), sum(planned["callbacks"].values())) == (unsent, callbacks)
        assert unsent and awaited and callbacks and sum(planned["in_doubt"].values())
        done = figures(rig, "--yes")
        assert done.keys() == planned.keys()
        assert {**done, "dry_run": True, "in_doubt": 0, "later": 0} == {**planned, "in_doubt": 0, "later": 0}
        assert done["to_send"][moves.UPSTREAMS["next"]] == moved >= moves.COUNT * 3 // 4
        moving.carriers.heal()
        rig.demo.start()
        with Redis.from_url(rig.demo.ready.valkey_url) as store:
            assert int(store.hget(KEYS.acct("demo"), "balance") or 0) == balance
        for key, answer in answers.items():
            assert post(rig, key, f"{key} {LONG}") == answer
        assert post(rig, keys[0], "another body")[0] == 422
        with Redis.from_url(rig.demo.ready.valkey_url) as store:
            assert int(store.hget(KEYS.acct("demo"), "balance") or 0) == balance
    return {"awaited": awaited, **done}


@pytest.mark.parametrize("is_copy", [False, True] if IS_FULL else [False], ids=["empty", "older copy"][: 1 + IS_FULL])
async def test_a_lost_redis_is_rebuilt_and_nothing_is_lost(tmp_path: Path, is_copy: bool) -> None:
    """Everything that the record has ends well: sent, told, charged once, and each possible duplicate flagged."""
    sink = WebhookSink(tmp_path / "hooks.record", status=503)
    moving = moves.MovingMessages(tmp_path)

    def run() -> Judgement:
        with (
            moving.carriers.running(),
            running_rig(
                tmp_path,
                f"--rate={MESSAGES / 14}",
                "--receipt-delay=4",
                environment=moves.ENVIRONMENT,
                demo_options=moving.demo_options,
                records=moving.records,
            ) as rig,
        ):
            older_copy = None
            if is_copy:
                first = rig.generate("--keys", count=MESSAGES // 10)
                first.report(GENERATOR_SECONDS)
                assert rig.demo.stop() == 0
                older_copy = tmp_path / "copy"
                shutil.copytree(rig.demo.data / "valkey", older_copy)
                rig.demo.start()
            hooks = rig.generate_http(sink.url, count=HOOKS)
            generator = rig.generate("--keys", f"--patience={QUIET_SECONDS * 3}")
            moving.begin(rig)
            hooks.report(GENERATOR_SECONDS)
            rig.wait_for_answers(MESSAGES + moves.COUNT)
            recovered = lose_and_recover(rig, older_copy, moving)
            sink.status = 204
            report = generator.report(GENERATOR_SECONDS)
            judgement = rig.settled()
            moved = moving.assert_sent_where_they_went()
            say("P5", report, judgement, recovered=recovered, moved=moved)
            verify(rig)
            assert report["receipts"] == report["accepted"]
            assert query(rig, f"SELECT count(*) FROM messages WHERE state < {int(State.DELIVERED)}") == 0
            return judgement

    await sink.start()
    try:
        judgement = await asyncio.to_thread(run)
    finally:
        await sink.close()
    assert judgement.is_clean, judgement
