"""Kannel as an ESME of the running daemon: its messages through, its DLRs back, MOs at its service, its reconnects.

Kannel as our upstream would take an SMPP server of its own: opensmppbox. Debian does not package it (kannel brings
bearerbox, smsbox and wapbox; kannel-extras a driver for tests, see test_kannel_driver_against_daemon.py).
"""

import json
import re
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from protocols.smpp.codec import decode
from protocols.smpp.pdu import SubmitSm
from storage.embedded.process import free_port
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
    """Kannel below the daemon, a carrier above it, and a tap between the last two. door: our own sendsms."""

    demo: DemoChild
    carrier: CarrierChild
    above: Tap
    kannel: Kannel
    door: int

    def texts(self, to: str) -> list[tuple[int, bytes]]:
        """data_coding and short_message of what the carrier got for a number."""
        pdus = [decode(octets) for octets in self.above.pdus(is_dialer=True)]
        return [
            (pdu.data_coding, pdu.short_message)
            for pdu in pdus
            if isinstance(pdu, SubmitSm) and pdu.destination_addr == to.encode()
        ]

    def is_carrier_up(self) -> bool:
        """True when the daemon's workers have said that they are bound above."""
        with urllib.request.urlopen(f"{self.demo.ready.admin.url}/health/", timeout=5) as response:
            up: int = json.load(response)["checks"]["upstreams"]["up"]
        return up == 1

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
            door = free_port()
            demo.environment = {"SMSCD_KANNEL_HOST": "127.0.0.1", "SMSCD_KANNEL_PORT": str(door)}
            with ending(demo):
                demo.start()
                with running_kannel(directory, demo.ready.smpp) as kannel:
                    yield Rig(demo, carrier, above, kannel, door)
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


MESSAGE = "from=ACME&to=447700900400&text=hello"
BAD = "dlr-url=notaurl&dlr-mask=1"


@pytest.mark.parametrize(
    "query",
    [
        "", "username=%u", "username=%u&password=wrong&" + MESSAGE, "user=%u&pass=%p&" + MESSAGE,
        *(
            "username=%u&password=%p&" + query
            for query in (
                MESSAGE, "from=ACME&text=x", "from=ACME&to=&text=x", "to=447700900400&text=x&from=",
                "from=ACME&to=447700900400",
                MESSAGE + "&coding=3", MESSAGE + "&udh=zz", MESSAGE + "&mclass=7", MESSAGE + "&mwi=9",
                MESSAGE + "&dlr-mask=99", MESSAGE + "&validity=-5", MESSAGE + "&deferred=-5", MESSAGE + "&priority=9",
                MESSAGE + "&charset=klingon", f"{MESSAGE}&{BAD}", MESSAGE + "&dlr-mask=31", MESSAGE + "&charset=latin1",
                "from=ACME&to=447700900400+447700900401&text=two",
            )
        ),
    ],
)  # fmt: skip
def test_our_sendsms_answers_as_kannels_does(query: str, rig: Rig) -> None:
    """The same query to Kannel's smsbox and to our door, each with its own user."""
    wait_until(rig.is_carrier_up, SECONDS, "the daemon says that its carrier is up")
    smpp = rig.demo.ready.smpp
    theirs = rig.kannel.ask(query.replace("%u", "interop").replace("%p", "interop"))
    ours = rig.kannel.ask(query.replace("%u", smpp.system_id).replace("%p", smpp.password), rig.door)
    assert ours == theirs


def test_our_dlr_url_is_filled_in_as_kannels_is(rig: Rig) -> None:
    """The same message through both; what may differ is whose ids and time it has, and the carrier's words in time."""
    smpp = rig.demo.ready.smpp
    escapes = "d=%d&A=%A&F=%F&p=%p&P=%P&q=%q&Q=%Q&t=%t&T=%T&I=%I&a=%a&b=%b&c=%c&m=%m&M=%M&u=%u&C=%C&x=%x"
    for name, user, password, port in (
        ("theirs", "interop", "interop", 0),
        ("ours", smpp.system_id, smpp.password, rig.door),
    ):
        url = urllib.parse.quote(f"http://127.0.0.1:{rig.kannel.sink.port}/{name}?{escapes}", safe="")
        asked = f"username={user}&password={password}&from=ACME&to=%2B447700900500&text=hello&dlr-mask=31&dlr-url={url}"
        assert rig.kannel.ask(asked, port)[0] == 202
    told = rig.kannel.sink.told
    wait_until(lambda: len(told) >= 4, SECONDS, "both tell of acceptance and delivery")

    def of(path: str, kind: str) -> dict[str, str]:
        [fields] = [fields for at, fields in told if at == path and fields["d"] == kind]
        return {
            name: re.sub(r"id:\S+|date:\d+", "", value)
            for name, value in fields.items()
            if name not in ("F", "I", "t", "T")
        }

    for kind in ("8", "1"):
        assert of("/ours", kind) == of("/theirs", kind)
    [taken, delivered] = [fields for at, fields in told if at == "/ours"]
    assert taken["I"] == delivered["I"] and taken["F"] == delivered["F"] != ""
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", delivered["t"])


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
