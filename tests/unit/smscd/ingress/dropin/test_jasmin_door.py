"""Jasmin's HTTP API over real HTTP, in Jasmin's words."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator

import pytest

from protocols.smpp.times import format_absolute
from smscd.core.callback_forms import message_id_of
from smscd.core.ids import message_ms
from smscd.core.reasons import Reason
from smscd.core.verdicts import Refused
from tests.unit.smscd.ingress.dropin_fixture import FORM, PASSWORD, USER, Doors, dropin_doors
from tests.unit.smscd.ingress.http_fixture import KEY, Reply

JSON = {"Content-Type": "application/json"}
DLR = "http://app.example/dlr"
UTF16 = "Привет".encode("utf-16-be")


@pytest.fixture
async def doors() -> AsyncIterator[Doors]:
    async with dropin_doors() as found:
        yield found


def refused(reply: Reply) -> tuple[int, str]:
    found = re.fullmatch(r'Error "(.*)"', reply.body.decode())
    assert found and reply.headers["content-type"] == "text/plain"
    return reply.status, found[1]


def accepted(reply: Reply) -> int:
    """The message's id, out of its UUID."""
    found = re.fullmatch(r'Success "([0-9a-f-]{36})"', reply.body.decode())
    assert found and reply.status == 200, reply.body
    message_id = message_id_of(found[1])
    assert message_id is not None
    return message_id


async def test_a_message_gets_the_uuid_of_its_id(doors: Doors) -> None:
    assert accepted(await doors.jasmin()) == doors.record.id
    assert (doors.record.source, doors.record.dest, doors.record.segments) == (b"ACME", b"447700900123", [b"hello"])
    assert doors.record.via == 0


async def test_post_takes_a_form_and_json(doors: Doors) -> None:
    body = f"username={USER}&password={PASSWORD}&from=ACME&to=447700900123&content=hello".encode()
    accepted(await doors.ask("POST", "/send", FORM, body))
    given = {"username": USER, "password": KEY, "from": "ACME", "to": "447700900123", "content": "Привет", "coding": 8}
    accepted(await doors.ask("POST", "/send", JSON, json.dumps(given).encode()))
    first, second = (planned.record for planned in doors.admitter.admitted)
    assert (first.data_coding, second.data_coding, second.segments) == (0, 8, [UTF16])
    latin = json.dumps(given | {"coding": 3}).encode()
    assert refused(await doors.ask("POST", "/send", JSON, latin)) == (
        400, "Argument [content] has characters that its coding does not have."
    )  # fmt: skip
    named = json.dumps(given | {"\u20ac": "1"}).encode()
    assert refused(await doors.ask("POST", "/send", JSON, named)) == (400, "Argument [?] is unknown.")
    for broken in (b"[1]", b"{", b'{"to": null}'):
        assert refused(await doors.ask("POST", "/send", JSON, broken))[0] == 400
    assert refused(await doors.ask("POST", "/send", {"Content-Type": "text/csv"}, b"x"))[0] == 400
    assert (await doors.ask("POST", "/send", FORM, b"x" * 300_000)).status == 413


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({"username": "-"}, 400, "Mandatory argument [username] is not found."),
        ({"password": ""}, 400, "Mandatory argument [password] is not found."),
        ({"password": "wrong"}, 403, "Authentication failure for username:acme-1"),
        ({"username": 'no"body'}, 403, "Authentication failure for username:no?body"),
        ({"to": "-"}, 400, "Mandatory argument [to] is not found."),
        ({"colour": "red"}, 400, "Argument [colour] is unknown."),
        ({"content": "-"}, 400, "content or hex-content not present."),
        ({"hex_content": "41"}, 400, "content and hex-content cannot be used both in same request."),
        ({"content": "-", "hex_content": "4"}, 400,
         "Invalid hex-content data: give an even number of hexadecimal digits."),
        ({"coding": "99"}, 400, "Argument [coding] has an invalid value."),
        ({"coding": "11"}, 400, "Argument [coding] has an invalid value."),
        ({"coding": "8", "content": "abc"}, 400,
         "Argument [content] is not UTF-16 with the high octet first, which coding 8 means."),
        ({"coding": "0", "content": "Привет"}, 400, "Argument [content] the GSM alphabet does not have U+041F"),
        ({"priority": "4"}, 400, "Argument [priority] has an invalid value."),
        ({"validity_period": "0"}, 400, "Argument [validity-period] has an invalid value."),
        ({"sdt": "tomorrow"}, 400, "Argument [sdt] has an invalid value."),
        ({"sdt": "000015000000000R"}, 400,
         "The time to send must be within 1,209,600 seconds from now: choose an earlier one."),
        ({"dlr": "maybe"}, 400, "Argument [dlr] has an invalid value."),
        ({"dlr": "yes"}, 400, "Mandatory argument [dlr-url] is not found."),
        ({"dlr": "yes", "dlr_url": "ftp://x"}, 400, "Argument [dlr-url] has an invalid value."),
        ({"dlr": "yes", "dlr_url": DLR, "dlr_level": "4"}, 400, "Argument [dlr-level] has an invalid value."),
        ({"dlr": "yes", "dlr_url": DLR, "dlr_method": "PUT"}, 400, "Argument [dlr-method] has an invalid value."),
        ({"tags": "x" * 501}, 400, "Argument [tags] has an invalid value."),
        ({"to": "abc"}, 400, "Argument [to] must be E.164"),
        ({"from_": "OTHER"}, 403, "The account may not send from this sender."),
        ({"to": "33123456789"}, 412, "No route found"),
        ({"to": "49123456789"}, 412, "No route found"),
    ],
)  # fmt: skip
async def test_refusals(doors: Doors, fields: dict[str, str], status: int, text: str) -> None:
    assert refused(await doors.jasmin("/send", **fields)) == (status, text)
    assert not doors.admitter.admitted


