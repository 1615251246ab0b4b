"""`smscd account add --low-balance` on a running demo: messages are sent until the customer's receiver is told."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from protocols.webhooks import verify
from tests.integration.demo_process import ROOT, DemoProcess
from tests.integration.new_keys import is_known


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o711)
        yield path


@pytest.fixture(scope="module")
def demo(place: Path) -> Iterator[DemoProcess]:
    environment = {"SMSCD_WEBHOOKS_ALLOWS_PRIVATE_ADDRESSES": "true"}
    with DemoProcess(place, "--workers=2", f"--data-dir={place / 'data'}", environment=environment) as running:
        yield running.wait_ready()


@pytest.fixture(scope="module")
def receiver(place: Path) -> Iterator[str]:
    """The address of a receiver that answers each event with 500 once."""
    command = [sys.executable, "-m", "tests.integration.webhook_receiver", str(place / "requests")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/flaky/500/1"
        process.kill()


def events(place: Path) -> list[dict[str, Any]]:
    """The requests that speak of a balance."""
    lines = [json.loads(line) for line in (place / "requests").read_text().splitlines()]
    return [line for line in lines if "body" in line and json.loads(line["body"])["type"] == "account.low_balance"]


def command(demo: DemoProcess, verb: str, *arguments: str) -> Any:
    done = demo.command("account", verb, f"--data-dir={demo.ready_file.parent / 'data'}", "--json", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def send(demo: DemoProcess, key: str) -> None:
    body = json.dumps({"to": "+447700900123", "from": "ACME", "text": "hello"}).encode()
    headers = {"X-Api-Key": key, "Content-Type": "application/json"}
    request = urllib.request.Request(demo.ready["http"]["url"] + "/v1/messages", body, headers)
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.status == 202


def test_messages_that_use_the_money_up_have_the_customer_told_once_signed_and_retried(
    demo: DemoProcess, place: Path, receiver: str
) -> None:
    url = ("--webhook-url", receiver)
    made = command(demo, "add", "acme", "--any-sender", "--balance=0.065", "--low-balance=0.05", *url)
    gauge = 'smscd_account_low_balance{account="acme"}'
    demo.until(lambda: f"{gauge} 0.0" in demo.get("/metrics")[1])
    send(demo, made["api_key"])
    send(demo, made["api_key"])
    demo.until(lambda: len(events(place)) == 1)
    send(demo, made["api_key"])
    demo.until(lambda: len(events(place)) == 2, 20)  # the first attempt was refused, the next is due after 5 s
    first, again = events(place)
    assert (first["id"], first["body"]) == (again["id"], again["body"])
    verify(
        again["id"],
        again["timestamp"],
        again["body"].encode(),
        again["signature"],
        [made["webhook_secret"]],
        time.time(),
    )
    assert json.loads(again["body"])["data"] == {
        "account": "acme",
        "balance": {"amount": "0.0450", "currency": "EUR"},
        "low_balance": {"amount": "0.0500", "currency": "EUR"},
    }
    assert demo.metric(gauge) == 1.0
    shown = command(demo, "show", "acme")
    assert (shown["balance_micros"], shown["low_balance_micros"], shown["is_low"]) == (35_000, 50_000, True)

    command(demo, "topup", "acme", "1", "--reference=r")
    assert demo.metric(gauge) == 0.0
    command(demo, "adjust", "--note=fee", "--", "acme", "-1")
    demo.until(lambda: len(events(place)) == 4, 20)
    assert len({event["id"] for event in events(place)}) == 2
    assert demo.metric('smscd_writer_rows_total{table="account_warnings"}') == 2


def test_an_endpoint_made_over_http_is_told_by_the_running_daemon_and_its_dead_letters_are_sent_again(
    demo: DemoProcess, place: Path, receiver: str
) -> None:
    made = command(demo, "add", "hooked", "--any-sender", "--balance=1")
    base, key = receiver.removesuffix("/flaky/500/1"), made["api_key"]
    demo.until(lambda: is_known(demo.ready["http"]["url"], key))

    def ask(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            f"{demo.ready['http']['url']}/v1/webhooks{path}",
            None if body is None else json.dumps(body).encode(),
            {"X-Api-Key": key, "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def callbacks(verb: str, *arguments: str) -> Any:
        options = (f"--data-dir={demo.ready_file.parent / 'data'}", "--json", "--account=hooked", *arguments)
        done = demo.command("callback", verb, *options)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def got(path: str) -> list[str]:
        lines = [json.loads(line) for line in (place / "requests").read_text().splitlines()]
        return [json.loads(line["body"])["type"] for line in lines if line.get("path") == path]

    endpoint = ask("POST", "", {"url": f"{base}/status/410"})
    assert ask("POST", f"/{endpoint['id']}/test")["response_code"] == 410
    send(demo, key)
    demo.until(lambda: ask("GET", f"/{endpoint['id']}")["disabled_reason"] == "gone", 20)
    assert got("/status/410") == ["webhook.test", "message.delivered"]
    [dead] = callbacks("list")
    assert (dead["to"], dead["error"]) == (endpoint["id"], "status 410")
    ask("PATCH", f"/{endpoint['id']}", {"url": f"{base}/status/204?again", "enabled": True})
    assert callbacks("replay") == {"replayed": 1}
    demo.until(lambda: got("/status/204?again") == ["message.delivered"], 20)
    demo.until(lambda: callbacks("list") == [], 20)
    assert endpoint["secret"].startswith("whsec_")
    assert endpoint["secret"].removeprefix("whsec_") not in demo.text
