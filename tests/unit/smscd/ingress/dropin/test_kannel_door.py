"""Kannel's sendsms over real HTTP: what Kannel 1.4.5 answers to the same requests stands beside each."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator

import pytest
import structlog

from smscd.core.ids import ClockSteppedError, message_ms
from smscd.core.reasons import Reason
from smscd.core.verdicts import Refused
from tests.unit.smscd.ingress.dropin_fixture import FORM, GUESSES_MAX, PASSWORD, SENDSMS, USER, Doors, dropin_doors
from tests.unit.smscd.ingress.http_fixture import KEY, OTHER_KEY, Reply

ACCEPTED = (202, b"0: Accepted for delivery")
UNAUTHORIZED = (403, b"Authorization failed for sendsms")
DLR = "http://app.example/dlr?d=%d&p=%p"


@pytest.fixture
async def doors() -> AsyncIterator[Doors]:
    async with dropin_doors() as found:
        yield found


def said(reply: Reply) -> tuple[int, bytes]:
    assert reply.headers["content-type"] == "text/html"
    return reply.status, reply.body


async def test_a_message_is_accepted_in_kannels_words(doors: Doors) -> None:
    assert said(await doors.sendsms()) == ACCEPTED
    record = doors.record
    assert (record.account, record.source, record.dest, record.segments) == (
        "acme", b"ACME", b"447700900123", [b"hello"]
    )  # fmt: skip
    assert (record.via, record.callback_url, record.metadata) == (0, None, None)


async def test_an_upstream_that_is_down_makes_it_queued(doors: Doors) -> None:
    doors.up.clear()
    assert said(await doors.sendsms()) == (202, b"3: Queued for later delivery")


async def test_short_names_and_an_api_key_authorize_too(doors: Doors) -> None:
    assert said(await doors.sendsms(username="-", password="-", user=USER, pass_=PASSWORD)) == ACCEPTED
    assert said(await doors.sendsms(password=KEY)) == ACCEPTED
    assert said(await doors.sendsms(username="acme", password=KEY)) == ACCEPTED


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("-", "-"),
        (USER, "-"),
        (USER, "wrong"),
        ("nobody", PASSWORD),
        (USER, OTHER_KEY),
        ("nobody", KEY),
        ("far", PASSWORD),
        ("shown", PASSWORD),
        ("x" * 64, PASSWORD),
    ],
)
async def test_wrong_credentials_are_refused(doors: Doors, user: str, password: str) -> None:
    """Also from a network that the account does not allow, and where a TLS certificate is to be shown."""
    assert said(await doors.sendsms(username=user, password=password)) == UNAUTHORIZED
    assert not doors.admitter.admitted


async def test_too_many_wrong_passwords_shut_the_pair_out_for_a_while(doors: Doors) -> None:
    for _ in range(GUESSES_MAX):
        assert said(await doors.sendsms(password="wrong")) == UNAUTHORIZED
    assert said(await doors.sendsms()) == UNAUTHORIZED
    assert said(await doors.sendsms(username="single")) != UNAUTHORIZED
    doors.now = 901.0
    assert said(await doors.sendsms()) == ACCEPTED


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"to": "-"}, "Missing receiver number, rejected"),
        ({"to": ""}, "Empty receiver number not allowed, rejected"),
        ({"from_": "-"}, "Sender missing and no global set, rejected"),
        ({"coding": "3"}, "Coding field misformed, rejected"),
        ({"mclass": "7"}, "MClass field misformed, rejected"),
        ({"mwi": "9"}, "MWI field misformed, rejected"),
        ({"udh": "zz"}, "UDH field misformed, rejected"),
        ({"dlr_mask": "99"}, "DLR-Mask field misformed, rejected"),
        ({"dlr_mask": "1", "dlr_url": "notaurl"}, "DLR-URL field misformed, rejected"),
        ({"validity": "-5"}, "Validity field misformed, rejected"),
        ({"deferred": "-5"}, "Deferred field misformed, rejected"),
        ({"priority": "9"}, "Priority field misformed, rejected"),
        ({"charset": "klingon"}, "Charset or body misformed, rejected"),
        # Codecs of Python that are no charsets: on a long text the first two would hold a worker up for seconds.
        ({"charset": "PunyCode", "text": "bcher-kva"}, "Charset or body misformed, rejected"),
        ({"charset": "idna"}, "Charset or body misformed, rejected"),
        ({"charset": "unicode-escape"}, "Charset or body misformed, rejected"),
    ],
)
async def test_kannels_own_refusals(doors: Doors, fields: dict[str, str], text: str) -> None:
    """Status and words are those that Kannel's smsbox gave to the same requests."""
    assert said(await doors.sendsms(**fields)) == (400, text.encode())
    assert not doors.admitter.admitted


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({"to": "abc"}, 400, "to must be E.164, rejected"),
        ({"to": "447700900123 abc"}, 400, "to must be E.164, rejected"),
        ({"to": " ".join(["447700900123"] * 255)}, 400, "Too many receiver numbers, at most 254 in one request"),
        ({"from_": "OTHER"}, 403, "The account may not send from this sender, rejected"),
        ({"to": "33123456789"}, 400, "No route serves this destination, rejected"),
        ({"to": "49123456789"}, 503, "Temporal failure, try again later."),
        ({"username": "sleepy", "from_": "X"}, 403, "The account is suspended, rejected"),
        (
            {"deferred": "20161"},
            400,
            "The time to send must be within 1,209,600 seconds from now: choose an earlier one",
        ),
        ({"text": "Привет", "coding": "0"}, 400, "text the GSM alphabet does not have U+041F, rejected"),
        ({"text": "Привет", "coding": "0", "mclass": "0"}, 400, "text the GSM alphabet does not have U+041F, rejected"),
        ({"text": "abc", "coding": "2"}, 400, "Charset or body misformed, rejected"),
        ({"text": "x" * 1_600}, 400, "The text needs 11 segments; the account may use 10, rejected"),
        ({"coding": "x"}, 400, "Coding field misformed, rejected"),
        ({"binfo": "x" * 501}, 400, "binfo field misformed, rejected"),
    ],
)
async def test_our_own_refusals(doors: Doors, fields: dict[str, str], status: int, text: str) -> None:
    reply = await doors.sendsms(**fields)
    assert (reply.status, reply.body.decode()[: len(text)]) == (status, text)
    assert not doors.admitter.admitted


