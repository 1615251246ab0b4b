"""What the daemon writes on the wire, as SMSC and as ESME, read by tshark: recognised, whole, and as it was meant."""

import contextlib
import json
import os
import select
import signal
import socket
import struct
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import smpplib.client

from protocols.smpp.codec import decode
from protocols.smpp.constants import CommandId, CommandStatus, MessageState
from protocols.smpp.fields import format_of
from tests.interop.capture import NOT_RECOGNISED, Dissected, dissect, needs_tshark, tshark_name
from tests.interop.demo_configuration import change_upstream
from tests.interop.wire_tap import Tap, tapped
from tools.children import CarrierChild, DemoChild, ending, wait_until

pytestmark = [needs_tshark, pytest.mark.timeout(180)]

SECONDS = 20.0
UPSTREAM = ("gateway", "wire2say")
GSM = b"Gr\x7e\x1ee \x1b\x65"
"""Grüße € in GSM 03.38."""
UCS2 = "Привет, 😀"
LONG = "The quick brown fox jumps over the lazy dog [1], then again {2}. " * 4
LONG_UCS2 = "Широкая электрификация южных губерний даст мощный толчок. " * 2
PAYLOAD = b"A text in message_payload, too long for short_message. " * 6
MOS = ("hello from a phone", "привет с телефона")
UDH_PARTS = (b"\x05\x00\x03\x5a\x02\x01first half, ", b"\x05\x00\x03\x5a\x02\x02second half")
NUMBER, UNDELIVERED, REFUSED = "447700900123", "447700900001", "447700900010"
UNKNOWN_COMMAND = 0x00000077
VALIDITY, VALIDITY_SECONDS = "000000020000000R", 7_200


class Esme:
    """smpplib on a transceiver: what it sent by what it was called, and what came back."""

    def __init__(self, port: int, system_id: str, password: str) -> None:
        self.sent: dict[int, str] = {}
        self.answers: dict[str, tuple[int, str]] = {}
        self.delivered = 0
        self.enquired = 0
        self.client = smpplib.client.Client("127.0.0.1", port, allow_unknown_opt_params=True)
        self.client.set_message_sent_handler(self._answered)
        self.client.set_message_received_handler(self._delivered)
        self.client.set_error_pdu_handler(lambda pdu: None)  # an error response reaches the sent handler as well
        self.client.connect()
        self.client.bind_transceiver(system_id=system_id, password=password, system_type="tshark")

    def close(self) -> None:
        self.client.disconnect()

    def _answered(self, pdu: Any) -> None:
        self.answers[self.sent[pdu.sequence]] = (pdu.status, (pdu.message_id or b"").decode())

    def _delivered(self, pdu: Any) -> None:
        self.delivered += 1

    def submit(self, name: str, to: str, text: bytes, **fields: object) -> None:
        pdu = self.client.send_message(
            source_addr_ton=5, source_addr_npi=0, source_addr="TSHARK",
            dest_addr_ton=1, dest_addr_npi=1, destination_addr=to,
            short_message=text, registered_delivery=1, **fields,
        )  # fmt: skip
        self.sent[pdu.sequence] = name

    def read_until(self, condition: Callable[[], bool], what: str) -> None:
        def reads() -> bool:
            if select.select([self.client._socket], [], [], 0.05)[0]:
                self.client.read_once(auto_send_enquire_link=False)
            return condition()

        wait_until(reads, SECONDS, what)


@dataclass(slots=True)
class Recorded:
    """All that was said: below between ESMEs and the daemon, above between the daemon and its carrier."""

    answers: dict[str, tuple[int, str]]
    below: list[Dissected] = field(default_factory=list)
    above: list[Dissected] = field(default_factory=list)

    @property
    def ours(self) -> list[Dissected]:
        """What the daemon wrote."""
        return [pdu for pdu in self.below if not pdu.is_dialer] + [pdu for pdu in self.above if pdu.is_dialer]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    """One conversation of each kind, with a daemon from its start to its end."""
    directory = tmp_path_factory.mktemp("wire")
    directory.chmod(0o755)
    carrier = CarrierChild(directory)
    with contextlib.ExitStack() as stack:
        stack.enter_context(ending(carrier))
        carrier.start()
        above = stack.enter_context(tapped("127.0.0.1", carrier.port))
        demo = DemoChild(
            directory, "--workers", "1", "--upstream", f"smpp://{':'.join(UPSTREAM)}@127.0.0.1:{above.port}"
        )
        demo.environment["SMSCD_SMPP_ENQUIRE_LINK_SECONDS"] = "0.5"
        stack.enter_context(ending(demo))
        demo.start()
        below = stack.enter_context(tapped("127.0.0.1", demo.ready.smpp.port))
        recorded = Recorded(converse(demo, carrier, below, above))
        below.close()
        above.close()
        recorded.below = dissect(directory / "below.pcap", below.chunks)
        recorded.above = dissect(directory / "above.pcap", above.chunks)
        yield recorded


