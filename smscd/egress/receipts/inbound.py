"""Mobile-originated messages, pure: from an upstream's PDU to the record and to what its owner is told."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from protocols.smpp.longform import Carried
from protocols.smpp.pdu import DeliverSm
from smscd.core.callbacks import VIAS, inbound_callback
from smscd.core.directory_index import DirectoryIndex
from smscd.core.reading import Reader
from smscd.core.records import InboundRecord, Via
from smscd.egress.binds.ports import Delivered
from storage.redis.receipts import InboundItem

_SMPP = int(Via.SMPP)

_encode = msgspec.msgpack.Encoder().encode


def inbound_items(
    pdus: Sequence[Delivered], ids: Sequence[int], reader: Reader, directory: DirectoryIndex, now_ms: int
) -> list[InboundItem]:
    """One item for each PDU. ids: one for each, of an IdSource. reader: of the upstream that they came from.

    The record and a webhook have the text as we write it, an ESME gets it as its account does. A destination that is
    no number of ours is recorded with an empty account, and nobody is called back.
    """
    return [_item(pdu, message_id, reader, directory, now_ms) for pdu, message_id in zip(pdus, ids, strict=True)]


def _item(pdu: Delivered, message_id: int, reader: Reader, directory: DirectoryIndex, now_ms: int) -> InboundItem:
    came = reader.message(pdu)
    ours = reader.plain(came)
    number = directory.mo_number(pdu.destination_addr)
    record = InboundRecord(
        message_id,
        number.account if number is not None else "",
        reader.upstream,
        pdu.source_addr_ton,
        pdu.source_addr_npi,
        pdu.source_addr,
        pdu.dest_addr_ton,
        pdu.dest_addr_npi,
        pdu.destination_addr,
        ours.esm_class,
        pdu.protocol_id if isinstance(pdu, DeliverSm) else 0,  # data_sm has none
        ours.data_coding,
        ours.short_message,
        now_ms,
        ours.tlvs,
    )
    if number is None:
        return InboundItem(record)
    record.via = via = int(VIAS[number.via])
    told = record
    if via == _SMPP:
        entry = directory.entry(number.account)
        theirs = reader.told(came, entry.dialect) if entry is not None else came
        told = record if theirs is ours else _in_other_octets(record, theirs)
    return InboundItem(record, via, _encode(inbound_callback(told, number, reader.named_tlvs(came.tlvs))))


def _in_other_octets(record: InboundRecord, carried: Carried) -> InboundRecord:
    return msgspec.structs.replace(
        record,
        esm_class=carried.esm_class,
        data_coding=carried.data_coding,
        body=carried.short_message,
        tlvs=carried.tlvs,
    )
