"""What the descriptions of all resources are put together from: answers, refusals, parameters and headers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
from msgspec import to_builtins

from smscd.core.reasons import REASONS, Reason
from smscd.ingress.http.problems import (
    BAD_REQUEST,
    BUSY,
    INTERNAL,
    INVALID,
    MALFORMED_JSON,
    METHOD_NOT_ALLOWED,
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

JSON: Final = "application/json"
COMPONENTS: Final = "#/components/schemas/{name}"
Node: TypeAlias = dict[str, Any]
"""A part of the document."""

BODY_CODES: Final = (
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
LIST_CODES: Final = (UNAUTHORIZED, INVALID, METHOD_NOT_ALLOWED, INTERNAL, BUSY, UNAVAILABLE)
HEADERS: Final = {
    "Location": {"description": "Where the message can be read.", "schema": {"type": "string"}},
    "RateLimit": {
        "description": "What is left of the account's rate, as this process sees it.",
        "schema": {"type": "string"},
    },
    "RateLimit-Policy": {"description": "The account's rate.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}},
    "Idempotent-Replayed": {
        "description": "true: this is the stored answer of an earlier copy.",
        "schema": {"type": "string"},
    },
    "X-Request-ID": {"description": "The key of the request.", "schema": {"type": "string"}},
}


def paging() -> list[Node]:
    """The parameters that every list has."""
    moment = {"type": "string", "anyOf": [{"format": "date-time"}, {"format": "date"}]}
    limit = {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT}
    return [
        query("limit", limit, "How many at most.", 50),
        query("cursor", {"type": "string"}, "The next_cursor of an earlier answer, with the same filters."),
        query("created_after", moment, "From this moment on; a date begins at midnight UTC.", "2026-11-01"),
        query("created_before", moment, "Before this moment.", "2026-11-22T14:48:34Z"),
    ]


def query(name: str, schema: Node, description: str, example: object = None) -> Node:
    """A parameter of the URL."""
    parameter = {"name": name, "in": "query", "description": description, "schema": schema}
    return parameter if example is None else {**parameter, "example": example}


def refusals(codes: tuple[Code, ...], reasons: tuple[Reason, ...] = ()) -> Node:
    """One response for each status, naming the codes that it may carry."""
    by_status: dict[int, list[tuple[str, str]]] = {}
    for code in codes:
        by_status.setdefault(code.status, []).append((code.code, code.detail))
    for reason in reasons:
        row = REASONS[reason]
        by_status.setdefault(row.http_status, []).append((row.code, row.detail))
    return {str(status): _refusal(status, sorted(set(found))) for status, found in sorted(by_status.items())}


def _refusal(status: int, found: list[tuple[str, str]]) -> Node:
    described = "\n".join(f"- `{code}`: {detail}" for code, detail in found)
    response: Node = {
        "description": described,
        "content": {PROBLEM_JSON: {"schema": ref(ProblemDocument)}},
    }
    if status in (409, 429, 503):
        response["headers"] = {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}
    return response


class Example(NamedTuple):
    """A request or an answer, shown by name. value: a struct, or what JSON has. One of a request runs as it is."""

    summary: str
    value: object


def answer(
    description: str,
    kind: type[msgspec.Struct],
    examples: Mapping[str, Example],
    *,
    headers: Iterable[str] = (),
    links: Node | None = None,
) -> Node:
    """A response that is no refusal. headers: names out of HEADERS. links: by name, as link() makes them."""
    node: Node = {"description": description, "content": {JSON: {"schema": ref(kind), "examples": _shown(examples)}}}
    if headers:
        node["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
    return node if links is None else {**node, "links": links}


def link(operation: str, description: str, **parameters: str) -> Node:
    """What can be asked next. operation: its operationId. parameters: expressions such as $response.body#/id."""
    return {"operationId": operation, "description": description, "parameters": parameters}


def body(kind: type[msgspec.Struct], examples: Mapping[str, Example]) -> Node:
    """A request body."""
    return {"required": True, "content": {JSON: {"schema": ref(kind), "examples": _shown(examples)}}}


def _shown(examples: Mapping[str, Example]) -> Node:
    return {name: {"summary": shown.summary, "value": to_builtins(shown.value)} for name, shown in examples.items()}


def ref(kind: type[msgspec.Struct]) -> Node:
    """The schema of a type that a group has among its KINDS."""
    return {"$ref": COMPONENTS.format(name=kind.__name__)}


def _key_parameter(name: str, description: str) -> Node:
    schema = {"type": "string", "pattern": "^[!-~]+$", "minLength": 1, "maxLength": REQUEST_KEY_MAX}
    return {"name": name, "in": "header", "description": description, "schema": schema}


def request_keys() -> list[Node]:
    """The two names of the request key."""
    return [
        _key_parameter("X-Request-ID", "The same key with the same body within 24 hours: the same answer, once."),
        _key_parameter("Idempotency-Key", "Another name for X-Request-ID."),
    ]
