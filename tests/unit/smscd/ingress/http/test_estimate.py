"""POST /v1/messages/estimate: what the same body is charged when it is sent, and nothing of it is kept."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import pytest

from tests.unit.smscd.ingress.http_fixture import BODY, KEY, OTHER_KEY, SUSPENDED_KEY, errors_of, service

PATH = "/v1/messages/estimate"


async def test_an_estimate_has_encoding_segments_and_the_price_of_all_of_them() -> None:
    async with service() as http:
        reply = await http.send(BODY | {"text": "\u2713" * 71}, path=PATH)
        assert reply.status == 200
        assert reply.json == {
            "to": "+447700900123",
            "from": "ACME",
            "encoding": "ucs2",
            "segments": 2,
            "price": {"amount": "0.0200", "currency": "EUR"},
        }
        assert http.admitter.admitted == []
        assert http.figures.routes[PATH].by_status == {200: 1}


async def test_what_was_estimated_can_be_sent_under_its_key_afterwards() -> None:
    async with service() as http:
        assert (await http.send(path=PATH, X_Request_ID="k")).status == 200
        sent = await http.send(X_Request_ID="k")
        assert sent.status == 202 and "idempotent-replayed" not in sent.headers


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"to": "x", "text": ""}, KEY),
        ({"to": "+15550100"}, KEY),
        ({"to": "+497700900123"}, KEY),
        ({"from": "EVIL"}, KEY),
        ({"text": "x" * 5_000}, KEY),
        ({"encoding": "gsm7", "text": "\u2713"}, KEY),
        ({"to": "+467700900123"}, KEY),
        ({"tlvs": {"campaign": 70_000}}, KEY),
        ({"colour": "red"}, KEY),
        ({}, SUSPENDED_KEY),
        ({}, None),
    ],
)
async def test_what_would_be_refused_is_refused_with_the_same_words(change: dict[str, Any], key: str | None) -> None:
    async with service() as http:
        estimated, sent = await http.send(BODY | change, path=PATH, key=key), await http.send(BODY | change, key=key)
    told = [
        {name: value for name, value in reply.problem.items() if name not in ("instance", "request_id")}
        for reply in (estimated, sent)
    ]
    assert told[0] == told[1]


async def test_all_field_errors_come_at_once() -> None:
    async with service() as http:
        assert set(errors_of(await http.send({"to": "x"}, path=PATH))) == {"/to", "/from", "/text"}


async def test_random_messages_cost_what_was_estimated() -> None:
    chance = random.Random(4)
    pieces = ("a", "\u20ac", "\u2713", "\U0001f600", "\u201c", "hello ")
    async with service() as http:
        for _ in range(60):
            body = BODY | {
                "to": "+" + chance.choice(("447700900123", "487700900123", "4477009001")),
                "text": "".join(chance.choices(pieces[: chance.randint(1, 6)], k=chance.randint(1, 300))),
                "encoding": chance.choice(("auto", "ucs2")),
                "smart_encoding": chance.random() < 0.5,
            }
            key = chance.choice((KEY, OTHER_KEY))
            estimated, sent = await http.send(body, path=PATH, key=key), await http.send(body, key=key)
            if sent.status != 202:
                assert (estimated.status, estimated.problem["code"]) == (sent.status, sent.problem["code"])
                continue
            for name in ("to", "from", "encoding", "segments", "price"):
                assert estimated.json[name] == sent.json[name]
            charged = http.admitter.admitted[-1].record
            assert charged.price_micros == Decimal(estimated.json["price"]["amount"]) * 1_000_000
    assert len(http.admitter.admitted) > 30
