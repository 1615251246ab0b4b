"""What went over the wire, read by tshark: a capture is written from recorded octets, and dissected as SMPP.

Nothing is captured from an interface, so no privileges are needed: addresses, ports and TCP headers are made up around
the octets of each connection, in the order in which they came.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

BRING = "apt-get install tshark"
needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason=f"tshark is missing: {BRING}")

SMPP_PORT = 2775
FIRST_PORT = 40_000
SEGMENT_MAX = 16_384
SYN, FIN, PSH, ACK = 0x02, 0x01, 0x08, 0x10
EPOCH = 1_700_000_000
TSHARK_SECONDS = 60.0
NOT_RECOGNISED = "not recognised"
_WITHOUT_CONTROLS = bytes(octet if octet >= 0x20 or octet in b"\t\n\r" else ord("?") for octet in range(256))


TSHARK_NAMES = {
    "esm_class": "esm.submit.msg_mode",
    "registered_delivery": "regdel.receipt",
    "short_message": "message",
}
"""Where tshark's name is not the specification's. Octets that it shows bit by bit: the first of the bits."""


def tshark_name(field_name: str, *, is_relative: bool = False) -> str:
    """What tshark calls a field; is_relative: of a time that counts from now."""
    return f"smpp.{TSHARK_NAMES.get(field_name, field_name)}{'_r' if is_relative else ''}"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Octets of one read. connection: from 0. is_dialer: from the side that dialed. data: empty at the end."""

    at: float
    connection: int
    is_dialer: bool
    data: bytes


@dataclass(slots=True)
class Dissected:
    """One PDU: its octets as recorded, and what tshark made of it.

    fields: (name, octets in hex, shown value) in tshark's order, those within others included. complaints: what its
    experts said, and "malformed".
    """

    connection: int
    is_dialer: bool
    octets: bytes
    fields: list[tuple[str, str, str]] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    @property
    def command_id(self) -> int:
        return int.from_bytes(self.octets[4:8], "big")

    @property
    def command_status(self) -> int:
        return int.from_bytes(self.octets[8:12], "big")

    @property
    def sequence_number(self) -> int:
        return int.from_bytes(self.octets[12:16], "big")

    def shown(self, name: str) -> list[str]:
        """What tshark shows for each field of a name."""
        return [shown for found, _, shown in self.fields if found == name]

    def octets_of(self, name: str) -> list[bytes]:
        """The octets of each field of a name."""
        return [bytes.fromhex(octets) for found, octets, _ in self.fields if found == name]


def pdus_of(chunks: Iterable[Chunk], *, is_over: bool = True) -> dict[tuple[int, bool], list[bytes]]:
    """The PDUs of each direction of each connection, cut by their command_length alone.

    is_over: False while more may come, so that a last one which is not whole yet is left out.
    """
    streams: dict[tuple[int, bool], bytearray] = {}
    for chunk in chunks:
        streams.setdefault((chunk.connection, chunk.is_dialer), bytearray()).extend(chunk.data)
    return {key: list(_cut(bytes(stream), is_over)) for key, stream in streams.items()}


def _cut(stream: bytes, is_over: bool) -> Iterator[bytes]:
    position = 0
    while position < len(stream):
        length = int.from_bytes(stream[position : position + 4], "big")
        if not is_over and len(stream) - position < max(length, 16):
            return
        assert 16 <= length <= len(stream) - position, f"a PDU of {length} octets at {position} of {len(stream)}"
        yield stream[position : position + length]
        position += length


