"""The OpenAPI document says what the interface does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema_rs

from smscd.core.reasons import REASONS, Reason
from smscd.ingress.http.batches import PATH as BATCH
from smscd.ingress.http.documents import Documents
from smscd.ingress.http.messages import SendRequest
from smscd.ingress.http.openapi import CODES
from smscd.ingress.http.transactions import PARAMETERS, Asked, parse_query
from smscd.ingress.http.transactions import PATH as TRANSACTIONS
from tests.unit.smscd.ingress.http_fixture import BODY, service

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


async def document() -> dict[str, Any]:
    """As the service gives it, without a key."""
    async with service() as http:
        reply = await http.get("/api/openapi.json", key=None)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    found: dict[str, Any] = reply.json
    return found


def values(node: Any, name: str) -> Iterator[Any]:
    """Every value of a member of this name, wherever it stands."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == name:
                yield value
            yield from values(value, name)
    elif isinstance(node, list):
        for item in node:
            yield from values(item, name)


async def test_it_names_every_route_and_method_that_is_served() -> None:
    found = await document()
    assert (found["openapi"], found["info"]["version"]) == ("3.1.0", "1.2.3")
    described = {(path, method.upper()) for path, methods in found["paths"].items() for method in methods}
    async with service() as http:
        pages = {"other", *(route.template for route in Documents().routes())}
        served = {(path, method) for path in http.figures.routes for method in METHODS if path not in pages}
        for path, method in sorted(served):
            reply = await http.get(path.replace("{id}", "1").replace("{event_id}", "mo_1"), method=method)
            assert (reply.status != 405) == ((path, method) in described), (path, method)


async def test_every_reference_leads_somewhere() -> None:
    found = await document()
    references = set(values(found, "$ref"))
    assert len(references) > 10
    for reference in references:
        node = found
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
    operations = set(values(found["paths"], "operationId"))
    assert len(operations) == 25


async def test_every_answer_has_examples_and_they_are_what_its_schema_says() -> None:
    found = await document()
    shown = 0
    for path, method, operation in (
        (path, method, each) for path, methods in found["paths"].items() for method, each in methods.items()
    ):
        contents = [content for response in operation["responses"].values() for content in response["content"].values()]
        for content in [*contents, *operation.get("requestBody", {"content": {}})["content"].values()]:
            if content["schema"] == {"type": "object"}:
                assert operation["operationId"] == "getOpenapi"
                continue
            assert content["examples"], (path, method)
            for example in content["examples"].values():
                jsonschema_rs.validate(content["schema"] | {"components": found["components"]}, example["value"])
                shown += 1
    assert shown > 60


async def test_every_operation_is_described_for_its_reader() -> None:
    found = await document()
    tags = {tag["name"] for tag in found["tags"] if tag["description"]}
    used = set()
    for operation in (each for methods in found["paths"].values() for each in methods.values()):
        assert operation["summary"].endswith(".")
        assert all(parameter["description"] for parameter in operation.get("parameters", ()))
        used |= set(operation["tags"])
        for status, response in operation["responses"].items():
            assert response["description"]
            if status in ("409", "429"):
                assert "Retry-After" in response["headers"]
        operations = {each["operationId"] for methods in found["paths"].values() for each in methods.values()}
        links = [link for response in operation["responses"].values() for link in response.get("links", {}).values()]
        assert {link["operationId"] for link in links} <= operations
    assert used == tags


async def test_whatever_makes_something_says_what_a_repetition_does() -> None:
    found = (await document())["paths"]
    makes = [path["post"] for path in found.values() if {"201", "202"} & set(path.get("post", {}).get("responses", ()))]
    assert {"sendMessage", "createWebhook", "makeKey"} <= {one["operationId"] for one in makes}
    for operation in makes:
        takes_key = "Idempotency-Key" in {parameter["name"] for parameter in operation.get("parameters", ())}
        makes_one = "201" in operation["responses"]
        assert takes_key or not makes_one or "whatever X-Request-ID says" in operation["description"]


async def test_its_examples_run_as_they_stand() -> None:
    found = await document()
    properties = found["components"]["schemas"]["SendRequest"]["properties"]
    body = {name: schema["examples"][0] for name, schema in properties.items() if "examples" in schema}
    assert {"to", "from", "text", "metadata", "callback_url", "tlvs"} <= set(body)
    batch = found["paths"][BATCH]["post"]["requestBody"]["content"]["application/json"]["examples"]["two"]["value"]
    async with service() as http:
        assert (await http.send(body)).status == 202
        reply = await http.send(batch, path=BATCH)
        assert (reply.status, reply.json["refused"]) == (202, 0)


async def test_every_field_that_is_taken_is_documented_with_an_example() -> None:
    properties = (await document())["components"]["schemas"]["SendRequest"]["properties"]
    assert set(properties) == set(SendRequest.__struct_encode_fields__)
    assert all(schema["description"] for schema in properties.values())
    assert all(schema["examples"] for schema in properties.values())


async def test_a_sent_message_has_exactly_the_documented_fields() -> None:
    schema = (await document())["components"]["schemas"]["Message"]
    async with service() as http:
        at_once = (await http.send()).json
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        message = (await http.send(BODY | {"send_at": tomorrow.isoformat()})).json
    assert set(message) == set(schema["properties"]) == {*at_once, "send_at"}
    assert set(schema["required"]) <= set(at_once)
    for name, value in message.items():
        if isinstance(value, str) and "pattern" in schema["properties"][name]:
            assert re.search(schema["properties"][name]["pattern"], value)


async def test_the_examples_of_a_query_are_taken_as_they_stand() -> None:
    parameters = (await document())["paths"][TRANSACTIONS]["get"]["parameters"]
    examples = {each["name"]: each["example"] for each in parameters if "example" in each}
    query = [(name, str(value)) for name, value in examples.items() if name != "kind"]
    asked = parse_query([*query, *(("kind", kind) for kind in examples["kind"])])
    assert isinstance(asked, Asked) and (asked.limit, asked.kinds) == (50, ("topup",))
    assert {each["name"] for each in parameters} == set(PARAMETERS)


async def test_what_sending_can_be_refused_with_is_documented() -> None:
    responses = (await document())["paths"]["/v1/messages"]["post"]["responses"]
    assert set(responses) == {
        str(status) for status in (202, 400, 401, 402, 403, 408, 409, 413, 415, 422, 429, 500, 503)
    }
    for reason in (
        Reason.QUEUE_FULL,
        Reason.NO_ROUTE_AVAILABLE,
        Reason.IDEMPOTENCY_KEY_REUSED,
        Reason.NO_ROUTE,
        Reason.MISSING_TLV,
        Reason.COUNTRY_NOT_ALLOWED,
        Reason.PREFIX_VELOCITY,
        Reason.SPEND_LIMIT,
        Reason.RECORD_BEHIND,
    ):
        answer = REASONS[reason]
        assert f"`{answer.code}`" in responses[str(answer.http_status)]["description"]
    assert "validation_failed" in CODES
    assert len(CODES) == len(set(CODES))


async def test_every_encoding_that_a_message_can_be_shown_with_is_documented() -> None:
    found = await document()
    for name in ("Message", "MessageDetail"):
        shown = found["components"]["schemas"][name]["properties"]["encoding"]["enum"]
        assert shown == ["gsm7", "ucs2", "latin1", "cyrillic", "hebrew", "binary"]
