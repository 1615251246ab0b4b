"""`smscd carrier` and `smscd bench` as processes: ready file, control, record, end, and each against the other."""

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.carrier_esme import TestEsme
from tools.record import read_record

WAIT_SECONDS = 15.0


@contextmanager
def carrier_process(directory: Path, *options: str) -> Iterator[dict[str, Any]]:
    """A carrier as a process of its own; yields its ready file. It must end with 0 on SIGTERM."""
    ready_file = directory / "carrier.ready"
    command = [sys.executable, "-m", "tools.carrier", "--port", "0", "--control", "0", "--ready-file", str(ready_file)]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + WAIT_SECONDS
            while not ready_file.exists():
                assert time.monotonic() < deadline and process.poll() is None, "the carrier did not start"
                time.sleep(0.01)
            yield json.loads(ready_file.read_text())
            process.send_signal(signal.SIGTERM)
            assert process.wait(WAIT_SECONDS) == 0
        finally:
            process.kill()


def run_bench(*options: str) -> tuple[int, dict[str, Any]]:
    """Run a generator with --json; returns its exit code and its report."""
    command = [sys.executable, "-m", "tools.bench", *options, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert not done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


def request(url: str, body: object = None) -> tuple[int, Any]:
    """A GET, or a POST of JSON; returns status and decoded body."""
    data = json.dumps(body).encode() if body is not None else None
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data), timeout=5) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_generator_and_carrier_keep_matching_records(tmp_path: Path) -> None:
    with carrier_process(tmp_path, "--record", str(tmp_path / "carrier.record")) as ready:
        target = ["--host", ready["host"], "--port", str(ready["port"])]
        record = ["--record", str(tmp_path / "client.record")]
        code, report = run_bench("smpp", *target, *record, "--count", "500", "--connections", "2", "--window", "20")
        assert code == 0
        assert (report["accepted"], report["receipts"], report["lost"], report["duplicated"]) == (500, 500, 0, 0)
        assert report["response_latency"]["count"] == report["receipt_latency"]["count"] == 500
        _, stats = request(f"http://127.0.0.1:{ready['control_port']}/stats")
        assert stats["answers"] == {"ESME_ROK": 500}
        assert stats["deliveries"]["acknowledged"] == 500
    carrier = list(read_record(tmp_path / "carrier.record"))
    client = list(read_record(tmp_path / "client.record"))
    taken = {line.token: line.id for line in carrier if line.kind == b"submit"}
    assert len(taken) == 500
    assert taken == {line.token: line.id for line in client if line.kind == b"answer"}
    receipts = sorted((line.id, line.status) for line in client if line.kind == b"receipt")
    assert receipts == sorted((line.id, line.status) for line in carrier if line.kind == b"receipt")
    assert {line.token for line in carrier if line.kind == b"ack"} == set(taken)


def test_generator_reports_what_was_refused_and_what_is_missing(tmp_path: Path) -> None:
    with carrier_process(tmp_path, "--rate", "200") as ready:
        target = ["--host", ready["host"], "--port", str(ready["port"])]
        code, report = run_bench("smpp", *target, "--count", "300", "--patience", "1")
        refused = report["refused_by_status"]["0x00000058"]
        assert code == 0
        assert report["accepted"] + refused == 300
        assert refused > 100


def test_paced_generator_keeps_its_rate(tmp_path: Path) -> None:
    with carrier_process(tmp_path) as ready:
        target = ["--host", ready["host"], "--port", str(ready["port"])]
        code, report = run_bench("smpp", *target, "--count", "600", "--rate", "400")
        assert code == 0
        assert 1.2 < report["seconds_to_last_answer"] < 3.0


def test_late_answers_and_receipts_cost_no_connection(tmp_path: Path) -> None:
    with carrier_process(tmp_path, "--latency", "0.004", "--receipt-delay", "0.003") as ready:
        target = ["--host", ready["host"], "--port", str(ready["port"])]
        code, report = run_bench("smpp", *target, "--count", "3000", "--connections", "3", "--rate", "1500")
        assert (code, report["receipts"], report["unanswered"]) == (0, 3000, 0)
        _, stats = request(f"http://127.0.0.1:{ready['control_port']}/stats")
        assert stats["binds"] == 3


def test_generator_ends_with_an_error_when_nobody_listens_or_the_bind_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tools.bench", "smpp", "--host", "127.0.0.1"]
    with carrier_process(tmp_path, "--password", "secret") as ready:
        port = str(ready["port"])
        refused = subprocess.run(
            [*command, "--port", port, "--password", "wrong"], capture_output=True, text=True, timeout=30, check=False
        )
        assert (refused.returncode, "0x0000000e" in refused.stderr) == (1, True)
    nobody = subprocess.run([*command, "--port", port], capture_output=True, text=True, timeout=30, check=False)
    assert nobody.returncode == 1
    assert "Traceback" not in nobody.stderr


async def test_mo_reaches_a_bound_session_and_bad_ones_are_refused(tmp_path: Path) -> None:
    with carrier_process(tmp_path, "--record", str(tmp_path / "carrier.record")) as ready:
        url = f"http://127.0.0.1:{ready['control_port']}/mo"
        mo = {"from": "447700900999", "to": "12345", "text": "mo1 hello"}
        assert request(url, mo)[0] == 409
        esme = await TestEsme().connect(ready["port"])
        assert request(url, mo) == (202, {"system_id": "tester"})
        assert request(url, {**mo, "text": "mo2 ₤"})[0] == 202
        await esme.until(lambda: len(esme.delivered) == 2)
        plain, wide = esme.delivered
        assert (plain.source_addr, plain.destination_addr, plain.short_message) == (
            b"447700900999",
            b"12345",
            b"mo1 hello",
        )
        assert (wide.data_coding, wide.short_message.decode("utf-16-be")) == (8, "mo2 ₤")
        for bad in ({**mo, "text": "x" * 255}, {**mo, "from": ""}, {**mo, "colour": "red"}, {"to": "1"}, [1]):
            assert request(url, bad)[0] == 422
        esme.connection.abort()
        await esme.until(lambda: esme.closed_reason)
    assert [line.token for line in read_record(tmp_path / "carrier.record") if line.kind == b"mo"] == [b"mo1", b"mo2"]


@pytest.mark.parametrize("options", [["--port", "70000"], ["--response-ids", "octal"], ["--latency", "-1"]])
def test_bad_options_are_a_usage_error(options: list[str]) -> None:
    command = [sys.executable, "-m", "tools.carrier", *options]
    assert subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 2


def test_port_that_is_taken_is_said_in_one_line(tmp_path: Path) -> None:
    with carrier_process(tmp_path) as ready:
        command = [sys.executable, "-m", "tools.carrier", "--port", str(ready["port"])]
        second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert second.returncode == 1
        assert second.stderr.startswith("Error: 127.0.0.1:")
        assert "Traceback" not in second.stderr