def write_capture(path: Path, chunks: Sequence[Chunk]) -> None:
    """Write a pcap of raw IPv4 packets."""
    began = chunks[0].at if chunks else 0.0
    next_sequence: dict[tuple[int, bool], int] = {}
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 101))

        def packet(chunk: Chunk, flags: int, data: bytes = b"") -> None:
            key, other = (chunk.connection, chunk.is_dialer), (chunk.connection, not chunk.is_dialer)
            number, acknowledged = next_sequence.setdefault(key, 1), next_sequence.setdefault(other, 1)
            next_sequence[key] = number + len(data) + bool(flags & (SYN | FIN))
            ports = (FIRST_PORT + chunk.connection, SMPP_PORT)
            hosts = (b"\x0a\0\0\2", b"\x0a\0\0\1")
            if not chunk.is_dialer:
                ports, hosts = (ports[1], ports[0]), (hosts[1], hosts[0])
            tcp = struct.pack(">HHIIBBHHH", *ports, number, acknowledged, 0x50, flags, 65_535, 0, 0) + data
            ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0) + hosts[0] + hosts[1]
            micros = round((chunk.at - began) * 1_000_000)
            size = len(ip) + len(tcp)
            file.write(struct.pack("<IIII", EPOCH + micros // 1_000_000, micros % 1_000_000, size, size) + ip + tcp)

        opened: set[int] = set()
        for chunk in chunks:
            if chunk.connection not in opened:
                opened.add(chunk.connection)
                packet(Chunk(chunk.at, chunk.connection, True, b""), SYN)
                packet(Chunk(chunk.at, chunk.connection, False, b""), SYN | ACK)
            for start in range(0, len(chunk.data), SEGMENT_MAX):
                packet(chunk, PSH | ACK, chunk.data[start : start + SEGMENT_MAX])
            if not chunk.data:
                packet(chunk, FIN | ACK)


def dissect(path: Path, chunks: Sequence[Chunk]) -> list[Dissected]:
    """Have tshark read a capture of the chunks, which is written to `path`; every PDU, in tshark's order.

    One that tshark does not take for SMPP complains of that.
    """
    write_capture(path, chunks)
    command = ["tshark", "-r", str(path), "-d", f"tcp.port=={SMPP_PORT},smpp", "-T", "pdml", "-Y", "smpp"]
    done = subprocess.run(command, capture_output=True, timeout=TSHARK_SECONDS, check=False)
    assert done.returncode == 0, done.stderr.decode()
    waiting = pdus_of(chunks)
    found: list[Dissected] = []
    for packet in ElementTree.fromstring(_as_xml(done.stdout)).iter("packet"):
        ports = {
            name: int(packet.find(f".//field[@name='tcp.{name}']").attrib["show"]) for name in ("srcport", "dstport")
        }
        is_dialer = ports["dstport"] == SMPP_PORT
        key = (ports["srcport" if is_dialer else "dstport"] - FIRST_PORT, is_dialer)
        for protocol in packet.iter("proto"):
            if protocol.attrib["name"] == "smpp":
                pdu = Dissected(*key, b"")
                _read(protocol, pdu)
                found += _take(waiting[key], pdu)
            elif protocol.attrib["name"] == "_ws.malformed":
                found[-1].complaints.append("malformed")
            elif found and protocol.attrib["name"].startswith("gsm_sms"):
                _read(protocol, found[-1])
    for key, octets in waiting.items():
        found += [Dissected(*key, pdu, complaints=[NOT_RECOGNISED]) for pdu in octets]
    return found


def _take(waiting: list[bytes], pdu: Dissected) -> list[Dissected]:
    """Give a PDU that tshark found its octets, the next of its direction with that command and number.

    Returns it, after those that tshark passed over.
    """
    (command_id,), (number,) = pdu.octets_of("smpp.command_id"), pdu.octets_of("smpp.sequence_number")
    passed_over: list[Dissected] = []
    while waiting:
        pdu.octets = waiting.pop(0)
        if (pdu.octets[4:8], pdu.octets[12:16]) == (command_id, number):
            return [*passed_over, pdu]
        passed_over.append(Dissected(pdu.connection, pdu.is_dialer, pdu.octets, complaints=[NOT_RECOGNISED]))
    raise AssertionError(f"tshark finds a PDU that there is not: {pdu.fields}")


def _as_xml(pdml: bytes) -> str:
    """tshark's XML as a parser takes it: it leaves control characters as they are, and surrogates as two of three."""
    text = pdml.translate(_WITHOUT_CONTROLS).decode("utf-8", "surrogatepass")
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le").partition("?>")[2]


def _read(protocol: ElementTree.Element, pdu: Dissected) -> None:
    for element in protocol.iter("field"):
        name = element.attrib.get("name", "")
        if name == "_ws.expert":
            pdu.complaints.append(element.attrib.get("showname", name))
        octets = element.attrib.get("unmaskedvalue", element.attrib.get("value", ""))
        pdu.fields.append((name, octets, element.attrib.get("show", "")))
