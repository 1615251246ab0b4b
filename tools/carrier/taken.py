"""What one read of submit_sm comes to, and the line of the record for each of them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from protocols.smpp import tlv
from protocols.smpp.constants import TlvTag
from protocols.smpp.pdu import SubmitSm
from tools.carrier.receipts import Accepted
from tools.record import field, part_of

Answer = tuple[int, int, bytes]
"""sequence_number, command_status, message_id: what answer_submits takes."""


@dataclass(slots=True)
class Taken:
    """What one read of submit_sm comes to. drops: the connection is cut after the answers that came before."""

    answers: list[Answer] = dataclasses.field(default_factory=list)
    at_once: list[Accepted] = dataclasses.field(default_factory=list)
    later: list[Accepted] = dataclasses.field(default_factory=list)
    lines: list[bytes] = dataclasses.field(default_factory=list)
    drops: bool = False


def text_of(pdu: SubmitSm) -> bytes:
    """The text of a message, which is in message_payload when short_message is empty."""
    if pdu.short_message or not pdu.tlvs:
        return pdu.short_message
    return next((value for tag, value in tlv.parse(pdu.tlvs) if tag == TlvTag.MESSAGE_PAYLOAD), b"")


def submit_line(pdu: SubmitSm, seconds: float, token: bytes, id: bytes, status: bytes) -> bytes:
    """The line of a record for a submit_sm that came in."""
    return b"submit\t%d\t%b\t%b\t%b\t%b\t%b\t%b\n" % (
        seconds * 1000,
        token,
        id,
        status,
        field(pdu.source_addr),
        field(pdu.destination_addr),
        part_of(pdu.short_message, pdu.esm_class),
    )
