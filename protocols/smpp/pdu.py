"""The PDUs that this daemon speaks. Each class is the table of its command: fields in wire order, with their limits.

`codec` generates the encoders and decoders from these tables. Addresses, texts and message ids are bytes as they lie
on the wire, without NUL; lengths (sm_length) are not fields, they follow from what they count. A command of
`CommandId` that has no class here is known but not offered: it is refused with generic_nack ESME_RINVCMDID.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from protocols.smpp.constants import CommandId, CommandStatus
from protocols.smpp.fields import c_octets, counted_octets, integer


@dataclass(slots=True, kw_only=True)
class Pdu:
    """What every PDU has. tlvs is the optional part as it came, undecoded: read it with `tlv`."""

    command_id: ClassVar[CommandId]

    sequence_number: int = 0
    command_status: int = 0
    tlvs: bytes = b""


@dataclass(slots=True)
class Bind(Pdu):
    """bind_transmitter, bind_receiver and bind_transceiver: the same fields (SMPP 3.4 section 4.1)."""

    system_id: bytes = c_octets(16, CommandStatus.ESME_RINVSYSID, accepted=65)
    password: bytes = c_octets(9, CommandStatus.ESME_RINVPASWD, accepted=65, is_secret=True)
    system_type: bytes = c_octets(13, CommandStatus.ESME_RINVSYSTYP, accepted=65)
    interface_version: int = integer()
    addr_ton: int = integer()
    addr_npi: int = integer()
    address_range: bytes = c_octets(41, accepted=129)


@dataclass(slots=True)
class BindTransmitter(Bind):
    """Ask to send only."""

    command_id = CommandId.BIND_TRANSMITTER


@dataclass(slots=True)
class BindReceiver(Bind):
    """Ask to receive only."""

    command_id = CommandId.BIND_RECEIVER


@dataclass(slots=True)
class BindTransceiver(Bind):
    """Ask to send and to receive."""

    command_id = CommandId.BIND_TRANSCEIVER


@dataclass(slots=True)
class BindResp(Pdu):
    """The answer to a bind: who we are."""

    system_id: bytes = c_octets(16, accepted=65)


@dataclass(slots=True)
class BindTransmitterResp(BindResp):
    """The answer to bind_transmitter."""

    command_id = CommandId.BIND_TRANSMITTER_RESP


@dataclass(slots=True)
class BindReceiverResp(BindResp):
    """The answer to bind_receiver."""

    command_id = CommandId.BIND_RECEIVER_RESP


@dataclass(slots=True)
class BindTransceiverResp(BindResp):
    """The answer to bind_transceiver."""

    command_id = CommandId.BIND_TRANSCEIVER_RESP


@dataclass(slots=True)
class SubmitSm(Pdu):
    """An ESME hands over one segment (SMPP 3.4 section 4.4.1)."""

    command_id = CommandId.SUBMIT_SM

    service_type: bytes = c_octets(6, CommandStatus.ESME_RINVSERTYP)
    source_addr_ton: int = integer()
    source_addr_npi: int = integer()
    source_addr: bytes = c_octets(21, CommandStatus.ESME_RINVSRCADR)
    dest_addr_ton: int = integer()
    dest_addr_npi: int = integer()
    destination_addr: bytes = c_octets(21, CommandStatus.ESME_RINVDSTADR)
    esm_class: int = integer()
    protocol_id: int = integer()
    priority_flag: int = integer()
    schedule_delivery_time: bytes = c_octets(17, CommandStatus.ESME_RINVSCHED)
    validity_period: bytes = c_octets(17, CommandStatus.ESME_RINVEXPIRY)
    registered_delivery: int = integer()
    replace_if_present_flag: int = integer()
    data_coding: int = integer()
    sm_default_msg_id: int = integer()
    short_message: bytes = counted_octets(254, CommandStatus.ESME_RINVMSGLEN)


@dataclass(slots=True)
class SubmitSmResp(Pdu):
    """The SMSC's answer; message_id is opaque."""

    command_id = CommandId.SUBMIT_SM_RESP

    message_id: bytes = c_octets(65, CommandStatus.ESME_RINVMSGID, accepted=256)


@dataclass(slots=True)
class DeliverSm(Pdu):
    """An SMSC hands over a receipt or a mobile-originated segment (SMPP 3.4 section 4.6.1).

    The fields are those of submit_sm, but peers are read more liberally: a receipt must not be lost to its addresses.
    """

    command_id = CommandId.DELIVER_SM

    service_type: bytes = c_octets(6, CommandStatus.ESME_RINVSERTYP, accepted=65)
    source_addr_ton: int = integer()
    source_addr_npi: int = integer()
    source_addr: bytes = c_octets(21, CommandStatus.ESME_RINVSRCADR, accepted=65)
    dest_addr_ton: int = integer()
    dest_addr_npi: int = integer()
    destination_addr: bytes = c_octets(21, CommandStatus.ESME_RINVDSTADR, accepted=65)
    esm_class: int = integer()
    protocol_id: int = integer()
    priority_flag: int = integer()
    schedule_delivery_time: bytes = c_octets(17, CommandStatus.ESME_RINVSCHED, accepted=65)
    validity_period: bytes = c_octets(17, CommandStatus.ESME_RINVEXPIRY, accepted=65)
    registered_delivery: int = integer()
    replace_if_present_flag: int = integer()
    data_coding: int = integer()
    sm_default_msg_id: int = integer()
    short_message: bytes = counted_octets(254, CommandStatus.ESME_RINVMSGLEN)


@dataclass(slots=True)
class DeliverSmResp(Pdu):
    """The ESME's answer; message_id is unused, yet some peers fill it."""

    command_id = CommandId.DELIVER_SM_RESP

    message_id: bytes = c_octets(65, CommandStatus.ESME_RINVMSGID, accepted=256)


@dataclass(slots=True)
class EnquireLink(Pdu):
    """Are you there?"""

    command_id = CommandId.ENQUIRE_LINK


@dataclass(slots=True)
class EnquireLinkResp(Pdu):
    """I am."""

    command_id = CommandId.ENQUIRE_LINK_RESP


@dataclass(slots=True)
class Unbind(Pdu):
    """The sender will send no more requests."""

    command_id = CommandId.UNBIND


@dataclass(slots=True)
class UnbindResp(Pdu):
    """The session is over."""

    command_id = CommandId.UNBIND_RESP


@dataclass(slots=True)
class GenericNack(Pdu):
    """A PDU was not understood at all; sequence_number is that PDU's, or 0."""

    command_id = CommandId.GENERIC_NACK


PDU_CLASSES: tuple[type[Pdu], ...] = (
    BindTransmitter,
    BindTransmitterResp,
    BindReceiver,
    BindReceiverResp,
    BindTransceiver,
    BindTransceiverResp,
    SubmitSm,
    SubmitSmResp,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    Unbind,
    UnbindResp,
    GenericNack,
)
