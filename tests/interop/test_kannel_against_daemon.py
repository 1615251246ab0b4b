"""Kannel as an ESME of the running daemon: its messages through, its DLRs back, MOs at its service, its reconnects.

Kannel as our upstream would take an SMPP server of its own: opensmppbox. Debian does not package it (kannel brings
bearerbox, smsbox and wapbox; kannel-extras a driver for tests, see test_kannel_driver_against_daemon.py).
"""

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from protocols.smpp.codec import decode
from protocols.smpp.pdu import SubmitSm
from tests.interop.kannel import (
    ACCEPTED,
    DELIVERED,
    REFUSED,
    SECONDS,
    UNDELIVERED,
    Inbound,
    Kannel,
    needs_kannel,
    running_kannel,
)
from tests.interop.wire_tap import Tap, tapped
from tools.children import CarrierChild, DemoChild, ending, wait_until

pytestmark = [needs_kannel, pytest.mark.timeout(180)]


@dataclass(frozen=True, slots=True)
class Rig:
    """Kannel below the daemon, a carrier above it, and a tap between the last two."""

    demo: DemoChild
    carrier: CarrierChild
    above: Tap
    kannel: Kannel

    def texts(self, to: str) -> list[tuple[int, bytes]]:
        """data_coding and short_message of what the carrier got for a number."""
        pdus = [decode(octets) for octets in self.above.pdus(is_dialer=True)]
        return [
            (pdu.data_coding, pdu.short_message)
            for pdu in pdus
            if isinstance(pdu, SubmitSm) and pdu.destination_addr == to.encode()
        ]

    def bound(self) -> int:
        """The sessions that ESMEs have with the daemon."""
        with urllib.request.urlopen(f"{self.demo.ready.admin.url}/metrics", timeout=5) as response:
            lines = response.read().decode().splitlines()
        return sum(int(float(line.split()[-1])) for line in lines if line.startswith("smscd_smpp_sessions{"))


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    directory = tmp_path_factory.mktemp("kannel")
    directory.chmod(0o755)
    carrier = CarrierChild(directory)
    with ending(carrier):
        carrier.start()
        with tapped("127.0.0.1", carrier.port) as above:
            demo = DemoChild(directory, "--upstream", f"smpp://rig:secret@127.0.0.1:{above.port}")
            with ending(demo):
                demo.start()
                with running_kannel(directory, demo.ready.smpp) as kannel:
                    yield Rig(demo, carrier, above, kannel)
                assert demo.stop() == 0


def until_told(kannel: Kannel, name: str, *types: int) -> list[str]:
    """Wait until Kannel has told all there is of a message; the ids and replies that came with it, in order of `types`.

    Kannel's requests overtake each other.
    """
    wait_until(lambda: len(kannel.sink.of(name)) >= len(types), SECONDS, f"Kannel tells of {name}")
    told = {dlr.type: dlr for dlr in kannel.sink.of(name)}
    assert sorted(told) == sorted(types)
    assert len(kannel.sink.of(name)) == len(types)
    return [part for type in types for part in (told[type].id, told[type].reply)]


def test_messages_get_through_and_their_dlrs_come_back(rig: Rig) -> None:
    names = [f"through {number}" for number in range(20)]
    for name in names:
        rig.kannel.send(name, "447700900123", name)
    ids = set()
    for name in names:
        answered, ack, receipted, receipt = until_told(rig.kannel, name, ACCEPTED, DELIVERED)
        assert ack == "ACK/"
        assert answered == receipted
        assert receipt.startswith(f"id:{answered} sub:001 dlvrd:001 ")
        assert receipt.endswith(f" stat:DELIVRD err:000 text:{name}")
        ids.add(answered)
    assert len(ids) == len(names)
    assert sorted(text for _, text in rig.texts("447700900123")) == sorted(name.encode() for name in names)


def test_failures_come_back_as_what_they_are(rig: Rig) -> None:
    rig.kannel.send("undelivered", "447700900001", "nobody there")
    rig.kannel.send("refused upstream", "447700900010", "no such number")
    rig.kannel.send("refused by us", "12", "too short a number")
    assert " stat:UNDELIV err:001 " in until_told(rig.kannel, "undelivered", ACCEPTED, UNDELIVERED)[3]
    assert " stat:UNDELIV err:011 " in until_told(rig.kannel, "refused upstream", ACCEPTED, UNDELIVERED)[3]
    (id, nack) = until_told(rig.kannel, "refused by us", REFUSED)
    assert (id, nack) == ("", "NACK/0x0000000b/Invalid Destination Address")


def test_every_alphabet_and_a_long_text_arrive_as_they_were_written(rig: Rig) -> None:
    long = "A text of more than one segment. " * 8
    rig.kannel.send("gsm", "447700900200", "Grüße € [x]")
    rig.kannel.send("ucs2", "447700900201", "Привет, 😀", coding=2)
    rig.kannel.send("long", "447700900202", long)
    for name in ("gsm", "ucs2", "long"):
        until_told(rig.kannel, name, ACCEPTED, DELIVERED)
    assert rig.texts("447700900200") == [(0, b"Gr\x7e\x1ee \x1b\x65 \x1b<x\x1b>")]
    assert rig.texts("447700900201") == [(8, "Привет, 😀".encode("utf-16-be"))]
    wait_until(lambda: len(rig.texts("447700900202")) == 2, SECONDS, "both segments go out")
    (_, first), (_, second) = sorted(rig.texts("447700900202"))
    assert (first[:6], second[:6]) == (
        b"\x05\x00\x03" + first[3:4] + b"\x02\x01",
        b"\x05\x00\x03" + first[3:4] + b"\x02\x02",
    )
    assert (first[6:] + second[6:]).decode() == long


@pytest.mark.parametrize("text", ["hello from a phone", "привет с телефона 😀"])
def test_mo_reaches_kannels_service(text: str, rig: Rig) -> None:
    body = json.dumps({"from": "447700900999", "to": "12345", "text": text}).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{rig.carrier.control_port}/mo", body, timeout=5) as response:
        assert response.status == 202
    expected = Inbound(source="+447700900999", to="12345", text=text)
    wait_until(lambda: expected in rig.kannel.sink.inbound, SECONDS, "Kannel asks its service")
    assert rig.kannel.sink.inbound.count(expected) == 1


def test_kannel_binds_again_when_the_daemon_comes_back(rig: Rig) -> None:
    assert rig.demo.stop() == 0
    rig.kannel.send("while away", "447700900300", "sent while nobody listened")
    rig.demo.start()
    until_told(rig.kannel, "while away", ACCEPTED, DELIVERED)
    assert rig.texts("447700900300") == [(0, b"sent while nobody listened")]


def test_kannel_leaves_and_its_session_is_gone(rig: Rig) -> None:
    wait_until(lambda: rig.bound() == 1, SECONDS, "Kannel is bound")
    assert rig.kannel.stop() == [0, 0]
    wait_until(lambda: rig.bound() == 0, SECONDS, "its session ends")
