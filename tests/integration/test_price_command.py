"""`smscd price` on a running demo: planned, applied, quoted, and charged as it was quoted."""

from __future__ import annotations

import json
import os
import random
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.demo_process import DemoProcess

ROWS = 100_000


@pytest.fixture(scope="module")
def demo() -> Iterator[DemoProcess]:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        if os.geteuid() == 0:
            place.chmod(0o711)
        runtime = place / "runtime"
        runtime.mkdir(mode=0o700)
        environment = {"XDG_RUNTIME_DIR": str(runtime), "TMPDIR": str(place)}
        with DemoProcess(place, "--workers=2", environment=environment) as running:
            yield running.wait_ready()


@pytest.fixture(scope="module")
def upstream(demo: DemoProcess) -> str:
    """The name of the demo's only upstream."""
    return str(quoted(demo, "447700900123")["upstream"])


def command(demo: DemoProcess, *arguments: str) -> Any:
    """Run a command that must do well; what it says as JSON."""
    done = demo.command(*arguments, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def quoted(demo: DemoProcess, number: str, *options: str) -> Any:
    return command(demo, "price", "quote", number, "--account", "demo", *options)


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "list.csv"
    path.write_text(text)
    return str(path)


def post(demo: DemoProcess, path: str, body: dict[str, Any]) -> tuple[int, Any]:
    headers = {"X-Api-Key": demo.ready["http"]["api_key"], "Content-Type": "application/json"}
    request = urllib.request.Request(demo.ready["http"]["url"] + path, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.loads(refused.read())


def estimate(demo: DemoProcess, to: str) -> str:
    status, found = post(demo, "/v1/messages/estimate", {"to": to, "from": "ACME", "text": "x"})
    assert status == 200
    return str(found["price"]["amount"])


def is_known_to_all(demo: DemoProcess, to: str, amount: str) -> bool:
    """Every worker: a connection is whose turn it is."""
    return all(estimate(demo, to) == amount for _ in range(12))


def balance(demo: DemoProcess) -> int:
    return next(found["balance_micros"] for found in command(demo, "account", "list") if found["account"] == "demo")


def test_an_import_is_shown_before_it_is_done(demo: DemoProcess, tmp_path: Path) -> None:
    path = written(tmp_path, "prefix,price\n4499,0.05\n4498,0.000001\n*,0.01\n")
    shown = demo.command("price", "import", path, "--plan", "default")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout == (
        "added     2\n  4499  0.05 EUR\n  4498  0.000001 EUR\nchanged   0\nremoved   0\nunchanged 1\n"
        "Nothing was written: --apply does it.\n"
    )
    assert quoted(demo, "449900900123")["price_micros"] == 10_000
    applied = command(demo, "price", "import", path, "--plan", "default", "--apply")
    assert (applied["applied"], applied["currency"], len(applied["added"])) == (True, "EUR", 2)
    assert quoted(demo, "449900900123")["price_micros"] == 50_000
    demo.until(lambda: is_known_to_all(demo, "449900900123", "0.0500"))
    again = demo.command("price", "import", path, "--plan", "default", "--apply")
    assert again.stdout.endswith("unchanged 3\nEverything is so already.\n")
    changed = written(tmp_path, "prefix,price\n4499,0.06\n*,0.01\n")
    replaced = demo.command("price", "import", changed, "--plan", "default", "--replace", "--apply")
    assert "changed   1\n  4499  0.05 EUR -> 0.06 EUR\nremoved   1\n  4498  0.000001 EUR\n" in replaced.stdout
    assert replaced.stdout.endswith("Applied.\n")


def test_a_file_with_a_wrong_line_changes_nothing(demo: DemoProcess, tmp_path: Path) -> None:
    path = written(tmp_path, "prefix,price\n4497,0.05\nx,0.05\n4496,y\n")
    refused = demo.command("price", "import", path, "--plan", "default", "--apply")
    assert refused.returncode == 1
    assert refused.stderr == (
        "list.csv: line 3 prefix 'x' is not 1 to 15 digits; * is all destinations\n"
        "list.csv: line 4 price 'y' is not a number such as 0.0125\n"
        "smscd: Nothing was changed: 2 errors in list.csv.\n"
    )
    as_json = demo.command("price", "import", path, "--plan", "default", "--apply", "--json")
    assert [error["line"] for error in json.loads(as_json.stdout)["errors"]] == [3, 4]
    assert quoted(demo, "449700900123")["price_micros"] == 10_000


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--plan", "default", "--currency", "USD"),
         "The plan default is in EUR, not in USD: import these into a plan of their own."),
        (("--upstream", "nobody"), "There is no upstream nobody."),
    ],
)  # fmt: skip
def test_a_list_that_is_not_there_or_of_another_currency_is_refused(
    demo: DemoProcess, tmp_path: Path, options: tuple[str, ...], sentence: str
) -> None:
    refused = demo.command("price", "import", written(tmp_path, "prefix,price\n1,1\n"), *options, "--apply")
    assert (refused.returncode, refused.stderr) == (1, f"smscd: {sentence}\n")


