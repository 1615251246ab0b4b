"""The OpenAPI 3.1 document, generated from the types that validate requests and build answers."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from smscd.core.reasons import REASONS, Reason
from smscd.ingress.http import openapi_webhooks
from smscd.ingress.http.listing import MessagePage
from smscd.ingress.http.messages import SendRequest
from smscd.ingress.http.problems import (
    BAD_REQUEST,
    BUSY,
    HTTP_CODES,
    INTERNAL,
    INVALID,
    MALFORMED_JSON,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    PROBLEM_JSON,
    REQUEST_TIMEOUT,
    TOO_LARGE,
    UNAUTHORIZED,
    UNAVAILABLE,
    UNSUPPORTED,
    Code,
    ProblemDocument,
)
from smscd.ingress.http.queries import LIMIT_DEFAULT, LIMIT_MAX
from smscd.ingress.http.request_keys import REQUEST_KEY_MAX
from smscd.ingress.http.transactions import PATH as TRANSACTIONS
from smscd.ingress.http.transactions import TransactionPage
from smscd.ingress.http.views import DIRECTIONS, STATUSES, Balance, Estimate, Health, Message, MessageDetail
from smscd.ingress.http.webhook_bodies import KINDS as WEBHOOK_KINDS
from storage.postgres.account_entries import ENTRY_KINDS

JSON: Final = "application/json"
COMPONENTS: Final = "#/components/schemas/{name}"

_BODY_CODES: Final = (
    MALFORMED_JSON,
    BAD_REQUEST,
    UNAUTHORIZED,
    REQUEST_TIMEOUT,
    TOO_LARGE,
    UNSUPPORTED,
    INVALID,
    BUSY,
    INTERNAL,
)
_LIST_CODES: Final = (UNAUTHORIZED, INVALID, METHOD_NOT_ALLOWED, INTERNAL, BUSY, UNAVAILABLE)
_PLANNING: Final = (
    Reason.ACCOUNT_SUSPENDED,
    Reason.SENDER_NOT_ALLOWED,
    Reason.COUNTRY_NOT_ALLOWED,
    Reason.NO_ROUTE,
    Reason.TOO_MANY_SEGMENTS,
    Reason.MISSING_TLV,
    Reason.NOT_CONVERTIBLE,
    Reason.NO_ROUTE_AVAILABLE,
)
_SENDING: Final = (
    *_PLANNING,
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


def document(version: str) -> bytes:
    """The document as JSON. version: of this program."""
    kinds = (
        SendRequest,
        Message,
        Estimate,
        MessageDetail,
        Balance,
        TransactionPage,
        MessagePage,
        Health,
        ProblemDocument,
        *WEBHOOK_KINDS,
    )
    _, schemas = msgspec.json.schema_components(kinds, ref_template=COMPONENTS)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "smscd",
                "version": version,
                "summary": "Send text messages, and learn what became of them.",
                "description": "A 202 is sent after the message is on disk and paid for. Refusals follow RFC 9457.",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "security": [{"ApiKey": []}],
            "tags": [{"name": "messages"}, {"name": "account"}, {"name": "webhooks"}, {"name": "service"}],
            "paths": _paths(),
            "components": {
                "schemas": schemas,
                "securitySchemes": {"ApiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key"}},
                "headers": _headers(),
            },
        }
    )


def _paths() -> dict[str, Any]:
    return {
        "/v1/messages": {"post": _send(), "get": _messages()},
        "/v1/messages/estimate": {"post": _estimate()},
        "/v1/messages/{id}": {"get": _message()},
        "/v1/balance": {
            "get": {
                "operationId": "getBalance",
                "tags": ["account"],
                "summary": "The balance of the account, with every charge that was acknowledged.",
                "responses": {"200": _answer("The balance.", Balance), **_refusals((UNAUTHORIZED, UNAVAILABLE))},
            }
        },
        TRANSACTIONS: {"get": _transactions()},
        **openapi_webhooks.paths(_Parts()),
        "/health/": {
            "get": {
                "operationId": "getHealth",
                "tags": ["service"],
                "summary": "Whether messages can be accepted.",
                "security": [],
                "responses": {
                    "200": _answer("Healthy, or degraded: messages are accepted.", Health),
                    "503": _answer("Nothing can be accepted.", Health),
                },
            }
        },
        "/api/openapi.json": {
            "get": {
                "operationId": "getOpenapi",
                "tags": ["service"],
                "summary": "This document.",
                "security": [],
                "responses": {
                    "200": {"description": "OpenAPI 3.1.", "content": {JSON: {"schema": {"type": "object"}}}}
                },
            }
        },
    }


def _send() -> dict[str, Any]:
    names = ("Location", "RateLimit", "RateLimit-Policy", "Idempotent-Replayed", "X-Request-ID")
    accepted = _answer("On disk and paid for; on its way.", Message)
    accepted["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
    accepted["links"] = {
        "message": {"operationId": "getMessage", "parameters": {"id": "$response.body#/id"}},
    }
    return {
        "operationId": "sendMessage",
        "tags": ["messages"],
        "summary": "Send a message.",
        "parameters": [
            _key_parameter("X-Request-ID", "The same key with the same body within 24 hours: the same answer, once."),
            _key_parameter("Idempotency-Key", "Another name for X-Request-ID."),
        ],
        "requestBody": {"required": True, "content": {JSON: {"schema": _ref(SendRequest)}}},
        "responses": {"202": accepted, **_refusals(_BODY_CODES, _SENDING)},
    }


def _estimate() -> dict[str, Any]:
    return {
        "operationId": "estimateMessage",
        "tags": ["messages"],
        "summary": "What a message would be charged now. Nothing is sent, and the balance is not looked at.",
        "requestBody": {"required": True, "content": {JSON: {"schema": _ref(SendRequest)}}},
        "responses": {
            "200": _answer("Its encoding, its segments and their price.", Estimate),
            **_refusals(_BODY_CODES, _PLANNING),
        },
    }


def _message() -> dict[str, Any]:
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
            "200": _answer("The message.", MessageDetail),
            **_refusals((UNAUTHORIZED, NOT_FOUND, METHOD_NOT_ALLOWED, UNAVAILABLE)),
        },
    }


def _messages() -> dict[str, Any]:
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
            *_paging(),
            _query("status", statuses, "Only these. A page may then hold fewer than limit and not be the last."),
            _query("direction", direction, "Only those that you sent, or that were sent to you.", "outbound"),
            _query("to", address, "Only those to this address, with or without its plus sign.", "447700900123"),
            _query("from", address, "Only those from this address.", "ACME"),
        ],
        "responses": {"200": _answer("A page.", MessagePage), **_refusals(_LIST_CODES)},
    }


def _transactions() -> dict[str, Any]:
    kinds = {"type": "array", "items": {"type": "string", "enum": list(ENTRY_KINDS)}}
    return {
        "operationId": "listTransactions",
        "tags": ["account"],
        "summary": "What the balance changed by, newest first.",
        "description": "The charges and the refunds of each moment are one entry each; a payment or a correction is "
        "one of its own. They come from the record, so that a charge of this moment comes a little later.",
        "parameters": [
            *_paging(),
            _query("kind", kinds, "Only these. A page may then hold fewer than limit and not be the last.", ["topup"]),
        ],
        "responses": {"200": _answer("A page.", TransactionPage), **_refusals(_LIST_CODES)},
    }


def _paging() -> list[dict[str, Any]]:
    moment = {"type": "string", "anyOf": [{"format": "date-time"}, {"format": "date"}]}
    limit = {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT}
    return [
        _query("limit", limit, "How many at most.", 50),
        _query("cursor", {"type": "string"}, "The next_cursor of an earlier answer, with the same filters."),
        _query("created_after", moment, "From this moment on; a date begins at midnight UTC.", "2026-11-01"),
        _query("created_before", moment, "Before this moment.", "2026-11-22T14:48:34Z"),
    ]


def _query(name: str, schema: dict[str, Any], description: str, example: object = None) -> dict[str, Any]:
    parameter = {"name": name, "in": "query", "description": description, "schema": schema}
    return parameter if example is None else {**parameter, "example": example}


def _refusals(codes: tuple[Code, ...], reasons: tuple[Reason, ...] = ()) -> dict[str, Any]:
    """One response for each status, naming the codes that it may carry."""
    by_status: dict[int, list[tuple[str, str]]] = {}
    for code in codes:
        by_status.setdefault(code.status, []).append((code.code, code.detail))
    for reason in reasons:
        answer = REASONS[reason]
        by_status.setdefault(answer.http_status, []).append((answer.code, answer.detail))
    return {str(status): _refusal(status, sorted(set(found))) for status, found in sorted(by_status.items())}


def _refusal(status: int, found: list[tuple[str, str]]) -> dict[str, Any]:
    described = "\n".join(f"- `{code}`: {detail}" for code, detail in found)
    response: dict[str, Any] = {
        "description": described,
        "content": {PROBLEM_JSON: {"schema": _ref(ProblemDocument)}},
    }
    if status in (409, 429, 503):
        response["headers"] = {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}
    return response


def _answer(description: str, kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {"description": description, "content": {JSON: {"schema": _ref(kind)}}}


class _Parts:
    """What the modules of single resources write their parts with."""

    body_codes = _BODY_CODES

    def answer(self, description: str, kind: type[msgspec.Struct]) -> dict[str, Any]:
        return _answer(description, kind)

    def refusals(self, codes: tuple[Code, ...], reasons: tuple[Reason, ...] = ()) -> dict[str, Any]:
        return _refusals(codes, reasons)

    def body(self, kind: type[msgspec.Struct], *, is_required: bool = True) -> dict[str, Any]:
        return {"required": is_required, "content": {JSON: {"schema": _ref(kind)}}}

    def paging(self) -> list[dict[str, Any]]:
        return _paging()[:2]


def _ref(kind: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": COMPONENTS.format(name=kind.__name__)}


def _key_parameter(name: str, description: str) -> dict[str, Any]:
    schema = {"type": "string", "pattern": "^[!-~]+$", "minLength": 1, "maxLength": REQUEST_KEY_MAX}
    return {"name": name, "in": "header", "description": description, "schema": schema}


def _headers() -> dict[str, Any]:
    text = {"type": "string"}
    return {
        "Location": {"description": "Where what was made can be read.", "schema": text},
        "RateLimit": {"description": "What is left of the account's rate, as this process sees it.", "schema": text},
        "RateLimit-Policy": {"description": "The account's rate.", "schema": text},
        "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}},
        "Idempotent-Replayed": {"description": "true: this is the stored answer of an earlier copy.", "schema": text},
        "X-Request-ID": {"description": "The key of the request.", "schema": text},
    }


CODES: Final = sorted({code.code for code in HTTP_CODES} | {answer.code for answer in REASONS.values()})
