"""Receipts of the simulated carrier: built by the batch, kept in time buckets until they are due."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from protocols.smpp.constants import EsmClass, MessageState, TlvTag
from protocols.smpp.pdu import SubmitSm

EXCERPT_MAX = 20

UDHI = int(EsmClass.UDHI)

MESSAGE_STATES = {
    b"DELIVRD": int(MessageState.DELIVERED),
    b"EXPIRED": int(MessageState.EXPIRED),
    b"UNDELIV": int(MessageState.UNDELIVERABLE),
    b"REJECTD": int(MessageState.REJECTED),
}

TEXT = b"id:%b sub:001 dlvrd:%b submit date:%b done date:%b stat:%b err:%b text:%b"
BODY = b"%%b\0%%c%%c%%b\0%%c%%c%%b\0%c\0\0\0\0\0\0\0\0%%c%%b%%b" % EsmClass.DELIVERY_RECEIPT
"""deliver_sm: service_type, source, destination, esm_class, eight fields that are 0, short_message, TLVs."""

TLVS = b"%b\0%%c%%b\0%b\0\1%%c" % (
    TlvTag.RECEIPTED_MESSAGE_ID.to_bytes(2, "big"),
    TlvTag.MESSAGE_STATE.to_bytes(2, "big"),
)
"""receipted_message_id, a C-octet string of less than 256 octets, and message_state."""

IdForm = Callable[[int], bytes]


def decimal_id(number: int) -> bytes:
    """A message id as decimal digits."""
    return b"%d" % number


def hex_id(number: int) -> bytes:
    """A message id as hexadecimal digits."""
    return b"%x" % number


ID_FORMS: dict[str, IdForm] = {"decimal": decimal_id, "hex": hex_id}


class Delivery:
    """A receipt, or an MO (then without id and stat), ready to send: body is that of its deliver_sm, TLVs included."""

    __slots__ = ("body", "id", "stat", "token")

    def __init__(self, body: bytes, token: bytes, id: bytes = b"", stat: bytes = b"") -> None:
        self.body = body
        self.token = token
        self.id = id
        self.stat = stat


class Accepted:
    """A submit_sm that was taken and whose receipt is due: what the receipt will be built from."""

    __slots__ = ("err", "number", "pdu", "seconds", "stat", "token")

    def __init__(self, pdu: SubmitSm, number: int, token: bytes, seconds: float, stat: bytes, err: bytes) -> None:
        self.pdu = pdu
        self.number = number
        self.token = token
        self.seconds = seconds
        self.stat = stat
        self.err = err


def receipt_date(seconds: float) -> bytes:
    """A time as receipts carry it: YYMMDDhhmm, UTC."""
    return time.strftime("%y%m%d%H%M", time.gmtime(seconds)).encode()


class ReceiptBuilder:
    """Makes the deliver_sm of receipts. Dates are formatted once a batch of the same moment, not once a message."""

    def __init__(self, id_form: IdForm, *, with_tlvs: bool = True) -> None:
        self._id_form = id_form
        self._with_tlvs = with_tlvs

    def build(self, accepted: Iterable[Accepted], now_seconds: float) -> list[Delivery]:
        """The receipts of a batch of taken messages, in order. now_seconds: Unix time, the done date.

        SMPP 3.4 appendix B and section 4.6.1; source and destination change places.
        """
        receipts: list[Delivery] = []
        id_form, with_tlvs = self._id_form, self._with_tlvs
        done = receipt_date(now_seconds)
        seconds, submitted = now_seconds, done
        for item in accepted:
            pdu, stat = item.pdu, item.stat
            if item.seconds != seconds:
                seconds = item.seconds
                submitted = receipt_date(seconds)
            id = id_form(item.number)
            text = TEXT % (
                id,
                b"001" if stat == b"DELIVRD" else b"000",
                submitted,
                done,
                stat,
                item.err,
                pdu.short_message[:EXCERPT_MAX] if pdu.data_coding == 0 and not pdu.esm_class & UDHI else b"",
            )
            body = BODY % (
                pdu.service_type,
                pdu.dest_addr_ton,
                pdu.dest_addr_npi,
                pdu.destination_addr,
                pdu.source_addr_ton,
                pdu.source_addr_npi,
                pdu.source_addr,
                len(text),
                text,
                TLVS % (len(id) + 1, id, MESSAGE_STATES[stat]) if with_tlvs else b"",
            )
            receipts.append(Delivery(body, item.token, id, stat))
        return receipts


T = TypeVar("T")


class Buckets(Generic[T]):
    """Things that are due later, gathered into buckets of a few milliseconds so that one timer serves them all."""

    def __init__(self, width_seconds: float = 0.002) -> None:
        self._width = width_seconds
        self._buckets: dict[int, list[T]] = {}
        self._ticks: list[int] = []
        self.count = 0

    def add(self, due: float, items: list[T]) -> None:
        """Keep items until `due`; they come out at most one bucket's width late."""
        if not items:
            return
        tick = int(due / self._width) + 1
        bucket = self._buckets.get(tick)
        if bucket is None:
            self._buckets[tick] = list(items)
            heapq.heappush(self._ticks, tick)
        else:
            bucket += items
        self.count += len(items)

    def next_due(self) -> float | None:
        """When the first bucket is due; None when there is nothing."""
        return self._ticks[0] * self._width if self._ticks else None

    def take_due(self, now: float) -> list[T]:
        """Everything that is due at `now`, oldest first."""
        due: list[T] = []
        while self._ticks and self._ticks[0] * self._width <= now:
            due += self._buckets.pop(heapq.heappop(self._ticks))
        self.count -= len(due)
        return due
