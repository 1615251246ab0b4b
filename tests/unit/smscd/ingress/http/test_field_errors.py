"""All field errors at once, over TCP: what the second pass over a refused body finds."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest

from smscd.core.directory import Account, Snapshot
from smscd.core.directory_index import AccountEntry, DirectoryIndex
from smscd.core.planning import encode_text
from smscd.core.reasons import Reason, Rejected
from smscd.core.submission import Encoding
from smscd.ingress.http.field_errors import RULES, problem_of
from smscd.ingress.http.messages import TLV_CHARACTERS_MAX, TLVS_MAX, SendRequest
from smscd.ingress.http.problems import FieldError
from tests.unit.smscd.ingress.http_fixture import BODY, errors_of, service

NOW_MS = 1_790_000_000_000


def account(**profile: Any) -> tuple[AccountEntry, DirectoryIndex]:
    """An account that may use every sender and has no route, and the directory that it is in."""
    directory = DirectoryIndex(Snapshot(accounts=(Account(id="acme", any_sender=True, **profile),)))
    entry = directory.entry("acme")
    assert entry is not None
    return entry, directory


def test_every_field_has_a_sentence_for_when_it_is_wrong() -> None:
    assert set(RULES) == set(SendRequest.__struct_encode_fields__)


async def test_all_field_errors_come_at_once() -> None:
    async with service() as http:
        reply = await http.send(
            {
                "to": "0044 7700",
                "from": "way too long a sender",
                "text": "",
                "encoding": "utf8",
                "smart_encoding": "yes",
                "validity": 1.5,
                "send_at": "2027-01-01T00:00:00",
                "client_ref": "a\u0000b",
                "callback_url": "ftp://example.com/",
                "metadata": {"k": 1, "": "x", "ok": "fine"},
                "tlvs": {"campaign": -1, "9": "x", "trace": ["00"], "dlt_entity_id": "fine"},
                "foo": {},
                "a/b~c": 1,
            }
        )
    errors = errors_of(reply)
    expected = {"/to", "/from", "/text", "/encoding", "/smart_encoding", "/validity", "/send_at", "/client_ref"}
    expected |= {"/callback_url", "/metadata/k", "/metadata/", "/foo", "/a~1b~0c"}
    expected |= {"/tlvs/campaign", "/tlvs/9", "/tlvs/trace"}
    assert set(errors) == expected
    assert errors["/to"] == "must be E.164"
    assert errors["/foo"] == "unknown field"
    assert "with its zone" in errors["/send_at"]
    assert reply.problem["detail"] == "16 fields are invalid"


async def test_a_time_too_far_ahead_is_refused_alone_and_with_others() -> None:
    late = {"to": "+447700900123", "from": "ACME", "text": "hi", "send_at": "2099-01-01T00:00:00Z"}
    sentence = "The time to send must be within 1,209,600 seconds from now: choose an earlier one."
    async with service() as http:
        assert errors_of(await http.send(late)) == {"/send_at": sentence}
        assert errors_of(await http.send(late | {"validity": 0})).keys() == {"/send_at", "/validity"}


async def test_what_only_planning_sees_is_reported_with_the_rest() -> None:
    async with service() as http:
        reply = await http.send({"to": "+447700900123", "from": "ACME", "text": "\u2713", "encoding": "gsm7"})
        assert errors_of(reply) == {"/text": "the GSM alphabet does not have U+2713"}
        reply = await http.send({"to": "+44\n", "from": "ACME", "text": "\u2713", "encoding": "gsm7", "validity": 0})
        assert set(errors_of(reply)) == {"/to", "/text", "/validity"}


@pytest.mark.parametrize("body", [[], "text", 5, None, True])
async def test_a_body_that_is_no_object_is_invalid(body: Any) -> None:
    async with service() as http:
        assert errors_of(await http.send(json.dumps(body).encode())) == {"": "must be a JSON object"}


async def test_missing_fields_are_named() -> None:
    async with service() as http:
        errors = errors_of(await http.send(b"{}"))
        assert errors == {"/to": "is required", "/from": "is required", "/text": "is required"}


async def test_a_flood_of_unknown_fields_gives_a_short_answer() -> None:
    async with service() as http:
        reply = await http.send(BODY | {f"field{number}": 1 for number in range(10_000)})
        assert len(errors_of(reply)) == 50


async def test_a_field_that_stands_twice_is_refused_when_one_is_wrong() -> None:
    async with service() as http:
        reply = await http.send(b'{"to": 5, "to": "+447700900123", "from": "ACME", "text": "x"}')
        assert set(errors_of(reply)) == {""}


@pytest.mark.parametrize(("encoding", "smart_encoding"), list(product(Encoding, (False, True))))
@pytest.mark.parametrize("languages", [frozenset(), frozenset({1}), frozenset(range(1, 14))])
@pytest.mark.parametrize("text", ["plain", "\u201cquoted\u201d", "\u015fi\u015fe", "\u2713", "\U0001f600"])
def test_a_text_is_judged_as_planning_judges_it(
    text: str, languages: frozenset[int], encoding: Encoding, smart_encoding: bool
) -> None:
    entry, directory = account(languages=languages)
    body = json.dumps(BODY | {"text": text, "encoding": encoding, "smart_encoding": smart_encoding}).encode()
    found = problem_of(body, entry, directory, [FieldError("", "so that there is one")], NOW_MS).errors[1:]
    planned = encode_text(text, encoding, smart_encoding, entry.languages)
    expected = (FieldError(planned.pointer, planned.sentence),) if isinstance(planned, Rejected) else ()
    assert found == expected


def test_the_languages_of_the_account_are_what_a_text_is_judged_with(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def judge(*given: object) -> Rejected:
        asked.append(given)
        return Rejected(Reason.INVALID_ENCODING, "judged", "/text")

    monkeypatch.setattr("smscd.ingress.http.field_errors.encode_text", judge)
    entry, directory = account(languages=frozenset({3, 1}))
    found = problem_of(json.dumps(BODY).encode(), entry, directory, [], NOW_MS)
    assert found.errors == (FieldError("/text", "judged"),)
    assert asked == [(BODY["text"], Encoding.AUTO, False, (1, 3))]


def test_a_refusal_of_planning_that_no_field_explains_is_told() -> None:
    entry, directory = account()
    refusal = Rejected(Reason.INVALID_LENGTH, "The message cannot be sent as it is.")
    found = problem_of(json.dumps(BODY).encode(), entry, directory, [], NOW_MS, refusal)
    assert found.errors == (FieldError("", "The message cannot be sent as it is."),)


@pytest.mark.parametrize(
    ("tlvs", "expected"),
    [
        ({"colour": 1}, {"/tlvs/colour": "the route to this destination has no such TLV"}),
        ({"campaign": 65_536}, {"/tlvs/campaign": "must be a whole number of at most 2 octets"}),
        ({"campaign": "7"}, {"/tlvs/campaign": "must be a whole number of at most 2 octets"}),
        ({"trace": "0g"}, {"/tlvs/trace": "must be 0 to 8 octets in hexadecimal digits"}),
        ({"trace": "00" * 9}, {"/tlvs/trace": "must be 0 to 8 octets in hexadecimal digits"}),
        ({"dlt_entity_id": 5}, {"/tlvs/dlt_entity_id": "must be text of 1 to 30 ASCII characters"}),
        ({"dlt_entity_id": "caf\u00e9"}, {"/tlvs/dlt_entity_id": "must be text of 1 to 30 ASCII characters"}),
        ({"dlt_entity_id": "a\0b"}, {"/tlvs/dlt_entity_id": "must be text of 1 to 30 ASCII characters"}),
    ],
)
async def test_quirk_44_a_tlv_that_the_route_cannot_carry_is_named(tlvs: Any, expected: dict[str, str]) -> None:
    async with service() as http:
        assert errors_of(await http.send(BODY | {"tlvs": tlvs})) == expected
        assert http.admitter.admitted == []


async def test_quirk_44_all_tlvs_at_fault_come_at_once_with_the_other_fields() -> None:
    tlvs = {"colour": 1, "campaign": "x", "trace": "00"}
    async with service() as http:
        reply = await http.send(BODY | {"tlvs": tlvs})
        assert set(errors_of(reply)) == {"/tlvs/colour", "/tlvs/campaign"}
        reply = await http.send(BODY | {"tlvs": tlvs, "validity": 0})
        assert set(errors_of(reply)) == {"/tlvs/colour", "/tlvs/campaign", "/validity"}
        reply = await http.send(BODY | {"tlvs": tlvs, "to": "x"})
        assert set(errors_of(reply)) == {"/to"}


@pytest.mark.parametrize(
    ("tlvs", "pointers"),
    [
        ([], {"/tlvs"}),
        ("x", {"/tlvs"}),
        ({f"t{number}": 1 for number in range(TLVS_MAX + 1)}, {"/tlvs"}),
        ({"": 1, "a b": 1, "a/b": 1, "x" * 41: 1}, {"/tlvs/", "/tlvs/a b", "/tlvs/a~1b", "/tlvs/" + "x" * 41}),
        ({"campaign": True}, {"/tlvs/campaign"}),
        ({"campaign": 1.5}, {"/tlvs/campaign"}),
        ({"campaign": None}, {"/tlvs/campaign"}),
        ({"campaign": 1 << 63}, {"/tlvs/campaign"}),
        ({"trace": {"a": 1}}, {"/tlvs/trace"}),
        ({"trace": "0" * (TLV_CHARACTERS_MAX + 1)}, {"/tlvs/trace"}),
    ],
)
async def test_tlvs_are_few_and_small(tlvs: Any, pointers: set[str]) -> None:
    async with service() as http:
        assert set(errors_of(await http.send(BODY | {"tlvs": tlvs}))) == pointers


async def test_tlvs_to_a_route_that_has_none_are_refused_and_no_tlvs_are_not() -> None:
    bare = BODY | {"to": "+48600100200"}
    async with service() as http:
        errors = errors_of(await http.send(bare | {"tlvs": {"campaign": 7}}))
        assert errors == {"/tlvs/campaign": "the route to this destination has no such TLV"}
        for tlvs in ({}, None):
            assert (await http.send(bare | {"tlvs": tlvs})).status == 202


async def test_quirk_44_a_required_tlv_that_is_missing_is_named_where_it_belongs() -> None:
    strict = BODY | {"to": "+46701234567"}
    async with service() as http:
        reply = await http.send(strict | {"tlvs": {"campaign": 7}})
        assert (reply.status, reply.problem["code"]) == (422, "missing_tlv")
        detail = "For this route the TLV dlt_entity_id is required and missing."
        assert reply.problem["detail"] == detail
        assert reply.problem["errors"] == [{"pointer": "/tlvs/dlt_entity_id", "detail": detail}]
        assert (await http.send(strict | {"tlvs": {"dlt_entity_id": "1101234567890"}})).status == 202
