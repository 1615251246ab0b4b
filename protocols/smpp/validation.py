"""What the specification forbids although every field can be read: checks for requests of an ESME, each a few compares.

A session does not call them, so that a message pays for them once, where it is decided on. None: nothing is wrong.
Times are judged where they are read (`times`), addresses and texts where they are understood.
"""

from __future__ import annotations

from typing import Final

from protocols.gsm import udh
from protocols.gsm.coding import Charset, classify
from protocols.smpp import tlv
from protocols.smpp.constants import (
    ESM_TYPE_MASK,
    CommandStatus,
    EsmClass,
    InterfaceVersion,
    TlvTag,
)
from protocols.smpp.negotiation import destinations_max
from protocols.smpp.pdu import DataSm, ReplaceSm, SubmitMulti, SubmitSm

PRIORITY_MAX: Final = 3
PRIORITY_MAX_5_0: Final = 4
DEFAULT_MESSAGE_MAX: Final = 254
_SERVICE_TYPE_MAX: Final = 5
_UDHI: Final = int(EsmClass.UDHI)
_TYPES_OF_AN_ESME: Final = frozenset((0, int(EsmClass.DELIVERY_ACK), int(EsmClass.USER_ACK)))
_REGISTERED_RESERVED: Final = 0xE0
_MESSAGE_PAYLOAD: Final = int(TlvTag.MESSAGE_PAYLOAD)
_SAR_MSG_REF_NUM: Final = int(TlvTag.SAR_MSG_REF_NUM)
_SAR_SEQNUM_STARTS: Final = int(TlvTag.SAR_SEGMENT_SEQNUM).to_bytes(2, "big") + b"\0\1"
_UCS2_CODINGS: Final = frozenset(
    data_coding
    for data_coding, coding in enumerate(map(classify, range(256)))
    if coding.charset is Charset.UCS2 and not coding.is_compressed
)


def check_submit(pdu: SubmitSm | SubmitMulti, interface_version: int = InterfaceVersion.V3_4) -> CommandStatus | None:
    """The status that refuses a submit_sm, or what a submit_multi has of one. interface_version: what both ends speak.

    Deviation: registered_delivery 3, which 3.4 reserves, is taken as 5.0 means it (on success only), because ESMEs ask
    for it whatever version they bind with.
    SMPP 3.4 sections 5.2.12 to 5.2.22.
    """
    if pdu.priority_flag > PRIORITY_MAX and (
        pdu.priority_flag > PRIORITY_MAX_5_0 or interface_version < InterfaceVersion.V5_0
    ):
        return CommandStatus.ESME_RINVPRTFLG
    if pdu.registered_delivery & _REGISTERED_RESERVED:
        return CommandStatus.ESME_RINVREGDLVFLG
    if pdu.replace_if_present_flag > 1:
        return CommandStatus.ESME_RINVREPFLAG
    if pdu.sm_default_msg_id > DEFAULT_MESSAGE_MAX:
        return CommandStatus.ESME_RINVDFTMSGID
    if pdu.esm_class or pdu.tlvs:
        status = _check_text(pdu.esm_class, pdu.short_message, pdu.tlvs, pdu.data_coding)
        return status or _check_sar(pdu.esm_class, pdu.short_message, pdu.tlvs)
    if len(pdu.short_message) & 1 and pdu.data_coding in _UCS2_CODINGS:
        return CommandStatus.ESME_RINVMSGLEN
    return None


def check_multi(pdu: SubmitMulti, interface_version: int = InterfaceVersion.V3_4) -> CommandStatus | None:
    """The status that refuses a submit_multi: as check_submit, and 5.0 has one destination more (section 4.5.1)."""
    if len(pdu.dest_address) > destinations_max(interface_version):
        return CommandStatus.ESME_RINVNUMDESTS
    return check_submit(pdu, interface_version)


def check_data(pdu: DataSm) -> CommandStatus | None:
    """The status that refuses a data_sm of an ESME (SMPP 3.4 section 4.7.1)."""
    if len(pdu.service_type) > _SERVICE_TYPE_MAX:
        return CommandStatus.ESME_RINVSERTYP
    if pdu.registered_delivery & _REGISTERED_RESERVED:
        return CommandStatus.ESME_RINVREGDLVFLG
    return _check_text(pdu.esm_class, b"", pdu.tlvs, pdu.data_coding) or _check_sar(pdu.esm_class, b"", pdu.tlvs)


def check_replace(pdu: ReplaceSm) -> CommandStatus | None:
    """The status that refuses a replace_sm (SMPP 3.4 section 4.10.1, with message_payload as in 5.0)."""
    if not pdu.message_id:
        return CommandStatus.ESME_RINVMSGID
    if pdu.registered_delivery & _REGISTERED_RESERVED:
        return CommandStatus.ESME_RINVREGDLVFLG
    if pdu.sm_default_msg_id > DEFAULT_MESSAGE_MAX:
        return CommandStatus.ESME_RINVDFTMSGID
    return _check_text(0, pdu.short_message, pdu.tlvs)


def _check_text(esm_class: int, text: bytes, tlvs: bytes, data_coding: int = 0) -> CommandStatus | None:
    """A text in two places, a type that is not an ESME's, and a user data header that is said but not there.

    And UCS-2 that ends with half a character, which nobody can show. Parts of a longer message pass: some ESMEs cut
    between the two octets, and the whole is even.
    """
    payload = tlv.find(tlvs, _MESSAGE_PAYLOAD) if tlvs else None
    if text and payload is not None:
        return CommandStatus.ESME_RINVMSGLEN
    octets = payload if payload is not None else text
    header = 0
    if esm_class:
        if esm_class & ESM_TYPE_MASK not in _TYPES_OF_AN_ESME:
            return CommandStatus.ESME_RINVESMCLASS
        if esm_class & _UDHI:
            header = 1 + octets[0] if octets else 1
            if header > len(octets):
                return CommandStatus.ESME_RINVESMCLASS
    if len(octets) - header & 1 and data_coding in _UCS2_CODINGS and not _is_part(octets[:header], tlvs):
        return CommandStatus.ESME_RINVMSGLEN
    return None


def _check_sar(esm_class: int, text: bytes, tlvs: bytes) -> CommandStatus | None:
    """sar_* that count wrong, or that a header contradicts by saying itself which part this is.

    One of them without the others is no mistake: SMPP 3.4 section 5.3.2.22 has it ignored.
    """
    if _SAR_SEQNUM_STARTS not in tlvs:
        return None
    values = tlv.read(tlvs)
    total, sequence = values.get(TlvTag.SAR_TOTAL_SEGMENTS), values.get(TlvTag.SAR_SEGMENT_SEQNUM)
    if _SAR_MSG_REF_NUM not in values or not isinstance(total, int) or not isinstance(sequence, int):
        return None
    if not 1 <= sequence <= total:
        return CommandStatus.ESME_RINVOPTPARAMVAL
    octets = text or tlv.find(tlvs, _MESSAGE_PAYLOAD) or b""
    if esm_class & _UDHI and _is_part(octets[: 1 + octets[0]], b""):
        return CommandStatus.ESME_ROPTPARNOTALLWD
    return None


def _is_part(header: bytes, tlvs: bytes) -> bool:
    if tlvs and tlv.find(tlvs, _SAR_MSG_REF_NUM) is not None:
        return True
    try:
        return bool(header) and udh.parse(header).concatenation is not None
    except udh.UdhError:
        return False
