"""`smscd route` and `smscd account tags` on a running demo: what is explained is what is sent by."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smscd.supervision.seed import SIMULATED_UPSTREAM
from tests.integration.demo_process import DemoProcess

NUMBER = "+447700900123"


@pytest.fixture(scope="module")
def demo() -> Iterator[DemoProcess]:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        if os.geteuid() == 0:
            place.chmod(0o711)
        runtime = place / "runtime"
        runtime.mkdir(mode=0o700)
        environment = {"XDG_RUNTIME_DIR": str(runtime), "TMPDIR": str(place)}
        with DemoProcess(place, "--workers=1", environment=environment) as running:
            yield running.wait_ready()


def command(demo: DemoProcess, *arguments: str) -> Any:
    done = demo.command(*arguments, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_a_route_is_made_changed_explained_and_removed(demo: DemoProcess) -> None:
    upstream = SIMULATED_UPSTREAM
    command(demo, "route", "add", "*/44/vips", "--upstream", upstream, "--tag", "vip", "--source", "ACME*")
    again = demo.command("route", "add", "*/44/vips", "--upstream", upstream)
    assert again.returncode == 1 and "`smscd route set` changes it" in again.stderr
    missing = demo.command("route", "add", "*/45", "--upstream", "nobody")
    assert missing.returncode == 1 and "there is no upstream nobody" in missing.stderr
    explain = ("route", "explain", NUMBER, "--account", "demo", "--from", "ACME Bank")
    found = command(demo, *explain)
    assert (found["route"], found["upstream"], found["price_micros"]) == ("*/*", upstream, 10_000)
    assert found["routes_passed"] == {"*/44/vips": "the account does not have its tags"}
    assert command(demo, "account", "tags", "demo", "--add", "vip")["tags"] == ["vip"]
    found = command(demo, *explain)
    assert (found["route"], found["routes_passed"]) == ("*/44/vips", {"*/*": "a rule that comes before it fits"})
    changed = command(demo, "route", "set", "*/44/vips", "--in-doubt", "hold")
    assert (changed["in_doubt"], changed["source"]) == ("hold", "ACME*")
    assert command(demo, "route", "show", "*/44/vips") == changed
    windowed = command(demo, "route", "set", "*/44/vips", "--zone", "UTC", "--day", "mon", "--day", "tue")
    assert (windowed["days"], windowed["tags"]) == (["mon", "tue"], ["vip"])
    emptied = command(demo, "route", "set", "*/44/vips", "--tag", "", "--day", "", "--source", "")
    assert emptied == changed | {"tags": [], "source": "", "zone": "UTC"}
    none = demo.command("route", "set", "*/44/vips", "--upstream", "")
    assert none.returncode == 2 and "a route needs upstreams" in none.stderr
    command(demo, "route", "remove", "*/44/vips")
    gone = demo.command("route", "remove", "*/44/vips")
    assert gone.returncode == 1 and "There is no route" in gone.stderr


def test_an_import_is_shown_before_it_is_done(demo: DemoProcess, tmp_path: Path) -> None:
    path = tmp_path / "routes.csv"
    path.write_text(f"prefix,upstreams,choice\n*,{SIMULATED_UPSTREAM},\n49,{SIMULATED_UPSTREAM},least_cost\n")
    shown = demo.command("route", "import", str(path))
    assert shown.returncode == 0 and shown.stdout.endswith("unchanged 1\nNothing was written: --apply does it.\n")
    assert len(command(demo, "route", "import", str(path), "--apply")["added"]) == 1
    assert [found["prefix"] for found in command(demo, "route", "list")] == ["", "49"]
    path.write_text("prefix,upstreams\n4x,one\n")
    refused = demo.command("route", "import", str(path), "--apply")
    assert refused.returncode == 1 and "line 2 prefix '4x' is not 1 to 15 digits" in refused.stderr


def test_what_is_not_halted_is_said_so(demo: DemoProcess) -> None:
    assert demo.command("halted").stdout == "nothing is paused or drained\n"
