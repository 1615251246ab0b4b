"""Messages from phones as the OpenAPI document has them."""

from __future__ import annotations

from typing import Final

from smscd.ingress.http.described.messages import ADDRESS
from smscd.ingress.http.described.parts import LIST_CODES, Example, Node, answer, link, paging, query, refusals
from smscd.ingress.http.inbound import PATH, InboundMessage, InboundPage
from smscd.ingress.http.problems import INTERNAL, METHOD_NOT_ALLOWED, NOT_FOUND, UNAUTHORIZED, UNAVAILABLE

KINDS: Final = (InboundPage, InboundMessage)
TAG: Final = "inbound"
RECEIVED: Final = InboundMessage(
    id="7236514482193408003",
    sender="+447700900123",
    to="12345",
    text="Yes please",
    encoding="gsm7",
    content_hex="59657320706c65617365",
    received_at="2026-11-22T14:48:34.504Z",
)


def paths() -> Node:
    """The paths of this group."""
    return {PATH: {"get": _page()}, f"{PATH}/{{id}}": {"get": _message()}}


def _page() -> Node:
    examples = {"one": Example("The last page", InboundPage(data=[RECEIVED]))}
    links = {"message": link("getInbound", "One of them.", id="$response.body#/data/0/id")}
    return {
        "operationId": "listInbound",
        "tags": [TAG],
        "summary": "What phones sent to your numbers, newest first.",
        "description": "They come from the record, so that a message of this moment comes a little later. A long one "
        "has the time of its first part, and is here once it is whole. Without created_after they are of 30 days.",
        "parameters": [
            *paging(),
            query("to", ADDRESS, "Only those to this number of yours.", "12345"),
            query("from", ADDRESS, "Only those from this address, with or without its plus sign.", "447700900123"),
        ],
        "responses": {"200": answer("A page.", InboundPage, examples, links=links), **refusals(LIST_CODES)},
    }


def _message() -> Node:
    schema = {"type": "string", "pattern": "^[1-9][0-9]{0,18}$"}
    codes = (UNAUTHORIZED, NOT_FOUND, METHOD_NOT_ALLOWED, INTERNAL, UNAVAILABLE)
    return {
        "operationId": "getInbound",
        "tags": [TAG],
        "summary": "One message that a phone sent to a number of yours.",
        "parameters": [
            {"name": "id", "in": "path", "required": True, "description": "Its id in the list.", "schema": schema}
        ],
        "responses": {
            "200": answer("The message.", InboundMessage, {"one": Example("A text", RECEIVED)}),
            **refusals(codes),
        },
    }
