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
        options, environment = ("--workers=2", f"--data-dir={place / 'data'}"), {"SMSCD_TOTALS_EVERY_SECONDS": "0.5"}
        with DemoProcess(place, *options, environment=environment) as running:
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
    return asked(demo, "/v1/messages", body)[0]


def asked(demo: DemoProcess, path: str, body: dict[str, Any]) -> tuple[int, bytes]:
    request = urllib.request.Request(
        demo.ready["http"]["url"] + path,
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "X-Api-Key": demo.ready["http"]["api_key"]},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return int(answer.status), answer.read()


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


def counted(demo: DemoProcess, *options: str) -> Any:
    """The rows of `smscd totals` of all days that the messages may be of, added up now."""
    return as_json(demo, "totals", "--from", "2026-01-01", "--live", *options)["rows"]


def test_totals_statement_and_ledger_are_the_same_money(demo: DemoProcess) -> None:
    statement = as_json(demo, "account", "statement", "demo")["sums"]
    [row] = counted(demo, "--by", "account")
    assert (row["account"], row["currency"], row["messages"]) == ("demo", "EUR", len(SENT))
    assert row["charged_micros"] == -statement["charge"]["micros"] > 0
    assert row["refunded_micros"] == statement["refund"]["micros"] > 0
    assert row["segments"] == len(SENT) + sum(text is LONG for _, text in SENT)
    assert as_json(demo, "ledger", "verify")["differences"] == []
    every = counted(demo)
    for name in ("messages", "segments", "charged_micros", "refunded_micros", "cost_micros", "margin_micros"):
        assert sum(part[name] for part in every) == row[name]
        for dimension in ("day", "country", "upstream"):
            assert sum(part[name] for part in counted(demo, "--by", dimension)) == row[name]


def test_totals_by_country_know_where_each_number_is(demo: DemoProcess) -> None:
    rows = {row["country"]: row for row in counted(demo, "--by", "country")}
    assert {country: row["messages"] for country, row in rows.items()} == {"GB": 9, "JE": 1, "DE": 1, "US": 1, "JM": 1}
    assert rows["GB"]["refunded_micros"] * 9 == rows["GB"]["charged_micros"] * REFUSED, "what the carrier refused"
    assert (rows["JM"]["segments"], rows["US"]["segments"]) == (2, 1)


def test_what_upstreams_ask_is_in_the_totals_and_leaves_the_margin(demo: DemoProcess, tmp_path: Path) -> None:
    before = {row["country"]: row for row in counted(demo, "--by", "country")}
    assert before["GB"]["messages_without_cost"] == before["GB"]["messages"] - REFUSED, "its cost is not known"
    costs = tmp_path / "costs.csv"
    costs.write_text("prefix,price\n33,0.004\n")
    upstream = counted(demo, "--by", "upstream")[0]["upstream"]
    as_json(demo, "price", "import", str(costs), "--upstream", upstream, "--apply")
    prices = tmp_path / "prices.csv"
    prices.write_text("prefix,price\n33,0.0234\n")
    as_json(demo, "price", "import", str(prices), "--plan", "default", "--apply")
    demo.until(lambda: {estimate(demo) for _ in range(10)} == {"0.0468"})
    for number in ("+33612345000", "+33612345010"):
        assert post(demo, {"to": number, "from": "ACME", "text": LONG}) == 202
    demo.until(lambda: fetched(demo, "SELECT count(*) FROM messages WHERE state >= 4") == [(len(SENT) + 2,)], 30)
    [row] = [row for row in counted(demo, "--by", "country") if row["country"] == "FR"]
    assert (row["cost_micros"], row["messages_without_cost"]) == (8_000, 0), "of two, the carrier refused one"
    assert (row["charged_micros"], row["refunded_micros"], row["margin_micros"]) == (93_600, 46_800, 38_800)


