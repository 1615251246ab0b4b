"""replace_sm, pure: the message as it shall be, or the status that refuses it (SMPP 3.4 section 4.10)."""

from __future__ import annotations

from typing import Final

import msgspec

from protocols.smpp import tlv
from protocols.smpp.constants import CommandStatus, EsmClass, TlvTag
from protocols.smpp.pdu import ReplaceSm, SubmitSm
from protocols.smpp.times import format_absolute
from protocols.smpp.validation import check_submit
from smscd.core.directory_index import AccountEntry, DirectoryIndex
from smscd.core.planning import plan
from smscd.core.reasons import REASONS, Rejected
from smscd.core.records import MessageRecord, State
from smscd.ingress.smpp.submissions import submission_of
from storage.postgres.messages import StoredMessage, record_of

_UDHI: Final = int(EsmClass.UDHI)
_MESSAGE_PAYLOAD: Final = int(TlvTag.MESSAGE_PAYLOAD)
_SAR_MSG_REF_NUM: Final = int(TlvTag.SAR_MSG_REF_NUM)
_RINVSCHED: Final = int(CommandStatus.ESME_RINVSCHED)
_RREPLACEFAIL: Final = int(CommandStatus.ESME_RREPLACEFAIL)


def replacement(
    pdu: ReplaceSm, found: StoredMessage, entry: AccountEntry, directory: DirectoryIndex, now_ms: int
) -> MessageRecord | int:
    """Plan the new text on the way of the old one: same addresses, data_coding (as the customer gave it) and upstream.

    pdu: one in which check_replace found nothing. found: the message as it is. A validity that is left out stays what
    it was, and goes with the time to send when that is changed; only of a message that still waits for its time it can
    be. ESME_RREPLACEFAIL: the new text needs more segments than were paid for, the message is a part of a longer
    one or of a submit_multi, or its route has changed.
    """
    given = found.conversion
    data_coding = found.data_coding if given is None else given.data_coding
    esm_class = found.esm_class if given is None else given.esm_class
    tlvs = (found.tlvs or b"") if given is None else given.tlvs
    is_part = bool(esm_class & _UDHI) and found.parts == 1
    if is_part or found.group_id or tlv.find(tlvs, _SAR_MSG_REF_NUM) is not None:
        return _RREPLACEFAIL
    if pdu.schedule_delivery_time and found.state != State.SCHEDULED:
        return _RINVSCHED
    old = record_of(found)
    schedule = pdu.schedule_delivery_time
    if not schedule and old.send_at_ms > now_ms:
        schedule = format_absolute(old.send_at_ms)
    submit = SubmitSm(
        service_type=found.service_type,
        source_addr_ton=found.source_ton,
        source_addr_npi=found.source_npi,
        source_addr=found.source,
        dest_addr_ton=found.dest_ton,
        dest_addr_npi=found.dest_npi,
        destination_addr=found.dest,
        esm_class=esm_class & ~_UDHI,
        protocol_id=found.protocol_id,
        schedule_delivery_time=schedule,
        validity_period=pdu.validity_period,
        registered_delivery=pdu.registered_delivery,
        data_coding=data_coding,
        sm_default_msg_id=pdu.sm_default_msg_id,
        short_message=pdu.short_message,
        tlvs=_payload_of(pdu.tlvs) + tlvs,
    )
    status = check_submit(submit)
    if status is not None:
        return int(status)
    asked = submission_of(submit, entry.account, now_ms)
    planned = asked if isinstance(asked, Rejected) else plan(asked, directory, found.id, now_ms)
    if isinstance(planned, Rejected):
        return int(REASONS[planned.reason].command_status)
    new = planned.record
    if new.parts > old.parts or new.upstream != old.upstream:
        return _RREPLACEFAIL
    send_at_ms, valid_until_ms = old.send_at_ms, old.valid_until_ms
    if pdu.schedule_delivery_time:
        send_at_ms = new.send_at_ms
        valid_until_ms += (new.send_at_ms or now_ms) - old.send_at_ms
    return msgspec.structs.replace(
        old,
        segments=new.segments,
        esm_class=new.esm_class,
        data_coding=new.data_coding,
        tlvs=new.tlvs,
        conversion=new.conversion,
        registered_delivery=new.registered_delivery,
        via=new.via,
        valid_until_ms=new.valid_until_ms if pdu.validity_period else valid_until_ms,
        send_at_ms=send_at_ms,
        in_doubt=new.in_doubt,
    )


def _payload_of(tlvs: bytes) -> bytes:
    """The text of a 5.0 replace_sm; it has no other TLV that could change the message."""
    payload = tlv.find(tlvs, _MESSAGE_PAYLOAD) if tlvs else None
    return tlv.encode([(_MESSAGE_PAYLOAD, payload)]) if payload is not None else b""
