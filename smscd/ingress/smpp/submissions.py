"""submit_sm to Submission: the fields as they came, what the TLVs hold, and what cannot be done refused."""

from __future__ import annotations

from typing import Final

from protocols.smpp import tlv
from protocols.smpp.constants import TlvTag
from protocols.smpp.pdu import SubmitSm
from protocols.smpp.times import TimeFormatError, parse_time
from protocols.smpp.tlv import HOP_TAGS
from smscd.core.directory import Account
from smscd.core.reasons import Reason, Rejected
from smscd.core.records import Door
from smscd.core.submission import Submission

REQUEST_KEY_TAG: Final = 0x1500
REQUEST_KEY_OCTETS_MAX: Final = 64

_MESSAGE_PAYLOAD: Final = int(TlvTag.MESSAGE_PAYLOAD)


def submission_of(
    pdu: SubmitSm, account: Account, now_ms: int, request_key_tag: int = REQUEST_KEY_TAG
) -> Submission | Rejected:
    """The submission that a submit_sm asks for; a refusal where we cannot do what it says.

    request_key_tag: the vendor TLV with the ESME's own request key. The caller looks at replace_if_present_flag.
    """
    content = pdu.short_message
    if pdu.sm_default_msg_id and not content:
        return Rejected(Reason.INVALID_DEFAULT_MESSAGE)
    submission = Submission(
        account,
        Door.SMPP,
        pdu.source_addr,
        pdu.destination_addr,
        content,
        pdu.data_coding,
        pdu.esm_class,
        pdu.registered_delivery,
        pdu.protocol_id,
        pdu.source_addr_ton,
        pdu.source_addr_npi,
        pdu.dest_addr_ton,
        pdu.dest_addr_npi,
        pdu.service_type,
    )
    if pdu.priority_flag:
        submission.priority_flag = pdu.priority_flag
    if pdu.schedule_delivery_time and not take_schedule(submission, pdu.schedule_delivery_time, now_ms):
        return Rejected(Reason.INVALID_SCHEDULE)
    if pdu.validity_period and not _take_validity(submission, pdu.validity_period, now_ms):
        return Rejected(Reason.INVALID_VALIDITY)
    if pdu.tlvs:
        refusal = _take_tlvs(submission, pdu.tlvs, request_key_tag)
        if refusal is not None:
            return refusal
    return submission


def _take_validity(submission: Submission, value: bytes, now_ms: int) -> bool:
    """Relative times stay relative, so that a repeated request asks for the same. False: it is no time."""
    try:
        until_ms = parse_time(value, now_ms)
    except TimeFormatError:
        return False
    if value.endswith(b"R"):
        submission.validity_seconds = (until_ms - now_ms) // 1000
    else:
        submission.valid_until_ms = until_ms
    return True


def take_schedule(submission: Submission, value: bytes, now_ms: int) -> bool:
    """Have it sent at a time as SMPP writes it; see _take_validity. False: it is no time."""
    try:
        at_ms = parse_time(value, now_ms)
    except TimeFormatError:
        return False
    if value.endswith(b"R"):
        submission.send_after_seconds = (at_ms - now_ms) // 1000
    else:
        submission.send_at_ms = at_ms
    return True


def _take_tlvs(submission: Submission, raw: bytes, request_key_tag: int) -> Rejected | None:
    """Take message_payload and the request key out, and what is for us alone; the rest goes on as it came."""
    rest: list[tuple[int, bytes]] = []
    items = tlv.parse(raw)
    for tag, value in items:
        if tag == _MESSAGE_PAYLOAD:
            if submission.content:
                return Rejected(Reason.INVALID_LENGTH, "There is a message_payload beside the short_message.")
            submission.content = value
        elif tag == request_key_tag:
            key = value.rstrip(b"\0")
            if len(key) > REQUEST_KEY_OCTETS_MAX or not all(0x20 < octet < 0x7F for octet in key):
                return Rejected(Reason.INVALID_TLV_VALUE, "The request key is not up to 64 printable characters.")
            submission.request_key = key or None
        elif tag not in HOP_TAGS:
            rest.append((tag, value))
    submission.tlvs = tlv.encode(rest) if rest else b""
    return None