def converse(demo: DemoChild, carrier: CarrierChild, below: Tap, above: Tap) -> dict[str, tuple[int, str]]:
    """Have everything said; the answers to the ESME's messages."""
    change_upstream(demo, enquire_link_seconds=0.5, system_type="wire")  # a session of its own for the new settings
    wait_until(lambda: binds(above) == 2, SECONDS, "the daemon binds anew")
    ask_oddly(below.port)
    system_id, password = demo.ready.smpp.system_id, demo.ready.smpp.password
    with contextlib.closing(Esme(below.port, system_id, password)) as esme:
        converse_as(esme, demo, carrier, below, above)
    stop_while_bound(demo, below.port, system_id, password)
    return esme.answers


def converse_as(esme: Esme, demo: DemoChild, carrier: CarrierChild, below: Tap, above: Tap) -> None:
    """All that a good ESME and the carrier have to say, up to the ESME's unbind."""
    esme.submit("gsm", NUMBER, GSM, validity_period=VALIDITY)
    esme.submit("ucs2", NUMBER, UCS2.encode("utf-16-be"), data_coding=8)
    for number, part in enumerate(UDH_PARTS):
        esme.submit(f"udh {number}", NUMBER, part, esm_class=0x40)
    esme.submit("payload", NUMBER, b"", message_payload=PAYLOAD)
    esme.submit("undelivered", UNDELIVERED, b"nobody there")
    esme.submit("refused upstream", REFUSED, b"no such number")
    esme.submit("no destination", "not a number", b"hello")
    post(f"{demo.ready.http.url}/v1/messages", demo.ready.http.api_key, {"to": NUMBER, "from": "HTTP", "text": LONG})
    post(
        f"{demo.ready.http.url}/v1/messages", demo.ready.http.api_key, {"to": NUMBER, "from": "HTTP", "text": LONG_UCS2}
    )
    esme.read_until(lambda: len(esme.answers) == 8 and esme.delivered >= 7, "answers and receipts")
    for text in MOS:
        post(f"http://127.0.0.1:{carrier.control_port}/mo", "", {"from": "447700900999", "to": "12345", "text": text})
    esme.read_until(lambda: esme.delivered >= 9, "MOs")
    esme.read_until(lambda: said(below, CommandId.ENQUIRE_LINK, is_dialer=False) > 0, "the daemon asks the ESME")
    wait_until(lambda: said(above, CommandId.ENQUIRE_LINK, is_dialer=True) > 0, SECONDS, "the daemon asks the carrier")
    esme.client.unbind()


