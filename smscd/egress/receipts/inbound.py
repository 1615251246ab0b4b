"""Mobile-originated messages, pure: from an upstream's PDU to the record and to what its owner is told."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from protocols.smpp import tlv
from protocols.smpp.constants import TlvTag
from protocols.smpp.pdu import DeliverSm
from protocols.smpp.tlv import HOP_TAGS
from smscd.core.callbacks import VIAS, inbound_callback
from smscd.core.directory_index import DirectoryIndex
from smscd.core.records import InboundRecord
from smscd.egress.binds.ports import Delivered
from storage.redis.receipts import InboundItem

_encode = msgspec.msgpack.Encoder().encode


def inbound_items(
    pdus: Sequence[Delivered], ids: Sequence[int], upstream: str, directory: DirectoryIndex, now_ms: int
) -> list[InboundItem]:
    """One item for each PDU. ids: one for each, of an IdSource.

    A destination that is no number of ours is recorded with an empty account, and nobody is called back.
    """
    return [_item(pdu, message_id, upstream, directory, now_ms) for pdu, message_id in zip(pdus, ids, strict=True)]


def _item(pdu: Delivered, message_id: int, upstream: str, directory: DirectoryIndex, now_ms: int) -> InboundItem:
    body, tlvs = pdu.short_message, pdu.tlvs
    if tlvs:
        items = [item for item in tlv.parse(tlvs) if item[0] not in HOP_TAGS]
        if not body:
            body = next((value for tag, value in items if tag == TlvTag.MESSAGE_PAYLOAD), b"")
            items = [item for item in items if item[0] != TlvTag.MESSAGE_PAYLOAD]
        tlvs = tlv.encode(items)
    number = directory.mo_number(pdu.destination_addr)
    record = InboundRecord(
        message_id,
        number.account if number is not None else "",
        upstream,
        pdu.source_addr_ton,
        pdu.source_addr_npi,
        pdu.source_addr,
        pdu.dest_addr_ton,
        pdu.dest_addr_npi,
        pdu.destination_addr,
        pdu.esm_class,
        pdu.protocol_id if isinstance(pdu, DeliverSm) else 0,  # data_sm has none
        pdu.data_coding,
        body,
        now_ms,
        tlvs,
    )
    if number is None:
        return InboundItem(record)
    via = int(VIAS[number.via])
    record.via = via
    return InboundItem(record, via, _encode(inbound_callback(record, number)))
