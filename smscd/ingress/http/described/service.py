"""The service itself as the OpenAPI document has it: its health, and this document."""

from __future__ import annotations

from typing import Final

from smscd.ingress.http.described.parts import JSON, Node, answer
from smscd.ingress.http.views import Health

KINDS: Final = (Health,)
TAG: Final = "service"


def paths() -> Node:
    """The paths of this group; they need no key."""
    return {"/health/": {"get": _health()}, "/api/openapi.json": {"get": _openapi()}}


def _health() -> Node:
    return {
        "operationId": "getHealth",
        "tags": [TAG],
        "summary": "Whether messages can be accepted.",
        "security": [],
        "responses": {
            "200": answer("Healthy, or degraded: messages are accepted.", Health),
            "503": answer("Nothing can be accepted.", Health),
        },
    }


def _openapi() -> Node:
    return {
        "operationId": "getOpenapi",
        "tags": [TAG],
        "summary": "This document.",
        "security": [],
        "responses": {"200": {"description": "OpenAPI 3.1.", "content": {JSON: {"schema": {"type": "object"}}}}},
    }