class RawPeer:
    """An ESME of octets: says what it is told, whatever a good one would say."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), SECONDS)

    def __enter__(self) -> "RawPeer":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def say(self, command_id: int, sequence_number: int, body: bytes = b"") -> None:
        self._socket.sendall(struct.pack(">IIII", 16 + len(body), command_id, 0, sequence_number) + body)

    def read(self) -> tuple[int, int, int]:
        """command_id, command_status and sequence_number of the next PDU; zeros at the end."""
        head = self._socket.recv(16, socket.MSG_WAITALL)
        if not head:
            return 0, 0, 0
        length, *rest = struct.unpack(">IIII", head)
        if length > 16:
            self._socket.recv(length - 16, socket.MSG_WAITALL)
        return tuple(rest)


def ask_oddly(port: int) -> None:
    """What no good ESME says before its bind, and a bind that is refused; each is answered before the next."""
    requests = (
        (CommandId.ENQUIRE_LINK, b""),
        (CommandId.SUBMIT_SM, bytes(17)),
        (UNKNOWN_COMMAND, b""),
        (CommandId.BIND_TRANSMITTER, b"demo\0wrong\0\0\x34\0\0\0"),
    )
    with RawPeer(port) as peer:
        for number, (command_id, body) in enumerate(requests, 1):
            peer.say(command_id, number, body)
            peer.read()


def stop_while_bound(demo: DemoChild, port: int, system_id: str, password: str) -> None:
    """A receiver that is bound when the daemon stops, and answers its unbind."""
    with RawPeer(port) as peer:
        body = f"{system_id}\0{password}\0\0\x33\0\0\0".encode()
        peer.say(CommandId.BIND_RECEIVER, 1, body)
        assert peer.read()[:2] == (CommandId.BIND_RECEIVER_RESP, 0)
        os.kill(demo.pid, signal.SIGTERM)
        command_id, _, number = peer.read()
        assert command_id == CommandId.UNBIND
        peer.say(CommandId.UNBIND_RESP, number)
        assert peer.read() == (0, 0, 0)
    assert demo.wait(SECONDS) == 0


def post(url: str, api_key: str, body: dict[str, str]) -> None:
    headers = {"Content-Type": "application/json", "X-Api-Key": api_key}
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=5) as response:
        assert response.status == 202


def said(tap: Tap, command_id: int, *, is_dialer: bool) -> int:
    return Counter(int.from_bytes(pdu[4:8], "big") for pdu in tap.pdus(is_dialer=is_dialer))[command_id]


def binds(tap: Tap) -> int:
    return said(tap, CommandId.BIND_TRANSCEIVER_RESP, is_dialer=False)


def of(pdus: list[Dissected], command_id: int, *, is_dialer: bool) -> list[Dissected]:
    return [pdu for pdu in pdus if pdu.command_id == command_id and pdu.is_dialer == is_dialer]


def receipt_of(recorded: Recorded, name: str) -> Dissected:
    """The one receipt for a message of the ESME."""
    message_id = recorded.answers[name][1]
    (receipt,) = [pdu for pdu in recorded.below if pdu.shown("smpp.receipted_message_id") == [message_id]]
    return receipt


def submits(recorded: Recorded, source: str, data_coding: int, *, to: str = NUMBER) -> list[Dissected]:
    """The daemon's submit_sm of one sender and encoding, in their order."""
    return [
        pdu
        for pdu in of(recorded.above, CommandId.SUBMIT_SM, is_dialer=True)
        if pdu.shown("smpp.source_addr") == [source]
        and pdu.octets_of("smpp.data_coding") == [bytes([data_coding])]
        and pdu.shown("smpp.destination_addr") == [to]
    ]


def segments(pdus: list[Dissected]) -> list[list[Dissected]]:
    """Those with a concatenation header, by message; each message's segments are in order and complete.

    Of 256 references two messages may have the same: the first part begins another one.
    """
    found: list[list[Dissected]] = []
    latest: dict[str, list[Dissected]] = {}
    for pdu in pdus:
        for reference in pdu.shown("gsm_sms.udh.mm.msg_id"):
            if pdu.shown("gsm_sms.udh.mm.msg_part") == ["1"]:
                found.append([])
                latest[reference] = found[-1]
            latest[reference].append(pdu)
    for parts in found:
        assert [pdu.shown("gsm_sms.udh.mm.msg_part") for pdu in parts] == [[str(n + 1)] for n in range(len(parts))]
        assert {tuple(pdu.shown("gsm_sms.udh.mm.msg_parts")) for pdu in parts} == {(str(len(parts)),)}
        assert {tuple(pdu.shown("smpp.esm.submit.features")) for pdu in parts} == {("0x01",)}
    return found


def text_of(parts: list[Dissected]) -> bytes:
    """The octets of a message's segments without their headers of six octets."""
    return b"".join(pdu.octets_of("smpp.message")[0][6:] for pdu in parts)


def test_every_pdu_of_ours_is_known_to_tshark_and_whole(recorded: Recorded) -> None:
    assert [(pdu.octets.hex(), pdu.complaints) for pdu in recorded.ours if pdu.complaints] == []
    assert {CommandId(pdu.command_id) for pdu in recorded.ours} >= {
        CommandId.BIND_TRANSCEIVER, CommandId.BIND_TRANSCEIVER_RESP, CommandId.BIND_TRANSMITTER_RESP,
        CommandId.BIND_RECEIVER_RESP, CommandId.SUBMIT_SM, CommandId.SUBMIT_SM_RESP, CommandId.DELIVER_SM,
        CommandId.DELIVER_SM_RESP, CommandId.ENQUIRE_LINK, CommandId.ENQUIRE_LINK_RESP, CommandId.UNBIND,
        CommandId.UNBIND_RESP, CommandId.GENERIC_NACK,
    }  # fmt: skip
    strangers = [pdu.command_id for pdu in recorded.below + recorded.above if NOT_RECOGNISED in pdu.complaints]
    assert set(strangers) <= {UNKNOWN_COMMAND}  # which was a peer's


