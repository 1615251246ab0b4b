"""The submit_sm of each segment, encoded once: the record's fields and what the upstream's profile says.

The text is the upstream's already (core.conversion). What stands here is what a record must not have, because receipts
and requests of the customer are about his own: the profile's addresses' types, service_type and priority_flag, and what
only the moment of sending knows, the validity that is left.
"""

from __future__ import annotations

from typing import Final

from protocols.smpp import tlv
from protocols.smpp.codec import encode_body
from protocols.smpp.constants import TlvTag
from protocols.smpp.pdu import SubmitSm
from protocols.smpp.times import format_absolute, format_relative
from smscd.core.conversion import wide_reference_of
from smscd.core.records import Form, MessageRecord
from smscd.core.upstream import ANY_SERVICE_TYPE, AS_IT_CAME, OUR_TLV_TAGS, Upstream

SHORT_MESSAGE_MAX: Final = 254
VALIDITIES_REMEMBERED: Final = 4096
SECOND_MS: Final = 1000
VALIDITY_SECONDS_MAX: Final = 31 * 86_400

_SAR: Final = int(Form.SAR)
_PAYLOAD: Final = int(Form.PAYLOAD)


class SubmitEncoder:
    """Encodes for one upstream. One PDU object is filled again and again, so it belongs to one dispatcher."""

    __slots__ = ("_has_overrides", "_is_relative", "_pdu", "_profile", "_service_type", "_validities")

    def __init__(self, profile: Upstream) -> None:
        self._profile = profile
        self._pdu = SubmitSm(registered_delivery=profile.registered_delivery)
        self._validities: dict[int, bytes] = {}
        self._is_relative = profile.validity_form == "relative"
        self._service_type = profile.service_type.encode()
        numbers = (profile.source_ton, profile.source_npi, profile.dest_ton, profile.dest_npi, profile.priority_flag)
        self._has_overrides = numbers != (AS_IT_CAME,) * 5 or profile.service_type != ANY_SERVICE_TYPE

    def body(self, record: MessageRecord, segment: int, now_ms: int) -> bytes:
        """The body of one segment, validity counted from now. Raises EncodeError when a field does not fit."""
        pdu = self._pdu
        pdu.service_type = record.service_type
        pdu.source_addr_ton = record.source_ton
        pdu.source_addr_npi = record.source_npi
        pdu.source_addr = record.source
        pdu.dest_addr_ton = record.dest_ton
        pdu.dest_addr_npi = record.dest_npi
        pdu.destination_addr = record.dest
        pdu.priority_flag = record.priority_flag
        if self._has_overrides:
            self._override(pdu)
        pdu.esm_class = record.esm_class
        pdu.protocol_id = record.protocol_id
        pdu.data_coding = record.data_coding
        if self._is_relative:
            seconds = (record.valid_until_ms - now_ms) // SECOND_MS
            pdu.validity_period = self._validities.get(seconds) or self._remember(seconds)
        else:
            pdu.validity_period = self._moment(record.valid_until_ms)
        text = record.segments[segment]
        if record.conversion is None and len(text) <= SHORT_MESSAGE_MAX:
            pdu.short_message = text
            pdu.tlvs = record.tlvs
        else:
            _put_text(pdu, record, segment)
        return encode_body(pdu)

    def _override(self, pdu: SubmitSm) -> None:
        """The profile's types of addresses, service_type and priority_flag in place of the customer's.

        Quirks 39 and 43.
        """
        profile = self._profile
        if profile.source_ton != AS_IT_CAME:
            pdu.source_addr_ton = profile.source_ton
        if profile.source_npi != AS_IT_CAME:
            pdu.source_addr_npi = profile.source_npi
        if profile.dest_ton != AS_IT_CAME:
            pdu.dest_addr_ton = profile.dest_ton
        if profile.dest_npi != AS_IT_CAME:
            pdu.dest_addr_npi = profile.dest_npi
        if profile.priority_flag != AS_IT_CAME:
            pdu.priority_flag = profile.priority_flag
        if profile.service_type != ANY_SERVICE_TYPE:
            pdu.service_type = self._service_type

    def _remember(self, seconds: int) -> bytes:
        if len(self._validities) >= VALIDITIES_REMEMBERED:
            self._validities.clear()
        period = self._validities[seconds] = format_relative(min(max(seconds, 1), VALIDITY_SECONDS_MAX))
        return period

    def _moment(self, until_ms: int) -> bytes:
        """An absolute validity in the upstream's local time, to the second, or none (quirk 38)."""
        if self._profile.validity_form == "none":
            return b""
        second = until_ms // SECOND_MS
        known = self._validities.get(second)
        if known is None:
            if len(self._validities) >= VALIDITIES_REMEMBERED:
                self._validities.clear()
            known = format_absolute(second * SECOND_MS, self._profile.validity_offset_quarters)
            self._validities[second] = known
        return known


def is_in_tlvs(record: MessageRecord) -> bool:
    """True when without TLVs a message would lose its text, or what says which part of a text it is."""
    if record.conversion is not None and record.conversion.form in (_SAR, _PAYLOAD):
        return True
    if record.tlvs and any(tag in OUR_TLV_TAGS for tag, _ in tlv.parse(record.tlvs)):
        return True
    return any(len(text) > SHORT_MESSAGE_MAX for text in record.segments)


def _put_text(pdu: SubmitSm, record: MessageRecord, segment: int) -> None:
    """A segment in the form that planning decided on, and one that is too long for short_message."""
    form = record.conversion.form if record.conversion is not None else None
    text, tlvs = record.segments[segment], record.tlvs
    if form == _SAR:
        tlvs += (
            tlv.encode_value(TlvTag.SAR_MSG_REF_NUM, wide_reference_of(record.id))
            + tlv.encode_value(TlvTag.SAR_TOTAL_SEGMENTS, len(record.segments))
            + tlv.encode_value(TlvTag.SAR_SEGMENT_SEQNUM, segment + 1)
        )
    if form == _PAYLOAD or len(text) > SHORT_MESSAGE_MAX:
        tlvs = tlv.encode([(TlvTag.MESSAGE_PAYLOAD, text)]) + tlvs
        text = b""
    pdu.short_message = text
    pdu.tlvs = tlvs
