"""The cell broadcast PDUs of SMPP 5.0, as tables. They are read and written; a session refuses them, see `state`.

The areas, the content type and the repetition of a broadcast are TLVs: see `tlv`.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocols.smpp.constants import CommandId, CommandStatus
from protocols.smpp.fields import Pdu, c_octets, integer

_ID_ACCEPTED = 256


@dataclass(slots=True)
class BroadcastSm(Pdu):
    """An ESME hands over a message for areas (SMPP 5.0 section 4.4)."""

    command_id = CommandId.BROADCAST_SM

    service_type: bytes = c_octets(6, CommandStatus.ESME_RINVSERTYP)
    source_addr_ton: int = integer()
    source_addr_npi: int = integer()
    source_addr: bytes = c_octets(21, CommandStatus.ESME_RINVSRCADR)
    message_id: bytes = c_octets(65, CommandStatus.ESME_RINVMSGID)
    priority_flag: int = integer()
    schedule_delivery_time: bytes = c_octets(17, CommandStatus.ESME_RINVSCHED)
    validity_period: bytes = c_octets(17, CommandStatus.ESME_RINVEXPIRY)
    replace_if_present_flag: int = integer()
    data_coding: int = integer()
    sm_default_msg_id: int = integer()


@dataclass(slots=True)
class BroadcastSmResp(Pdu):
    """The answer to broadcast_sm."""

    command_id = CommandId.BROADCAST_SM_RESP

    message_id: bytes = c_octets(65, CommandStatus.ESME_RINVMSGID, accepted=_ID_ACCEPTED)


@dataclass(slots=True)
class QueryBroadcastSm(Pdu):
    """What became of this broadcast? (SMPP 5.0 section 4.6)"""

    command_id = CommandId.QUERY_BROADCAST_SM

    message_id: bytes = c_octets(65, CommandStatus.ESME_RINVMSGID)
    source_addr_ton: int = integer()
    source_addr_npi: int = integer()
    source_addr: bytes = c_octets(21, CommandStatus.ESME_RINVSRCADR)


@dataclass(slots=True)
class QueryBroadcastSmResp(Pdu):
    """The answer to query_broadcast_sm; the state and the success in each area are TLVs."""

    command_id = CommandId.QUERY_BROADCAST_SM_RESP

    message_id: bytes = c_octets(65, CommandStatus.ESME_RINVMSGID, accepted=_ID_ACCEPTED)


@dataclass(slots=True)
class CancelBroadcastSm(Pdu):
    """Take back one broadcast, or without message_id all that match (SMPP 5.0 section 4.6)."""

    command_id = CommandId.CANCEL_BROADCAST_SM

    service_type: bytes = c_octets(6, CommandStatus.ESME_RINVSERTYP)
    message_id: bytes = c_octets(65, CommandStatus.ESME_RINVMSGID)
    source_addr_ton: int = integer()
    source_addr_npi: int = integer()
    source_addr: bytes = c_octets(21, CommandStatus.ESME_RINVSRCADR)


@dataclass(slots=True)
class CancelBroadcastSmResp(Pdu):
    """The answer to cancel_broadcast_sm: its command_status."""

    command_id = CommandId.CANCEL_BROADCAST_SM_RESP


BROADCAST_CLASSES: tuple[type[Pdu], ...] = (
    BroadcastSm,
    BroadcastSmResp,
    QueryBroadcastSm,
    QueryBroadcastSmResp,
    CancelBroadcastSm,
    CancelBroadcastSmResp,
)