@pytest.mark.parametrize(
    ("reason", "status", "text"),
    [
        (
            Reason.INSUFFICIENT_BALANCE,
            403,
            b"The balance and the credit of the account do not cover the price, rejected",
        ),
        (Reason.RATE_LIMITED, 503, b"Temporal failure, try again later."),
        (Reason.STORAGE_UNAVAILABLE, 503, b"Temporal failure, try again later."),
        (Reason.QUEUE_FULL, 503, b"Temporal failure, try again later."),
    ],
)
async def test_what_admission_refuses(doors: Doors, reason: Reason, status: int, text: bytes) -> None:
    doors.admitter.refusal = Refused(reason, 1.0)
    reply = await doors.sendsms()
    assert said(reply) == (status, text)
    assert ("retry-after" in reply.headers) == (status == 503)


async def test_no_verdict_in_time_is_a_temporal_failure(doors: Doors) -> None:
    """With a key it stays open which it is: a copy is told the same until the first copy's verdict is there."""
    doors.admitter.is_silent = True
    key = {"X-Request-ID": "order-78"}
    first, unkeyed = await asyncio.gather(doors.sendsms("", key), doors.sendsms())
    assert said(first) == said(unkeyed) == (503, b"Temporal failure, try again later.")
    held = len(doors.admitter.held)
    assert (await doors.sendsms("", key)).status == 503
    assert len(doors.admitter.held) == held
    doors.admitter.release()
    assert said(await doors.sendsms("", key)) == ACCEPTED


