"""Every PDU. Each class is the table of its command: fields in wire order, with their limits.

`codec` generates the encoders and decoders from these tables. Addresses, texts and message ids are bytes as they lie
on the wire, without NUL; lengths and counts (sm_length, number_of_dests, no_unsuccess) are not fields, they follow from
what they count. Section numbers are those of SMPP 3.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from protocols.smpp.broadcast import BROADCAST_CLASSES
from protocols.smpp.constants import CommandId, CommandStatus
from protocols.smpp.fields import Pdu as Pdu
from protocols.smpp.fields import Structure, c_octets, counted_octets, counted_rows, integer

_ID_ACCEPTED = 256


@dataclass(slots=True)
class Bind(Pdu):
    """bind_transmitter, bind_receiver and bind_transceiver: the same fields (section 4.1)."""

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
class Outbind(Pdu):
    """An SMSC asks an ESME to bind as a receiver (section 4.1.7). There is no response but a bind."""

    command_id = CommandId.OUTBIND

    system_id: bytes = c_octets(16, CommandStatus.ESME_RINVSYSID, accepted=65)
    password: bytes = c_octets(9, CommandStatus.ESME_RINVPASWD, accepted=65, is_secret=True)


@dataclass(slots=True)
class SubmitSm(Pdu):
    """An ESME hands over one segment (section 4.4.1)."""

    command_id = CommandId.SUBMIT_SM

    service_type: bytes = c_octets(6, CommandStatus.ESME_RINVSERTYP, is_rare=True)
    source_addr_ton: int = integer()
    source_addr_npi: int = integer()
    source_addr: bytes = c_octets(21, CommandStatus.ESME_RINVSRCADR)
    dest_addr_ton: int = integer()
    dest_addr_npi: int = integer()
    destination_addr: bytes = c_octets(21, CommandStatus.ESME_RINVDSTADR)
    esm_class: int = integer()
    protocol_id: int = integer()
    priority_flag: int = integer()
    schedule_delivery_time: bytes = c_octets(17, CommandStatus.ESME_RINVSCHED, is_rare=True)
    validity_period: bytes = c_octets(17, CommandStatus.ESME_RINVEXPIRY, is_rare=True)
    registered_delivery: int = integer()
    replace_if_present_flag: int = integer()
    data_coding: int = integer()
    sm_default_msg_id: int = integer()
    short_message: bytes = counted_octets(254, CommandStatus.ESME_RINVMSGLEN)


@dataclass(slots=True)
class SubmitSmResp(Pdu):
    """The SMSC's answer; message_id is opaque."""

    command_id = CommandId.SUBMIT_SM_RESP

    message_id: bytes = c_octets(65, CommandStatus.ESME_RINVMSGID, accepted=_ID_ACCEPTED)


@dataclass(slots=True)
class DeliverSm(Pdu):
    """An SMSC hands over a receipt or a mobile-originated segment (section 4.6.1).

    The fields are those of submit_sm, but peers are read more liberally: a receipt must not be lost to its addresses.
    """

    command_id = CommandId.DELIVER_SM

    service_type: bytes = c_octets(6, CommandStatus.ESME_RINVSERTYP, accepted=65, is_rare=True)
    source_addr_ton: int = integer()
    source_addr_npi: int = integer()
    source_addr: bytes = c_octets(21, CommandStatus.ESME_RINVSRCADR, accepted=65)
    dest_addr_ton: int = integer()
    dest_addr_npi: int = integer()
    destination_addr: bytes = c_octets(21, CommandStatus.ESME_RINVDSTADR, accepted=65)
    esm_class: int = integer()
    protocol_id: int = integer()
    priority_flag: int = integer()
    schedule_delivery_time: bytes = c_octets(17, CommandStatus.ESME_RINVSCHED, accepted=65, is_rare=True)
    validity_period: bytes = c_octets(17, CommandStatus.ESME_RINVEXPIRY, accepted=65, is_rare=True)
    registered_delivery: int = integer()
    replace_if_present_flag: int = integer()
    data_coding: int = integer()
    sm_default_msg_id: int = integer()
    short_message: bytes = counted_octets(254, CommandStatus.ESME_RINVMSGLEN)


@dataclass(slots=True)
class DeliverSmResp(Pdu):
    """The ESME's answer; message_id is unused, yet some peers fill it."""

    command_id = CommandId.DELIVER_SM_RESP

    message_id: bytes = c_octets(65, CommandStatus.ESME_RINVMSGID, accepted=_ID_ACCEPTED)


