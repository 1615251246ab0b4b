"""`smscd recover` as an operator calls it, on servers that are not its own."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from redis import Redis

from smscd.cli.output import operator_name
from storage.postgres.pool import Connection
from tests.command_server import COMMANDS
from tests.integration.demo_process import ROOT
from tests.integration.postgres_databases import RecordDatabase
from tests.integration.recovery_fixture import fill
from tests.integration.redis_picture import KEYS, picture

pytest_plugins = ("tests.integration.postgres_fixture",)

SECONDS = 60


class Operator:
    """Calls the command with a configuration file."""

    def __init__(self, folder: Path, redis_url: str, database: RecordDatabase) -> None:
        self.config = folder / "smscd.toml"
        self.config.write_text(
            f'redis_url = "{redis_url}"\npostgres_dsn = "{database.dsn}"\nstate_dir = "{folder / "not there"}"\n'
        )

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "smscd", *words, "-c", str(self.config)]

    async def call(self, *options: str) -> subprocess.CompletedProcess[str]:
        """`smscd recover`, without a terminal."""
        return await self.smscd("recover", *options)

    async def smscd(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Any command, without a terminal."""
        return await asyncio.to_thread(COMMANDS.run, (*words, "-c", str(self.config)), os.environ, ROOT)

    async def answer(self, word: str) -> tuple[int, str]:
        """At a terminal, with this answer to its question."""

        def work() -> tuple[int, str]:
            ours, theirs = pty.openpty()
            try:
                os.write(ours, word.encode() + b"\n")
                done = subprocess.run(
                    self._command("recover"), cwd=ROOT, stdin=theirs, capture_output=True, text=True, timeout=SECONDS,
                    check=False,
                )  # fmt: skip
            finally:
                os.close(ours)
                os.close(theirs)
            return done.returncode, done.stdout + done.stderr

        return await asyncio.to_thread(work)


@pytest.fixture
def operator(tmp_path: Path, valkey_url: str, record_database: RecordDatabase) -> Operator:
    return Operator(tmp_path, valkey_url, record_database)


async def test_it_says_what_it_would_do_asks_and_does_it(
    operator: Operator, valkey_url: str, record_database: RecordDatabase, owner: Connection
) -> None:
    await fill(record_database, owner)
    planned = await operator.call("--dry-run")
    assert planned.returncode == 0, planned.stderr
    lines = planned.stdout.splitlines()
    assert lines[-1] == "Nothing was changed." and lines[0].startswith("recorded up to")
    assert any(line.split() == ["to", "send", "250", "(carrier", "250)"] for line in lines)
    code, said = await operator.answer("n")
    assert code == 1 and "Nothing was changed." in said and "to send" in said
    assert picture(valkey_url) == {}
    code, said = await operator.answer("y")
    assert (code, said.splitlines()[-1]) == (0, "Redis is rebuilt. Start smscd.")
    with Redis.from_url(valkey_url) as store:
        assert store.hget(KEYS.acct("demo"), "balance") == b"7400000"
    [entry] = await owner.fetch("SELECT operator, subject, address FROM audit_log WHERE action = 'recover'")
    assert tuple(entry) == (operator_name(), "redis", "local")
    again = await operator.call("--yes", "--json")
    assert again.returncode == 1 and "nothing to recover" in json.loads(again.stdout)["error"]


async def test_the_figures_are_there_for_programs(
    operator: Operator, record_database: RecordDatabase, owner: Connection
) -> None:
    await fill(record_database, owner)
    done = await operator.call("--yes", "--json")
    assert done.returncode == 0, done.stdout
    found = json.loads(done.stdout)
    assert (found["to_send"], found["in_doubt"], found["answers"]) == ({"carrier": 250}, {"carrier": 250}, 260)
    assert (found["correlations"], found["callbacks"]) == (10, {"esme": 1, "webhook": 0})


async def test_it_does_nothing_unasked_and_names_what_keeps_it(
    operator: Operator, valkey_url: str, record_database: RecordDatabase, owner: Connection
) -> None:
    silent = await operator.call()
    assert silent.returncode == 1 and "--yes" in silent.stderr
    empty = await operator.call("--yes")
    assert empty.returncode == 1 and "no record of ours" in empty.stderr
    await fill(record_database, owner)
    await owner.execute("DELETE FROM schema_migrations WHERE version = (SELECT max(version) FROM schema_migrations)")
    behind = await operator.call("--dry-run")
    assert behind.returncode == 1 and "smscd db migrate" in behind.stderr
    with Redis.from_url(valkey_url) as store:
        store.config_set("appendfsync", "everysec")
        try:
            await owner.execute(
                "INSERT INTO schema_migrations SELECT max(version) + 1, 'x', 'x' FROM schema_migrations"
            )
            unsafe = await operator.call("--yes")
        finally:
            store.config_set("appendfsync", "always")
    assert unsafe.returncode == 1 and "appendfsync always" in unsafe.stderr
    assert picture(valkey_url) == {}


async def test_nobody_pays_into_a_redis_that_is_lost(
    operator: Operator, valkey_url: str, record_database: RecordDatabase, owner: Connection
) -> None:
    await fill(record_database, owner)
    refused = await operator.smscd("account", "topup", "demo", "5", "--reference=invoice-2")
    assert refused.returncode == 1 and "smscd recover" in refused.stderr
    assert picture(valkey_url) == {}
    assert (await operator.call("--yes")).returncode == 0
    await operator.smscd("account", "topup", "demo", "5", "--reference=invoice-2")
    assert picture(valkey_url)[KEYS.acct("demo")] == b"12400000"
