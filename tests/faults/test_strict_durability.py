"""A strict account beside another while PostgreSQL stands still: who is told yes, what is sent, what is paid."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from protocols.smpp.constants import CommandStatus
from protocols.smpp.pdu import SubmitSm, SubmitSmResp
from smscd.supervision.seed import PRICE_MICROS
from tests.integration.raw_esme import RawEsme, balance_micros
from tools.bench.processes import process_ids
from tools.children import SMSCD, DemoChild, ending, wait_until

FROM: dict[str, Any] = {"source_addr_ton": 5, "source_addr": b"ACME"}
TO: dict[str, Any] = {"dest_addr_ton": 1, "dest_addr_npi": 1, "destination_addr": b"447700900123"}
MESSAGES = 30


def account(demo: DemoChild, *arguments: str) -> Any:
    command = [*SMSCD, "account", *arguments, "--json", f"--data-dir={demo.data}"]
    return json.loads(subprocess.run(command, capture_output=True, timeout=60, check=False).stdout)


def post(demo: DemoChild, key: str) -> tuple[int, dict[str, Any]]:
    body = json.dumps({"to": "+447700900123", "from": "ACME", "text": "hello"}).encode()
    headers = {"X-Api-Key": key, "Content-Type": "application/json"}
    request = urllib.request.Request(demo.ready.http.url + "/v1/messages", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as done:
            return done.status, json.load(done)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


@contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    """These processes stand still for a while."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def submit(esme: RawEsme) -> int:
    answer = esme.ask(SubmitSm(short_message=b"hello", **FROM, **TO))
    assert isinstance(answer, SubmitSmResp)
    return answer.command_status


def recorded_at_once(demo: DemoChild, key: str) -> list[bool]:
    """Post messages one after another: whether PostgreSQL has each at the moment of its 202."""

    async def work() -> list[bool]:
        database = await asyncpg.connect(demo.ready.postgres_dsn)
        found = []
        for _ in range(MESSAGES):
            status, body = await asyncio.to_thread(post, demo, key)
            assert status == 202
            found.append(bool(await database.fetchval("SELECT count(*) FROM messages WHERE id = $1", int(body["id"]))))
        await database.close()
        return found

    return asyncio.run(work())


def state_of(demo: DemoChild, key: str, message_id: str) -> str:
    request = urllib.request.Request(f"{demo.ready.http.url}/v1/messages/{message_id}", headers={"X-Api-Key": key})
    try:
        with urllib.request.urlopen(request, timeout=20) as done:
            return str(json.load(done)["status"])
    except urllib.error.HTTPError as refused:
        refused.close()
        return ""


@pytest.mark.timeout(240)
def test_a_strict_account_is_told_yes_only_for_what_postgres_has(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    demo = DemoChild(tmp_path)
    with ending(demo):
        demo.start()
        made = account(demo, "add", "safe", "--any-sender", "--balance=5", "--durability=strict", "--velocity-minute=0")
        key, demo_key = made["api_key"], demo.ready.http.api_key
        wait_until(lambda: post(demo, key)[0] == 202, 20, "the account is known, and the record is current")
        assert all(recorded_at_once(demo, key))
        assert not all(recorded_at_once(demo, demo_key)), "the control: others are not waited for"
        status, accepted = post(demo, key)
        wait_until(lambda: state_of(demo, key, accepted["id"]) == "delivered", 20, "it is sent")
        paid = balance_micros(demo, key)

        with RawEsme(demo).bind(made["system_id"], made["password"]) as esme:
            with stopped(process_ids(demo.pid, "postgres")):
                began = time.monotonic()
                assert submit(esme) == CommandStatus.ESME_RSYSERR
                assert 4.0 < time.monotonic() - began < 8.0
                status, problem = post(demo, key)
                assert (status, problem["code"]) == (503, "record_behind")
                began = time.monotonic()
                assert post(demo, key)[0] == 503
                assert time.monotonic() - began < 1.0
                assert post(demo, demo_key)[0] == 202
            wait_until(lambda: balance_micros(demo, key) == paid, 30, "what was admitted and refused is refunded")
            wait_until(lambda: post(demo, key)[0] == 202, 30, "it is accepted again")
            wait_until(lambda: submit(esme) == 0, 30, "and by the other worker")
            assert balance_micros(demo, key) == paid - 2 * PRICE_MICROS

            with stopped(process_ids(demo.pid, "postgres")), ThreadPoolExecutor(1) as other:
                asked = other.submit(submit, esme)
                time.sleep(1.0)
                os.kill(process_ids(demo.pid, "valkey-server")[0], signal.SIGKILL)
                assert asked.result(20) == CommandStatus.ESME_RSYSERR, "Redis died while it waited for its yes"
        wait_until(lambda: post(demo, key)[0] == 202, 30, "it is accepted again")
        wait_until(lambda: balance_micros(demo, key) == paid - 3 * PRICE_MICROS, 30, "and what was refused is refunded")
        assert account(demo, "durability", "safe", "normal") == {"account": "safe", "durability": "normal"}
        wait_until(lambda: not all(recorded_at_once(demo, key)), 30, "it is not waited for any longer")
