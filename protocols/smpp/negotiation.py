"""What the two ends tell each other beside messages: who they are, which version they speak, how congested they are."""

from __future__ import annotations

from protocols.smpp import tlv
from protocols.smpp.codec import DECODERS
from protocols.smpp.constants import HEADER_SIZE, CommandId, InterfaceVersion, TlvTag
from protocols.smpp.errors import PduError
from protocols.smpp.pdu import Bind, BindReceiverResp, BindResp, BindTransceiverResp, BindTransmitterResp

_RESPONSES: dict[CommandId, type[BindResp]] = {
    CommandId.BIND_TRANSMITTER: BindTransmitterResp,
    CommandId.BIND_RECEIVER: BindReceiverResp,
    CommandId.BIND_TRANSCEIVER: BindTransceiverResp,
}


def takes_tlvs(interface_version: int) -> bool:
    """True when a peer of this interface_version may be sent TLVs (SMPP 3.4 section 5.2.4)."""
    return interface_version >= InterfaceVersion.V3_4


def destinations_max(interface_version: int) -> int:
    """How many destinations a submit_multi may have between ends that agree on this interface_version."""
    return 255 if interface_version >= InterfaceVersion.V5_0 else 254


def bind_response(bind: Bind, system_id: bytes, interface_version: int) -> BindResp:
    """The answer that accepts `bind`: our system_id, and our version when the peer takes TLVs."""
    response = _RESPONSES[bind.command_id](system_id=system_id, sequence_number=bind.sequence_number)
    if takes_tlvs(bind.interface_version):
        response.tlvs = tlv.encode_value(TlvTag.SC_INTERFACE_VERSION, int(interface_version))
    return response


def read_bind_response(command_id: int, frame: bytes) -> tuple[bytes, int | None]:
    """(system_id, sc_interface_version) of an answer with ESME_ROK.

    It binds whatever its body looks like, so what cannot be read is empty or None.
    """
    try:
        response: BindResp = DECODERS[command_id](frame, HEADER_SIZE, len(frame), 0, 0)
    except PduError:
        return b"", None
    return response.system_id, tlv.read_integer(response.tlvs, TlvTag.SC_INTERFACE_VERSION)


def has_congestion_state(interface_version: int) -> bool:
    """True when ends that agree on this interface_version put congestion_state into responses (SMPP 5.0)."""
    return interface_version >= InterfaceVersion.V5_0


def read_congestion_state(buffer: bytes, position: int, end: int) -> int | None:
    """congestion_state of a response; None without one. buffer[position:end]: its body, at most a string, and TLVs."""
    stop = buffer.find(0, position, end) + 1
    state = tlv.read_integer(buffer[stop:end], TlvTag.CONGESTION_STATE) if position < stop < end else None
    if state is None and position < end:
        # There may be no string before it: the command has none, or an error response has left it out.
        state = tlv.read_integer(buffer[position:end], TlvTag.CONGESTION_STATE)
    return state
