"""`smscd upstream` and `smscd apply` on a running demo: traffic goes on, and nothing of it is lost or in doubt."""

from __future__ import annotations

import json
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.demo_process import DemoProcess
from tests.integration.test_carrier_command import carrier_process

BOUND = 'smscd_upstream_binds{upstream="carrier"}'
WINDOW = 'smscd_upstream_window_segments{upstream="carrier"}'


@pytest.fixture(scope="module")
def demo() -> Iterator[DemoProcess]:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o711)
        with DemoProcess(place, "--workers=2", f"--data-dir={place / 'data'}") as running:
            running.wait_ready()
            yield running


def command(demo: DemoProcess, *arguments: str) -> tuple[int, Any]:
    """Exit status, and what it says as JSON."""
    done = demo.command(*arguments, f"--data-dir={demo.ready_file.parent / 'data'}", "--json")
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def results(demo: DemoProcess, outcome: str) -> float:
    return demo.metric(f'smscd_upstream_results_total{{outcome="{outcome}",upstream="carrier"}}')


class Traffic:
    """Messages over HTTP, one after the other, for as long as it is on."""

    def __init__(self, demo: DemoProcess) -> None:
        self._demo = demo
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.sent = 0

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10)

    def _run(self) -> None:
        body = json.dumps({"to": "+447700900123", "from": "ACME", "text": "hello"}).encode()
        headers = {"X-Api-Key": self._demo.ready["http"]["api_key"], "Content-Type": "application/json"}
        url = self._demo.ready["http"]["url"] + "/v1/messages"
        while not self._over.wait(0.005):
            try:
                with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=10) as answer:
                    self.sent += answer.status == 202
            except urllib.error.HTTPError as refused:
                with refused:
                    assert refused.code == 503, "no upstream is enabled"


def test_a_running_upstream_follows_each_change_and_no_message_is_lost(demo: DemoProcess, tmp_path: Path) -> None:
    with carrier_process(tmp_path, "--system-id=them", "--password=hunter3") as other:
        with Traffic(demo) as traffic:
            demo.until(lambda: results(demo, "accepted") > 10)
            status, made = command(demo, "upstream", "set", "carrier", "--window=7", "--rate=900", "--binds=3")
            assert (status, made["changed"]["binds"]) == (0, {"before": 1, "after": 3})
            demo.until(lambda: demo.metric(BOUND) == 3 and demo.metric(WINDOW) == 21)
            move = ("--port", str(other["port"]), "--system-id=them", "--password=hunter3", "--binds=2")
            status, made = command(demo, "upstream", "set", "carrier", *move)
            assert (status, made["changed"]["password"]) == (0, {"before": "(secret)", "after": "(another)"})
            stats = f"http://127.0.0.1:{other['control_port']}/stats"

            def sessions_there() -> int:
                with urllib.request.urlopen(stats, timeout=5) as answer:
                    return int(json.load(answer)["sessions"])

            demo.until(lambda: demo.metric(BOUND) == 2 and sessions_there() == 2)
            before = results(demo, "accepted")
            demo.until(lambda: results(demo, "accepted") > before + 10)
            assert command(demo, "upstream", "disable", "carrier")[1]["is_enabled"] is False
            demo.until(lambda: demo.metric(BOUND) == 0)
            assert command(demo, "upstream", "enable", "carrier")[0] == 0
            demo.until(lambda: demo.metric(BOUND) == 2)
        demo.until(lambda: results(demo, "accepted") == traffic.sent, 20)
        assert results(demo, "doubted") == results(demo, "resent") == results(demo, "failed") == 0
        assert results(demo, "retried") == 0


def test_upstreams_are_shown_tested_and_removed_and_passwords_never_printed(demo: DemoProcess, tmp_path: Path) -> None:
    with carrier_process(tmp_path, "--password=hunter4", "--response-ids=hex", "--no-receipt-tlvs") as carrier:
        fields = (
            "--host=127.0.0.1",
            f"--port={carrier['port']}",
            "--system-id=us",
            "--password=hunter4",
            "--no-enabled",
        )
        status, made = command(demo, "upstream", "add", "south", *fields, "--status-delays=0x14=60")
        assert (status, made["status_delays"], made["has_password"]) == (0, {"ESME_RMSGQFUL": 60.0}, True)
        shown = demo.command("upstream", "show", "south", f"--data-dir={demo.ready_file.parent / 'data'}").stdout
        assert "status_delays" in shown and "ESME_RMSGQFUL=60.0" in shown and "hunter4" not in f"{shown}{made}"
        assert [row["name"] for row in command(demo, "upstream", "list")[1]] == ["carrier", "south"]
        status, found = command(demo, "upstream", "test", "south", "--to=+447700900123", "--from=ACME", "--wait=10")
        assert (status, found["good"], found["facts"]["stat"]) == (0, True, "DELIVRD, err 000")
        assert set(found["suggestion"]) <= {"receipt_id"}
    status, refused = command(demo, "upstream", "test", "south", "--to=+447700900123")
    assert (status, refused["good"], refused["facts"]) == (1, False, {}), "the carrier is gone"
    status, refused = command(demo, "upstream", "set", "south", "--retry-max=1")
    assert (status, refused["code"]) == (1, "validation_failed")
    status, refused = command(demo, "upstream", "remove", "carrier")
    assert (status, refused["code"]) == (1, "upstream_has_routes")
    assert command(demo, "upstream", "remove", "south") == (0, {"name": "south", "removed": True, "told": True})


def test_a_file_is_applied_after_a_look_at_its_plan(demo: DemoProcess, tmp_path: Path) -> None:
    file = tmp_path / "smscd.toml"
    file.write_text("[accounts.bulk]\nrate_per_second = 5\n[[routes]]\nprefix = '99'\nupstreams = ['carrier']\n")
    place = f"--data-dir={demo.ready_file.parent / 'data'}"
    done = demo.command("apply", str(file), place, "--dry-run")
    plan = "+ account bulk\n    rate_per_second: 5.0\n+ route */99\n    upstreams: carrier\n"
    assert (done.returncode, done.stdout) == (0, plan)
    assert demo.command("apply", str(file), place).returncode == 1, "nobody has said yes"
    status, applied = command(demo, "apply", str(file), "--yes")
    assert (status, applied["applied"], applied["told"]) == (0, True, True)
    assert demo.command("apply", str(file), place).stdout == "nothing to do\n"
    file.write_text("[prices]")
    status, refused = command(demo, "apply", str(file))
    assert (status, refused["code"]) == (1, "declaration_invalid")
