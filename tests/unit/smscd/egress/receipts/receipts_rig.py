"""The receipts' side of one upstream, over a played Redis and a played bind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from protocols.smpp import tlv
from protocols.smpp.constants import CommandStatus, TlvTag
from protocols.smpp.pdu import DataSm, DeliverSm
from protocols.smpp.receipt import format_receipt
from smscd.core.directory import Account, MoNumber, Snapshot
from smscd.core.directory_index import DirectoryIndex
from smscd.egress.dispatch.gate import AnswerGate
from smscd.egress.dispatch.turn import sent_context
from smscd.egress.figures import UpstreamFigures
from smscd.egress.receipts.receipts import Receipts
from tests.unit.smscd.egress.doubles import FIRST_ID, NOW_MS, encode, message, profile
from tests.unit.smscd.egress.pipes import until
from tests.unit.smscd.egress.redis_double import FakeReceiptStore, FakeRedis

ROK = 0
RX_T_APPN = int(CommandStatus.ESME_RX_T_APPN)


class FakeConnection:
    """Only there to be told apart."""

    is_open = True


class AnsweringLink:
    """A bind that remembers what was answered."""

    def __init__(self) -> None:
        self.connection = FakeConnection()
        self.answers: list[tuple[int, int]] = []
        self.data_answers: list[tuple[int, int]] = []
        self.flushes = 0

    def answer(self, connection: FakeConnection, answers: list[tuple[int, int]], *, is_data: bool = False) -> None:
        assert connection is self.connection
        target = self.data_answers if is_data else self.answers
        target += answers
        self.flushes += 1


class Rig:
    """The receipts' side of one upstream."""

    def __init__(self, redis: FakeRedis | None = None, **changes: Any) -> None:
        self.redis = redis or FakeRedis()
        self.store = FakeReceiptStore(self.redis)
        self.link = AnsweringLink()
        self.gate = AnswerGate()
        self.reported: list[tuple[bytes, bytes, bytes, int]] = []
        self.held: list[bool] = []
        self.figures = UpstreamFigures("carrier")
        self._numbers = count(1)
        ids = count(FIRST_ID + 1_000_000)
        numbers = (
            MoNumber(number="12345", account="acme"),
            MoNumber(number="777", account="beta", via="webhook"),
            MoNumber(number="888", account="patient"),
        )
        accounts = (Account(id="acme"), Account(id="patient", mo_delivery="whole"))
        directory = DirectoryIndex(Snapshot(accounts=accounts, mo_numbers=numbers))
        self.now_ms = NOW_MS
        self.receipts = Receipts(
            profile(**changes),
            store=self.store,  # type: ignore[arg-type]  # the double
            directory=lambda: directory,
            ids=lambda now_ms, wanted: [next(ids) for _ in range(wanted)],
            correlated=self.gate.wait,
            reported=lambda *told: self.reported.append(told),
            hold_reading=self.held.append,
            figures=self.figures,
            clock=asyncio.get_running_loop().time,
            wall_ms=lambda: self.now_ms,
        )

    def know(self, upstream_id: bytes, **changes: object) -> None:
        """A segment was accepted under this id."""
        self.redis.corr[upstream_id] = encode(sent_context(message(1, **changes), 0))

    def come(self, *pdus: DeliverSm | DataSm) -> None:
        """One read of the bind."""
        for pdu in pdus:
            pdu.sequence_number = next(self._numbers)
        self.receipts.received(self.link, list(pdus))  # type: ignore[arg-type]  # the double

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.receipts.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def settle(self) -> None:
        """Until all that came is answered."""
        async with self.running():
            await until(lambda: self.receipts.is_idle)


def receipt(upstream_id: bytes, stat: bytes = b"DELIVRD", err: bytes = b"000", **changes: Any) -> DeliverSm:
    text = format_receipt(upstream_id, submit_ms=NOW_MS, done_ms=NOW_MS, stat=stat, err=err, text=b"text")
    fields: dict[str, Any] = {"esm_class": 0x04, "short_message": text, "source_addr": b"4917", **changes}
    return DeliverSm(**fields)


def only(records: list[object]) -> Any:
    [record] = records
    return record


def as_data(pdu: DeliverSm) -> DataSm:
    """The same in the other PDU, where the text is a TLV."""
    payload = tlv.encode([(TlvTag.MESSAGE_PAYLOAD, pdu.short_message)])
    return DataSm(
        source_addr=pdu.source_addr, destination_addr=pdu.destination_addr, esm_class=pdu.esm_class,
        data_coding=pdu.data_coding, tlvs=payload + pdu.tlvs,
    )  # fmt: skip


async def nobody_remembers(marks: Sequence[bytes], now_ms: int, window_ms: int) -> None:
    """The process died before."""