def test_a_list_is_a_plans_or_an_upstreams(demo: DemoProcess, tmp_path: Path) -> None:
    path = written(tmp_path, "prefix,price\n1,1\n")
    assert demo.command("price", "import", path).returncode == 2
    assert demo.command("price", "import", path, "--plan", "a", "--upstream", "b").returncode == 2


def test_a_plan_is_made_with_its_currency_when_its_prices_are_applied(demo: DemoProcess, tmp_path: Path) -> None:
    path = written(tmp_path, "prefix,price\n44,1\n")
    for apply in ((), ("--apply",), ()):
        found = command(demo, "price", "import", path, "--plan", "dollars", "--currency", "USD", *apply)
        assert found["currency"] == "USD"
    assert found["unchanged"] == 1
    command(demo, "account", "add", "buyer", "--plan", "dollars", "--currency", "USD", "--any-sender")
    assert command(demo, "price", "quote", "447700900123", "--account", "buyer")["price_micros"] == 1_000_000
    refused = demo.command("account", "add", "buyer", "--any-sender")
    sentence = "buyer has its money in USD, and keeps it in that: make another account for EUR."
    assert (refused.returncode, refused.stderr) == (1, f"smscd: {sentence}\n")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--plan", "none"), "There is no price plan none: `smscd price import FILE --plan none --apply` makes it."),
        (("--currency", "USD"), "The plan default is in EUR: give --currency EUR."),
    ],
)
def test_an_account_has_the_currency_of_its_plan(demo: DemoProcess, options: tuple[str, ...], sentence: str) -> None:
    refused = demo.command("account", "add", "odd", *options)
    assert (refused.returncode, refused.stderr) == (1, f"smscd: {sentence}\n")
    assert "odd" not in demo.command("account", "list").stdout


def test_a_quote_of_what_would_be_refused_says_why(demo: DemoProcess) -> None:
    for arguments, sentence in (
        (("447700900123", "--account", "nobody"), "There is no account nobody."),
        (("12", "--account", "demo"), "to "),
        (("447700900123", "--account", "demo", "--text", "\u2713", "--encoding", "gsm7"), "text the GSM alphabet"),
        (("447700900123", "--account", "demo", "--text", "x" * 9_000), "text The text needs"),
    ):
        refused = demo.command("price", "quote", *arguments)
        assert refused.returncode == 1
        assert refused.stderr.startswith(f"smscd: {sentence}"), refused.stderr
    assert demo.command("price", "quote", "447700900123", "--account", "demo", "--at", "soon").returncode == 2


def test_a_price_begins_at_its_moment_on_every_worker(demo: DemoProcess, tmp_path: Path) -> None:
    begins = datetime.now(UTC) + timedelta(seconds=4)
    day = f"{begins:%Y-%m-%dT%H:%M:%SZ}"
    command(demo, "price", "import", written(tmp_path, "prefix,price\n4495,0.02\n"), "--plan", "default", "--apply")
    later = written(tmp_path, f"prefix,price,valid_from\n4495,0.03,{day}\n")
    planned = command(demo, "price", "import", later, "--plan", "default", "--apply")
    assert planned["changed"][0]["new"]["valid_until"] == day
    demo.until(lambda: is_known_to_all(demo, "449500900123", "0.0200") or datetime.now(UTC) > begins)
    assert quoted(demo, "449500900123", "--at", "2026-01-01")["price_micros"] == 20_000
    assert quoted(demo, "449500900123", "--at", day)["price_micros"] == 30_000
    demo.until(lambda: datetime.now(UTC) > begins)
    assert is_known_to_all(demo, "449500900123", "0.0300")
    assert quoted(demo, "449500900123")["price_micros"] == 30_000