async def test_a_clock_that_was_set_back_is_a_temporal_failure(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    def take(*_: object) -> list[int]:
        raise ClockSteppedError

    monkeypatch.setattr("smscd.core.ids.IdSource.take", take)
    assert said(await doors.sendsms()) == (503, b"Temporal failure, try again later.")


async def test_several_receivers_are_admitted_as_one(doors: Doors) -> None:
    assert said(await doors.sendsms(to="+447700900123 00447700900124", dlr_mask="1", dlr_url=DLR)) == ACCEPTED
    (planned,) = doors.admitter.admitted
    first, second = planned.records
    assert (first.dest, second.dest, planned.messages) == (b"447700900123", b"447700900124", 2)
    assert first.group_id == second.group_id == first.id
    assert first.callback_url == "kannel:1:http://app.example/dlr?d=%d&p=%2B447700900123"
    assert second.callback_url == "kannel:1:http://app.example/dlr?d=%d&p=00447700900124"


async def test_a_receiver_that_stands_twice_gets_it_once(doors: Doors) -> None:
    """As in Kannel, which keeps receivers in a list without repeats."""
    assert said(await doors.sendsms(to="+447700900123 +447700900124 +447700900123")) == ACCEPTED
    (planned,) = doors.admitter.admitted
    assert [record.dest for record in planned.records] == [b"447700900123", b"447700900124"]


async def test_a_request_key_makes_a_repetition_known(doors: Doors) -> None:
    key = {"X-Request-ID": "order-77"}
    to = "+447700900123 +447700900124"
    assert said(await doors.sendsms("", key, to=to)) == ACCEPTED
    assert said(await doors.sendsms("", key, to=to)) == ACCEPTED
    assert len(doors.admitter.admitted) == 1
    reused = await doors.sendsms("", key, to=to, text="other")
    assert said(reused) == (400, b"This request key was used before with another message, rejected")
    assert (await doors.sendsms("", {"X-Request-ID": "a b"})).status == 400


@pytest.mark.parametrize(
    ("query", "fields", "data_coding", "content"),
    [
        ("text=caf%E9", {"charset": "latin1"}, 0, b"caf\x05"),
        ("text=caf%C3%A9", {}, 0, b"caf\x05"),
        ("text=%04%1f", {"coding": "2"}, 8, b"\x04\x1f"),
        ("text=%D0%9F", {"coding": "2", "charset": "utf-8"}, 8, b"\x04\x1f"),
        ("text=%F0", {"coding": "2", "charset": "KOI8-U"}, 8, b"\x04\x1f"),
        ("text=%D0%9F", {}, 8, b"\x04\x1f"),
        ("text=%00%ff", {"coding": "1"}, 4, b"\x00\xff"),
        ("text=hello", {"mclass": "0"}, 0x10, b"hello"),
        ("text=%04%1f", {"coding": "2", "mclass": "1"}, 0x19, b"\x04\x1f"),
        ("text=hello", {"mwi": "0"}, 0xD8, b"hello"),
        ("text=", {"mwi": "5"}, 0xD1, b""),
        ("text=%04%1f", {"coding": "2", "mwi": "2"}, 0xEA, b"\x04\x1f"),
        ("text=", {}, 0, b""),
    ],
)
async def test_text_and_coding(
    doors: Doors, query: str, fields: dict[str, str], data_coding: int, content: bytes
) -> None:
    """The octets are those that Kannel 1.4.5 handed to its SMSC for the same query, where it was asked."""
    assert said(await doors.sendsms(query, text="-", **fields)) == ACCEPTED
    assert (doors.record.data_coding, doors.record.segments) == (data_coding, [content])


async def test_octets_are_not_taken_for_what_the_accounts_esmes_write(doors: Doors) -> None:
    """This account's ESMEs write UCS-2 with the low octet first; sendsms has the high one first for everybody."""
    assert said(await doors.sendsms("text=%04%1f", text="-", coding="2", mclass="1", username="little")) == ACCEPTED
    assert doors.record.segments == [b"\x04\x1f"]


async def test_a_header_makes_segments_of_its_own(doors: Doors) -> None:
    assert said(await doors.sendsms("udh=%06%05%04%0b%84%23%f0&text=x", text="-", coding="1")) == ACCEPTED
    assert said(await doors.sendsms("udh=%06%05%04%0b%84%23%f0&text=%ff", text="-")) == ACCEPTED
    assert doors.admitter.admitted.pop().record.data_coding == 4
    assert (doors.record.esm_class, doors.record.segments) == (0x40, [bytes.fromhex("060504 0b8423f0") + b"x"])


async def test_the_rest_is_kept_or_passed_on(doors: Doors) -> None:
    kept = {"binfo": "b1", "account": "acc1", "meta_data": "?smpp?k=v", "smsc": "fast"}
    assert said(await doors.sendsms(priority="2", pid="64", validity="5", **kept)) == ACCEPTED
    record = doors.record
    assert (record.priority_flag, record.protocol_id) == (2, 64)
    assert (
        290_000 < record.valid_until_ms - doors.admitter.admitted[0].record.id // 2**22 - 1_577_836_800_000 <= 300_000
    )
    assert json.loads(record.metadata or b"") == {
        "account": "acc1", "binfo": "b1", "meta-data": "?smpp?k=v", "smsc": "fast"
    }  # fmt: skip


async def test_without_from_the_only_sender_of_the_account_sends(doors: Doors) -> None:
    assert said(await doors.sendsms(username="single", from_="-")) == ACCEPTED
    assert doors.record.source == b"SHOP"


async def test_a_report_is_asked_for_by_mask_and_url_together(doors: Doors) -> None:
    await doors.sendsms(dlr_mask="31")
    await doors.sendsms(dlr_url=DLR)
    assert [planned.record.via for planned in doors.admitter.admitted] == [0, 0]
    await doors.sendsms(dlr_mask="31", dlr_url="http://app.example/?u=%n&o=%o&q=%q&s=%P&S=%Q&D=%D&x=%x&%%p")
    record = doors.admitter.admitted[2].record
    url = "http://app.example/?u=acme-1&o=acme-1&q=%2B447700900123&s=ACME&S=ACME&D=&x=%x&%%p"
    assert (record.via, record.registered_delivery, record.callback_url) == (2, 0x11, f"kannel:31:{url}")


async def test_post_has_the_text_in_its_body_and_the_rest_in_headers(doors: Doors) -> None:
    headers = {"X-Kannel-Username": USER, "X-Kannel-Password": PASSWORD, "X-Kannel-From": "ACME"}
    headers |= {"X-Kannel-To": "447700900123", "X-Kannel-UDH": "020100", "Content-Type": "text/plain; charset=latin1"}
    assert said(await doors.ask("POST", SENDSMS, headers, b"caf\xe9")) == ACCEPTED
    assert doors.record.segments == [b"\x02\x01\x00caf\x05"]
    binary = headers | {"Content-Type": "application/octet-stream"}
    assert said(await doors.ask("POST", SENDSMS, binary, b"\x00\xff")) == ACCEPTED
    assert doors.admitter.admitted[1].record.data_coding == 4
    wrong = await doors.ask("POST", SENDSMS, headers | {"X-Kannel-UDH": "zz"}, b"x")
    assert said(wrong) == (400, b"UDH field misformed, rejected")


async def test_post_of_a_form_and_of_what_is_none(doors: Doors) -> None:
    body = f"username={USER}&password={PASSWORD}&from=ACME&to=447700900123&text=caf%C3%A9".encode()
    assert said(await doors.ask("POST", SENDSMS, FORM, body)) == ACCEPTED
    refused = await doors.ask("POST", SENDSMS, {"Content-Type": "application/json"}, b"{}")
    assert said(refused) == (400, b"Invalid content-type")
    assert (await doors.ask("POST", SENDSMS, FORM, b"x" * 300_000)).status == 413
    assert (await doors.ask("PUT", SENDSMS)).status == 405


async def test_head_sends_nothing(doors: Doors) -> None:
    query = f"username={USER}&password={PASSWORD}&from=ACME&to=447700900123"
    for path in (f"{SENDSMS}?{query}&text=x", f"/send?{query}&content=x"):
        refused = await doors.ask("HEAD", path)
        assert (refused.status, refused.headers["allow"]) == (405, "GET, POST")
    assert not doors.admitter.admitted


async def test_credentials_numbers_and_text_stand_in_no_log_and_no_metric(
    doors: Doors, caplog: pytest.LogCaptureFixture
) -> None:
    """X1 of the fault list: they stand in the URL of every request, good or bad."""
    caplog.set_level(logging.DEBUG)
    with structlog.testing.capture_logs() as logs:
        await doors.sendsms(text="Secret-Text")
        await doors.sendsms(text="Secret-Text", password="wr0ng-pass")
        await doors.sendsms(text="Secret-Text", to="abc")
        await doors.jasmin(content="Secret-Text", coding="99")
        await doors.ask("GET", f"/nowhere?password={PASSWORD}&to=447700900123")
        broken = b"GET /cgi-bin/sendsms?password=" + PASSWORD.encode() + b"\x01 HTTP/9.9\r\n\r\n"
        doors.connections[0].write(broken)
        assert (await doors.connections[0].reply()).status == 400
    everything = f"{logs} {caplog.text} {list(doors.figures.routes)}"
    for secret in (PASSWORD, "wr0ng-pass", "447700900123", "Secret-Text"):
        assert secret not in everything


async def test_a_deferred_message_waits_for_its_time_and_is_valid_from_then_on(doors: Doors) -> None:
    assert said(await doors.sendsms(deferred="5", validity="10")) == ACCEPTED
    assert said(await doors.sendsms(deferred="0", to="447700900123 447700900124")) == ACCEPTED
    assert said(await doors.sendsms(deferred="5", to="447700900123 447700900124")) == ACCEPTED
    one, at_once, several = doors.admitter.admitted
    sent_ms = message_ms(one.record.id)
    assert (one.record.send_at_ms - sent_ms) // 60_000 in (4, 5)
    assert one.record.valid_until_ms - one.record.send_at_ms == 600_000
    assert [record.send_at_ms for record in at_once.records] == [0, 0]
    assert all(record.send_at_ms > sent_ms for record in several.records)