class DestFlag(IntEnum):
    """What a dest_address of submit_multi is."""

    SME = 1
    DISTRIBUTION_LIST = 2


@dataclass(slots=True, kw_only=True)
class SmeAddress(Structure):
    """A dest_address that is one SME (section 4.5.1.1)."""

    flag = DestFlag.SME

    dest_addr_ton: int = integer()
    dest_addr_npi: int = integer()
    destination_addr: bytes = c_octets(21, CommandStatus.ESME_RINVDSTADR)


@dataclass(slots=True, kw_only=True)
class DistributionList(Structure):
    """A dest_address that names a list which the SMSC keeps (section 4.5.1.2)."""

    flag = DestFlag.DISTRIBUTION_LIST

    dl_name: bytes = c_octets(21, CommandStatus.ESME_RINVDLNAME)


DestAddress: TypeAlias = SmeAddress | DistributionList


@dataclass(slots=True)
class SubmitMulti(Pdu):
    """An ESME hands over one segment for several destinations (section 4.5.1)."""

    command_id = CommandId.SUBMIT_MULTI

    service_type: bytes = c_octets(6, CommandStatus.ESME_RINVSERTYP, is_rare=True)
    source_addr_ton: int = integer()
    source_addr_npi: int = integer()
    source_addr: bytes = c_octets(21, CommandStatus.ESME_RINVSRCADR)
    dest_address: Sequence[DestAddress] = counted_rows(
        (SmeAddress, DistributionList), CommandStatus.ESME_RINVNUMDESTS, size_min=1
    )
    esm_class: int = integer()
    protocol_id: int = integer()
    priority_flag: int = integer()
    schedule_delivery_time: bytes = c_octets(17, CommandStatus.ESME_RINVSCHED, is_rare=True)
    validity_period: bytes = c_octets(17, CommandStatus.ESME_RINVEXPIRY, is_rare=True)
    registered_delivery: int = integer()
    replace_if_present_flag: int = integer()
    data_coding: int = integer()
    sm_default_msg_id: int = integer()
    short_message: bytes = counted_octets(254, CommandStatus.ESME_RINVMSGLEN)


@dataclass(slots=True, kw_only=True)
class UnsuccessSme(Structure):
    """One destination of a submit_multi that was not accepted, and why (section 4.5.2.1)."""

    dest_addr_ton: int = integer()
    dest_addr_npi: int = integer()
    destination_addr: bytes = c_octets(21, CommandStatus.ESME_RINVDSTADR)
    error_status_code: int = integer(4)


@dataclass(slots=True)
class SubmitMultiResp(Pdu):
    """The SMSC's answer: one message_id for all, and the destinations that it does not cover."""

    command_id = CommandId.SUBMIT_MULTI_RESP

    message_id: bytes = c_octets(65, CommandStatus.ESME_RINVMSGID, accepted=_ID_ACCEPTED)
    unsuccess_sme: Sequence[UnsuccessSme] = counted_rows((UnsuccessSme,), CommandStatus.ESME_RINVNUMDESTS)


@dataclass(slots=True)
class DataSm(Pdu):
    """Either end hands over a message whose text is the TLV message_payload (section 4.7.1)."""

    command_id = CommandId.DATA_SM

    service_type: bytes = c_octets(6, CommandStatus.ESME_RINVSERTYP, accepted=65, is_rare=True)
    source_addr_ton: int = integer()
    source_addr_npi: int = integer()
    source_addr: bytes = c_octets(65, CommandStatus.ESME_RINVSRCADR)
    dest_addr_ton: int = integer()
    dest_addr_npi: int = integer()
    destination_addr: bytes = c_octets(65, CommandStatus.ESME_RINVDSTADR)
    esm_class: int = integer()
    registered_delivery: int = integer()
    data_coding: int = integer()

    @property
    def short_message(self) -> bytes:
        """Always empty: so that what reads a text or a receipt from a deliver_sm reads it from a data_sm too."""
        return b""


@dataclass(slots=True)
class DataSmResp(Pdu):
    """The answer to data_sm, from either end."""

    command_id = CommandId.DATA_SM_RESP

    message_id: bytes = c_octets(65, CommandStatus.ESME_RINVMSGID, accepted=_ID_ACCEPTED)


