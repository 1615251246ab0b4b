"""Stock ESMEs against the running daemon and its simulated carrier: a message through, its receipt back, an MO."""

import json
import urllib.request
from collections.abc import Iterator

import pytest

from tests.interop.esme_peers import Peer, esme_parameters, run_esme
from tools.children import DemoChild, ending

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoChild]:
    """A demo with its own carrier."""
    directory = tmp_path_factory.mktemp("demo")
    directory.chmod(0o755)
    child = DemoChild(directory)
    with ending(child):
        child.start()
        yield child
        assert child.stop() == 0


def target(demo: DemoChild) -> tuple[str, int, str, str]:
    smpp = demo.ready.smpp
    return smpp.host, smpp.port, smpp.system_id, smpp.password


def timeline(demo: DemoChild, message_id: str) -> dict[str, object]:
    url = f"{demo.ready.http.url}/v1/messages/{message_id}"
    request = urllib.request.Request(url, headers={"X-Api-Key": demo.ready.http.api_key})
    with urllib.request.urlopen(request, timeout=5) as response:
        message: dict[str, object] = json.load(response)
        return message


@pytest.mark.parametrize("peer", esme_parameters())
def test_messages_get_through_and_their_receipts_come_back(peer: Peer, demo: DemoChild) -> None:
    messages = [("447700900123", f"{peer.name} {n}") for n in range(20)]
    result = run_esme(peer, target(demo), messages, receipts=20)
    assert {answer["text"] for answer in result["answers"]} == {text for _, text in messages}
    assert {answer["command_status"] for answer in result["answers"]} == {0}
    ids = sorted(answer["message_id"] for answer in result["answers"])
    assert sorted(receipt["id"] for receipt in result["receipts"]) == ids
    assert {receipt["stat"] for receipt in result["receipts"]} == {"DELIVRD"}
    assert timeline(demo, ids[0])["status"] == "delivered"


@pytest.mark.parametrize("peer", esme_parameters())
def test_failures_come_back_as_what_they_are(peer: Peer, demo: DemoChild) -> None:
    messages = [("447700900001", "undelivered"), ("447700900010", "refused upstream")]
    result = run_esme(peer, target(demo), messages, receipts=2)
    ids = {answer["text"]: answer["message_id"] for answer in result["answers"]}
    stats = {receipt["id"]: receipt["stat"] for receipt in result["receipts"]}
    assert stats[ids["undelivered"]] == "UNDELIV"
    assert stats[ids["refused upstream"]] in ("REJECTD", "UNDELIV")


@pytest.mark.parametrize("peer", esme_parameters())
def test_mo_from_the_carrier_reaches_the_bound_peer(peer: Peer, demo: DemoChild) -> None:
    carrier = demo.ready.carrier
    assert carrier is not None
    body = json.dumps({"from": "447700900999", "to": "12345", "text": f"hello {peer.name}"}).encode()
    url = f"http://{carrier.host}:{carrier.control_port}/mo"

    def send_mo() -> None:
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=5) as response:
            assert response.status == 202

    result = run_esme(peer, target(demo), [], receipts=0, inbound=1, on_bound=send_mo)
    assert result["inbound"] == [f"hello {peer.name}"]