def estimate(demo: DemoProcess) -> str:
    """What the worker that answers charges; each knows changed lists a moment after they were changed."""
    answer = asked(demo, "/v1/messages/estimate", {"to": "+33612345000", "from": "ACME", "text": LONG})
    return str(json.loads(answer[1])["price"]["amount"])


def test_totals_are_a_table_for_people_and_csv_for_programs(demo: DemoProcess) -> None:
    shown = command(demo, "totals", "--by", "country", "--from", "2026-01-01").stdout
    table = [line.split() for line in shown.splitlines() if line.strip()]
    assert table[0][:4] == ["country", "messages", "segments", "charged"]
    assert (table[-1][0], table[-1][4]) == ("all", "EUR") and ["DE", "1", "2"] in [line[:3] for line in table]
    done = command(demo, "totals", "--csv", "--from", "2026-01-01", "--by", "account", "--by", "day")
    rows = list(csv.DictReader(StringIO(done.stdout)))
    assert list(rows[0])[:4] == ["day", "account", "messages", "segments"] and rows[0]["account"] == "demo"
    assert counted(demo, "--account", "demo") == counted(demo)
    empty = command(demo, "totals", "--day", "2020-01-01", "--json")
    assert json.loads(empty.stdout)["rows"] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--account", "nobody"), "There is no account nobody"),
        (("--day", "yesterday"), "yesterday is not a day such as 2026-11-01."),
        (("--day", "1999-01-01"), "1999-01-01 is not a day from 2020 to 2099."),
        (("--day", "2026-11-01", "--from", "2026-11-01"), "Give --day, or --from and --until."),
        (("--until", "2026-11-01"), "--until needs --from."),
        (("--from", "2026-11-02", "--until", "2026-11-02"), "--until must be later than --from."),
    ],
)
def test_totals_that_cannot_be_asked_for_are_refused_with_a_sentence(
    demo: DemoProcess, arguments: tuple[str, ...], said: str
) -> None:
    done = command(demo, "totals", *arguments)
    assert done.returncode != 0 and said in done.stderr and not done.stdout


def test_a_stored_day_is_shown_as_it_was_and_live_as_it_is(demo: DemoProcess) -> None:
    day = "2026-10-01"
    fetched(
        demo,
        f"INSERT INTO daily_totals_days VALUES ('{day}', '{day}T00:00:00Z'::timestamptz + interval '1 day 10 minutes')",
    )
    fetched(
        demo, f"INSERT INTO daily_totals VALUES ('{day}', 'demo', 'GB', 'gone', 'EUR', 2, 3, 30000, 10000, 5000, 1)"
    )
    found = as_json(demo, "totals", "--day", day)
    assert [(row["upstream"], row["margin_micros"]) for row in found["rows"]] == [("gone", 15_000)]
    assert found["stored_as_of"] == {day: "2026-10-02T00:10:00Z"} and found["changing"] == [day]
    told = command(demo, "totals", "--day", day)
    assert "1 stored day may still change (2026-10-01 is as of 2026-10-02T00:10:00Z)" in told.stderr
    assert "of 1" in told.stdout
    assert as_json(demo, "totals", "--day", day, "--live") == {"rows": [], "stored_as_of": {}, "changing": []}


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


def test_a_day_that_is_over_is_added_up_in_the_background(demo: DemoProcess) -> None:
    changed = "jsonb_build_object('id', m.id - (345600000::bigint << 22), 'price_micros', 0, 'charge_entry', NULL)"
    fetched(
        demo, f"INSERT INTO messages SELECT (jsonb_populate_record(m, {changed})).* FROM messages m ORDER BY id LIMIT 1"
    )
    demo.until(lambda: bool(fetched(demo, "SELECT FROM daily_totals WHERE upstream <> 'gone'")), 20)
    [(day,)] = fetched(demo, "SELECT day::text FROM daily_totals WHERE upstream <> 'gone'")
    found = as_json(demo, "totals", "--day", day)
    assert found["rows"] == as_json(demo, "totals", "--day", day, "--live")["rows"] and len(found["rows"]) == 1
    assert list(found["stored_as_of"]) == [day]