def test_tshark_reads_each_field_as_our_own_decoder_does(recorded: Recorded) -> None:
    for pdu in recorded.ours:
        decoded = decode(pdu.octets)
        for form in format_of(type(decoded)):
            value = getattr(decoded, form.name)
            octets = value.to_bytes(form.size, "big") if isinstance(value, int) else value
            names = (tshark_name(form.name), tshark_name(form.name, is_relative=True))
            found = [each.rstrip(b"\0") for name in names for each in pdu.octets_of(name)]
            assert found in ([octets.rstrip(b"\0")], [] if not octets else None), (pdu.octets.hex(), form.name)


def test_binds_say_who_and_which_version(recorded: Recorded) -> None:
    first, second = of(recorded.above, CommandId.BIND_TRANSCEIVER, is_dialer=True)
    for bind, system_type in ((first, []), (second, ["wire"])):
        assert (bind.shown("smpp.system_id"), bind.shown("smpp.password")) == ([UPSTREAM[0]], [UPSTREAM[1]])
        assert [each for each in bind.shown("smpp.system_type") if each] == system_type
        assert bind.octets_of("smpp.interface_version") == [b"\x34"]
    (answer,) = of(recorded.below, CommandId.BIND_TRANSCEIVER_RESP, is_dialer=False)
    assert answer.shown("smpp.system_id") == ["smscd"]
    assert answer.octets_of("smpp.SC_interface_version") == [b"\x50"]
    (old,) = of(recorded.below, CommandId.BIND_RECEIVER_RESP, is_dialer=False)
    assert old.shown("smpp.system_id") == ["smscd"]
    assert old.shown("smpp.opt_param") == []  # an ESME of version 3.3 gets no TLVs


def test_what_is_refused_is_refused_by_its_own_answer(recorded: Recorded) -> None:
    said = [
        (pdu.command_id, pdu.shown("smpp.command_status"), pdu.sequence_number)
        for pdu in recorded.below
        if pdu.connection == 0 and not pdu.is_dialer
    ]
    assert said == [
        (CommandId.ENQUIRE_LINK_RESP, [f"0x{CommandStatus.ESME_ROK:08x}"], 1),
        (CommandId.SUBMIT_SM_RESP, [f"0x{CommandStatus.ESME_RINVBNDSTS:08x}"], 2),
        (CommandId.GENERIC_NACK, [f"0x{CommandStatus.ESME_RINVCMDID:08x}"], 3),
        (CommandId.BIND_TRANSMITTER_RESP, [f"0x{CommandStatus.ESME_RINVPASWD:08x}"], 4),
    ]
    assert recorded.answers["no destination"] == (CommandStatus.ESME_RINVDSTADR, "")


def test_an_unbind_is_the_last_that_we_say(recorded: Recorded) -> None:
    def last(pdus: list[Dissected], connection: int, *, is_dialer: bool) -> int:
        return [pdu for pdu in pdus if (pdu.connection, pdu.is_dialer) == (connection, is_dialer)][-1].command_id

    assert last(recorded.below, 1, is_dialer=False) == CommandId.UNBIND_RESP
    assert last(recorded.below, 2, is_dialer=False) == CommandId.UNBIND
    assert last(recorded.above, 0, is_dialer=True) == CommandId.UNBIND
    assert last(recorded.above, 1, is_dialer=True) == CommandId.UNBIND


def test_a_gsm_message_goes_out_as_it_came(recorded: Recorded) -> None:
    (submit,) = [pdu for pdu in submits(recorded, "TSHARK", 0) if pdu.octets_of("smpp.message") == [GSM]]
    assert (submit.shown("smpp.source_addr_ton"), submit.shown("smpp.source_addr_npi")) == (["0x05"], ["0x00"])
    assert (submit.shown("smpp.dest_addr_ton"), submit.shown("smpp.dest_addr_npi")) == (["0x01"], ["0x01"])
    assert submit.shown("smpp.regdel.receipt") == ["0x01"]
    assert submit.shown("smpp.esm.submit.features") == ["0x00"]
    (seconds,) = submit.shown("smpp.validity_period_r")
    assert VALIDITY_SECONDS - 10 <= float(seconds) <= VALIDITY_SECONDS  # what is left of it


