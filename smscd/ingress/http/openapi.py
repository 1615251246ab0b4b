"""The OpenAPI 3.1 document, generated from the types that validate requests and build answers.

Each module of smscd.ingress.http.described describes one group of resources; here they are joined.
"""

from __future__ import annotations

from typing import Final

import msgspec

from smscd.core.reasons import REASONS
from smscd.ingress.http.described import account, messages, service
from smscd.ingress.http.described.parts import COMPONENTS, HEADERS, Node
from smscd.ingress.http.problems import HTTP_CODES, ProblemDocument

GROUPS: Final = (messages, account, service)


def document(version: str) -> bytes:
    """The document as JSON. version: of this program."""
    kinds = [kind for group in GROUPS for kind in group.KINDS]
    _, schemas = msgspec.json.schema_components((*kinds, ProblemDocument), ref_template=COMPONENTS)
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
            "tags": [{"name": "messages"}, {"name": "account"}, {"name": "service"}],
            "paths": _paths(),
            "components": {
                "schemas": schemas,
                "securitySchemes": {"ApiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key"}},
                "headers": HEADERS,
            },
        }
    )


def _paths() -> Node:
    """The paths of all groups; one path may have methods from several."""
    found: Node = {}
    for group in GROUPS:
        for path, methods in group.paths().items():
            found.setdefault(path, {}).update(methods)
    return found


CODES: Final = sorted({code.code for code in HTTP_CODES} | {answer.code for answer in REASONS.values()})
