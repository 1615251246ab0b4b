"""`smscd pdu trace` against a running demo: what passes is shown, and nothing that is secret."""

from __future__ import annotations

import json
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator, Set

import pytest

from protocols.smpp.pdu import BindTransceiver, DeliverSm, DeliverSmResp, SubmitSm, SubmitSmResp
from tests.integration.raw_esme import RawEsme, bound
from tools.children import SMSCD, DemoChild, ending

TEXT = "canary 4711"
WANTED = {"submit_sm", "submit_sm_resp", "deliver_sm", "deliver_sm_resp"}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoChild]:
    directory = tmp_path_factory.mktemp("trace")
    directory.chmod(0o755)
    child = DemoChild(directory)
    with ending(child):
        child.start()
        yield child
        assert child.stop() == 0


def traced(
    demo: DemoChild, session: str, send: Callable[[], None], wanted: Set[str] = WANTED
) -> dict[object, dict[str, object]]:
    """By command the first PDU of a trace that has shown every command that is wanted. send: makes the traffic."""
    command = [*SMSCD, "pdu", "trace", session, "--data-dir", str(demo.data), "--json", "--seconds", "20"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as trace:
        assert trace.stdout is not None
        try:
            is_seen = threading.Event()
            sender = threading.Thread(target=send_until, args=(send, is_seen))
            sender.start()
            shown: list[dict[str, object]] = []
            while not {pdu["command"] for pdu in shown} >= wanted:
                line = trace.stdout.readline()
                assert line, trace.stderr.read() if trace.stderr else ""
                assert "canary" not in line and "447700900123" not in line
                shown.append(json.loads(line))
        finally:
            is_seen.set()
            sender.join()
            trace.kill()
    return {pdu["command"]: pdu for pdu in reversed(shown)}


@pytest.mark.timeout(120)
def test_the_pdus_of_an_upstream_are_shown_without_texts_and_numbers(demo: DemoChild) -> None:
    submit = traced(demo, "carrier", lambda: send_over_http(demo))["submit_sm"]
    assert (submit["direction"], submit["destination_addr"]) == ("to", "44770*******")
    assert submit["short_message"] == "*" * len(TEXT)


@pytest.mark.timeout(120)
def test_a_session_is_shown_by_the_id_that_it_is_listed_with(demo: DemoChild) -> None:
    done = subprocess.run(
        [*SMSCD, "session", "list", "--side", "upstream", "--json", "--data-dir", str(demo.data)],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    [session] = json.loads(done.stdout)["sessions"]
    assert traced(demo, session["id"], lambda: send_over_http(demo))["submit_sm"]["session"] == session["address"]


@pytest.mark.timeout(120)
def test_the_pdus_of_an_esme_are_shown_by_its_system_id(demo: DemoChild) -> None:
    submit_sm = SubmitSm(
        source_addr_ton=5, source_addr=b"ACME", dest_addr_ton=1, dest_addr_npi=1, destination_addr=b"447700900123",
        registered_delivery=1, short_message=TEXT.encode(),
    )  # fmt: skip
    with bound(demo) as esme:

        def send() -> None:
            assert isinstance(esme.ask(submit_sm), SubmitSmResp)
            receipt = esme.read()
            assert isinstance(receipt, DeliverSm)
            esme.write(DeliverSmResp(sequence_number=receipt.sequence_number))

        submit = traced(demo, demo.ready.smpp.system_id, send)["submit_sm"]
    assert (submit["direction"], submit["destination_addr"]) == ("from", "44770*******")
    assert submit["short_message"] == "*" * len(TEXT)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("session", ["127.0.0.1", "nobody"])
def test_an_esme_that_is_refused_and_hangs_up_is_shown(demo: DemoChild, session: str) -> None:
    def knock() -> None:
        with RawEsme(demo) as esme:
            esme.ask(BindTransceiver(system_id=b"nobody", password=b"canary"))

    refused = traced(demo, session, knock, {"bind_transceiver", "bind_transceiver_resp"})
    assert refused["bind_transceiver"]["system_id"] == "nobody"
    assert refused["bind_transceiver_resp"]["command_status"] == "ESME_RINVPASWD (0x0000000e)"


def send_until(send: Callable[[], None], is_seen: threading.Event) -> None:
    """The watch begins a moment after the command does, so there is always another message."""
    while not is_seen.wait(0.2):
        send()


def send_over_http(demo: DemoChild) -> None:
    body = json.dumps({"to": "+447700900123", "from": "ACME", "text": TEXT}).encode()
    headers = {"X-Api-Key": demo.ready.http.api_key, "Content-Type": "application/json"}
    request = urllib.request.Request(f"{demo.ready.http.url}/v1/messages", body, headers)
    with urllib.request.urlopen(request, timeout=5) as response:
        assert response.status == 202
