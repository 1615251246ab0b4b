"""Suspended accounts on a demo of two workers: every session and every connection is refused, and at once."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import redis

from protocols.smpp.constants import CommandStatus
from protocols.smpp.pdu import (
    BindTransceiver,
    BindTransceiverResp,
    DataSm,
    DeliverSm,
    Pdu,
    SmeAddress,
    SubmitMulti,
    SubmitSm,
)
from smscd.supervision.locate import RUN_FILE
from smscd.supervision.ready import read_run
from storage.redis.keys import ShardKeys
from tests.command_server import COMMANDS
from tests.integration.conftest import run
from tests.integration.raw_esme import RawEsme
from tools.children import SMSCD, DemoChild, ending, wait_until

SESSIONS = 16
SECONDS_MAX = 1.0
FROM: dict[str, Any] = {"source_addr_ton": 5, "source_addr": b"ACME"}
TO: dict[str, Any] = {"dest_addr_ton": 1, "dest_addr_npi": 1, "destination_addr": b"447700900123"}
SUBMIT = SubmitSm(sequence_number=5, short_message=b"hello", **FROM, **TO)


class Rig:
    """A demo, an account of its own, and a token of role admin."""

    def __init__(self, demo: DemoChild) -> None:
        self.demo = demo
        self.account = self.command(
            "account", "add", "acme", "--any-sender", "--binds=40", "--rate=10000", "--balance=9", "--velocity-minute=0"
        )
        self.token = self.command("operator", "add", "ann", "--role=admin")["token"]

    def command(self, *arguments: str) -> Any:
        """What a command says; it must do well."""
        done = COMMANDS.run((*arguments, "--json", f"--data-dir={self.demo.data}"), os.environ)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def bound(self) -> RawEsme:
        return RawEsme(self.demo).bind(self.account["system_id"], self.account["password"])

    def ask(self, url: str, headers: dict[str, str], body: object = None) -> int:
        """The status of a POST on a connection of its own."""
        return self.asked("POST", url, headers, body)[0]

    def asked(self, method: str, url: str, headers: dict[str, str], body: object = None) -> tuple[int, Any]:
        """Status and JSON of a request on a connection of its own."""
        data = b"" if body is None else json.dumps(body).encode()
        given = {"Content-Type": "application/json", **headers}
        request = urllib.request.Request(url, data if method == "POST" else None, given, method=method)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, json.loads(refused.read())

    def send(self, key: str = "") -> int:
        """Submit over HTTP, to the worker that the kernel chooses. key: the account's first, unless it is given."""
        body = {"to": "+447700900123", "from": "ACME", "text": "hello"}
        headers = {"X-Api-Key": key or self.account["api_key"]}
        return self.ask(f"{self.demo.ready.http.url}/v1/messages", headers, body)

    def refused(self, *arguments: str) -> str:
        """What a command says that does not do it."""
        command = [*SMSCD, *arguments, "--json", f"--data-dir={self.demo.data}"]
        done = subprocess.run(command, capture_output=True, check=False, timeout=60)
        assert done.returncode == 1
        found: str = json.loads(done.stdout)["error"]
        return found

    def suspend(self, verb: str = "suspend") -> int:
        """By the admin API."""
        url = f"{self.demo.ready.admin.url}/admin/v1/accounts/acme/{verb}"
        return self.ask(url, {"Authorization": f"Bearer {self.token}"})

    def alter(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask or change the database, and tell nobody."""
        found = read_run(self.demo.data / RUN_FILE)
        assert found is not None

        async def work() -> list[tuple[Any, ...]]:
            connection = await asyncpg.connect(found.postgres_owner_dsn)
            try:
                return [tuple(row) for row in await connection.fetch(statement)]
            finally:
                await connection.close()

        return run(work())


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        demo = DemoChild(place, "--workers=2")
        with ending(demo):
            demo.start()
            yield Rig(demo)


@pytest.fixture
def sessions(rig: Rig) -> Iterator[list[RawEsme]]:
    """Bound ones at both workers."""
    with ExitStack() as stack:
        found = [stack.enter_context(rig.bound()) for _ in range(SESSIONS)]
        with redis.Redis.from_url(rig.demo.ready.valkey_url) as store:
            wait_until(lambda: store.hlen(ShardKeys(0).binds("acme")) == 2, 10, "both workers have a session")
        yield found
    rig.command("account", "resume", "acme")
    wait_until(lambda: rig.send() == 202, 5, "the account is resumed")


def status_of(esme: RawEsme, request: Pdu) -> int:
    """The answer's status; receipts in between are not what is asked about."""
    answer = esme.ask(request)
    while isinstance(answer, DeliverSm):
        answer = esme.read()
    assert answer is not None
    return answer.command_status


def refused_after(rig: Rig, sessions: list[RawEsme], began: float) -> float:
    """Submit everywhere until every session and twelve connections in a row are refused; seconds to the last yes."""
    last = 0.0
    while True:
        yes = 0
        for esme in sessions:
            status = status_of(esme, SUBMIT)
            assert status in (CommandStatus.ESME_ROK, CommandStatus.ESME_RSUBMITFAIL)
            yes += status == CommandStatus.ESME_ROK
        for _ in range(12):
            status = rig.send()
            assert status in (202, 403)
            yes += status == 202
        if not yes:
            return last
        last = time.monotonic() - began
        assert last < 10, "it is not refused everywhere"


def test_every_worker_refuses_a_suspended_account_within_a_second(rig: Rig, sessions: list[RawEsme]) -> None:
    assert [status_of(esme, SUBMIT) for esme in sessions] == [CommandStatus.ESME_ROK] * SESSIONS
    began = time.monotonic()
    assert rig.suspend() == 200
    seconds = refused_after(rig, sessions, began)
    print(f"the last yes came {seconds * 1000:.0f} ms after the order")
    assert seconds < SECONDS_MAX
    data = DataSm(sequence_number=6, tlvs=bytes.fromhex("04240002") + b"hi", **FROM, **TO)
    dests = (SmeAddress(dest_addr_ton=1, dest_addr_npi=1, destination_addr=b"447700900123"),)
    several = SubmitMulti(sequence_number=7, short_message=b"x", dest_address=dests, **FROM)
    for esme in sessions:
        assert status_of(esme, data) == CommandStatus.ESME_RSUBMITFAIL
        assert status_of(esme, several) == CommandStatus.ESME_RSUBMITFAIL
        assert esme.is_alive()
    with RawEsme(rig.demo) as other:
        bind = BindTransceiver(
            system_id=rig.account["system_id"].encode(),
            password=rig.account["password"].encode(),
            interface_version=0x34,
        )
        answer = other.ask(bind)
        assert isinstance(answer, BindTransceiverResp) and answer.command_status == CommandStatus.ESME_RBINDFAIL


def test_a_command_suspends_resumes_and_says_when_nothing_changed(rig: Rig, sessions: list[RawEsme]) -> None:
    assert rig.command("account", "suspend", "acme") == {
        "account": "acme", "is_suspended": True, "changed": True, "told": True,
    }  # fmt: skip
    refused_after(rig, sessions, time.monotonic())
    assert rig.command("account", "suspend", "acme")["changed"] is False
    assert rig.command("account", "show", "acme")["is_suspended"] is True
    rig.command("account", "add", "acme", "--any-sender", "--binds=40", "--rate=10000", "--system-id=acme2")
    assert rig.command("account", "show", "acme")["is_suspended"] is True, "a change of its settings resumed it"
    logged = rig.alter(
        "SELECT action, old->>'is_suspended', new->>'is_suspended' FROM audit_log ORDER BY id DESC LIMIT 2"
    )
    assert logged == [("account.change", None, None), ("account.suspend", "false", "true")]
    rig.command("account", "resume", "acme")
    wait_until(
        lambda: all(status_of(esme, SUBMIT) == CommandStatus.ESME_ROK for esme in sessions), 5, "it may send again"
    )


def test_a_notice_that_nobody_heard_is_made_up_for_when_the_listeners_are_back(
    rig: Rig, sessions: list[RawEsme]
) -> None:
    """Pub/sub promises nothing: what was published while a worker's connection was down is gone."""
    rig.alter("UPDATE accounts SET is_suspended = true WHERE id = 'acme'")
    with redis.Redis.from_url(rig.demo.ready.valkey_url) as store:
        assert store.execute_command("CLIENT", "KILL", "TYPE", "pubsub") >= 2
    assert refused_after(rig, sessions, time.monotonic()) < 5.0


def test_a_command_for_an_account_that_is_not_there_is_refused_with_a_sentence(rig: Rig) -> None:
    for verb in ("suspend", "resume", "show"):
        done = COMMANDS.run(("account", verb, "nobody", f"--data-dir={rig.demo.data}"), os.environ)
        assert (done.returncode, done.stderr) == (1, "smscd: There is no account nobody.\n")


def test_keys_are_made_rotated_and_revoked_by_command_and_it_counts_at_once(rig: Rig) -> None:
    reading = rig.command("key", "create", "acme", "--scope=read", "--expires=90d")
    wait_until(lambda: rig.send(reading["api_key"]) == 403, SECONDS_MAX, "it is known, and may not send")
    made = rig.command("key", "create", "acme", "--label=shop")
    turned = rig.command("key", "rotate", "acme", made["key"])
    assert (turned["label"], turned["scopes"], turned["replaces"]) == ("shop", ["send", "read"], made["key"])
    wait_until(lambda: rig.send(turned["api_key"]) == 202, SECONDS_MAX, "the new key is valid")
    assert rig.send(made["api_key"]) == 202, "so is the old one, for a day"
    assert rig.command("key", "revoke", "acme", made["key"])["changed"]
    wait_until(lambda: [rig.send(made["api_key"]) for _ in range(8)] == [401] * 8, SECONDS_MAX, "both workers know")
    states = {row["key"]: row["status"] for row in rig.command("key", "list", "acme")}
    assert [states[key["key"]] for key in (made, turned, reading)] == ["revoked", "valid", "valid"]
    assert "smscd key list acme" in rig.refused("key", "revoke", "acme", "smk_live_none")


def test_an_account_keeps_its_own_keys_over_http_and_it_counts_at_once(rig: Rig) -> None:
    url, boss = f"{rig.demo.ready.http.url}/v1/keys", {"X-Api-Key": rig.account["api_key"]}
    status, made = rig.asked("POST", url, boss, {"label": "till", "scopes": ["send"]})
    assert status == 201
    wait_until(lambda: rig.send(made["api_key"]) == 202, SECONDS_MAX, "the new key is valid")
    assert rig.asked("GET", url, {"X-Api-Key": made["api_key"]})[1]["code"] == "scope_missing"
    status, new = rig.asked("POST", url, boss, {"replaces": made["key"], "grace_seconds": 0})
    assert (status, new["label"], new["scopes"], new["replaces"]) == (201, "till", ["send"], made["key"])
    wait_until(lambda: [rig.send(made["api_key"]) for _ in range(8)] == [401] * 8, SECONDS_MAX, "both workers know")
    assert rig.asked("DELETE", f"{url}/{new['key']}", boss)[0] == 200
    wait_until(lambda: [rig.send(new["api_key"]) for _ in range(8)] == [401] * 8, SECONDS_MAX, "both workers know")
    states = {row["key"]: row["status"] for row in rig.asked("GET", url, boss)[1]["data"]}
    assert (states[made["key"]], states[new["key"]]) == ("revoked", "revoked")
    actions = rig.alter(
        f"SELECT action FROM audit_log WHERE operator = 'key:{rig.account['api_key'][:13]}' ORDER BY id"
    )
    assert actions == [("key.create",), ("key.rotate",), ("key.revoke",)]


def test_from_where_requests_may_come_is_changed_by_command_and_counts_at_once(rig: Rig) -> None:
    assert rig.command("account", "allow", "acme", "--door=http", "--add=192.0.2.0/24")["http"] == ["192.0.2.0/24"]
    wait_until(lambda: [rig.send() for _ in range(8)] == [403] * 8, SECONDS_MAX, "both workers know")
    with rig.bound():
        pass  # its ESMEs have a list of their own
    assert "clear the list" in rig.refused("account", "allow", "acme", "--door=http", "--remove=192.0.2.0/24")
    assert rig.command("account", "allow", "acme", "--door=http", "--clear")["http"] == []
    wait_until(lambda: [rig.send() for _ in range(8)] == [202] * 8, SECONDS_MAX, "both workers know")


def test_a_pause_is_seen_in_the_metrics_and_in_health_until_it_ends(rig: Rig) -> None:
    admin = rig.demo.ready.admin.url

    def counted() -> float:
        with urllib.request.urlopen(f"{admin}/metrics", timeout=5) as page:
            (line,) = [row for row in page if row.startswith(b'smscd_halts{kind="account",state="paused"}')]
        return float(line.split()[-1])

    assert counted() == 0 and "halts" not in rig.asked("GET", f"{admin}/health/", {})[1]["checks"]
    rig.command("pause", "account", "acme")
    wait_until(lambda: counted() == 1, 5, "the pause is counted")
    wait_until(lambda: "halts" in rig.asked("GET", f"{admin}/health/", {})[1]["checks"], 5, "health has it")
    found = rig.asked("GET", f"{admin}/health/", {})[1]["checks"]["halts"]
    assert (found["status"], found["paused"], found["drained"]) == ("pass", 1, 0)
    assert found["oldest_pause_seconds"] < 60
    rig.command("resume", "account", "acme")
    wait_until(lambda: counted() == 0, 5, "nothing is paused")
