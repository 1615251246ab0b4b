"""Which version is told to whom."""

from __future__ import annotations

import pytest

from protocols.smpp import codec
from protocols.smpp.negotiation import bind_response, read_bind_response, takes_tlvs
from protocols.smpp.pdu import (
    Bind,
    BindReceiver,
    BindReceiverResp,
    BindTransceiver,
    BindTransceiverResp,
    BindTransmitter,
    BindTransmitterResp,
)


@pytest.mark.parametrize(("version", "takes"), [(0x00, False), (0x33, False), (0x34, True), (0x50, True)])
def test_only_peers_from_3_4_on_take_tlvs(version: int, takes: bool) -> None:
    assert takes_tlvs(version) is takes
    response = bind_response(BindTransceiver(interface_version=version), b"SMSC", 0x34)
    assert response.tlvs == (b"\x02\x10\0\1\x34" if takes else b"")


@pytest.mark.parametrize(
    ("bind", "response"),
    [
        (BindTransmitter(sequence_number=9), BindTransmitterResp(sequence_number=9, system_id=b"SMSC")),
        (BindReceiver(sequence_number=9), BindReceiverResp(sequence_number=9, system_id=b"SMSC")),
        (BindTransceiver(sequence_number=9), BindTransceiverResp(sequence_number=9, system_id=b"SMSC")),
    ],
)
def test_each_bind_has_its_response(bind: Bind, response: object) -> None:
    assert bind_response(bind, b"SMSC", 0x34) == response


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"SMSC\0\x02\x10\0\1\x50", (b"SMSC", 0x50)),
        (b"SMSC\0", (b"SMSC", None)),
        (b"SMSC", (b"SMSC", None)),
        (b"", (b"", None)),
        (b"SMSC\0\x02\x10\0\2\0\x34", (b"SMSC", None)),
        (b"x" * 100, (b"", None)),
    ],
)
def test_an_accepted_bind_is_accepted_whatever_its_body_looks_like(
    octets: bytes, expected: tuple[bytes, int | None]
) -> None:
    command_id = BindTransceiverResp.command_id
    frame = codec.HEADER.pack(16 + len(octets), command_id, 0, 1) + octets
    assert read_bind_response(command_id, frame) == expected
