"""Taking a message back, as the OpenAPI document has it."""

from __future__ import annotations

from typing import Final

from smscd.ingress.http.cancelling import PATH
from smscd.ingress.http.described.parts import Example, Node, answer, refusals
from smscd.ingress.http.problems import (
    INTERNAL,
    METHOD_NOT_ALLOWED,
    NOT_CANCELABLE,
    NOT_FOUND,
    UNAUTHORIZED,
    UNAVAILABLE,
)
from smscd.ingress.http.views import MessageDetail, Money, TimelineItem

KINDS: Final = (MessageDetail,)
CANCELED: Final = {
    "canceled": Example(
        "Canceled, and paid back",
        MessageDetail(
            id="7236514482193408001",
            status="canceled",
            to="+447700900123",
            sender="ACME",
            encoding="gsm7",
            segments=1,
            price=Money("0.0000", "EUR"),
            client_ref="order-77",
            created_at="2026-11-22T14:48:34.504Z",
            done_at="2026-11-22T14:49:02.117Z",
            timeline=[
                TimelineItem(at="2026-11-22T14:48:34.504Z", what="admitted", upstream="carrier"),
                TimelineItem(at="2026-11-22T14:49:02.117Z", what="canceled", segment=0, attempt=0, upstream="carrier"),
            ],
        ),
    )
}


def paths() -> Node:
    """The paths of this group."""
    return {PATH: {"delete": _cancel()}}


def _cancel() -> Node:
    return {
        "operationId": "cancelMessage",
        "tags": ["messages"],
        "summary": "Take back a message that waits: queued, or scheduled.",
        "description": "Its price is paid back, once. To ask again is safe: a message that is canceled stays so, and "
        "the answer is the same.",
        "parameters": [
            {
                "name": "id",
                "in": "path",
                "required": True,
                "description": "The id that the 202 had.",
                "schema": {"type": "string", "pattern": "^[1-9][0-9]{0,18}$"},
            }
        ],
        "responses": {
            "200": answer("The message is canceled.", MessageDetail, CANCELED),
            **refusals((UNAUTHORIZED, NOT_FOUND, METHOD_NOT_ALLOWED, NOT_CANCELABLE, INTERNAL, UNAVAILABLE)),
        },
    }
