"""Mobile-originated messages: whose they are, and what is kept of them."""

from __future__ import annotations

import pytest

from protocols.smpp import tlv
from protocols.smpp.constants import TlvTag
from protocols.smpp.pdu import DeliverSm
from protocols.smpp.tlv import HOP_TAGS
from smscd.core.directory import MoNumber, Snapshot
from smscd.core.directory_index import DirectoryIndex
from smscd.core.records import CallbackKind, Via
from smscd.egress.receipts.inbound import inbound_items
from tests.unit.smscd.egress.doubles import NOW_MS, decode_callback

DIRECTORY = DirectoryIndex(
    Snapshot(
        mo_numbers=(
            MoNumber(number="12345", account="acme"),
            MoNumber(number="+447700900000", account="beta", via="webhook"),
        )
    )
)


def item_of(pdu: DeliverSm):  # type: ignore[no-untyped-def]  # InboundItem
    [item] = inbound_items([pdu], [7], "carrier", DIRECTORY, NOW_MS)
    return item


def test_a_number_of_ours_gives_the_message_to_its_account() -> None:
    item = item_of(DeliverSm(source_addr=b"4917", destination_addr=b"12345", short_message=b"hi", data_coding=3))
    assert (item.record.account, item.record.via, item.record.body) == ("acme", Via.SMPP, b"hi")
    callback = decode_callback(item.callback)
    assert (callback.kind, callback.id, callback.body) == (CallbackKind.INBOUND, 7, b"hi")


def test_a_plus_sign_makes_no_difference() -> None:
    for dest in (b"447700900000", b"+447700900000"):
        item = item_of(DeliverSm(destination_addr=dest))
        assert (item.record.account, item.via) == ("beta", Via.WEBHOOK)


def test_only_the_exact_number_matches() -> None:
    for dest in (b"1234", b"123456", b""):
        item = item_of(DeliverSm(destination_addr=dest))
        assert item.record.account == "" and item.callback is None


@pytest.mark.parametrize("text", [b"hi", b""])
def test_what_the_upstream_says_to_us_alone_is_not_told_to_the_account(text: bytes) -> None:
    kept = [(0x1400, b"vendor"), (int(TlvTag.USER_MESSAGE_REFERENCE), b"\0\1")]
    payload = [] if text else [(int(TlvTag.MESSAGE_PAYLOAD), b"hi")]
    tlvs = tlv.encode([kept[0], *payload, *((tag, b"\1") for tag in sorted(HOP_TAGS)), kept[1]])
    item = item_of(DeliverSm(destination_addr=b"12345", short_message=text, tlvs=tlvs))
    assert (item.record.body, tlv.parse(item.record.tlvs)) == (b"hi", kept)


def test_message_payload_is_the_body_and_other_tlvs_stay() -> None:
    tlvs = tlv.encode([(TlvTag.MESSAGE_PAYLOAD, b"x" * 300), (0x1400, b"vendor")])
    item = item_of(DeliverSm(destination_addr=b"12345", tlvs=tlvs))
    assert item.record.body == b"x" * 300
    assert tlv.parse(item.record.tlvs) == [(0x1400, b"vendor")]
