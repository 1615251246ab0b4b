"""The service itself as the OpenAPI document has it: its health, and this document."""

from __future__ import annotations

from typing import Any, Final

from smscd.ingress.http.described.parts import JSON, Example, Node, answer, refusals
from smscd.ingress.http.problems import METHOD_NOT_ALLOWED
from smscd.ingress.http.views import Health

KINDS: Final = (Health,)
TAG: Final = "service"

_PASSING: Final[dict[str, dict[str, Any]]] = {
    "redis": {"status": "pass", "ms": 0.4, "memory_share": 0.021},
    "postgres": {"status": "pass", "ms": 0.9},
    "workers": {
        "status": "pass",
        "alive": 1,
        "expected": 1,
        "ingress": 1,
        "dispatch": 1,
        "deliver": 1,
        "write": 1,
        "heartbeat_age_seconds": {"host/0": 0.6},
    },
    "upstreams": {"status": "pass", "up": 3, "total": 3},
    "writer": {"status": "pass", "lag_seconds": 0.2},
}
HEALTHY: Final = {
    "healthy": Example("All is well", Health(status="healthy", version="1.0.0", checks=_PASSING)),
    "degraded": Example(
        "Messages are accepted, but somebody should look",
        Health(
            status="degraded",
            version="1.0.0",
            checks=_PASSING | {"postgres": {"status": "warn", "error": "ConnectionRefusedError"}},
        ),
    ),
}
UNHEALTHY: Final = {
    "unhealthy": Example(
        "No message can be accepted",
        Health(
            status="unhealthy",
            version="1.0.0",
            checks=_PASSING | {"redis": {"status": "fail", "error": "ConnectionError"}},
        ),
    )
}


def paths() -> Node:
    """The paths of this group; they need no key."""
    return {"/health/": {"get": _health()}, "/api/openapi.json": {"get": _openapi()}}


def _health() -> Node:
    return {
        "operationId": "getHealth",
        "tags": [TAG],
        "summary": "Whether messages can be accepted.",
        "description": "Degraded still accepts: what is accepted is on disk, and goes on its way when it can. It needs "
        "no key, and asking often costs nothing.",
        "security": [],
        "responses": {
            "200": answer("Healthy, or degraded: messages are accepted.", Health, HEALTHY),
            "503": answer("Nothing can be accepted.", Health, UNHEALTHY),
            **refusals((METHOD_NOT_ALLOWED,)),
        },
    }


def _openapi() -> Node:
    return {
        "operationId": "getOpenapi",
        "tags": [TAG],
        "summary": "This document.",
        "security": [],
        "responses": {
            "200": {"description": "OpenAPI 3.1.", "content": {JSON: {"schema": {"type": "object"}}}},
            **refusals((METHOD_NOT_ALLOWED,)),
        },
    }
