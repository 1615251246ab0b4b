"""`smscd demo` from outside: what it prints, what it leaves, and how it and its parts end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.demo_process import READY_SECONDS, ROOT, DemoProcess, is_gone, until


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory of this module's demos, and a registry that no other demo is in."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        if os.geteuid() == 0:
            path.chmod(0o711)
        yield path


def environment_of(place: Path) -> dict[str, str]:
    runtime = place / "runtime"
    runtime.mkdir(mode=0o700, exist_ok=True)
    return {"XDG_RUNTIME_DIR": str(runtime), "TMPDIR": str(place)}


@pytest.fixture(scope="module")
def demo(place: Path) -> Iterator[DemoProcess]:
    with DemoProcess(place, "--workers=2", environment=environment_of(place)) as running:
        yield running.wait_ready()


def test_the_ready_file_has_the_documented_form(demo: DemoProcess) -> None:
    ready = demo.ready
    assert ready["pid"] == demo.process.pid
    assert set(ready) == {
        "pid", "smpp", "http", "admin", "carrier", "valkey_url", "postgres_dsn", "webhook_secret"
    }  # fmt: skip
    assert set(ready["smpp"]) == {"host", "port", "system_id", "password"}
    assert set(ready["http"]) == {"url", "api_key"}
    assert set(ready["admin"]) == {"url", "token"}
    assert {"host", "port"} <= set(ready["carrier"])
    assert len(ready["smpp"]["password"]) <= 8
    assert ready["webhook_secret"].startswith("whsec_")
    assert demo.ready_file.stat().st_mode & 0o777 == 0o600


def test_each_step_has_a_line_and_what_to_try_next_has_a_curl_line(demo: DemoProcess) -> None:
    for step in ("Valkey", "PostgreSQL", "Schema", "Partitions", "Settings", "Carrier", "Seed", "Workers", "Admin"):
        assert f"ok  {step}" in demo.text
    assert f"curl -s {demo.ready['http']['url']}/v1/messages" in demo.text
    assert demo.ready["http"]["api_key"] in demo.text
    assert demo.ready["smpp"]["password"] in demo.text
    assert "/metrics" in demo.text


def test_metrics_are_those_of_all_processes(demo: DemoProcess) -> None:
    status, text = demo.get("/metrics")
    assert status == 200
    assert demo.metric("smscd_workers") == 2
    assert demo.metric('smscd_process_resident_bytes{process="valkey"}') > 0
    assert demo.metric('smscd_process_cpu_seconds_total{process="worker"}') > 0
    assert "# TYPE sms_sent_total counter" in text


def test_health_says_what_it_checked(demo: DemoProcess) -> None:
    _, text = demo.get("/health/")
    checks = json.loads(text)["checks"]
    assert checks["redis"]["status"] == "pass"
    assert checks["postgres"]["status"] == "pass"
    assert checks["workers"]["expected"] == 2


def test_a_request_that_came_through_a_proxy_needs_the_token(demo: DemoProcess) -> None:
    assert demo.get("/metrics", **{"X-Forwarded-For": "192.0.2.1"})[0] == 401
    token = demo.ready["admin"]["token"]
    headers = {"X-Forwarded-For": "192.0.2.1", "Authorization": f"Bearer {token}"}
    assert demo.get("/metrics", **headers)[0] == 200
    assert demo.get("/metrics", **headers | {"Authorization": "Bearer wrong"})[0] == 401


def test_other_commands_find_the_newest_live_demo(demo: DemoProcess) -> None:
    listed = demo.command("account", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    (account,) = json.loads(listed.stdout)
    assert account["account"] == "demo"
    assert account["balance_micros"] >= 10_000_000 * 10_000 - 1_000_000_000
    status = demo.command("db", "status", "--json")
    assert json.loads(status.stdout)["up_to_date"] is True


def test_an_account_is_added_and_paid_for_once(demo: DemoProcess) -> None:
    added = demo.command("account", "add", "acme", "--balance", "12.5", "--json")
    assert added.returncode == 0, added.stderr
    assert len(json.loads(added.stdout)["password"]) == 8
    for applied in (True, False):
        done = demo.command("account", "topup", "acme", "0.000001", "--reference", "r1", "--json")
        found = json.loads(done.stdout)
        assert (found["applied"], found["status"], found["balance_micros"]) == (applied, "committed", 12_500_001)
    unknown = demo.command("account", "topup", "nobody", "1")
    assert (unknown.returncode, unknown.stderr) == (1, "smscd: There is no account nobody.\n")
    assert demo.command("account", "topup", "acme", "1.0000001").returncode == 2


def test_the_seed_of_a_running_demo_shows_what_its_account_signs_in_with(demo: DemoProcess) -> None:
    shown = json.loads(demo.command("seed", "--json").stdout)
    assert shown["api_key"] == demo.ready["http"]["api_key"]
    assert shown["password"] == demo.ready["smpp"]["password"]


def test_a_message_is_sent_and_its_timeline_shows_the_receipt(demo: DemoProcess) -> None:
    demo.until(lambda: json.loads(demo.get("/health/")[1])["status"] == "healthy", 30.0)
    sent = demo.command("send", "--to", "+447700900123", "--from", "ACME", "--text", "Hello", "--wait", "--json")
    assert sent.returncode == 0, sent.stdout + sent.stderr
    message = json.loads(sent.stdout)
    assert message["status"] == "delivered"
    shown = demo.command("message", "show", message["id"], "--json")
    timeline = json.loads(shown.stdout)["timeline"]
    assert [entry["what"] for entry in timeline][:3] == ["admitted", "sent", "receipt"]
    printed = demo.command("message", "show", message["id"])
    assert printed.returncode == 0
    assert message["id"] in printed.stdout
    assert "receipt" in printed.stdout


def test_a_message_that_is_not_delivered_or_not_taken_is_status_1(demo: DemoProcess) -> None:
    undelivered = demo.command("send", "--to", "+447700900001", "--text", "Hi", "--wait", "--json")
    assert undelivered.returncode == 1
    assert json.loads(undelivered.stdout)["status"] == "undelivered"
    refused = demo.command("send", "--to", "nowhere", "--text", "Hi")
    assert refused.returncode == 1
    assert refused.stderr.startswith("smscd: /to ")
    unknown = demo.command("message", "show", "1")
    assert (unknown.returncode, unknown.stderr) == (1, "smscd: There is no message 1 in the record.\n")


def test_a_killed_worker_is_replaced_within_a_second_or_so(demo: DemoProcess) -> None:
    before = demo.metric("smscd_worker_restarts_total")
    victim = worker_pids(demo)[0]
    os.kill(victim, signal.SIGKILL)
    demo.until(lambda: victim not in worker_pids(demo) and len(worker_pids(demo)) == 2, 5.0)
    demo.until(lambda: demo.metric("smscd_worker_restarts_total") == before + 1)
    demo.until(lambda: demo.metric("smscd_workers") == 2)


def worker_pids(demo: DemoProcess) -> list[int]:
    return demo.pids_of("smscd.worker")


def test_killed_servers_come_back_and_health_recovers(demo: DemoProcess) -> None:
    for mark in ("valkey-server", "bin/postgres"):
        os.kill(demo.pids_of(mark)[0], signal.SIGKILL)
    demo.until(lambda: demo.metric('smscd_server_restarts_total{server="valkey"}') >= 1)
    demo.until(lambda: demo.metric('smscd_server_restarts_total{server="postgres"}') >= 1)

    def answers() -> bool:
        checks = json.loads(demo.get("/health/")[1])["checks"]
        return bool(checks["redis"]["status"] == "pass" and checks["postgres"]["status"] == "pass")

    demo.until(answers)


def test_a_hangup_reads_the_configuration_again_and_ends_nothing(demo: DemoProcess) -> None:
    demo.process.send_signal(signal.SIGHUP)
    assert demo.get("/metrics")[0] == 200
    assert demo.process.poll() is None


def test_the_first_output_comes_within_a_second_and_sigint_ends_everything(place: Path) -> None:
    with DemoProcess(place, environment=environment_of(place)) as demo:
        demo.until(lambda: bool(demo.text), 1.0)
        demo.wait_ready()
        left = demo.descendants()
        entry = place / "runtime" / "smscd" / f"{demo.process.pid}.json"
        data = Path(json.loads(entry.read_text())["data_dir"])
        assert data.is_dir()
        assert len(left) >= 4
        assert demo.stop(signal.SIGINT) == 0
        until(lambda: all(is_gone(pid) for pid in left), 5.0)
        assert not data.exists()
        assert not entry.exists()


def test_a_signal_in_the_middle_of_the_start_ends_it_and_leaves_nothing(place: Path) -> None:
    with DemoProcess(place, environment=environment_of(place)) as demo:
        demo.until(lambda: "Valkey" in demo.text, READY_SECONDS)
        left = demo.descendants()
        assert demo.stop(signal.SIGTERM) == 0
        until(lambda: all(is_gone(pid) for pid in left), 5.0)
        assert not demo.ready_file.exists()


def test_a_killed_demo_leaves_no_process_and_the_next_start_goes_on_with_its_data(place: Path) -> None:
    environment, kept = environment_of(place), f"--data-dir={place / 'kept'}"
    with DemoProcess(place, kept, environment=environment) as demo:
        first, left = demo.wait_ready().ready, demo.descendants()
        demo.process.kill()
        demo.process.wait()
    with DemoProcess(place, kept, environment=environment) as again:
        again.wait_ready()
        assert all(is_gone(pid) for pid in left)
        assert again.ready["smpp"]["password"] == first["smpp"]["password"]
        assert again.ready["http"]["api_key"] == first["http"]["api_key"]
        listed = again.command("account", "list", "--json", kept)
        assert json.loads(listed.stdout)[0]["account"] == "demo"
        with DemoProcess(place / "runtime", kept, environment=environment) as refused:
            assert refused.process.wait(30) == 1
            assert "Another smscd is running on" in refused.text
    assert (place / "kept").is_dir()


def test_a_second_interrupt_does_not_wait_for_the_workers_and_leaves_nothing(place: Path) -> None:
    with DemoProcess(place, "--workers=1", environment=environment_of(place)) as demo:
        left = demo.wait_ready().descendants()
        for pid in demo.pids_of("smscd.worker"):
            os.kill(pid, signal.SIGSTOP)  # one that would never drain
        demo.process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            demo.process.wait(1.5)
        assert demo.stop(signal.SIGINT, 10.0) == 0
        until(lambda: all(is_gone(pid) for pid in left), 5.0)


def test_a_taken_port_is_a_sentence_and_status_1(place: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with DemoProcess(place, f"--http-port={port}", environment=environment_of(place)) as demo:
            assert demo.process.wait(30) == 1
    assert f"Cannot listen on 127.0.0.1:{port}" in demo.text
    assert "--http-port (0 picks a free one)" in demo.text
    assert "Traceback" not in demo.text


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["demo", "--upstream", "http://x"], 2, "smpp://system_id:password@host:port"),
        (["demo", "--smpp-port", "70000"], 2, "70000 is not in the range"),
        (["serve", "-c", "/nonexistent.toml"], 1, "cannot be read"),
        (["nonsense"], 2, "No such command"),
        (["pdu", "decode", "xyz"], 2, "That is neither a file nor hexadecimal"),
        (["pdu", "decode", "00000010000000150000000000000002"], 0, "enquire_link"),
        (["account", "list"], 1, "No running smscd was found"),
    ],
)
def test_exit_statuses_and_sentences(arguments: list[str], status: int, says: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "smscd", *arguments],
        cwd=tmp_path,
        env=dict(os.environ, PYTHONPATH=str(ROOT), **environment_of(tmp_path)),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == status, done.stderr
    assert says in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
