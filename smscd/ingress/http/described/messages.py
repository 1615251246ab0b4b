"""Messages as the OpenAPI document has them: send, estimate, look at one, list."""

from __future__ import annotations

from typing import Final

from smscd.core.reasons import Reason
from smscd.ingress.http.described.parts import (
    BODY_CODES,
    LIST_CODES,
    Node,
    answer,
    body,
    paging,
    query,
    refusals,
    request_keys,
)
from smscd.ingress.http.listing import PATH, MessagePage
from smscd.ingress.http.messages import SendRequest
from smscd.ingress.http.problems import METHOD_NOT_ALLOWED, NOT_FOUND, UNAUTHORIZED, UNAVAILABLE
from smscd.ingress.http.views import DIRECTIONS, STATUSES, Estimate, Message, MessageDetail

KINDS: Final = (SendRequest, Message, Estimate, MessageDetail, MessagePage)

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


def paths() -> Node:
    """The paths of this group."""
    return {
        PATH: {"post": _send(), "get": _messages()},
        f"{PATH}/estimate": {"post": _estimate()},
        f"{PATH}/{{id}}": {"get": _message()},
    }


def _send() -> Node:
    names = ("Location", "RateLimit", "RateLimit-Policy", "Idempotent-Replayed", "X-Request-ID")
    accepted = answer("On disk and paid for; on its way.", Message, {}, headers=names)
    accepted["links"] = {
        "message": {"operationId": "getMessage", "parameters": {"id": "$response.body#/id"}},
    }
    return {
        "operationId": "sendMessage",
        "tags": ["messages"],
        "summary": "Send a message.",
        "parameters": request_keys(),
        "requestBody": body(SendRequest, {}),
        "responses": {"202": accepted, **refusals(BODY_CODES, SENDING)},
    }


def _estimate() -> Node:
    return {
        "operationId": "estimateMessage",
        "tags": ["messages"],
        "summary": "What a message would be charged now. Nothing is sent, and the balance is not looked at.",
        "requestBody": body(SendRequest, {}),
        "responses": {
            "200": answer("Its encoding, its segments and their price.", Estimate, {}),
            **refusals(BODY_CODES, PLANNING),
        },
    }


def _message() -> Node:
    return {
        "operationId": "getMessage",
        "tags": ["messages"],
        "summary": "A message and its timeline.",
        "parameters": [
            {
                "name": "id",
                "in": "path",
                "required": True,
                "schema": {"type": "string", "pattern": "^[1-9][0-9]{0,18}$"},
            }
        ],
        "responses": {
            "200": answer("The message.", MessageDetail, {}),
            **refusals((UNAUTHORIZED, NOT_FOUND, METHOD_NOT_ALLOWED, UNAVAILABLE)),
        },
    }


def _messages() -> Node:
    address = {"type": "string", "minLength": 1, "maxLength": 22}
    statuses = {"type": "array", "items": {"type": "string", "enum": list(STATUSES)}}
    direction = {"type": "string", "enum": list(DIRECTIONS)}
    return {
        "operationId": "listMessages",
        "tags": ["messages"],
        "summary": "The account's messages, newest first.",
        "description": "They come from the record, so that a message of this moment comes a little later. Without "
        "created_after they are those of 30 days.",
        "parameters": [
            *paging(),
            query("status", statuses, "Only these. A page may then hold fewer than limit and not be the last."),
            query("direction", direction, "Only those that you sent, or that were sent to you.", "outbound"),
            query("to", address, "Only those to this address, with or without its plus sign.", "447700900123"),
            query("from", address, "Only those from this address.", "ACME"),
        ],
        "responses": {"200": answer("A page.", MessagePage, {}), **refusals(LIST_CODES)},
    }
