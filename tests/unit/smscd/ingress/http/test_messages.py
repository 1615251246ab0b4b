"""POST /v1/messages and GET /v1/messages/{id} over TCP, with everything behind them played by the test."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from smscd.core.reasons import Reason
from smscd.core.verdicts import Refused
from smscd.ingress.http.views import moment, money
from storage.redis.errors import StorageUnavailable
from tests.unit.smscd.ingress.http_fixture import (
    BODY,
    OTHER_KEY,
    REVOKED_KEY,
    SUSPENDED_KEY,
    errors_of,
    service,
    throttled,
)


async def test_a_message_is_accepted_with_its_place_price_and_rate() -> None:
    async with service() as http:
        reply = await http.send(X_Request_ID="8e03978e-0001")
    assert reply.status == 202
    message = reply.json
    assert message == {
        "id": message["id"],
        "status": "queued",
        "direction": "outbound",
        "to": "+447700900123",
        "from": "ACME",
        "encoding": "gsm7",
        "segments": 1,
        "price": {"amount": "0.0100", "currency": "EUR"},
        "client_ref": "order-77",
        "error": None,
        "created_at": message["created_at"],
    }
    assert reply.headers["location"] == f"/v1/messages/{message['id']}"
    assert reply.headers["x-request-id"] == "8e03978e-0001"
    assert reply.headers["ratelimit-policy"] == '"default";q=100;w=1'
    assert reply.headers["ratelimit"] == '"default";r=100;t=1'
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["server"] == "smscd"
    assert http.figures.routes["/v1/messages"].by_status == {202: 1}


async def test_nothing_is_said_before_the_verdict() -> None:
    async with service() as http:
        http.admitter.is_silent = True
        asked = asyncio.create_task(http.send())
        while not http.admitter.held:
            await asyncio.sleep(0)
        assert not asked.done()
        http.admitter.release()
        assert (await asked).status == 202


async def test_every_field_reaches_the_plan() -> None:
    async with service() as http:
        reply = await http.send(
            {
                "to": "447700900123",
                "from": "+447700900100",
                "text": "caf\u00e9 \u2713",
                "encoding": "auto",
                "smart_encoding": True,
                "validity": 3600,
                "send_at": None,
                "client_ref": None,
                "callback_url": "https://app.example/dlr?x=1",
                "metadata": {"b": "2", "a": "1"},
                "tlvs": {"campaign": 7, "dlt_entity_id": "1101234567890", "trace": "00ff"},
            }
        )
        record = http.admitter.admitted[0].record
    assert reply.status == 202
    assert (reply.json["encoding"], reply.json["from"]) == ("ucs2", "+447700900100")
    assert record.callback_url == "https://app.example/dlr?x=1"
    assert record.metadata == b'{"a":"1","b":"2"}'
    assert record.tlvs == b"\x14\x00\0\x0e1101234567890\0" + b"\x14\x03\0\2\0\7" + b"\x14\x04\0\2\0\xff"
    assert (record.source_ton, record.source, record.dest) == (1, b"447700900100", b"447700900123")


async def test_a_scheduled_message_says_so_also_when_it_is_asked_for_again_after_its_time() -> None:
    soon = datetime.now(UTC) + timedelta(seconds=1)
    body = {"to": "447700900123", "from": "ACME", "text": "hi", "send_at": soon.isoformat()}
    async with service() as http:
        first = await http.send(body, X_Request_ID="same")
        record = http.admitter.admitted[0].record
        while datetime.now(UTC) <= soon:
            await asyncio.sleep(0.05)
        again = await http.send(body, X_Request_ID="same")
        other = await http.send(body | {"send_at": None}, X_Request_ID="same")
    assert (first.status, first.json["status"]) == (202, "scheduled")
    assert datetime.fromisoformat(first.json["send_at"]) == datetime.fromtimestamp(record.send_at_ms / 1000, UTC)
    assert (again.status, again.body) == (202, first.body)
    assert (other.status, other.problem["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("key", [None, "smk_wrong", REVOKED_KEY, "\u00e9\u00ff"])
async def test_a_key_that_is_none_of_ours_is_refused(key: str | None) -> None:
    async with service() as http:
        reply = await http.send(key=key)
        assert reply.status == 401
        assert reply.problem["code"] == "unauthorized"
        assert "www-authenticate" in reply.headers
        assert http.admitter.admitted == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"to": "+447700900123",}',
        b"\xff\xfe",
        b'{"to": "\xed\xa0\x80"}',
        b'{"to": 1, "from": "\xff"}',
        b'{"to": "\\ud800"}',
        b'{"to": NaN}',
        b"[" * 100_000,
        b'{"foo":' * 30_000,
        b'{"metadata": {"a": {"b": {"c": ',
        b'{"to": 5, garbage',
    ],
    ids=lambda body: repr(body[:24]),
)
async def test_what_is_no_json_is_400(body: bytes) -> None:
    async with service() as http:
        reply = await http.send(body)
        assert reply.status == 400
        assert reply.problem["code"] == "malformed_json"


@pytest.mark.parametrize(
    ("url", "is_good"),
    [
        ("https://app.example/dlr", True),
        ("HTTP://app.example:8080", True),
        ("http://[::1]:80/x", True),
        ("http://m\u00fcller.example/", True),
        ("https://" + "a" * 1_980 + ".example", True),
        ("https://app.example/" + "a" * 2_000, False),
        ("/relative", False),
        ("//app.example/", False),
        ("https://", False),
        ("https://:80/", False),
        ("https://app.example:99999/", False),
        ("https://app.example:x/", False),
        ("http://[::1/", False),
        ("https://app.example/a b", False),
        ("https://app.example/\r\nX: y", False),
        ("javascript:alert(1)", False),
        ("", False),
        (5, False),
    ],
)
async def test_a_callback_url_is_an_absolute_http_url(url: Any, is_good: bool) -> None:
    async with service() as http:
        reply = await http.send(BODY | {"callback_url": url})
        if is_good:
            assert reply.status == 202
        else:
            assert set(errors_of(reply)) == {"/callback_url"}


async def test_texts_that_are_too_long_are_refused() -> None:
    async with service() as http:
        reply = await http.send(BODY | {"text": "x" * 1_531})
        assert (reply.status, reply.problem["code"]) == (422, "too_many_segments")
        assert reply.problem["errors"][0]["pointer"] == "/text"
        assert set(errors_of(await http.send(BODY | {"text": "x" * 39_016}))) == {"/text"}
        reply = await http.send(BODY | {"text": "x" * 1_530})
        assert (reply.status, reply.json["segments"], reply.json["price"]["amount"]) == (202, 10, "0.1000")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (BODY | {"from": "OTHER"}, 403, "sender_not_allowed"),
        (BODY | {"to": "+33600000000"}, 422, "no_route"),
        (BODY | {"to": "+4915100000000"}, 503, "no_route_available"),
        (BODY | {"to": "+46701234567"}, 422, "missing_tlv"),
    ],
)
async def test_what_planning_refuses_is_said_in_the_words_of_the_table(body: Any, status: int, code: str) -> None:
    async with service() as http:
        reply = await http.send(body)
        assert (reply.status, reply.problem["code"]) == (status, code)
        assert ("retry-after" in reply.headers) == (status == 503)


async def test_a_suspended_account_is_refused() -> None:
    async with service() as http:
        reply = await http.send(key=SUSPENDED_KEY)
        assert (reply.status, reply.problem["code"]) == (403, "account_suspended")


@pytest.mark.parametrize(
    ("refusal", "status", "code", "retry_after"),
    [
        (Refused(Reason.INSUFFICIENT_BALANCE), 402, "insufficient_balance", None),
        (throttled(2.2), 429, "rate_limited", "3"),
        (Refused(Reason.PREFIX_VELOCITY, 41.2), 429, "prefix_velocity", "42"),
        (Refused(Reason.SPEND_LIMIT, 7_200.0), 429, "spend_limit", "7200"),
        (Refused(Reason.QUEUE_FULL, 1.0), 503, "queue_full", "1"),
        (Refused(Reason.RECORD_BEHIND, 1.0), 503, "record_behind", "1"),
        (Refused(Reason.STORAGE_UNAVAILABLE, 0.0), 503, "storage_unavailable", "1"),
    ],
)
async def test_what_admission_refuses_is_said_in_the_words_of_the_table(
    refusal: Refused, status: int, code: str, retry_after: str | None
) -> None:
    async with service() as http:
        http.admitter.refusal = refusal
        reply = await http.send()
        assert (reply.status, reply.problem["code"]) == (status, code)
        assert reply.headers.get("retry-after") == retry_after
        assert reply.headers["ratelimit-policy"] == '"default";q=100;w=1'
        if code == "rate_limited":
            assert reply.headers["ratelimit"] == '"default";r=0;t=3'


async def test_a_replay_gets_the_same_answer_and_admits_nothing() -> None:
    async with service() as http:
        first = await http.send(X_Request_ID="k1")
        again = await http.send(Idempotency_Key='"k1"')
        reordered = await http.send(dict(reversed(BODY.items())), Idempotency_Key="k1", X_Request_ID="k1")
        assert "idempotent-replayed" not in first.headers
        for replay in (again, reordered):
            assert (replay.status, replay.body) == (202, first.body)
            assert replay.headers["idempotent-replayed"] == "true"
            assert replay.headers["location"] == first.headers["location"]
        assert len(http.admitter.admitted) == 1
        assert http.figures.replayed == 2


async def test_a_key_is_the_accounts_own() -> None:
    async with service() as http:
        first, other = await http.send(X_Request_ID="k1"), await http.send(key=OTHER_KEY, X_Request_ID="k1")
        assert (first.status, other.status) == (202, 202)
        assert first.json["id"] != other.json["id"]


async def test_a_key_with_another_body_is_refused() -> None:
    async with service() as http:
        await http.send(X_Request_ID="k1")
        reply = await http.send(BODY | {"text": "Code 654321"}, X_Request_ID="k1")
        assert (reply.status, reply.problem["code"]) == (422, "idempotency_key_reused")
        assert len(http.admitter.admitted) == 1


async def test_tlvs_are_part_of_the_body_that_a_key_stands_for() -> None:
    async with service() as http:
        first = await http.send(BODY | {"tlvs": {"campaign": 7, "trace": "00"}}, X_Request_ID="k1")
        again = await http.send(BODY | {"tlvs": {"trace": "00", "campaign": 7}}, X_Request_ID="k1")
        assert (again.status, again.body) == (202, first.body)
        for tlvs in ({"campaign": 8, "trace": "00"}, {"campaign": 7}, {}, None):
            reply = await http.send(BODY | {"tlvs": tlvs}, X_Request_ID="k1")
            assert (reply.status, reply.problem["code"]) == (422, "idempotency_key_reused")
        plain = [await http.send(BODY | given, X_Request_ID="k2") for given in ({}, {"tlvs": None}, {"tlvs": {}})]
        assert len({reply.body for reply in plain}) == 1


async def test_a_hundred_parallel_copies_are_one_message() -> None:
    async with service() as http:
        replies = await asyncio.gather(*(http.send(X_Request_ID="k1") for _ in range(100)))
        assert {reply.status for reply in replies} == {202}
        assert len({reply.body for reply in replies}) == 1
        assert sum("idempotent-replayed" in reply.headers for reply in replies) == 99
        assert len(http.admitter.admitted) == 1


async def test_refusals_are_not_stored_under_the_key() -> None:
    async with service() as http:
        http.admitter.refusal = throttled(1.0)
        assert (await http.send(X_Request_ID="k1")).status == 429
        http.admitter.refusal = None
        reply = await http.send(X_Request_ID="k1")
        assert reply.status == 202
        assert "idempotent-replayed" not in reply.headers


async def test_a_copy_is_told_to_wait_while_the_first_verdict_is_unknown() -> None:
    async with service(request_seconds=0.2) as http:
        http.admitter.is_silent = True
        assert (await http.send(X_Request_ID="k1")).status == 409
        unkeyed = await http.send()
        assert (unkeyed.status, unkeyed.problem["code"]) == (503, "storage_unavailable")
        copy = await http.send(X_Request_ID="k1")
        assert (copy.status, copy.problem["code"]) == (409, "idempotency_in_progress")
        assert copy.headers["retry-after"] == "1"
        assert len(http.admitter.held) == 2
        http.admitter.release()
        copy = await http.send(X_Request_ID="k1")
        assert (copy.status, copy.headers["idempotent-replayed"]) == (202, "true")


@pytest.mark.parametrize(
    "headers",
    [
        {"X_Request_ID": ""},
        {"X_Request_ID": "with space"},
        {"X_Request_ID": "x" * 129},
        {"Idempotency_Key": "\u00e9"},
        {"Idempotency_Key": '""'},
        {"Idempotency_Key": "one", "X_Request_ID": "two"},
    ],
)
async def test_a_bad_request_key_is_reported_with_the_fields(headers: dict[str, str]) -> None:
    async with service() as http:
        assert set(errors_of(await http.send(**headers))) == {""}
        assert set(errors_of(await http.send(BODY | {"to": "x"}, **headers))) == {"", "/to"}
        assert http.admitter.admitted == []


async def test_a_message_is_read_with_its_timeline() -> None:
    async with service() as http:
        http.record.write("acme", 4711)
        reply = await http.get("/v1/messages/4711")
        assert reply.status == 200
        assert reply.json["status"] == "delivered"
        assert reply.json["timeline"][0]["what"] == "admitted"
        head = await http.get("/v1/messages/4711", method="HEAD")
        assert (head.status, head.body) == (200, b"")
        assert int(head.headers["content-length"]) == len(reply.body)


async def test_a_message_of_another_account_is_not_found() -> None:
    async with service() as http:
        http.record.write("acme", 4711)
        reply = await http.get("/v1/messages/4711", key=OTHER_KEY)
        assert (reply.status, reply.problem["code"]) == (404, "not_found")


@pytest.mark.parametrize("name", ["0", "007", "-1", "abc", "9223372036854775808", "99999999999999999999", "1e3"])
async def test_what_is_no_message_id_is_not_found_without_a_query(name: str) -> None:
    async with service() as http:
        assert (await http.get(f"/v1/messages/{name}")).status == 404
        assert http.record.finds == 0


async def test_a_reader_waits_for_the_writer() -> None:
    async with service() as http:
        http.record.journalled, http.record.recorded = "10-1", "10-0"

        def write_at_the_third_look() -> None:
            if http.record.finds == 3:
                http.record.write("acme", 4711)

        http.record.on_find = write_at_the_third_look
        assert (await http.get("/v1/messages/4711")).status == 200


async def test_a_message_that_the_writer_has_passed_is_not_found_at_once() -> None:
    async with service() as http:
        http.record.journalled, http.record.recorded = "9-5", "10-0"
        assert (await http.get("/v1/messages/4711")).status == 404
        assert http.record.finds == 2


async def test_a_writer_that_stays_behind_is_no_404() -> None:
    async with service() as http:
        http.record.journalled, http.record.recorded = "10-1", "10-0"
        reply = await http.get("/v1/messages/4711")
        assert (reply.status, reply.problem["code"]) == (503, "storage_unavailable")
        assert reply.headers["retry-after"] == "1"


@pytest.mark.parametrize("error", [StorageUnavailable("gone"), ConnectionRefusedError(), TimeoutError()])
async def test_a_storage_that_is_away_is_503(error: Exception) -> None:
    async with service() as http:
        http.record.error = error
        reply = await http.get("/v1/messages/4711")
        assert (reply.status, reply.problem["code"]) == (503, "storage_unavailable")


async def test_a_bug_is_500_and_says_nothing() -> None:
    async with service() as http:
        http.record.error = ValueError("secret text")
        reply = await http.get("/v1/messages/4711")
        assert (reply.status, reply.problem["code"]) == (500, "internal_error")
        assert b"secret" not in reply.body


@pytest.mark.parametrize(
    ("micros", "text"),
    [(10_000, "0.0100"), (0, "0.0000"), (12_345, "0.012345"), (-1_500_000, "-1.5000"), (1_000_010, "1.00001")],
)
def test_money_is_a_decimal_string(micros: int, text: str) -> None:
    assert money(micros) == text


def test_moments_are_exact_to_the_millisecond() -> None:
    assert moment(1_795_358_914_504) == "2026-11-22T14:48:34.504Z"
    assert moment(0) == "1970-01-01T00:00:00.000Z"
