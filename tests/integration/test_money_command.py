"""`smscd account topup|adjust|correct` and `smscd operator` on a running demo, and its admin API over HTTP."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.demo_process import DemoProcess


@pytest.fixture(scope="module")
def demo() -> Iterator[DemoProcess]:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o711)
        with DemoProcess(place, "--workers=2", f"--data-dir={place / 'data'}") as running:
            running.wait_ready()
            assert command(running, "account", "add", "acme", "--credit-limit=1")[0] == 0
            yield running


def command(demo: DemoProcess, group: str, verb: str, *arguments: str) -> tuple[int, Any]:
    """Exit status, and what it says as JSON."""
    data = f"--data-dir={demo.ready_file.parent / 'data'}"
    done = demo.command(group, verb, data, "--json", *arguments)
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def balance(demo: DemoProcess) -> int:
    return int(command(demo, "account", "show", "acme")[1]["balance_micros"])


def test_a_top_up_waits_for_the_ledger_and_its_reference_is_of_one_order(demo: DemoProcess) -> None:
    status, made = command(demo, "account", "topup", "acme", "5", "--reference=invoice 7", "--note=paid")
    assert (status, made["status"], made["applied"], made["ledger_entry"]) == (0, "committed", True, 1)
    assert made["operator"].startswith("cli:")
    again = command(demo, "account", "topup", "acme", "5", "--reference=invoice 7")
    assert again == (0, {**made, "applied": False})
    for name, amount in (("acme", "6"), ("demo", "5")):
        status, refused = command(demo, "account", "topup", name, amount, "--reference=invoice 7")
        assert (status, refused["code"]) == (1, "reference_reused")
        assert refused["error"].endswith("nothing was changed. Give this one a reference of its own.")
    done = demo.command("account", "topup", "acme", "5", "--reference=invoice 7")
    assert done.stdout.startswith(
        "this reference was applied before; nothing changed: committed, entry 1 of the ledger\n"
    )
    assert balance(demo) == 5_000_000


def test_when_the_instance_does_not_answer_the_reference_is_told_to_ask_again_with(demo: DemoProcess) -> None:
    servers = demo.pids_of("postgres -D")[:1]
    for pid in servers:
        os.kill(pid, signal.SIGSTOP)  # it accepts, and answers nothing
    try:
        status, failed = command(demo, "account", "topup", "acme", "1")
    finally:
        for pid in servers:
            os.kill(pid, signal.SIGCONT)
    assert servers and status == 1
    assert failed["error"].endswith(
        f". Whether it was applied, the same command with --reference {failed['reference']} tells."
    )


def test_while_nobody_writes_it_is_pending_with_status_0_and_the_same_again_tells(demo: DemoProcess) -> None:
    workers = demo.pids_of("smscd.worker")
    before = balance(demo)
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        status, made = command(demo, "account", "topup", "acme", "1", "--reference=late", "--wait=0.2")
        assert (status, made["status"], made["applied"], made["ledger_entry"]) == (0, "pending", True, None)
        status, made = command(demo, "account", "topup", "acme", "1", "--reference=late", "--wait=0")
        assert (status, made["status"], made["applied"]) == (0, "pending", False)
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
    status, made = command(demo, "account", "topup", "acme", "1", "--reference=late")
    assert (status, made["status"], made["applied"]) == (0, "committed", False)
    assert balance(demo) == before + 1_000_000


def test_adjustments_and_corrections_have_a_note_and_stay_above_the_floor_unless_forced(demo: DemoProcess) -> None:
    assert command(demo, "account", "adjust", "acme", "1")[0] == 2
    status, refused = command(demo, "account", "topup", "--", "acme", "-1")
    assert (status, refused["code"]) == (1, "validation_failed")
    owes = str(-(balance(demo) // 1_000_000) - 2)
    status, refused = command(demo, "account", "adjust", "--note=fee", "--reference=fee", "--", "acme", owes)
    assert (status, refused["code"]) == (1, "below_floor")
    status, made = command(demo, "account", "adjust", "--note=fee", "--reference=fee", "--force", "--", "acme", owes)
    assert (status, made["balance_micros"]) == (0, -2_000_000)
    status, refused = command(demo, "account", "correct", "acme", "3", "--of=nothing", "--note=n")
    assert (status, refused["code"]) == (1, "unknown_entry")
    status, made = command(demo, "account", "correct", "acme", "3", "--of=fee", "--note=it was too much")
    assert (status, made["kind"], made["corrects"], made["balance_micros"]) == (0, "correction", "fee", 1_000_000)
    status, found = command(demo, "ledger", "verify")
    assert (status, found["differences"]) == (0, [])


def ask(demo: DemoProcess, path: str, token: str, body: object = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{demo.ready['admin']['url']}/admin/v1/{path}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.loads(refused.read())


def test_operators_are_made_listed_and_revoked_and_use_the_api_of_the_instance(demo: DemoProcess) -> None:
    status, ann = command(demo, "operator", "add", "ann", "--role=admin")
    assert (status, ann["operator"], ann["role"]) == (0, "ann", "admin")
    before = balance(demo)
    status, made = ask(demo, "accounts/acme/topups", ann["token"], {"amount": "2.5", "reference": "by ann"})
    assert (status, made["status"], made["balance_micros"]) == (201, "committed", before + 2_500_000)
    assert ask(demo, "accounts/acme", ann["token"])[1]["balance_micros"] == before + 2_500_000
    assert ask(demo, "accounts/acme", "of nobody")[0] == 401
    for name in ("ann", "Ann"):
        assert command(demo, "operator", "add", name)[0] == (1 if name == "ann" else 2)
    listed = command(demo, "operator", "list")[1]
    assert [(row["operator"], row["role"], row["revoked_at"]) for row in listed] == [("ann", "admin", None)]
    assert ann["token"] not in json.dumps(listed)
    assert command(demo, "operator", "revoke", "ann") == (0, {"operator": "ann", "revoked": True})
    demo.until(lambda: ask(demo, "accounts/acme", ann["token"])[0] == 401)
    status, refused = command(demo, "operator", "revoke", "ann")
    assert (status, refused["error"]) == (
        1, "There is no operator ann, or it is revoked: `smscd operator list` shows all.",
    )  # fmt: skip
