"""Mobile-originated messages, pure: from an upstream's PDUs to the records and to what their owners are told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from protocols.smpp.longform import Carried
from protocols.smpp.pdu import DeliverSm
from smscd.core.callbacks import VIAS, inbound_callback, text_of
from smscd.core.directory import MoNumber
from smscd.core.directory_index import DirectoryIndex
from smscd.core.joining import Ended, Waits, may_be_part, part_of, reader_of_wholes, whole_of
from smscd.core.reading import Reader
from smscd.core.records import HeldPart, InboundRecord, Via
from smscd.core.upstream import Upstream
from smscd.egress.binds.ports import Delivered
from storage.redis.receipts import InboundItem

_SMPP: Final = int(Via.SMPP)

_encode = msgspec.msgpack.Encoder().encode


@dataclass(slots=True)
class Taken:
    """What a batch of PDUs came to. items: to be recorded and told, in order. repeated: parts that waited already.

    joined, partial: the wholes among the items, with all of their parts and without.
    """

    items: list[InboundItem] = field(default_factory=list)
    repeated: int = 0
    joined: int = 0
    partial: int = 0


class InboundReader:
    """Reads the messages of one upstream, as long as its profile is this one.

    The record and a webhook have the text as we write it, an ESME gets it as its account does. A destination that is
    no number of ours is recorded with an empty account, and nobody is called back. Where a keyword decides, parts wait
    with no account for their whole, whatever its account wants: they are nobody's before its first word is read.
    """

    def __init__(self, profile: Upstream) -> None:
        self._reader = Reader(profile)
        self._joins = profile.mo_join_seconds > 0
        self._whole_reader = reader_of_wholes(profile)

    def ids_wanted(self, pdus: Sequence[Delivered]) -> int:
        """How many ids `take` may need for these: one for each, and one for the whole that each part may begin."""
        if not self._joins:
            return len(pdus)
        return len(pdus) + sum(may_be_part(pdu.esm_class, pdu.tlvs) for pdu in pdus)

    def take(
        self, pdus: Sequence[Delivered], ids: Sequence[int], waits: Waits, directory: DirectoryIndex, now_ms: int
    ) -> Taken:
        """What these are. ids: ids_wanted of an IdSource. waits: changed by the parts among them."""
        taken, spare = Taken(), iter(ids)
        for pdu in pdus:
            came = self._reader.message(pdu)
            rules, dest, part = directory.mo_rules, pdu.destination_addr, None
            has_keywords = rules.has_keywords(dest)
            number = None if has_keywords else rules.find(dest)
            if may_be_part(pdu.esm_class, pdu.tlvs):
                if has_keywords and self._joins:
                    part = self._part(pdu, came, "", Via.NONE, spare, now_ms)
                elif number is not None and self._joins_for(number, directory):
                    part = self._part(pdu, came, number.account, VIAS[number.via], spare, now_ms)
            if part is None:
                if has_keywords:
                    number = rules.find(dest, _text_of(self._reader.plain(came)))
                taken.items.append(self._message(next(spare), pdu, came, number, directory, now_ms))
                continue
            ended = waits.take(part)
            if ended is None:
                taken.repeated += 1
                continue
            record = self._record(next(spare), pdu, self._reader.plain(came), now_ms)
            record.account, record.group_id = part.account, part.whole
            taken.items.append(InboundItem(record))
            self.tell(ended, taken, directory, now_ms)
        return taken

    def tell(self, ended: Sequence[Ended], taken: Taken, directory: DirectoryIndex, now_ms: int) -> None:
        """Add what wait no more to the items."""
        for end in ended:
            taken.items.append(self._whole(end, directory, now_ms))
            taken.partial += end.is_partial
            taken.joined += not end.is_partial

    def _joins_for(self, number: MoNumber, directory: DirectoryIndex) -> bool:
        if not self._joins or VIAS[number.via] is not Via.SMPP:
            return self._joins
        account = directory.account(number.account)
        return account is not None and account.mo_delivery == "whole"

    def _part(
        self, pdu: Delivered, came: Carried, account: str, via: Via, spare: Iterator[int], now_ms: int
    ) -> HeldPart | None:
        found = part_of(came, self._reader.dialect)
        if found is None:
            return None
        piece, part, numbering = found
        return HeldPart(
            next(spare),
            now_ms,
            account,
            int(via),
            int(numbering),
            part.reference,
            part.total,
            part.sequence,
            pdu.source_addr_ton,
            pdu.source_addr_npi,
            pdu.source_addr,
            pdu.dest_addr_ton,
            pdu.dest_addr_npi,
            pdu.destination_addr,
            piece.esm_class,
            _protocol_id(pdu),
            piece.body,
            piece.data_coding,
            piece.elements,
            piece.tlvs,
        )

    def _message(
        self,
        message_id: int,
        pdu: Delivered,
        came: Carried,
        number: MoNumber | None,
        directory: DirectoryIndex,
        now_ms: int,
    ) -> InboundItem:
        ours = self._reader.plain(came)
        record = self._record(message_id, pdu, ours, now_ms)
        if number is None:
            return InboundItem(record)
        record.account, record.via = number.account, int(VIAS[number.via])
        told = _told(record, came, ours, self._reader, directory)
        return InboundItem(record, record.via, _encode(inbound_callback(told, self._reader.named_tlvs(came.tlvs))))

    def _record(self, message_id: int, pdu: Delivered, ours: Carried, now_ms: int) -> InboundRecord:
        return InboundRecord(
            message_id,
            "",
            self._reader.upstream,
            pdu.source_addr_ton,
            pdu.source_addr_npi,
            pdu.source_addr,
            pdu.dest_addr_ton,
            pdu.dest_addr_npi,
            pdu.destination_addr,
            ours.esm_class,
            _protocol_id(pdu),
            ours.data_coding,
            ours.short_message,
            now_ms,
            ours.tlvs,
        )

    def _whole(self, ended: Ended, directory: DirectoryIndex, now_ms: int) -> InboundItem:
        reader, first = self._whole_reader, ended.parts[0]
        came = whole_of(ended.parts, reader.dialect)
        ours = reader.plain(came)
        account, via = first.account, first.via
        if not account:
            # Who does not have the beginning does not know its first word.
            text = _text_of(ours) if first.sequence == 1 else ""
            number = directory.mo_rules.find(first.dest, text)
            account, via = (number.account, int(VIAS[number.via])) if number is not None else ("", int(Via.NONE))
        record = InboundRecord(
            first.whole,
            account,
            reader.upstream,
            first.source_ton,
            first.source_npi,
            first.source,
            first.dest_ton,
            first.dest_npi,
            first.dest,
            ours.esm_class,
            first.protocol_id,
            ours.data_coding,
            ours.short_message,
            now_ms,
            ours.tlvs,
            via,
        )
        if not account:
            return InboundItem(record, is_whole=True)
        callback = inbound_callback(
            _told(record, came, ours, reader, directory),
            reader.named_tlvs(came.tlvs),
            parts=len(ended.parts),
            parts_total=first.total,
        )
        return InboundItem(record, via, _encode(callback), is_whole=True)


def _text_of(ours: Carried) -> str:
    return text_of(ours.short_message, ours.data_coding, ours.esm_class) or ""


def _protocol_id(pdu: Delivered) -> int:
    return pdu.protocol_id if isinstance(pdu, DeliverSm) else 0  # data_sm has none


def _told(
    record: InboundRecord, came: Carried, ours: Carried, reader: Reader, directory: DirectoryIndex
) -> InboundRecord:
    """The record as its account is told it."""
    if record.via != _SMPP:
        return record
    entry = directory.entry(record.account)
    theirs = reader.told(came, entry.dialect) if entry is not None else came
    if theirs is ours:
        return record
    return msgspec.structs.replace(
        record,
        esm_class=theirs.esm_class,
        data_coding=theirs.data_coding,
        body=theirs.short_message,
        tlvs=theirs.tlvs,
    )
