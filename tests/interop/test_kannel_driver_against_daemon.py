"""The daemon bound to Kannel's own SMPP test driver as its upstream, by a transmitter and a receiver.

The driver (drive_smpp of Debian's kannel-extras) is what stands for Kannel as an SMSC: it answers no bind_transceiver,
gives no message_id, sends MOs with a receipted_message_id and an enquire_link after each, and insists on reaching a
smsbox port, which the test keeps open.
"""

import contextlib
import json
import re
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.embedded.process import free_port
from tests.interop.demo_configuration import add_mo_number, change_upstream
from tests.interop.esme_peers import ESMES, run_esme
from tools.children import DemoChild, ending, wait_until

DRIVER = Path("/usr/lib/kannel/test/drive_smpp")
BRING = "apt-get install kannel-extras"
pytestmark = [
    pytest.mark.skipif(not DRIVER.exists(), reason=f"kannel-extras is missing: {BRING}"),
    pytest.mark.timeout(180),
]

SECONDS = 20.0
COUNT = 10
SMSBOX_PORT = 13_001
MO_NUMBER = "123"
SMPPLIB = next(peer for peer in ESMES if peer.name == "smpplib")


class Driver:
    """The driver on a free port; it sends COUNT MOs as soon as a receiver is bound."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self._log = directory / "drive_smpp.log"
        with self._log.open("wb") as log:
            command = [str(DRIVER), "-v", "0", "-p", str(self.port), "-m", str(COUNT)]
            self._process = subprocess.Popen(command, cwd=directory, stdout=log, stderr=log)

    def close(self) -> None:
        self._process.kill()
        self._process.wait(SECONDS)

    def handled(self, pdu_type: str) -> int:
        """How many PDUs of a type it has had."""
        return len(re.findall(rf"Handling SMPP PDU of type {pdu_type}$", self._log.read_text(), re.MULTILINE))

    def texts(self) -> list[str]:
        """The short_message of each submit_sm."""
        return re.findall(r"submit_sm: short_message = <(.*)>", self._log.read_text())


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # another Kannel has it: that will do as well
            stack.enter_context(socket.create_server(("127.0.0.1", SMSBOX_PORT)))
        yield stack.enter_context(contextlib.closing(Driver(tmp_path)))


def test_messages_go_out_and_mos_come_in_over_a_pair_of_binds(driver: Driver, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    demo = DemoChild(tmp_path, "--upstream", f"smpp://interop:secret@127.0.0.1:{free_port()}")
    with ending(demo):
        demo.start()
        add_mo_number(demo, MO_NUMBER)
        change_upstream(demo, port=driver.port, bind_mode="pair", system_type="VMA")
        smpp = demo.ready.smpp
        messages = [("447700900123", f"message {number}") for number in range(COUNT)]
        result = run_esme(
            SMPPLIB, (smpp.host, smpp.port, smpp.system_id, smpp.password), messages, receipts=0, inbound=COUNT
        )
        assert {answer["command_status"] for answer in result["answers"]} == {0}
        assert sorted(result["inbound"], key=int) == [str(number + 1) for number in range(COUNT)]
        assert result["receipts"] == []
        wait_until(lambda: len(driver.texts()) >= COUNT, SECONDS, "the driver has the messages")
        wait_until(lambda: driver.handled("deliver_sm_resp") >= COUNT, SECONDS, "the MOs are acknowledged")
        wait_until(lambda: driver.handled("enquire_link_resp") >= COUNT, SECONDS, "every enquire_link is answered")
        # No id, so no receipt can ever be matched: the messages stay what they are.
        ids = [answer["message_id"] for answer in result["answers"]]
        wait_until(lambda: {status_of(demo, id) for id in ids} == {"sent"}, SECONDS, "the messages are sent")
        assert demo.stop() == 0
    assert sorted(driver.texts()) == sorted(text for _, text in messages)
    assert (driver.handled("bind_transmitter"), driver.handled("bind_receiver")) == (1, 1)
    assert driver.handled("unbind") == 2


def status_of(demo: DemoChild, message_id: str) -> str:
    url = f"{demo.ready.http.url}/v1/messages/{message_id}"
    request = urllib.request.Request(url, headers={"X-Api-Key": demo.ready.http.api_key})
    with urllib.request.urlopen(request, timeout=5) as response:
        return json.load(response)["status"]
