"""The OpenAPI 3.1 document of the admin API, generated from its operations and the types that read their bodies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from smscd.admin.permissions import NEEDED
from smscd.admin.problems import FORBIDDEN
from smscd.admin.resources import JSON, Operation
from smscd.ingress.http.problems import (
    BUSY,
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

COMPONENTS: Final = "#/components/schemas/{name}"
_ALWAYS: Final = (UNAUTHORIZED, FORBIDDEN, INVALID, INTERNAL, BUSY, UNAVAILABLE)
_OF_BODIES: Final = (MALFORMED_JSON, REQUEST_TIMEOUT, TOO_LARGE, UNSUPPORTED)
_SUCCESS: Final = {200: "Done.", 201: "Made.", 202: "Applied; the ledger has it a little later."}
_CONFLICT: Final = Code(409, "", "Conflict", "As things are now it cannot be done; the code and the sentence say why.")


def document(operations: Iterable[Operation], version: str, prefix: str) -> bytes:
    """The document as JSON. version: of this program. prefix: what stands before each path."""
    found = list(operations)
    kinds = [kind for one in found for kind in (*(one.body.types() if one.body else ()), *_answers(one))]
    _, schemas = msgspec.json.schema_components([*dict.fromkeys(kinds), ProblemDocument], ref_template=COMPONENTS)
    paths: dict[str, dict[str, Any]] = {}
    for one in found:
        paths.setdefault(prefix + one.path.replace("*}", "}"), {})[one.method.lower()] = _operation(one)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "smscd admin",
                "version": version,
                "summary": "What operators do by command, over HTTP.",
                "description": "Each operation names the role that it needs; each change is in the audit log. Refusals "
                "follow RFC 9457. Money is in micro-units.",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "security": [{"Token": []}],
            "tags": [{"name": name} for name in dict.fromkeys(map(_tag, found))],
            "paths": paths,
            "components": {
                "schemas": schemas,
                "securitySchemes": {"Token": {"type": "http", "scheme": "bearer"}},
                "headers": {
                    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}
                },
            },
        }
    )


def _tag(one: Operation) -> str:
    return one.path.partition("/")[0]


def _answers(one: Operation) -> tuple[type, ...]:
    return (one.answer,) if one.answer is not None else ()


def _operation(one: Operation) -> dict[str, Any]:
    schema = _ref(one.answer) if one.answer is not None else {"type": "object"}
    shown = {JSON: {"schema": schema, **_example(one.example)}}
    success = {str(status): {"description": _SUCCESS[status], "content": shown} for status in one.statuses}
    codes = (*_ALWAYS, *(_OF_BODIES if one.body else ()), *((NOT_FOUND,) if one.names or one.body else ()))
    changing = () if one.method == "GET" else (_CONFLICT, METHOD_NOT_ALLOWED)
    found: dict[str, Any] = {
        "operationId": one.id,
        "tags": [_tag(one)],
        "summary": one.summary,
        "description": f"Needs the role {NEEDED[one.route]}.",
        "x-role": NEEDED[one.route],
        "parameters": [*map(_part(one), one.names), *_query(one)],
        "responses": success | _refusals((*codes, *changing)),
    }
    if one.body is not None:
        content = {one.body.content_type: {"schema": one.body.schema(_ref), **_example(one.asks)}}
        found["requestBody"] = {"required": True, "content": content}
    return found


def _example(value: object) -> dict[str, Any]:
    return {} if value is None else {"example": msgspec.to_builtins(value)}


def _part(one: Operation) -> Any:
    def parameter(name: str) -> dict[str, Any]:
        pattern = one.parts.get(name)
        schema = {"type": "string"} | ({"pattern": f"^({pattern})$"} if pattern is not None else {"minLength": 1})
        return {"name": name, "in": "path", "required": True, "schema": schema}

    return parameter


def _query(one: Operation) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "query",
            "required": query.is_required,
            "description": query.sentence,
            "schema": dict(query.schema),
        }
        for name, query in one.query.items()
    ]


def _refusals(codes: Iterable[Code]) -> dict[str, Any]:
    """One response for each status, naming the codes that it may carry."""
    lines: dict[int, list[str]] = {}
    for code in dict.fromkeys(codes):
        lines.setdefault(code.status, []).append(f"- `{code.code}`: {code.detail}" if code.code else code.detail)
    return {str(status): _refusal(status, "\n".join(found)) for status, found in sorted(lines.items())}


def _refusal(status: int, described: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "description": described,
        "content": {PROBLEM_JSON: {"schema": _ref(ProblemDocument)}},
    }
    if status == BUSY.status:
        found["headers"] = {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}
    return found


def _ref(kind: type) -> dict[str, Any]:
    return {"$ref": COMPONENTS.format(name=kind.__name__)}