def test_what_is_charged_is_what_was_quoted_and_its_cost_is_recorded(
    demo: DemoProcess, tmp_path: Path, upstream: str
) -> None:
    chance = random.Random(6)
    prices = written(tmp_path, "prefix;price\n447;0,0312\n4477;0,041\n337;0,000001\n")
    command(demo, "price", "import", prices, "--plan", "default", "--apply")
    costs = written(tmp_path, "prefix,price\n44,0.021\n4477,0.000003\n")
    command(demo, "price", "import", costs, "--upstream", upstream, "--apply")
    demo.until(lambda: is_known_to_all(demo, "337700900123", "0.000001"))
    before = balance(demo)
    charged: dict[str, tuple[int, int | None]] = {}
    for _ in range(12):
        to = chance.choice(("447700900123", "447100900123", "337700900123", "491700900123"))
        text = "".join(chance.choices(("a", "\u20ac", "\u2713")[: chance.randint(1, 3)], k=chance.randint(1, 200)))
        quote = quoted(demo, to, "--text", text)
        body = {"to": to, "from": "ACME", "text": text}
        status, estimated = post(demo, "/v1/messages/estimate", body)
        assert status == 200
        status, sent = post(demo, "/v1/messages", body)
        assert status == 202
        assert (estimated["price"], estimated["segments"]) == (sent["price"], sent["segments"])
        assert (quote["segments"], quote["encoding"]) == (sent["segments"], sent["encoding"])
        assert f"{quote['price_micros'] / 1_000_000:.6f}".startswith(sent["price"]["amount"])
        charged[sent["id"]] = quote["price_micros"], quote["cost_micros"]
    assert balance(demo) == before - sum(price for price, _ in charged.values())
    assert {cost is None for _, cost in charged.values()} == {True, False}
    recorded = rows_of(demo, charged)
    assert recorded == charged
    assert "0 differences" in demo.command("ledger", "verify").stdout


def rows_of(demo: DemoProcess, ids: dict[str, Any]) -> dict[str, tuple[int, int | None]]:
    """Price and cost of messages as they are recorded, once they all are."""
    import asyncio

    import asyncpg

    async def read() -> dict[str, tuple[int, int | None]]:
        connection = await asyncpg.connect(demo.ready["postgres_dsn"])
        try:
            found = await connection.fetch(
                "SELECT id, price_micros, cost_micros FROM messages WHERE id = ANY ($1)", [int(name) for name in ids]
            )
        finally:
            await connection.close()
        return {str(row["id"]): (row["price_micros"], row["cost_micros"]) for row in found}

    demo.until(lambda: len(asyncio.run(read())) == len(ids))
    return asyncio.run(read())


def test_a_hundred_thousand_prices_are_imported_in_seconds(demo: DemoProcess, tmp_path: Path) -> None:
    path = written(
        tmp_path, "prefix,price\n" + "".join(f"8{number:06d},0.{number % 997:04d}\n" for number in range(ROWS))
    )
    began = time.monotonic()
    shown = demo.command("price", "import", path, "--plan", "default")
    assert f"added     {ROWS:,}\n" in shown.stdout and "and 99,980 more" in shown.stdout
    applied = demo.command("price", "import", path, "--plan", "default", "--apply")
    assert applied.returncode == 0, applied.stderr
    assert time.monotonic() - began < 30  # about five seconds for both
    demo.until(lambda: is_known_to_all(demo, "8012345123", f"0.{12345 % 997:04d}"), 30)
    assert quoted(demo, "8012345123")["price_micros"] == 12345 % 997 * 100
