"""What the descriptions of all resources are put together from: answers, refusals, parameters and headers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
from msgspec import to_builtins

from smscd.core.reasons import REASONS, Reason
from smscd.ingress.http.problems import (
    ADDRESS_NOT_ALLOWED,
    BAD_REQUEST,
    BUSY,
    INTERNAL,
    INVALID,
    KEY_EXPIRED,
    MALFORMED_JSON,
    METHOD_NOT_ALLOWED,
    PROBLEM_JSON,
    REQUEST_TIMEOUT,
    SCOPE_MISSING,
    TOO_LARGE,
    TYPE_BASE,
    UNAUTHORIZED,
    UNAVAILABLE,
    UNSUPPORTED,
    Code,
    FieldError,
    ProblemDocument,
)
from smscd.ingress.http.queries import CURSOR_PATTERN, LIMIT_DEFAULT, LIMIT_MAX, REPEATS_MAX
from smscd.ingress.http.request_keys import REQUEST_KEY_MAX

JSON: Final = "application/json"
COMPONENTS: Final = "#/components/schemas/{name}"
NEXT_CURSOR: Final = "$response.body#/next_cursor"
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
"""What every operation with a body may be refused with."""

KEY_CODES: Final = (KEY_EXPIRED, SCOPE_MISSING, ADDRESS_NOT_ALLOWED)

CURSOR: Final = {"type": "string", "pattern": CURSOR_PATTERN}
"""The schema of a place in a list."""

LIST_CODES: Final = (UNAUTHORIZED, INVALID, METHOD_NOT_ALLOWED, INTERNAL, BUSY, UNAVAILABLE)
"""What every list may be refused with."""

_TEXT: Final = {"type": "string"}
HEADERS: Final[dict[str, Node]] = {
    "Location": {"description": "Where what was made can be read.", "schema": _TEXT, "example": "/v1/messages/42"},
    "RateLimit": {
        "description": "What is left of the account's rate, as this process sees it: messages, and the seconds until "
        "there are more.",
        "schema": {"type": "string", "pattern": '^"default";r=[0-9]+;t=[0-9]+$'},
        "example": '"default";r=98;t=1',
    },
    "RateLimit-Policy": {
        "description": "The account's rate: so many messages in so many seconds.",
        "schema": {"type": "string", "pattern": '^"default";q=[0-9]+;w=[0-9]+$'},
        "example": '"default";q=100;w=1',
    },
    "Retry-After": {
        "description": "Seconds to wait before the same request is worth another try.",
        "schema": {"type": "integer", "minimum": 1},
        "example": 1,
    },
    "Idempotent-Replayed": {
        "description": "Only there when this is the stored answer of an earlier request with the same key.",
        "schema": {"type": "string", "enum": ["true"]},
        "example": "true",
    },
    "X-Request-ID": {
        "description": "The key of the request, or of a refusal without one what its document has as request_id.",
        "schema": _TEXT,
        "example": "8e03978e-40d5-43e8-bc93-6894a57f9324",
    },
    "Allow": {"description": "The methods of this resource.", "schema": _TEXT, "example": "GET, HEAD"},
    "WWW-Authenticate": {
        "description": "Where the key belongs.",
        "schema": _TEXT,
        "example": 'X-Api-Key realm="smscd"',
    },
    "Accept-Encoding": {
        "description": "identity, where a content encoding was refused.",
        "schema": {"type": "string", "enum": ["identity"]},
        "example": "identity",
    },
}
RATE_HEADERS: Final = ("RateLimit", "RateLimit-Policy")
_REFUSAL_HEADERS: Final = {
    401: ("WWW-Authenticate",),
    405: ("Allow",),
    409: ("Retry-After",),
    415: ("Accept-Encoding",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}


class Example(NamedTuple):
    """A request or an answer, shown by its name. value: a struct, or what JSON has. A request is taken as it stands."""

    summary: str
    value: object


def ref(kind: type[msgspec.Struct]) -> Node:
    """The schema of a type that a group has among its KINDS."""
    return {"$ref": COMPONENTS.format(name=kind.__name__)}


def body(
    kind: type[msgspec.Struct],
    examples: Mapping[str, Example] = MappingProxyType({}),
    *,
    is_required: bool = True,
) -> Node:
    """A request body."""
    return {"required": is_required, "content": {JSON: _content(ref(kind), examples)}}


def answer(
    description: str,
    kind: type[msgspec.Struct],
    examples: Mapping[str, Example] = MappingProxyType({}),
    *,
    headers: Iterable[str] = (),
    links: Node | None = None,
) -> Node:
    """A response that is no refusal. headers: names out of HEADERS. links: by name, as link() makes them."""
    content = {JSON: _content(ref(kind), examples)}
    node: Node = {"description": description, "content": content, "headers": _headers((*headers, "X-Request-ID"))}
    return node if links is None else {**node, "links": links}


def link(operation: str, description: str, *, body: str | None = None, **parameters: str) -> Node:
    """What can be asked next. operation: its operationId. body, parameters: expressions such as $response.body#/id."""
    node: Node = {"operationId": operation, "description": description, "parameters": parameters}
    return node if body is None else {**node, "requestBody": body}


