"""The codes and texts that rows hold: what a smallint means, and how bytes from the wire and a conversion come back."""

from __future__ import annotations

import re
from enum import IntEnum

import msgspec

from smscd.core.records import Conversion, Outcome

encode_conversion = msgspec.msgpack.Encoder().encode
"""messages.conversion of a Conversion."""
decode_conversion = msgspec.msgpack.Decoder(Conversion).decode
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")


class Direction(IntEnum):
    """messages.direction"""

    OUTBOUND = 1
    INBOUND = 2


class CallbackState(IntEnum):
    """messages.callback_state: no callback, one is due, the last one was delivered, the last one is a dead letter."""

    NONE = 0
    DUE = 1
    DELIVERED = 2
    DEAD = 3


class EventKind(IntEnum):
    """message_events.kind: attempts that were not accepted (an Outcome's value), receipts, moves, lost callbacks."""

    FAILED = Outcome.FAILED
    RETRIED = Outcome.RETRIED
    EXPIRED = Outcome.EXPIRED
    DOUBTED = Outcome.DOUBTED
    UNKNOWN = Outcome.UNKNOWN
    CANCELED = Outcome.CANCELED
    UNANNOUNCED = Outcome.UNANNOUNCED
    REPLACED = Outcome.REPLACED
    RECEIPT = 10
    RECEIPT_REPEATED = 11
    MOVED = 12
    CALLBACK_DEAD = 21


def stored_text(wire: bytes) -> bytes:
    """An address, id or code from the wire as the bytes of a text column, whatever a peer sent.

    What is not printable ASCII, and the backslash itself, becomes `\\xhh`, so that no peer can send what PostgreSQL
    refuses, and wire_bytes() gives back the same bytes.
    """
    if wire.isalnum():  # ASCII letters and digits: nearly always
        return wire
    return b"".join(b"\\x%02x" % byte if byte < 32 or byte > 126 or byte == 92 else bytes((byte,)) for byte in wire)


def wire_bytes(stored: str) -> bytes:
    """The bytes that stored_text() was given."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), stored).encode("latin-1")
