"""Stock ESMEs against the simulated carrier: our session layer as an SMSC, seen by software that we did not write."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocols.smpp.constants import CommandStatus
from tests.interop.esme_peers import Peer, esme_parameters, run_esme
from tools.children import CarrierChild, ending

CREDENTIALS = ("interop", "secret")


@pytest.fixture
def carrier(tmp_path: Path) -> Iterator[CarrierChild]:
    """A carrier that takes one set of credentials."""
    child = CarrierChild(tmp_path, "--system-id", CREDENTIALS[0], "--password", CREDENTIALS[1])
    with ending(child):
        child.start()
        yield child
        assert child.stop() == 0


def send_mo(carrier: CarrierChild, text: str) -> None:
    body = json.dumps({"from": "447700900999", "to": "12345", "text": text}).encode()
    url = f"http://127.0.0.1:{carrier.control_port}/mo"
    with urllib.request.urlopen(urllib.request.Request(url, body), timeout=5) as response:
        assert response.status == 202


@pytest.mark.parametrize("peer", esme_parameters())
def test_every_message_is_answered_and_every_receipt_comes_back(peer: Peer, carrier: CarrierChild) -> None:
    messages = [("447700900123", f"m{n} hello") for n in range(50)]
    result = run_esme(peer, ("127.0.0.1", carrier.port, *CREDENTIALS), messages, receipts=50)
    assert {answer["text"]: answer["command_status"] for answer in result["answers"]} == {
        text: 0 for _, text in messages
    }
    ids = sorted(answer["message_id"] for answer in result["answers"])
    assert len(set(ids)) == 50
    assert sorted(receipt["id"] for receipt in result["receipts"]) == ids
    assert {receipt["stat"] for receipt in result["receipts"]} == {"DELIVRD"}


@pytest.mark.parametrize("peer", esme_parameters())
def test_refusals_failures_and_doubled_receipts_are_understood(peer: Peer, carrier: CarrierChild) -> None:
    messages = [
        ("447700900001", "undelivered"),
        ("447700900010", "refused"),
        ("447700900888", "doubled"),
        ("447700900777", "early"),
    ]
    result = run_esme(peer, ("127.0.0.1", carrier.port, *CREDENTIALS), messages, receipts=4)
    answers = {answer["text"]: answer for answer in result["answers"]}
    assert answers["refused"]["command_status"] == CommandStatus.ESME_RINVDSTADR
    assert {text for text, answer in answers.items() if not answer["command_status"]} == {
        "undelivered",
        "doubled",
        "early",
    }
    receipts = sorted((receipt["id"], receipt["stat"]) for receipt in result["receipts"])
    undelivered, doubled, early = (answers[text]["message_id"] for text in ("undelivered", "doubled", "early"))
    assert receipts == sorted(
        [(undelivered, "UNDELIV"), (doubled, "DELIVRD"), (doubled, "DELIVRD"), (early, "DELIVRD")]
    )


@pytest.mark.parametrize("peer", esme_parameters())
def test_mo_is_received(peer: Peer, carrier: CarrierChild) -> None:
    result = run_esme(
        peer,
        ("127.0.0.1", carrier.port, *CREDENTIALS),
        [],
        receipts=0,
        inbound=1,
        on_bound=lambda: send_mo(carrier, "hello from a phone"),
    )
    assert result["inbound"] == ["hello from a phone"]
