"""The submit_sm of each segment, encoded once: the record's fields and what the upstream's profile says."""

from __future__ import annotations

from typing import Final

from protocols.smpp import tlv
from protocols.smpp.codec import encode_body
from protocols.smpp.constants import TlvTag
from protocols.smpp.pdu import SubmitSm
from protocols.smpp.times import format_relative
from smscd.core.directory import Upstream
from smscd.core.records import MessageRecord

SHORT_MESSAGE_MAX: Final = 254
VALIDITIES_REMEMBERED: Final = 4096
SECOND_MS: Final = 1000
VALIDITY_SECONDS_MAX: Final = 31 * 86_400


class SubmitEncoder:
    """Encodes for one upstream. One PDU object is filled again and again, so it belongs to one dispatcher."""

    __slots__ = ("_pdu", "_validities")

    def __init__(self, profile: Upstream) -> None:
        self._pdu = SubmitSm(registered_delivery=profile.registered_delivery)
        self._validities: dict[int, bytes] = {}

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
        pdu.esm_class = record.esm_class
        pdu.protocol_id = record.protocol_id
        pdu.data_coding = record.data_coding
        seconds = (record.valid_until_ms - now_ms) // SECOND_MS
        pdu.validity_period = self._validities.get(seconds) or self._remember(seconds)
        text = record.segments[segment]
        if len(text) <= SHORT_MESSAGE_MAX:
            pdu.short_message = text
            pdu.tlvs = record.tlvs
        else:
            pdu.short_message = b""
            pdu.tlvs = tlv.encode([(TlvTag.MESSAGE_PAYLOAD, text)]) + record.tlvs
        return encode_body(pdu)

    def _remember(self, seconds: int) -> bytes:
        if len(self._validities) >= VALIDITIES_REMEMBERED:
            self._validities.clear()
        period = self._validities[seconds] = format_relative(min(max(seconds, 1), VALIDITY_SECONDS_MAX))
        return period
