"""Messages as the OpenAPI document has them: send, estimate, look at one, list."""

from __future__ import annotations

from typing import Final

from smscd.core.reasons import Reason
from smscd.ingress.http.described import message_examples as examples
from smscd.ingress.http.described.parts import (
    BODY_CODES,
    LIST_CODES,
    NEXT_CURSOR,
    RATE_HEADERS,
    Node,
    answer,
    body,
    link,
    paging,
    query,
    refusals,
    request_keys,
    words,
)
from smscd.ingress.http.listing import ADDRESS_PATTERN, PATH, MessagePage
from smscd.ingress.http.messages import SendRequest
from smscd.ingress.http.problems import INTERNAL, METHOD_NOT_ALLOWED, NOT_FOUND, UNAUTHORIZED, UNAVAILABLE
from smscd.ingress.http.views import DIRECTIONS, STATUSES, Estimate, Message, MessageDetail

KINDS: Final = (SendRequest, Message, Estimate, MessageDetail, MessagePage)
TAG: Final = "messages"
ADDRESS: Final = {"type": "string", "pattern": ADDRESS_PATTERN}

PLANNING: Final = (
    Reason.ACCOUNT_SUSPENDED,
    Reason.SENDER_NOT_ALLOWED,
    Reason.COUNTRY_NOT_ALLOWED,
    Reason.NO_ROUTE,
    Reason.TOO_MANY_SEGMENTS,
    Reason.MISSING_TLV,
    Reason.NOT_CONVERTIBLE,
    Reason.NO_ROUTE_AVAILABLE,
)
"""What a message may be refused with before it is known whether there is room and money for it."""

SENDING: Final = (
    *PLANNING,
    Reason.INSUFFICIENT_BALANCE,
    Reason.IDEMPOTENCY_IN_PROGRESS,
    Reason.IDEMPOTENCY_KEY_REUSED,
    Reason.RATE_LIMITED,
    Reason.PREFIX_VELOCITY,
    Reason.SPEND_LIMIT,
    Reason.QUEUE_FULL,
    Reason.STORAGE_UNAVAILABLE,
    Reason.RECORD_BEHIND,
)
"""What a message that is to be sent may be refused with."""


def paths() -> Node:
    """The paths of this group."""
    return {
        PATH: {"post": _send(), "get": _messages()},
        f"{PATH}/estimate": {"post": _estimate()},
        f"{PATH}/{{id}}": {"get": _message()},
    }


def _send() -> Node:
    accepted = answer(
        "On disk and paid for; on its way.",
        Message,
        examples.SENT,
        headers=("Location", *RATE_HEADERS, "Idempotent-Replayed"),
        links={"message": link("getMessage", "What became of it.", id="$response.body#/id")},
    )
    return {
        "operationId": "sendMessage",
        "tags": [TAG],
        "summary": "Send a message.",
        "description": "Give each request a key of your own, and it is safe to repeat: whatever was lost on the way, "
        "the message is sent and charged once.",
        "parameters": request_keys(),
        "requestBody": body(SendRequest, examples.REQUESTS),
        "responses": {"202": accepted, **refusals(BODY_CODES, SENDING, headers=RATE_HEADERS)},
    }


def _estimate() -> Node:
    send = link("sendMessage", "The same body sends it.", body="$request.body")
    return {
        "operationId": "estimateMessage",
        "tags": [TAG],
        "summary": "What a message would be charged now. Nothing is sent, and the balance is not looked at.",
        "requestBody": body(SendRequest, examples.REQUESTS),
        "responses": {
            "200": answer(
                "Its encoding, its segments and their price.", Estimate, examples.ESTIMATED, links={"send": send}
            ),
            **refusals(BODY_CODES, PLANNING),
        },
    }


def _message() -> Node:
    return {
        "operationId": "getMessage",
        "tags": [TAG],
        "summary": "A message and its timeline.",
        "description": "A message can be looked at from the moment that its 202 was sent.",
        "parameters": [
            {
                "name": "id",
                "in": "path",
                "required": True,
                "description": "The id that the 202 had.",
                "schema": {"type": "string", "pattern": "^[1-9][0-9]{0,18}$"},
            }
        ],
        "responses": {
            "200": answer("The message.", MessageDetail, examples.SHOWN),
            **refusals((UNAUTHORIZED, NOT_FOUND, METHOD_NOT_ALLOWED, INTERNAL, UNAVAILABLE)),
        },
    }


def _messages() -> Node:
    direction = {"type": "string", "enum": list(DIRECTIONS)}
    links = {"next": link("listMessages", "The next page, where next_cursor is not null.", cursor=NEXT_CURSOR)}
    return {
        "operationId": "listMessages",
        "tags": [TAG],
        "summary": "The account's messages, newest first.",
        "description": "They come from the record, so that a message of this moment comes a little later. Without "
        "created_after they are those of 30 days.",
        "parameters": [
            *paging(),
            query("status", words(STATUSES), "Only these. A page may then hold fewer than limit and not be the last."),
            query("direction", direction, "Only those that you sent, or that were sent to you.", "outbound"),
            query("to", ADDRESS, "Only those to this address, with or without its plus sign.", "447700900123"),
            query("from", ADDRESS, "Only those from this address.", "ACME"),
        ],
        "responses": {"200": answer("A page.", MessagePage, examples.PAGES, links=links), **refusals(LIST_CODES)},
    }
