"""The OpenAPI 3.1 document, generated from the types that validate requests and build answers."""

from __future__ import annotations

from typing import Final

import msgspec

from smscd.core.reasons import REASONS
from smscd.ingress.http.described import batches, cancelling, events, inbound, messages
from smscd.ingress.http.described.parts import (
    COMPONENTS,
    HEADERS,
    JSON,
    LIST_CODES,
    Node,
    answer,
    paging,
    query,
    refusals,
)
from smscd.ingress.http.problems import HTTP_CODES, UNAUTHORIZED, UNAVAILABLE, ProblemDocument
from smscd.ingress.http.transactions import PATH as TRANSACTIONS
from smscd.ingress.http.transactions import TransactionPage
from smscd.ingress.http.views import Balance, Health
from storage.postgres.account_entries import ENTRY_KINDS

GROUPS: Final = (messages, batches, cancelling, inbound, events)


def document(version: str) -> bytes:
    """The document as JSON. version: of this program."""
    kinds = [kind for group in GROUPS for kind in group.KINDS]
    kinds += [Balance, TransactionPage, Health, ProblemDocument]
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
            "tags": [
                {"name": "messages"},
                {"name": "inbound"},
                {"name": "events"},
                {"name": "account"},
                {"name": "service"},
            ],
            "paths": _paths(),
            "components": {
                "schemas": schemas,
                "securitySchemes": {"ApiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key"}},
                "headers": HEADERS,
            },
        }
    )


def _paths() -> Node:
    found: Node = {
        "/v1/balance": {
            "get": {
                "operationId": "getBalance",
                "tags": ["account"],
                "summary": "The balance of the account, with every charge that was acknowledged.",
                "responses": {"200": answer("The balance.", Balance, {}), **refusals((UNAUTHORIZED, UNAVAILABLE))},
            }
        },
        TRANSACTIONS: {"get": _transactions()},
        "/health/": {
            "get": {
                "operationId": "getHealth",
                "tags": ["service"],
                "summary": "Whether messages can be accepted.",
                "security": [],
                "responses": {
                    "200": answer("Healthy, or degraded: messages are accepted.", Health, {}),
                    "503": answer("Nothing can be accepted.", Health, {}),
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
    for group in GROUPS:
        for path, methods in group.paths().items():
            found.setdefault(path, {}).update(methods)
    return found


def _transactions() -> Node:
    kinds = {"type": "array", "items": {"type": "string", "enum": list(ENTRY_KINDS)}}
    return {
        "operationId": "listTransactions",
        "tags": ["account"],
        "summary": "What the balance changed by, newest first.",
        "description": "The charges and the refunds of each moment are one entry each; a payment or a correction is "
        "one of its own. They come from the record, so that a charge of this moment comes a little later.",
        "parameters": [
            *paging(),
            query("kind", kinds, "Only these. A page may then hold fewer than limit and not be the last.", ["topup"]),
        ],
        "responses": {"200": answer("A page.", TransactionPage, {}), **refusals(LIST_CODES)},
    }


CODES: Final = sorted({code.code for code in HTTP_CODES} | {row.code for row in REASONS.values()})
