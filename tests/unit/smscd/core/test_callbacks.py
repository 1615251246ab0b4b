"""Who is told what, and how it looks."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from smscd.core.callback_records import CallbackKind, CallbackRecord
from smscd.core.callbacks import (
    ENCODINGS,
    VIAS,
    address_text,
    encoding_name,
    inbound_callback,
    low_balance_callback,
    receipt_callback,
    result_callback,
    wants_receipt,
    webhook_event,
)
from smscd.core.ids import EPOCH_MS, IdSource
from smscd.core.records import Door, InboundRecord, MessageRecord, ParkedReceipt, SentContext, State, Via

NOW = EPOCH_MS + 217_000_000_000
ID = IdSource(node=1).take(NOW, 1)[0]
FINAL = [state for state in State if state.is_final]


def context(registered_delivery: int = 1, via: int = Via.WEBHOOK) -> SentContext:
    return SentContext(
        ID, 0, 2, "acme", via, registered_delivery, 5, 0, b"ACME", 1, 1, b"447700900123", 0, 20_000, 0, b"hello",
        "order-77", "https://app.example/dlr",
    )  # fmt: skip


def record(registered_delivery: int = 1, via: int = Via.SMPP) -> MessageRecord:
    return MessageRecord(
        ID, "acme", "up", 1, Door.SMPP, 5, 0, b"ACME", 1, 1, b"447700900123", 0x40, 0, 0, registered_delivery,
        [b"\x05\x00\x03\x01\x02\x01" + b"a long text that is cut here", b"rest"], 20_000, NOW + 1, via,
    )  # fmt: skip


def told(registered_delivery: int) -> set[State]:
    return {state for state in FINAL if wants_receipt(registered_delivery, state)}


def test_the_customer_is_told_of_what_he_asked_for() -> None:
    assert told(0) == set()
    assert told(1) == set(FINAL)
    assert told(2) == set(FINAL) - {State.DELIVERED}
    assert told(3) == {State.DELIVERED}
    assert told(0x10) == set() and told(0x0C) == set()
    assert told(0x11) == set(FINAL)


def test_intermediate_notifications_go_only_to_those_who_asked() -> None:
    assert wants_receipt(0x10, State.SENT, is_intermediate=True)
    assert not wants_receipt(0x01, State.SENT, is_intermediate=True)


def test_a_receipt_becomes_a_callback_with_all_that_the_customer_needs() -> None:
    callback = receipt_callback(context(), b"DELIVRD", b"000", State.DELIVERED, NOW + 5_000)
    assert callback is not None
    assert (callback.kind, callback.id, callback.account) == (CallbackKind.RECEIPT, ID, "acme")
    assert (callback.state, callback.stat, callback.err) == (State.DELIVERED, b"DELIVRD", b"000")
    assert (callback.submit_ms, callback.done_ms) == (NOW, NOW + 5_000)
    assert (callback.source, callback.dest, callback.body) == (b"ACME", b"447700900123", b"hello")
    assert (callback.esm_class, callback.segments, callback.attempt) == (0x04, 2, 0)
    assert (callback.client_ref, callback.url) == ("order-77", "https://app.example/dlr")


def test_no_callback_without_a_way_or_a_wish() -> None:
    assert receipt_callback(context(via=Via.NONE), b"DELIVRD", b"000", State.DELIVERED, NOW) is None
    assert receipt_callback(context(registered_delivery=2), b"DELIVRD", b"000", State.DELIVERED, NOW) is None
    assert result_callback(record(via=Via.NONE), State.FAILED, 11, NOW) is None
    assert result_callback(record(registered_delivery=3), State.EXPIRED, 0, NOW) is None


def test_an_intermediate_notification_is_marked_as_one() -> None:
    callback = receipt_callback(context(0x10), b"ENROUTE", b"000", State.SENT, NOW, is_intermediate=True)
    assert callback is not None and callback.esm_class == 0x20


def test_a_message_that_never_got_a_receipt_gets_ours() -> None:
    callback = result_callback(record(), State.FAILED, 0x0B, NOW + 9)
    assert callback is not None
    assert (callback.stat, callback.err, callback.done_ms) == (b"UNDELIV", b"011", NOW + 9)
    assert (callback.body, callback.segments) == (b"a long text that is ", 2)
    expired = result_callback(record(), State.EXPIRED, 0, NOW)
    assert expired is not None and (expired.stat, expired.err) == (b"EXPIRED", b"000")


def test_the_webhook_of_a_receipt_is_what_the_interface_promises() -> None:
    callback = receipt_callback(context(), b"DELIVRD", b"000", State.DELIVERED, 1_795_358_919_000)
    assert callback is not None
    event = webhook_event(callback)
    assert event.id == f"msg_{ID}_delivered"
    assert json.loads(event.body) == {
        "type": "message.delivered",
        "timestamp": "2026-11-22T14:48:39Z",
        "data": {
            "id": str(ID),
            "client_ref": "order-77",
            "status": "delivered",
            "to": "+447700900123",
            "smpp": {"stat": "DELIVRD", "err": "000"},
            "error": None,
            "segments": 2,
        },
    }


def test_id_and_body_are_the_same_on_every_attempt() -> None:
    callback = receipt_callback(context(), b"UNDELIV", b"1b", State.UNDELIVERED, NOW)
    assert callback is not None
    first = webhook_event(callback)
    callback.attempt = 5
    assert webhook_event(callback) == first


@pytest.mark.parametrize("state", [state for state in FINAL if state is not State.DELIVERED])
def test_a_failure_carries_an_error(state: State) -> None:
    callback = result_callback(record(), state, 69, NOW)
    assert callback is not None
    body = json.loads(webhook_event(callback).body)
    assert body["type"] == f"message.{state.name.lower()}"
    assert body["data"]["error"]["code"] == state.name.lower()


def inbound(**changes: object) -> CallbackRecord:
    given: dict[str, object] = {
        "id": ID, "account": "acme", "upstream": "up", "source_ton": 1, "source_npi": 1, "source": b"447700900123",
        "dest_ton": 3, "dest_npi": 0, "dest": b"12345", "esm_class": 0, "protocol_id": 0, "data_coding": 0,
        "body": b"hi \x00", "at_ms": 1_795_358_919_000, "tlvs": b"\x14\x00\x00\x00",
    }  # fmt: skip
    fields = given | changes
    return inbound_callback(InboundRecord(**fields))  # type: ignore[arg-type]  # fields are typed by InboundRecord


def test_a_mobile_originated_message_goes_to_the_owner_of_the_number() -> None:
    callback = inbound(esm_class=0x43)
    assert (callback.kind, callback.account, callback.esm_class) == (CallbackKind.INBOUND, "acme", 0x40)
    assert (callback.source, callback.dest, callback.tlvs) == (b"447700900123", b"12345", b"\x14\x00\x00\x00")
    assert VIAS["webhook"] is Via.WEBHOOK and VIAS["smpp"] is Via.SMPP


def test_the_webhook_of_a_mobile_originated_message_has_its_text() -> None:
    event = webhook_event(inbound())
    assert event.id == f"mo_{ID}"
    assert json.loads(event.body) == {
        "type": "message.received",
        "timestamp": "2026-11-22T14:48:39Z",
        "data": {
            "id": str(ID),
            "from": "+447700900123",
            "to": "12345",
            "text": "hi @",
            "encoding": "gsm7",
            "content_hex": "68692000",
        },
    }


@pytest.mark.parametrize(
    ("changes", "text", "encoding"),
    [
        ({"data_coding": 8, "body": "дом".encode("utf-16-be")}, "дом", "ucs2"),
        ({"data_coding": 3, "body": b"\xe9"}, "é", "latin1"),
        ({"data_coding": 6, "body": b"\xbf\xe0"}, "Пр", "cyrillic"),
        ({"data_coding": 7, "body": b"\xf9\xec"}, "של", "hebrew"),
        ({"data_coding": 4, "body": b"\x01\x02"}, None, "binary"),
        ({"esm_class": 0x40, "body": b"\x05\x00\x03\x01\x02\x01part"}, "part", "gsm7"),
        ({"esm_class": 0x40, "body": b"\x30part"}, "0part", "gsm7"),
        ({"esm_class": 0x40, "body": b"\x03\x24\x01\x01\x1bs\x1bI"}, "şİ", "gsm7"),
        ({"esm_class": 0x40, "body": b"\x03\x25\x01\x01\x04\x1c"}, "€Ş", "gsm7"),
        ({"body": b"5\x1be \x1b<x\x1b>\x02\x11"}, "5€ [x]$_", "gsm7"),
        ({"data_coding": 0xF1, "body": b"\x00"}, "@", "gsm7"),
        ({"data_coding": 0x18, "body": "дом".encode("utf-16-be")}, "дом", "ucs2"),
        ({"data_coding": 8, "body": "😀".encode("utf-16-be")}, "😀", "ucs2"),
        ({"data_coding": 8, "esm_class": 0x40, "body": b"\x05\0\x03\1\2\1\x04\x16"}, "Ж", "ucs2"),
        ({"data_coding": 1, "body": b"a_@"}, "a_@", "latin1"),
    ],
)
def test_a_mobile_originated_text_is_decoded_by_its_data_coding(
    changes: dict[str, object], text: str | None, encoding: str
) -> None:
    data = json.loads(webhook_event(inbound(**changes)).body)["data"]
    assert (data["text"], data["encoding"]) == (text, encoding)


@pytest.mark.parametrize(("there", "partial"), [(2, True), (3, False)])
def test_quirk_33_a_webhook_says_how_many_parts_a_message_was_joined_of(there: int, partial: bool) -> None:
    callback = inbound()
    callback.parts, callback.parts_total = there, 3
    data = json.loads(webhook_event(callback).body)["data"]
    assert (data["parts"], data["partial"]) == ({"received": there, "total": 3}, partial)


def test_quirk_44_a_webhook_has_the_tlvs_that_the_upstreams_profile_names() -> None:
    named: dict[str, int | str] = {"mccmnc": 26201, "raw": "00ff"}
    receipt = receipt_callback(context(), b"DELIVRD", b"000", State.DELIVERED, NOW, named_tlvs=named)
    assert receipt is not None
    message = inbound()
    message.named_tlvs = named
    for callback in (receipt, message):
        assert json.loads(webhook_event(callback).body)["data"]["tlvs"] == named


def test_callbacks_and_parked_receipts_of_the_previous_release_name_no_tlvs() -> None:
    callback = msgspec.msgpack.decode(msgspec.msgpack.encode(inbound()), type=list[Any])
    for until in (-1, -2, -3):
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(callback[:until]), type=CallbackRecord) == inbound()
    parked = ParkedReceipt(b"1", b"DELIVRD", b"000", 4, NOW, b"text", NOW)
    values = msgspec.msgpack.decode(msgspec.msgpack.encode(parked), type=list[Any])
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(values[:-1]), type=ParkedReceipt) == parked


def test_a_low_balance_is_told_with_the_entrys_id_and_money_as_everywhere() -> None:
    record = low_balance_callback(
        77, "acme", "EUR", balance_micros=-5, low_balance_micros=1_000_000, at_ms=1_795_000_000_999
    )
    event = webhook_event(record)
    assert webhook_event(msgspec.structs.replace(record, attempt=4)) == event
    assert event.id == "acct_77"
    assert json.loads(event.body) == {
        "type": "account.low_balance",
        "timestamp": "2026-11-18T11:06:40Z",
        "data": {
            "account": "acme",
            "balance": {"amount": "-0.000005", "currency": "EUR"},
            "low_balance": {"amount": "1.0000", "currency": "EUR"},
        },
    }


def test_addresses_and_encodings_have_the_names_of_the_http_interface() -> None:
    assert address_text(1, b"447700900123") == "+447700900123"
    assert address_text(5, b"ACME") == "ACME" and address_text(3, b"12345") == "12345"
    assert [encoding_name(coding) for coding in (0, 8, 4, 3, 1, 6, 7, 0xF5, 0x20)] == [
        "gsm7", "ucs2", "binary", "latin1", "latin1", "cyrillic", "hebrew", "binary", "binary",
    ]  # fmt: skip
    assert {encoding_name(coding) for coding in range(256)} == set(ENCODINGS)
