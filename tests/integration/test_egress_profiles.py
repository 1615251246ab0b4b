"""What a carrier delivers in an alphabet of its own, to an ESME in the account's, and to a webhook and the record in
ours. On a real Redis; the carrier runs in this process, the webhook's receiver in one of its own."""

from __future__ import annotations

import asyncio
import json
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from protocols.gsm.alphabets import GSM
from protocols.gsm.septets import pack
from protocols.smpp import tlv
from protocols.smpp.codec import encode
from protocols.smpp.pdu import DeliverSm
from protocols.smpp.receipt import format_receipt
from protocols.smpp.state import SessionState
from smscd.core.records import InboundRecord, State, Via
from smscd.core.upstream import VendorTlv
from tests.integration.egress_rig import until, wall_ms
from tests.integration.test_egress_carriers import Rig, numbers, running
from tests.integration.test_webhook_delivery import hooks_on

TEXT = "Grüße @ {ña}"
HOUSE = "дом"
MCCMNC = VendorTlv(tag=0x1401, name="mccmnc", kind="integer", size_min=1, size_max=4)
NAMED = tlv.encode([(0x1401, b"\x66\x59")])
SILENT = 999
"""The carrier sends no receipt to these."""


class Phone:
    """What the carrier delivers, in the form that the test gives it."""

    def __init__(self, rig: Rig) -> None:
        [self._far] = rig.binds(SessionState.BOUND_TRX)
        self._numbers = count(1_000_000)

    def deliver(self, octets: bytes, **fields: Any) -> None:
        pdu = DeliverSm(source_addr_ton=1, source_addr=b"447700900999", short_message=octets, **fields)
        pdu.sequence_number = next(self._numbers)
        self._far.session._out.append(encode(pdu))
        self._far.flush()


def receipt_text(upstream_id: bytes) -> str:
    return format_receipt(upstream_id, submit_ms=wall_ms(), done_ms=wall_ms(), stat=b"UNDELIV", err=b"042").decode()


async def upstream_ids(rig: Rig, ids: list[int]) -> list[bytes]:
    """By what the carrier knows these messages."""
    await until(lambda: rig.egress.figures.tally.accepted == len(ids))
    known: dict[int, bytes] = {}
    async with asyncio.timeout(10):
        while len(known) < len(ids):
            known = {record.id: record.upstream_message_id for record in await rig.books.records(b"T")}
    return [known[message_id] for message_id in ids]


@pytest.mark.parametrize("alphabet", ["gsm_packed", "latin1"])
async def test_quirks_27_29_and_30_a_carriers_alphabet_ends_where_it_delivers(
    valkey_url: str, tmp_path: Path, alphabet: str
) -> None:
    profile: dict[str, Any] = {"default_alphabet": alphabet, "is_little_endian": True, "vendor_tlvs": (MCCMNC,)}
    theirs = pack(GSM.encode(TEXT)) if alphabet == "gsm_packed" else TEXT.encode("latin-1")
    async with (
        hooks_on(valkey_url, tmp_path) as hooks,
        running(valkey_url, account={"default_alphabet": "latin1"}, **profile) as rig,
    ):
        await hooks.start()
        by_esme = await rig.books.admit(numbers(1, SILENT))
        by_hook = await rig.books.admit(numbers(1, SILENT), via=int(Via.WEBHOOK))
        first, second = await upstream_ids(rig, by_esme + by_hook)
        phone = Phone(rig)
        phone.deliver(theirs, destination_addr=b"12345")
        phone.deliver(HOUSE.encode("utf-16-le"), destination_addr=b"12345", data_coding=8)
        phone.deliver(theirs, destination_addr=b"777", tlvs=NAMED)
        phone.deliver(HOUSE.encode("utf-16-le"), destination_addr=b"777", data_coding=8)
        phone.deliver(receipt_text(first).encode("utf-16-le"), esm_class=4, data_coding=8)
        written = receipt_text(second).encode()
        phone.deliver(pack(written) if alphabet == "gsm_packed" else written, esm_class=4, tlvs=NAMED)

        [receipt] = await rig.receipts_of(by_esme)
        assert (receipt.stat, receipt.err, receipt.message_state) == (b"UNDELIV", b"042", 5)
        await until(lambda: len(rig.esme.received) == 3)
        told = [(pdu.data_coding, pdu.short_message) for pdu in rig.esme.received if not pdu.esm_class]
        assert told == [(0, TEXT.encode("latin-1")), (8, HOUSE.encode("utf-16-be"))]

        await hooks.until(lambda: len(hooks.requests()) == 3)
        events = [json.loads(request["body"]) for request in hooks.requests()]
        data = {(event["type"], event["data"].get("text")): event["data"] for event in events}
        assert data["message.received", TEXT]["tlvs"] == {"mccmnc": 26201}
        assert data["message.received", TEXT]["content_hex"] == GSM.encode(TEXT).hex()
        assert data["message.received", HOUSE]["encoding"] == "ucs2"
        failed = data["message.undelivered", None]
        assert (failed["id"], failed["tlvs"]) == (str(by_hook[0]), {"mccmnc": 26201})

        await rig.done()
        kept: list[InboundRecord] = await rig.books.records(b"M")
        assert [(record.data_coding, record.body, record.tlvs) for record in kept] == [
            (0, GSM.encode(TEXT), b""),
            (8, HOUSE.encode("utf-16-be"), b""),
            (0, GSM.encode(TEXT), NAMED),
            (8, HOUSE.encode("utf-16-be"), b""),
        ]
        assert [record.state for record in await rig.books.records(b"R")] == [State.UNDELIVERED] * 2
