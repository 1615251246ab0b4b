"""What Kannel's and Jasmin's callbacks tell, and in which request; Kannel's are compared to what Kannel 1.4.5 sent."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest

from smscd.core.callback_forms import (
    CallbackForm,
    FormKind,
    fill_escapes,
    jasmin_id,
    kannel_url,
    message_id_of,
    read_form,
    request_of,
    tells,
    tells_acceptance,
    write_form,
)
from smscd.core.callback_records import CallbackRecord
from smscd.core.records import State

DONE_MS = 1_795_683_023_000  # 2026-11-26 08:50:23 UTC
TOLD = CallbackRecord(
    1, 7236514482193408001, "acme", int(State.DELIVERED), b"DELIVRD", b"000", DONE_MS - 60_000, DONE_MS,
    5, 0, b"ACME", 1, 1, b"447700900123", 4, 0, 2, b"hello  world", is_from_network=True, upstream="carrier-1",
    upstream_message_id=b"ab/12",
)  # fmt: skip
RECEIPT = (
    "id:ab/12 sub:001 dlvrd:001 submit date:2611260849 done date:2611260850 stat:DELIVRD err:000 text:hello  world"
)
OURS = {"is_from_network": False}
REFUSED = msgspec.structs.replace(TOLD, state=int(State.FAILED), stat=b"UNDELIV", err=b"011", **OURS)
TAKEN = msgspec.structs.replace(TOLD, state=int(State.SENT), stat=b"ACCEPTD", **OURS)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (CallbackForm(FormKind.KANNEL, 31, "http://a/?d=%d"), "kannel:31:http://a/?d=%d"),
        (CallbackForm(FormKind.JASMIN, 3, "https://a:1/x", "POST"), "jasmin:3:POST:https://a:1/x"),
    ],
)
def test_a_form_is_read_as_it_was_written(form: CallbackForm, text: str) -> None:
    assert write_form(form) == text
    assert read_form(text) == form


@pytest.mark.parametrize(
    "text", [None, "", "https://a/", "kannel:x:http://a", "jasmin:4:GET:http://a", "kannel:1:ftp://a"]
)
def test_everything_else_is_our_own_webhook(text: str | None) -> None:
    assert read_form(text) is None
    assert tells(text, State.FAILED, **OURS)


@pytest.mark.parametrize(
    ("state", "is_from_network", "status", "bit"),
    [
        (State.DELIVERED, True, 0, 1),
        (State.UNDELIVERED, True, 0, 2),
        (State.REJECTED, True, 0, 2),
        (State.EXPIRED, False, 0, 2),
        (State.SENT, True, 0, 4),
        (State.SENT, False, 0, 8),
        (State.FAILED, False, 11, 16),
        (State.FAILED, False, 0, 2),
    ],
)
def test_the_dlr_mask_says_what_is_told(state: State, is_from_network: bool, status: int, bit: int) -> None:
    for mask in (bit, 31, 31 - bit, 0):
        is_told = tells(f"kannel:{mask}:http://a/", state, is_from_network=is_from_network, status=status)
        assert is_told == bool(mask & bit)
    record = msgspec.structs.replace(TOLD, state=int(state), is_from_network=is_from_network, err=b"%03d" % status)
    assert kannel_url("%d", record) == str(bit)


@pytest.mark.parametrize(
    ("level", "taken", "receipt", "failed_here"),
    [(1, True, False, True), (2, False, True, True), (3, True, True, True)],
)
def test_the_dlr_level_says_what_is_told(level: int, taken: bool, receipt: bool, failed_here: bool) -> None:
    url = f"jasmin:{level}:GET:http://a/"
    assert tells_acceptance(url) == taken
    assert tells(url, State.DELIVERED, is_from_network=True) == receipt
    assert tells(url, State.FAILED, is_from_network=False, status=11) == failed_here


def test_an_ordinary_webhook_is_not_told_of_an_acceptance() -> None:
    assert not tells_acceptance("https://a/")


def test_kannels_escapes_in_a_receipt() -> None:
    url = "http://a/?d=%d&A=%A&F=%F&t=%t&T=%T&i=%i&I=%I&a=%a&b=%b&c=%c&m=%m&M=%M&u=%u&C=%C&x=%x&pc=%%d&%"
    filled = kannel_url(url, TOLD)
    assert "&t=2026-11-26+08:50:23&T=1795683023&" in filled, "as Kannel writes them: not encoded"
    assert filled.endswith("&x=%x&pc=%d&%"), "what is not known is left"
    assert dict(parse_qsl(urlsplit(filled).query, keep_blank_values=True)) | {"x": "", "pc": ""} == {
        "d": "1", "A": RECEIPT, "F": "ab/12", "t": "2026-11-26 08:50:23", "T": "1795683023", "i": "carrier-1",
        "I": "7236514482193408001", "a": " ".join(RECEIPT.split()), "b": RECEIPT, "c": "-1", "m": "-1", "M": "-1",
        "u": "", "C": "UTF-8", "x": "", "pc": "", "%": "",
    }  # fmt: skip


def test_kannels_replies_of_an_smsc() -> None:
    assert kannel_url("%d %A %F", TAKEN) == "8 ACK%2F ab%2F12"
    assert kannel_url("%d %A", REFUSED) == "16 NACK%2F0x0000000b%2FESME_RINVDSTADR"
    unknown = msgspec.structs.replace(REFUSED, err=b"1025")
    assert kannel_url("%A", unknown) == "NACK%2F0x00000401%2F0x00000401"


def test_what_was_put_in_first_is_never_read_as_an_escape() -> None:
    every = "".join(map(chr, range(0x20, 0x7F)))
    filled = fill_escapes("http://a/?p=%p&d=%d&%%p&x=%x", {"p": every})
    assert kannel_url(filled, TOLD).endswith("&d=1&%p&x=%x")
    assert dict(parse_qsl(urlsplit(kannel_url(filled, TOLD)).query))["p"] == every
    assert fill_escapes("%p", {"p": "caf\xe9"}) == "caf"


@pytest.mark.parametrize("message_id", [1, 7236514482193408001, (1 << 63) - 1, 0xFFFF_FFFF_FFF0])
def test_a_jasmin_id_is_a_uuid_with_all_bits_of_ours(message_id: int) -> None:
    text = jasmin_id(message_id)
    assert (len(text), text[14]) == (36, "8")
    assert text[19] == "8"
    assert message_id_of(text) == message_id_of(text.upper()) == message_id


@pytest.mark.parametrize("text", ["", "7236514482193408001", "957758b2-a55a-45f1-b172-aaefd79492a4"])
def test_another_text_is_no_jasmin_id(text: str) -> None:
    assert message_id_of(text) is None


def test_jasmins_receipt_is_posted_as_a_form() -> None:
    request = request_of(CallbackForm(FormKind.JASMIN, 3, "http://a/dlr", "POST"), TOLD)
    assert (request.method, request.url, request.acknowledgement) == ("POST", "http://a/dlr", b"ACK/Jasmin")
    assert request.headers == {"Content-Type": "application/x-www-form-urlencoded"}
    assert dict(parse_qsl(request.body.decode())) == {
        "id": jasmin_id(TOLD.id), "level": "2", "connector": "carrier-1", "message_status": "DELIVRD",
        "id_smsc": "ab/12", "sub": "002", "dlvrd": "002", "subdate": "2611260849", "donedate": "2611260850",
        "err": "000", "text": "hello  world",
    }  # fmt: skip


@pytest.mark.parametrize(("record", "status"), [(TAKEN, "ESME_ROK"), (REFUSED, "ESME_RINVDSTADR")])
def test_jasmins_level_one_is_the_answer_of_the_smsc(record: CallbackRecord, status: str) -> None:
    request = request_of(CallbackForm(FormKind.JASMIN, 1, "http://a/dlr?k=v", "GET"), record)
    assert (request.method, request.body, request.url.partition("?")[2][:4]) == ("GET", b"", "k=v&")
    assert dict(parse_qsl(urlsplit(request.url).query)) == {
        "k": "v", "id": jasmin_id(TOLD.id), "level": "1", "connector": "carrier-1", "message_status": status
    }  # fmt: skip


def test_what_ended_here_is_told_by_its_word() -> None:
    expired = msgspec.structs.replace(TOLD, state=int(State.EXPIRED), stat=b"EXPIRED", **OURS)
    for level in (1, 2, 3):
        request = request_of(CallbackForm(FormKind.JASMIN, level, "http://a/", "POST"), expired)
        told = dict(parse_qsl(request.body.decode()))
        assert (told["level"], told["message_status"]) == ("2" if level == 2 else "1", "EXPIRED")


def test_a_group_is_told_under_the_id_that_was_given() -> None:
    record = msgspec.structs.replace(TOLD, group_id=7)
    assert kannel_url("%I", record) == "7"