def refusals(codes: Iterable[Code], reasons: Iterable[Reason] = (), *, headers: Iterable[str] = ()) -> Node:
    """One response for each status, with the codes that it may carry, each as an example.

    headers: of what the reasons are refused with, beside those that every refusal of the status has. What needs a key
    may refuse the key.
    """
    codes = tuple(codes)
    if UNAUTHORIZED in codes:
        codes += KEY_CODES
    found: dict[int, dict[str, tuple[str, str]]] = {}
    for code in codes:
        found.setdefault(code.status, {})[code.code] = (code.title, code.detail)
    decided = set()
    for reason in reasons:
        row = REASONS[reason]
        decided.add(row.http_status)
        found.setdefault(row.http_status, {}).setdefault(row.code, (row.title, row.detail))
    return {
        str(status): _refusal(status, by_code, tuple(headers) if status in decided else ())
        for status, by_code in sorted(found.items())
    }


def _refusal(status: int, by_code: dict[str, tuple[str, str]], headers: tuple[str, ...]) -> Node:
    narrowed = {"properties": {"status": {"const": status}, "code": {"enum": sorted(by_code)}}}
    examples = {
        code: Example(detail, _problem_example(status, code, title, detail))
        for code, (title, detail) in sorted(by_code.items())
    }
    return {
        "description": "\n".join(f"- `{code}`: {detail}" for code, (_, detail) in sorted(by_code.items())),
        "content": {PROBLEM_JSON: _content({"allOf": [ref(ProblemDocument), narrowed]}, examples)},
        "headers": _headers((*headers, *_REFUSAL_HEADERS.get(status, ()), "X-Request-ID")),
    }


def _problem_example(status: int, code: str, title: str, detail: str) -> ProblemDocument:
    errors = (FieldError("/to", "must be E.164"), FieldError("/foo", "unknown field"))
    is_of_fields = code == INVALID.code
    return ProblemDocument(
        kind=TYPE_BASE + code,
        title=title,
        status=status,
        code=code,
        detail="2 fields are invalid" if is_of_fields else detail,
        instance="/v1/messages",
        request_id="8e03978e-40d5-43e8-bc93-6894a57f9324",
        errors=errors if is_of_fields else (),
    )


def _content(schema: Node, examples: Mapping[str, Example]) -> Node:
    shown = {name: {"summary": each.summary, "value": to_builtins(each.value)} for name, each in examples.items()}
    return {"schema": schema, "examples": shown} if shown else {"schema": schema}


def _headers(names: Iterable[str]) -> Node:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def query(name: str, schema: Node, description: str, example: object = None) -> Node:
    """A parameter of the URL."""
    parameter = {"name": name, "in": "query", "description": description, "schema": schema}
    return parameter if example is None else {**parameter, "example": example}


def words(values: Iterable[str]) -> Node:
    """The schema of a parameter that may stand several times, each time with one of these words."""
    return {"type": "array", "items": {"type": "string", "enum": list(values)}, "maxItems": REPEATS_MAX}


def paging() -> list[Node]:
    """The parameters that every list has."""
    moment = {"type": "string", "anyOf": [{"format": "date-time"}, {"format": "date"}]}
    limit = {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT}
    return [
        query("limit", limit, "How many at most.", 50),
        query("cursor", CURSOR, "The next_cursor of an earlier answer, with the same filters."),
        query("created_after", moment, "From this moment on; a date begins at midnight UTC.", "2026-11-01"),
        query("created_before", moment, "Before this moment.", "2026-11-22T14:48:34Z"),
    ]


def request_keys() -> list[Node]:
    """The two headers by which a repeated request is known."""
    return [
        _key("X-Request-ID", "The same key with the same body within 24 hours: the same answer, once."),
        _key("Idempotency-Key", "Another name for X-Request-ID."),
    ]


def _key(name: str, description: str) -> Node:
    schema = {"type": "string", "pattern": "^[!-~]+$", "minLength": 1, "maxLength": REQUEST_KEY_MAX}
    return {"name": name, "in": "header", "description": description, "schema": schema}
