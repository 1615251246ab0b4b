"""`smscd pdu trace` against a running demo: what passes is shown, and nothing that is secret."""

from __future__ import annotations

import json
import subprocess
import threading
import urllib.request
from pathlib import Path

import pytest

from tools.children import SMSCD, DemoChild, ending

TEXT = "canary 4711"
WANTED = {"submit_sm", "submit_sm_resp", "deliver_sm", "deliver_sm_resp"}


@pytest.mark.timeout(120)
def test_the_pdus_of_an_upstream_are_shown_without_texts_and_numbers(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    demo = DemoChild(tmp_path)
    with ending(demo):
        demo.start()
        command = [*SMSCD, "pdu", "trace", "carrier", "--data-dir", str(demo.data), "--json", "--seconds", "20"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as trace:
            assert trace.stdout is not None
            try:
                is_seen = threading.Event()
                sender = threading.Thread(target=send_until, args=(demo, is_seen))
                sender.start()
                shown: list[dict[str, object]] = []
                while not {pdu["command"] for pdu in shown} >= WANTED:
                    line = trace.stdout.readline()
                    assert line, trace.stderr.read() if trace.stderr else ""
                    assert "canary" not in line and "447700900123" not in line
                    shown.append(json.loads(line))
            finally:
                is_seen.set()
                sender.join()
                trace.kill()
        submit = next(pdu for pdu in shown if pdu["command"] == "submit_sm")
        assert (submit["direction"], submit["destination_addr"]) == ("to", "44770*******")
        assert submit["short_message"] == "*" * len(TEXT)
        assert demo.stop() == 0


def send_until(demo: DemoChild, is_seen: threading.Event) -> None:
    """The watch begins a moment after the command does, so there is always another message."""
    while not is_seen.wait(0.2):
        send(demo)


def send(demo: DemoChild) -> None:
    body = json.dumps({"to": "+447700900123", "from": "ACME", "text": TEXT}).encode()
    headers = {"X-Api-Key": demo.ready.http.api_key, "Content-Type": "application/json"}
    request = urllib.request.Request(f"{demo.ready.http.url}/v1/messages", body, headers)
    with urllib.request.urlopen(request, timeout=5) as response:
        assert response.status == 202