@dataclass(slots=True)
class QuerySm(Pdu):
    """What became of this message? The source has to be the submitted one (section 4.8.1)."""

    command_id = CommandId.QUERY_SM

    message_id: bytes = c_octets(65, CommandStatus.ESME_RINVMSGID)
    source_addr_ton: int = integer()
    source_addr_npi: int = integer()
    source_addr: bytes = c_octets(21, CommandStatus.ESME_RINVSRCADR)


@dataclass(slots=True)
class QuerySmResp(Pdu):
    """The message's state; final_date is empty until the state is final."""

    command_id = CommandId.QUERY_SM_RESP

    message_id: bytes = c_octets(65, CommandStatus.ESME_RINVMSGID, accepted=_ID_ACCEPTED)
    final_date: bytes = c_octets(17, accepted=65)
    message_state: int = integer()
    error_code: int = integer()


@dataclass(slots=True)
class CancelSm(Pdu):
    """Take back one message, or without message_id all that match the other fields (section 4.9.1)."""

    command_id = CommandId.CANCEL_SM

    service_type: bytes = c_octets(6, CommandStatus.ESME_RINVSERTYP, is_rare=True)
    message_id: bytes = c_octets(65, CommandStatus.ESME_RINVMSGID)
    source_addr_ton: int = integer()
    source_addr_npi: int = integer()
    source_addr: bytes = c_octets(21, CommandStatus.ESME_RINVSRCADR)
    dest_addr_ton: int = integer()
    dest_addr_npi: int = integer()
    destination_addr: bytes = c_octets(21, CommandStatus.ESME_RINVDSTADR)


@dataclass(slots=True)
class CancelSmResp(Pdu):
    """The answer to cancel_sm: its command_status."""

    command_id = CommandId.CANCEL_SM_RESP


@dataclass(slots=True)
class ReplaceSm(Pdu):
    """Another text, and perhaps other times, for a message that is still pending (section 4.10.1)."""

    command_id = CommandId.REPLACE_SM

    message_id: bytes = c_octets(65, CommandStatus.ESME_RINVMSGID)
    source_addr_ton: int = integer()
    source_addr_npi: int = integer()
    source_addr: bytes = c_octets(21, CommandStatus.ESME_RINVSRCADR)
    schedule_delivery_time: bytes = c_octets(17, CommandStatus.ESME_RINVSCHED, is_rare=True)
    validity_period: bytes = c_octets(17, CommandStatus.ESME_RINVEXPIRY, is_rare=True)
    registered_delivery: int = integer()
    sm_default_msg_id: int = integer()
    short_message: bytes = counted_octets(254, CommandStatus.ESME_RINVMSGLEN)


@dataclass(slots=True)
class ReplaceSmResp(Pdu):
    """The answer to replace_sm: its command_status."""

    command_id = CommandId.REPLACE_SM_RESP


@dataclass(slots=True)
class AlertNotification(Pdu):
    """A mobile that an ESME waited for can be reached again (section 4.12.1). There is no response."""

    command_id = CommandId.ALERT_NOTIFICATION

    source_addr_ton: int = integer()
    source_addr_npi: int = integer()
    source_addr: bytes = c_octets(65, CommandStatus.ESME_RINVSRCADR)
    esme_addr_ton: int = integer()
    esme_addr_npi: int = integer()
    esme_addr: bytes = c_octets(65, CommandStatus.ESME_RINVDSTADR)


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


# What a session sends and answers one by one; submit_sm and deliver_sm have ways of their own.
Request: TypeAlias = SubmitMulti | DataSm | QuerySm | CancelSm | ReplaceSm
Response: TypeAlias = SubmitMultiResp | DataSmResp | QuerySmResp | CancelSmResp | ReplaceSmResp

PDU_CLASSES: tuple[type[Pdu], ...] = (
    BindTransmitter,
    BindTransmitterResp,
    BindReceiver,
    BindReceiverResp,
    BindTransceiver,
    BindTransceiverResp,
    Outbind,
    SubmitSm,
    SubmitSmResp,
    SubmitMulti,
    SubmitMultiResp,
    DeliverSm,
    DeliverSmResp,
    DataSm,
    DataSmResp,
    QuerySm,
    QuerySmResp,
    CancelSm,
    CancelSmResp,
    ReplaceSm,
    ReplaceSmResp,
    AlertNotification,
    EnquireLink,
    EnquireLinkResp,
    Unbind,
    UnbindResp,
    GenericNack,
    *BROADCAST_CLASSES,
)