@pytest.mark.parametrize(
    ("reason", "status", "text"),
    [
        (Reason.INSUFFICIENT_BALANCE, 403, "The balance and the credit of the account do not cover the price."),
        (Reason.RATE_LIMITED, 403, "User throughput exceeded"),
        (Reason.SPEND_LIMIT, 403, "What the account may spend in a day (UTC) does not cover the price"),
        (Reason.STORAGE_UNAVAILABLE, 503, "Cannot send submit_sm: The message could not be stored"),
        (Reason.IDEMPOTENCY_IN_PROGRESS, 503, "Cannot send submit_sm: The verdict on the first copy"),
    ],
)
async def test_what_admission_refuses(doors: Doors, reason: Reason, status: int, text: str) -> None:
    doors.admitter.refusal = Refused(reason, 1.0)
    found = refused(await doors.jasmin())
    assert (found[0], found[1][: len(text)]) == (status, text)


async def test_octets_go_as_they_are(doors: Doors) -> None:
    accepted(await doors.jasmin("/send", content="-", hex_content=UTF16.hex(), coding="8"))
    accepted(await doors.jasmin("/send", content="-", hex_content="00ff", coding="4"))
    accepted(await doors.jasmin("/send", content="", coding="0"))
    assert [(each.record.data_coding, each.record.segments) for each in doors.admitter.admitted] == [
        (8, [UTF16]), (4, [b"\x00\xff"]), (0, [b""])
    ]  # fmt: skip
    raw = f"/send?username={USER}&password={PASSWORD}&to=447700900123&content=%ff"
    assert refused(await doors.ask("GET", raw)) == (400, "Argument [content] is not UTF-8.")


async def test_a_report_is_asked_for_by_dlr_and_the_rest_is_kept(doors: Doors) -> None:
    accepted(await doors.jasmin("/send", dlr="no", dlr_url=DLR, priority="1", tags="a,b"))
    accepted(await doors.jasmin("/send", dlr="yes", dlr_url=DLR))
    accepted(await doors.jasmin("/send", dlr="yes", dlr_url=DLR, dlr_level="3", dlr_method="GET"))
    first, second, third = (planned.record for planned in doors.admitter.admitted)
    assert (first.via, first.callback_url, first.priority_flag) == (0, None, 1)
    assert json.loads(first.metadata or b"") == {"tags": "a,b"}
    assert (second.callback_url, third.callback_url) == (f"jasmin:1:POST:{DLR}", f"jasmin:3:GET:{DLR}")
    assert second.registered_delivery == 0x11


async def test_a_request_key_makes_a_repetition_known(doors: Doors) -> None:
    key = {"Idempotency-Key": "order-77"}
    assert accepted(await doors.jasmin("/send", key)) == accepted(await doors.jasmin("/send", key))
    assert refused(await doors.jasmin("/send", key, content="other"))[0] == 400
    assert refused(await doors.jasmin("/send", {"Idempotency-Key": "a b"}))[0] == 400


async def test_rate_is_of_a_short_message_with_their_number(doors: Doors) -> None:
    reply = await doors.jasmin("/rate", to="447700900123", from_="ACME", content="x" * 161)
    assert (reply.status, reply.json) == (200, {"unit_rate": 0.01, "submit_sm_count": 2})
    assert (await doors.jasmin("/rate", to="447700900123", from_="ACME")).json["submit_sm_count"] == 1
    assert refused(await doors.jasmin("/rate", to="33123456789", from_="ACME")) == (412, "No route found")
    assert refused(await doors.jasmin("/rate", to="447700900123", dlr="yes"))[0] == 400
    assert refused(await doors.jasmin("/rate", to="447700900123", password="wrong"))[0] == 403
    assert not doors.admitter.admitted


async def test_balance_is_what_may_be_spent_and_ping_answers(doors: Doors) -> None:
    doors.balances["acme"] = -1_500_000
    reply = await doors.jasmin("/balance")
    assert (reply.status, reply.json) == (200, {"balance": 3.5, "sms_count": "ND"})
    assert refused(await doors.jasmin("/balance", password="wrong"))[0] == 403
    assert refused(await doors.jasmin("/balance", to="1"))[0] == 400
    pong = await doors.ask("GET", "/ping")
    assert (pong.status, pong.body) == (200, b"Jasmin/PONG")


async def test_a_scheduled_message_waits_for_its_time(doors: Doors) -> None:
    in_five = "000000000500000R"
    accepted(await doors.jasmin("/send", sdt=in_five, validity_period="10"))
    tomorrow_ms = (time.time_ns() // 1_000_000_000 + 86_400) * 1000
    accepted(await doors.jasmin("/send", sdt=format_absolute(tomorrow_ms).decode()))
    accepted(await doors.jasmin("/send", sdt=""))
    relative, absolute, at_once = (planned.record for planned in doors.admitter.admitted)
    assert (relative.send_at_ms - message_ms(relative.id)) // 60_000 in (4, 5)
    assert relative.valid_until_ms - relative.send_at_ms == 600_000
    assert (absolute.send_at_ms, at_once.send_at_ms) == (tomorrow_ms, 0)