def test_a_ucs2_message_is_read_with_its_surrogates(recorded: Recorded) -> None:
    (submit,) = submits(recorded, "TSHARK", 8)
    assert submit.shown("smpp.message_text") == [UCS2]


def test_a_long_text_goes_out_in_segments_with_a_header(recorded: Recorded) -> None:
    (gsm,) = segments(submits(recorded, "HTTP", 0))
    escaped = LONG.translate({ord(char): f"\x1b{octet}" for char, octet in zip("[]{}", "<>()", strict=True)})
    assert text_of(gsm) == escaped.encode("ascii")
    assert all(len(pdu.octets_of("smpp.message")[0][6:]) <= 153 for pdu in gsm)
    assert not any(pdu.octets_of("smpp.message")[0].endswith(b"\x1b") for pdu in gsm)
    (ucs2,) = segments(submits(recorded, "HTTP", 8))
    assert text_of(ucs2).decode("utf-16-be") == LONG_UCS2
    assert all(len(pdu.octets_of("smpp.message")[0]) <= 140 for pdu in ucs2)
    assert len(gsm) == len(ucs2) == 2


def test_segments_of_an_esme_and_its_payload_keep_their_text(recorded: Recorded) -> None:
    found = segments(submits(recorded, "TSHARK", 0))
    parts, payload = sorted(found, key=len)
    assert [pdu.octets_of("smpp.message")[0] for pdu in parts] == list(UDH_PARTS)
    assert (text_of(payload), len(payload)) == (PAYLOAD, 3)


@pytest.mark.parametrize(
    ("name", "to", "stat", "state", "error"),
    [
        ("gsm", NUMBER, b"DELIVRD", MessageState.DELIVERED, 0),
        ("ucs2", NUMBER, b"DELIVRD", MessageState.DELIVERED, 0),
        ("udh 0", NUMBER, b"DELIVRD", MessageState.DELIVERED, 0),
        ("udh 1", NUMBER, b"DELIVRD", MessageState.DELIVERED, 0),
        ("payload", NUMBER, b"DELIVRD", MessageState.DELIVERED, 0),
        ("undelivered", UNDELIVERED, b"UNDELIV", MessageState.UNDELIVERABLE, 1),
        ("refused upstream", REFUSED, b"UNDELIV", MessageState.UNDELIVERABLE, CommandStatus.ESME_RINVDSTADR),
    ],
)
def test_receipts_have_the_text_and_the_tlvs(
    recorded: Recorded, name: str, to: str, stat: bytes, state: int, error: int
) -> None:
    receipt = receipt_of(recorded, name)
    assert receipt.command_id == CommandId.DELIVER_SM
    assert receipt.shown("smpp.esm.submit.msg_type") == ["0x01"]
    assert receipt.octets_of("smpp.message_state") == [bytes([state])]
    is_from_network = name != "refused upstream"  # there the carrier's SMPP server said no, not the network
    assert receipt.octets_of("smpp.network_error.type") == [b"\x03"] * is_from_network
    assert receipt.octets_of("smpp.network_error.code") == [error.to_bytes(2, "big")] * is_from_network
    assert receipt.shown("smpp.source_addr") == [to]
    assert receipt.shown("smpp.destination_addr") == ["TSHARK"]
    (text,) = receipt.octets_of("smpp.message")
    message_id = recorded.answers[name][1].encode()
    assert text.startswith(b"id:%b sub:00" % message_id)
    assert b" stat:%b err:%03d text:" % (stat, error) in text


def test_messages_from_phones_come_in_with_their_encoding(recorded: Recorded) -> None:
    ascii_mo, ucs2_mo = [
        pdu
        for pdu in of(recorded.below, CommandId.DELIVER_SM, is_dialer=False)
        if pdu.shown("smpp.esm.submit.msg_type") == ["0x00"]
    ]
    for pdu in (ascii_mo, ucs2_mo):
        assert pdu.shown("smpp.source_addr") == ["447700900999"]
        assert pdu.shown("smpp.destination_addr") == ["12345"]
    assert ascii_mo.octets_of("smpp.message") == [MOS[0].encode()]
    assert ucs2_mo.shown("smpp.message_text") == [MOS[1]]
