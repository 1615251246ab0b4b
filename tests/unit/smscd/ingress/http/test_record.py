"""A row of the record as the HTTP interface shows it."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from smscd.core.records import Conversion, Form, State
from smscd.ingress.http.record import message_detail
from storage.postgres.messages import StoredMessage, TimelineEntry
from storage.postgres.rows import Direction

AT = datetime(2026, 11, 22, 14, 48, 34, 504_000, tzinfo=UTC)


def row(**changes: object) -> StoredMessage:
    """A delivered message of two segments, changed as the test wants it."""
    values: dict[str, object] = {
        "id": 912403236869115904,
        "account": "acme",
        "upstream": "carrier",
        "direction": Direction.OUTBOUND,
        "door": 2,
        "state": State.DELIVERED,
        "source": b"ACME",
        "source_ton": 5,
        "source_npi": 0,
        "dest": b"447700900123",
        "dest_ton": 1,
        "dest_npi": 1,
        "data_coding": 8,
        "esm_class": 0x40,
        "protocol_id": 0,
        "registered_delivery": 1,
        "service_type": b"",
        "segments": (b"a", b"b"),
        "via": 2,
        "tariff": 0,
        "priority": 1,
        "price_micros": 20_000,
        "refunded_micros": 0,
        "attempts": 1,
        "maybe_duplicate": False,
        "error_code": None,
        "client_ref": "order-77",
        "request_key": None,
        "callback_url": None,
        "metadata": '{"k":"v"}',
        "tlvs": None,
        "group_id": None,
        "callbacks_open": 0,
        "callback_state": 0,
        "callback_attempts": 0,
        "valid_until": None,
        "done_at": AT,
        "callback_at": None,
        "timeline": (
            TimelineEntry(at=AT, what="sent", segment=1, attempt=0, upstream="carrier", detail="0a1b"),
            TimelineEntry(at=AT, what="receipt", segment=None, attempt=None, upstream=None, detail=None),
        ),
    }
    return StoredMessage(**(values | changes))  # type: ignore[arg-type]  # built from a dict of all fields


def shown(found: StoredMessage) -> dict[str, object]:
    """As JSON says it."""
    decoded: dict[str, object] = msgspec.json.decode(msgspec.json.encode(message_detail(found, "EUR")))
    return decoded


def test_a_delivered_message_is_shown_with_its_timeline() -> None:
    assert shown(row()) == {
        "id": "912403236869115904",
        "status": "delivered",
        "direction": "outbound",
        "to": "+447700900123",
        "from": "ACME",
        "encoding": "ucs2",
        "segments": 2,
        "price": {"amount": "0.0200", "currency": "EUR"},
        "client_ref": "order-77",
        "error": None,
        "created_at": "2026-11-22T18:04:43.302Z",
        "done_at": "2026-11-22T14:48:34.504Z",
        "metadata": {"k": "v"},
        "timeline": [
            {"at": "2026-11-22T14:48:34.504Z", "what": "sent", "segment": 1, "attempt": 0, "upstream": "carrier",
             "detail": "0a1b"},
            {"at": "2026-11-22T14:48:34.504Z", "what": "receipt"},
        ],
    }  # fmt: skip


def test_a_failed_message_says_why_and_what_it_cost_in_the_end() -> None:
    found = shown(row(state=State.FAILED, error_code="0x0000000b", refunded_micros=20_000, metadata=None))
    assert found["status"] == "failed"
    assert found["error"] == {"code": "0x0000000b", "detail": "The carrier did not accept the message."}
    assert found["price"] == {"amount": "0.0000", "currency": "EUR"}
    assert found["metadata"] is None


def test_a_message_that_came_in_is_inbound() -> None:
    found = shown(row(direction=Direction.INBOUND, metadata=None, done_at=None, timeline=()))
    assert (found["direction"], found["done_at"], found["timeline"]) == ("inbound", None, [])


def test_a_message_that_left_as_one_payload_shows_the_segments_that_it_costs() -> None:
    conversion = Conversion(int(Form.PAYLOAD), 3, b"text", 0, 0, b"", b"text")
    assert shown(row(segments=(b"text",), conversion=conversion))["segments"] == 3


def test_a_scheduled_message_shows_its_time() -> None:
    found = shown(row(state=State.SCHEDULED, done_at=None, send_at=AT))
    assert (found["status"], found["send_at"]) == ("scheduled", "2026-11-22T14:48:34.504Z")
    assert "send_at" not in shown(row())
