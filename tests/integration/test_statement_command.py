"""Statements and totals of a running demo: they add up with each other, with the ledger, and with what was sent."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from smscd.supervision.locate import RUN_FILE
from smscd.supervision.ready import read_run
from tests.integration.demo_process import DemoProcess

LONG = "This text is longer than one segment, so that it is charged twice: " + "x" * 120
# Number and text. By their last digits the carrier delivers, refuses at once, says UNDELIV and REJECTD.
SENT = (
    *(("+447700900000", "Hello") for _ in range(5)),
    *(("+447700900010", "Hello") for _ in range(4)),
    ("+447797000001", "Hello"),
    ("+4915112345000", LONG),
    ("+12125550003", "Hello"),
    ("+18765550000", LONG),
)
REFUSED = 4


@pytest.fixture(scope="module")
def demo() -> Iterator[DemoProcess]:
    """A demo of which every message has ended; `fill` is the reference of a payment."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        with DemoProcess(place, "--workers=2", f"--data-dir={place / 'data'}") as running:
            running.wait_ready()
            for number, text in SENT:
                assert post(running, {"to": number, "from": "ACME", "text": text}) == 202
            assert command(running, "account", "topup", "demo", "12.5", "--reference=fill", "--json").returncode == 0
            running.until(lambda: has_ended(running), 30)
            yield running


def command(demo: DemoProcess, *arguments: str) -> Any:
    return demo.command(*arguments, f"--data-dir={data_dir(demo)}")


def data_dir(demo: DemoProcess) -> Path:
    return demo.ready_file.parent / "data"


def as_json(demo: DemoProcess, *arguments: str) -> Any:
    done = command(demo, *arguments, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def post(demo: DemoProcess, body: dict[str, Any]) -> int:
    request = urllib.request.Request(
        demo.ready["http"]["url"] + "/v1/messages",
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "X-Api-Key": demo.ready["http"]["api_key"]},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return int(answer.status)


def fetched(demo: DemoProcess, query: str) -> list[tuple[Any, ...]]:
    """Rows, or nothing, of a statement that runs as the owner of the database."""
    run = read_run(data_dir(demo) / RUN_FILE)
    assert run is not None

    async def work() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(run.postgres_owner_dsn)
        try:
            return [tuple(row) for row in await connection.fetch(query)]
        finally:
            await connection.close()

    return asyncio.run(work())


def has_ended(demo: DemoProcess) -> bool:
    return fetched(demo, "SELECT count(*) FROM messages WHERE state >= 4") == [(len(SENT),)]


def test_a_statement_is_the_ledger_from_its_opening_to_its_closing_balance(demo: DemoProcess) -> None:
    found = as_json(demo, "account", "statement", "demo")
    entries = fetched(
        demo,
        "SELECT id::text, kind, amount_micros, balance_micros FROM ledger_entries WHERE account = 'demo' ORDER BY seq",
    )
    assert [tuple(e[n] for n in ("id", "kind", "amount_micros", "balance_micros")) for e in found["entries"]] == entries
    assert (found["opening_micros"], found["difference_micros"], found["faults"]) == (0, 0, [])
    balances = {each["account"]: each["balance_micros"] for each in as_json(demo, "account", "list")}
    assert found["closing_micros"] == balances["demo"], "the record is up to date, so it is what Redis has"
    assert -found["sums"]["charge"]["micros"] == fetched(demo, "SELECT sum(price_micros)::bigint FROM messages")[0][0]
    assert found["sums"]["charge"]["messages"] == len(SENT)
    assert found["sums"]["refund"]["messages"] >= REFUSED
    assert as_json(demo, "ledger", "verify")["differences"] == []


def test_a_period_opens_with_what_the_one_before_it_closed_with(demo: DemoProcess) -> None:
    whole = as_json(demo, "account", "statement", "demo")
    cut = whole["entries"][1]["at"][:19] + "Z"
    before = as_json(demo, "account", "statement", "demo", "--until", cut)
    after = as_json(demo, "account", "statement", "demo", "--from", cut)
    assert before["closing_micros"] == after["opening_micros"]
    assert before["entries"] + after["entries"] == whole["entries"] and after["entries"]


def test_people_get_a_table_and_programs_csv(demo: DemoProcess) -> None:
    table = command(demo, "account", "statement", "demo").stdout.splitlines()
    assert "amount EUR" in table[0] and "opening" in table[1]
    assert any(line.endswith("fill") for line in table)
    rows = list(csv.DictReader(StringIO(command(demo, "account", "statement", "demo", "--csv").stdout)))
    assert [row["amount"] for row in rows if row["reference"] == "fill"] == ["12.50"]
    assert {row["row"] for row in rows} == {"opening", "entry", "closing", "sum"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nobody",), "There is no account nobody: `smscd account list` shows all."),
        (("demo", "--from", "yesterday"), "yesterday is not a time such as 2026-11-01"),
        (("demo", "--from", "2026-11-02", "--until", "2026-11-02"), "--until must be later than --from."),
    ],
)
def test_what_cannot_be_shown_is_refused_with_a_sentence(
    demo: DemoProcess, arguments: tuple[str, ...], said: str
) -> None:
    done = command(demo, "account", "statement", *arguments)
    assert done.returncode != 0 and said in done.stderr and not done.stdout


def test_a_reader_that_goes_away_is_no_error(demo: DemoProcess) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as out:
        arguments = ["account", "statement", "demo", f"--data-dir={data_dir(demo)}"]
        done = subprocess.run(
            [sys.executable, "-m", "smscd", *arguments],
            env=demo.environment, stdout=out, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_a_ledger_that_was_altered_is_said_not_to_add_up(demo: DemoProcess) -> None:
    alter = "UPDATE ledger_entries SET amount_micros = amount_micros {} 1 WHERE account = 'demo' AND kind = 'topup'"
    fetched(demo, alter.format("+"))
    try:
        for form in ((), ("--csv",), ("--json",)):
            done = command(demo, "account", "statement", "demo", *form)
            assert done.returncode == 1 and "0.000002 more than the closing balance" in done.stderr
    finally:
        fetched(demo, alter.format("-"))
    assert command(demo, "account", "statement", "demo").returncode == 0
