"""The OpenAPI 3.1 document, generated from the types that validate requests and build answers.

Each module of smscd.ingress.http.described describes one group of resources; here they are joined.
"""

from __future__ import annotations

from typing import Final

import msgspec

from smscd.core.reasons import REASONS
from smscd.ingress.http.described import (
    account,
    batches,
    cancelling,
    events,
    inbound,
    keys,
    messages,
    service,
    webhooks,
)
from smscd.ingress.http.described.parts import COMPONENTS, HEADERS, Node
from smscd.ingress.http.problems import HTTP_CODES, ProblemDocument

GROUPS: Final = (messages, batches, cancelling, inbound, events, webhooks, account, keys, service)
TAGS: Final = {
    "messages": "Send them, ask what they would cost, and learn what became of them.",
    "inbound": "Messages from phones to your numbers.",
    "events": "What webhooks would tell, for who would rather ask.",
    "webhooks": "Where you have events sent, signed as Standard Webhooks has it.",
    "account": "What there is to spend, and what it was spent on.",
    "keys": "Keys of your account. These need a key with the scope admin.",
    "service": "The service itself; these need no key.",
}
_ABOUT: Final = """\
A `202` is sent after the message is on disk and paid for: what was accepted is not lost, and is charged once.

Every request needs `X-Api-Key`. Give each message an `X-Request-ID` of your own, and repeat it as often as you like: \
the same key with the same body is one message and one charge, and has the same answer for 24 hours. That is so for \
messages, one or a batch, and for nothing else: everywhere else the `X-Request-ID` only comes back with the answer.

Every refusal is an RFC 9457 document (`application/problem+json`) whose `type` is a page that says what to do; all \
fields at fault are named at once. What has `Retry-After` is worth another try after so many seconds.

Money is a decimal string, ids are 64-bit numbers as decimal strings, and times are RFC 3339."""
_KEY: Final = "Your API key, `smk_live_...`. It is shown once, when it is made."


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
                "description": _ABOUT,
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "security": [{"ApiKey": []}],
            "tags": [{"name": name, "description": about} for name, about in TAGS.items()],
            "paths": _paths(),
            "components": {
                "schemas": schemas,
                "securitySchemes": {
                    "ApiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": _KEY}
                },
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
