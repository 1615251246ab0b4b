"""POST /v1/messages/batch over TCP, with everything behind it played by the test."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from smscd.core.reasons import Reason
from smscd.core.verdicts import Refused, Verdict
from smscd.ingress.http.batch_types import BATCH_BYTES_MAX
from smscd.ingress.http.batches import PATH
from tests.unit.smscd.ingress.http_fixture import BODY, SUSPENDED_KEY, Reply, Service, errors_of, service, throttled


def bodies(count: int) -> list[dict[str, Any]]:
    return [BODY | {"client_ref": f"order-{number}"} for number in range(count)]


async def send(http: Service, messages: list[Any], **headers: str) -> Reply:
    return await http.send({"messages": messages}, path=PATH, **headers)


async def test_every_message_has_what_it_would_have_been_answered_by_itself() -> None:
    async with service() as http:
        single = (await http.send()).json
        reply = await send(http, bodies(1_000), X_Request_ID="b-1")
        assert reply.status == 202
        answer = reply.json
        assert (answer["accepted"], answer["refused"], len(answer["results"])) == (1_000, 0, 1_000)
        shown = [item["message"] for item in answer["results"]]
        assert [message["client_ref"] for message in shown] == [f"order-{number}" for number in range(1_000)]
        assert set(shown[0]) == set(single)
        assert {message["price"]["amount"] for message in shown} == {"0.0100"}
        assert [int(message["id"]) for message in shown] == [each.record.id for each in http.admitter.admitted[1:]]
        assert {each.idem_key for each in http.admitter.admitted[1:]} == {b"b-1#%d" % place for place in range(1_000)}
        assert reply.headers["x-request-id"] == "b-1"
        assert reply.headers["ratelimit"].startswith('"default";r=0;')
        assert http.figures.routes[PATH].by_status == {202: 1}


async def test_a_refused_message_has_its_problem_and_keeps_nobody_else() -> None:
    async with service() as http:
        faulty = {"to": "x", "from": "ACME", "text": "t", "validity": 0, "foo": 1}
        messages: list[Any] = [BODY, faulty, BODY | {"to": "+71234567890"}, BODY | {"from": "OTHER"}, 7, BODY]
        reply = await send(http, messages)
        assert reply.status == 202
        answer = reply.json
        assert (answer["accepted"], answer["refused"]) == (2, 4)
        problems = [item.get("problem") for item in answer["results"]]
        assert [each and each["code"] for each in problems] == [
            None, "validation_failed", "no_route", "sender_not_allowed", "validation_failed", None,
        ]  # fmt: skip
        assert {error["pointer"] for error in problems[1]["errors"]} == {"/to", "/validity", "/foo"}
        assert problems[4]["errors"] == [{"pointer": "", "detail": "must be a JSON object"}]
        assert (problems[1]["status"], problems[1]["type"]) == (422, "/problems/validation_failed")
        assert problems[2]["detail"] == (await http.send(messages[2])).problem["detail"]
        assert len(http.admitter.admitted) == 2


async def test_a_copy_gets_the_same_messages_and_another_message_under_a_key_is_refused() -> None:
    async with service() as http:
        first = await send(http, bodies(3), X_Request_ID="k")
        again = await send(http, bodies(3), Idempotency_Key="k")
        assert again.headers["idempotent-replayed"] == "true" and "idempotent-replayed" not in first.headers
        items = again.json["results"]
        assert [item["message"] for item in items] == [item["message"] for item in first.json["results"]]
        assert [item["is_replayed"] for item in items] == [True] * 3
        assert http.figures.replayed == 3

        other = await send(http, [bodies(1)[0], BODY | {"text": "another"}, *bodies(4)[2:]], X_Request_ID="k")
        assert (other.status, other.json["accepted"], "idempotent-replayed" in other.headers) == (202, 3, False)
        found = other.json["results"]
        assert found[1]["problem"]["code"] == "idempotency_key_reused"
        assert [item.get("is_replayed", False) for item in found] == [True, False, True, False]
        whole = await send(http, [BODY | {"text": "another"}] * 3, X_Request_ID="k")
        assert (whole.status, whole.problem["code"]) == (422, "idempotency_key_reused")
        assert len(http.admitter.admitted) == 4
        single = await http.send(BODY | {"client_ref": "order-0"}, X_Request_ID="k#0")
        assert single.json == first.json["results"][0]["message"]


async def test_a_batch_of_which_nothing_is_accepted_says_what_its_messages_share() -> None:
    async with service() as http:
        for refusal, status, code, wait in (
            (throttled(2.2), 429, "rate_limited", "3"),
            (Refused(Reason.INSUFFICIENT_BALANCE), 402, "insufficient_balance", None),
            (Refused(Reason.QUEUE_FULL, 1.0), 503, "queue_full", "1"),
            (Refused(Reason.STORAGE_UNAVAILABLE, 1.0), 503, "storage_unavailable", "1"),
        ):
            http.admitter.refusal = refusal
            reply = await send(http, bodies(3))
            assert (reply.status, reply.problem["code"], reply.headers.get("retry-after")) == (status, code, wait)
            assert [item["problem"]["code"] for item in reply.json["results"]] == [code] * 3
            assert reply.problem["instance"] == PATH
        assert reply.problem["request_id"] == reply.headers["x-request-id"]
        http.admitter.refusal = throttled(2.2)
        differs = await send(http, [BODY, BODY | {"to": "x"}])
        assert (differs.status, differs.problem["code"], differs.headers["retry-after"]) == (422, "batch_refused", "3")
        assert differs.headers["ratelimit"] == '"default";r=0;t=3'
        asleep = await http.send({"messages": [BODY]}, path=PATH, key=SUSPENDED_KEY)
        assert (asleep.status, asleep.problem["code"]) == (403, "account_suspended")
        assert (await http.send({"messages": [BODY]}, path=PATH, key=None)).status == 401


async def test_what_is_wrong_with_the_body_itself_is_said_at_once() -> None:
    async with service() as http:
        cases: list[tuple[Any, set[str]]] = [
            ([BODY], {""}),
            ({}, {"/messages"}),
            ({"messages": []}, {"/messages"}),
            ({"messages": {}, "to": 1}, {"/messages", "/to"}),
            ({"messages": [BODY] * 1_001}, {"/messages"}),
            ({"messages": [BODY], "foo": None}, {"/foo"}),
        ]
        for body, pointers in cases:
            assert set(errors_of(await http.send(body, path=PATH))) == pointers, pointers
        assert set(errors_of(await http.send({"messages": [BODY]}, path=PATH, X_Request_ID="a b"))) == {""}
        broken = await http.send(b'{"messages": [', path=PATH)
        assert (broken.status, broken.problem["code"]) == (400, "malformed_json")
        for encoding in ("gzip",):
            assert (await http.send({"messages": [BODY]}, path=PATH, Content_Encoding=encoding)).status == 415
        assert not http.admitter.admitted


async def test_a_body_of_a_mebibyte_is_taken_and_one_octet_more_is_not() -> None:
    async with service() as http:
        text = json.dumps({"messages": bodies(10)}).encode()
        assert (await http.send(text.ljust(BATCH_BYTES_MAX), path=PATH)).status == 202
        larger = await http.send(text.ljust(BATCH_BYTES_MAX + 1), path=PATH)
        assert (larger.status, larger.problem["code"]) == (413, "content_too_large")
        assert "1,048,576" in larger.problem["detail"]


async def test_a_thousand_messages_of_nothing_but_faults_are_answered_within_bounds() -> None:
    async with service() as http:
        faulty = {f"f{number}": 0 for number in range(60)}
        reply = await send(http, [faulty] * 1_000)
        assert (reply.status, reply.problem["code"]) == (422, "validation_failed")
        counts = [len(item["problem"]["errors"]) for item in reply.json["results"]]
        assert (counts[0], counts[-1], sum(counts) < 6_100) == (50, 1, True)


async def test_a_batch_in_doubt_is_409_with_a_key_and_its_copies_until_the_verdict_is_there() -> None:
    async with service(request_seconds=0.2) as http:
        http.admitter.is_silent = True
        late, unkeyed = await asyncio.gather(send(http, bodies(2), X_Request_ID="k"), send(http, bodies(2)))
        assert (late.status, late.problem["code"]) == (409, "idempotency_in_progress")
        assert (unkeyed.status, unkeyed.problem["code"]) == (503, "storage_unavailable")
        copy = await send(http, bodies(2), X_Request_ID="k")
        assert (copy.status, copy.headers["retry-after"]) == (409, "1")
        assert (await http.send(bodies(1)[0], X_Request_ID="k#0")).status == 409
        http.admitter.release()
        found = await send(http, bodies(2), X_Request_ID="k")
        assert (found.status, found.headers["idempotent-replayed"]) == (202, "true")


async def test_verdicts_that_come_in_pieces_are_put_together() -> None:
    async with service() as http:
        http.admitter.is_silent = True
        asked = asyncio.create_task(send(http, bodies(5)))
        while not http.admitter.held:
            await asyncio.sleep(0)
        [(planned, sink)] = http.admitter.held
        whole: list[list[Verdict]] = []
        http.admitter.is_silent = False
        http.admitter.submit(planned, lambda _, verdicts: whole.append(verdicts))
        while not whole:
            await asyncio.sleep(0)
        sink(0, whole[0][:2])
        sink(2, [throttled(1.5)] * 3)
        reply = await asked
        assert (reply.status, reply.json["accepted"], reply.json["refused"]) == (202, 2, 3)
        assert (reply.headers["retry-after"], reply.headers["ratelimit"]) == ("2", '"default";r=0;t=2')
