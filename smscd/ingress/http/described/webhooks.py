"""/v1/webhooks as the OpenAPI document has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from smscd.core.reasons import Reason
from smscd.ingress.http import webhook_bodies as bodies
from smscd.ingress.http.described.parts import (
    BODY_CODES,
    NEXT_CURSOR,
    Example,
    Node,
    answer,
    body,
    link,
    paging,
    refusals,
)
from smscd.ingress.http.problems import (
    BUSY,
    INTERNAL,
    INVALID,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    TOO_MANY_SECRETS,
    TOO_MANY_WEBHOOKS,
    UNAUTHORIZED,
    UNAVAILABLE,
    Code,
)
from smscd.ingress.http.webhooks import PATH

KINDS: Final = bodies.KINDS
TAG: Final = "webhooks"
_ONE: Final = PATH + "/{id}"
_CODES: Final = (UNAUTHORIZED, METHOD_NOT_ALLOWED, INTERNAL, UNAVAILABLE)
_CODES_OF_ONE: Final = (*_CODES, NOT_FOUND)
_CHANGING: Final = (Reason.RATE_LIMITED,)
_ID: Final[Mapping[str, Any]] = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "The id that the webhook has.",
    "schema": {"type": "string", "pattern": "^[1-9][0-9]{0,18}$"},
}
_EVENT: Final[Mapping[str, Any]] = {
    "name": "event_id",
    "in": "path",
    "required": True,
    "description": "The id of the event, which its webhook-id was.",
    "schema": {"type": "string", "pattern": f"^{bodies.EVENT_ID.pattern}$"},
}
_AT: Final = "2026-11-22T14:48:34.504Z"
_URL: Final = "https://app.example/sms-events"
_SECRET: Final = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"  # of the document
_WEBHOOK: Final = bodies.Webhook(
    id="7236514482193408001",
    url=_URL,
    events=["message.*"],
    enabled=True,
    secrets=1,
    created_at=_AT,
    changed_at=_AT,
)
_MADE: Final = msgspec.structs.replace(_WEBHOOK, secret=_SECRET)
_DELIVERY: Final = bodies.WebhookDelivery(
    event_id="msg_7236514482193408001_delivered",
    type="message.delivered",
    status="delivered",
    attempt=1,
    response_code=204,
    error=None,
    created_at=_AT,
    attempted_at=_AT,
    next_attempt_at=None,
)
_REPLAYED: Final = msgspec.structs.replace(
    _DELIVERY, status="pending", attempt=0, response_code=None, attempted_at=None, next_attempt_at=_AT
)


def paths() -> Node:
    """The paths of this group."""
    return {
        PATH: {"get": _list(), "post": _create()},
        _ONE: {"get": _get(), "patch": _change(), "delete": _delete()},
        f"{_ONE}/rotate": {"post": _rotate()},
        f"{_ONE}/test": {"post": _test()},
        f"{_ONE}/deliveries": {"get": _deliveries()},
        f"{_ONE}/deliveries/{{event_id}}/replay": {"post": _replay()},
    }


def _list() -> Node:
    shown = {"one": Example("One webhook", bodies.WebhookList(data=[_WEBHOOK]))}
    return _operation(
        "listWebhooks",
        "All webhooks of the account.",
        {"200": answer("All of them, oldest first.", bodies.WebhookList, shown), **refusals(_CODES)},
    )


def _create() -> Node:
    asked = {"messages": Example("What becomes of messages", {"url": _URL, "events": ["message.*"]})}
    made = answer(
        "With the secret, which is not shown again.",
        bodies.Webhook,
        {"made": Example("Made", _MADE)},
        headers=("Location",),
        links={
            "webhook": link("getWebhook", "The webhook.", id="$response.body#/id"),
            "deliveries": link("listWebhookDeliveries", "What became of its events.", id="$response.body#/id"),
            "delete": link("deleteWebhook", "Delete it again.", id="$response.body#/id"),
        },
    )
    return _operation(
        "createWebhook",
        "Have events sent to a URL. They are signed as Standard Webhooks has it. Needs the scope admin.",
        {"201": made, **refusals((*BODY_CODES, *_CODES, TOO_MANY_WEBHOOKS), _CHANGING)},
    ) | {
        "description": "Asking twice makes two webhooks, whatever X-Request-ID says, and each gets every event. When "
        "no answer came, look at `GET /v1/webhooks`, delete what was made, and ask again: a secret is shown once.",
        "requestBody": body(bodies.CreateWebhook, asked),
    }


def _get() -> Node:
    return _of_one("getWebhook", "A webhook.", "The webhook.", {"one": Example("Enabled", _WEBHOOK)}, _CODES_OF_ONE)


def _change() -> Node:
    asked = {"pause": Example("Send it nothing for now", {"enabled": False})}
    disabled = msgspec.structs.replace(_WEBHOOK, enabled=False, disabled_reason="requested")
    return _of_one(
        "changeWebhook",
        "Change a webhook, or disable or enable it. Needs the scope admin.",
        "As it is now.",
        {"disabled": Example("Disabled", disabled)},
        (*BODY_CODES, *_CODES_OF_ONE),
        _CHANGING,
    ) | {"requestBody": body(bodies.ChangeWebhook, asked)}


def _delete() -> Node:
    return _of_one(
        "deleteWebhook",
        "Delete a webhook. Needs the scope admin.",
        "It is gone.",
        {"gone": Example("Gone", bodies.DeletedWebhook(id=_WEBHOOK.id))},
        _CODES_OF_ONE,
        _CHANGING,
        kind=bodies.DeletedWebhook,
    )


def _rotate() -> Node:
    asked = {"hour": Example("The old secret signs for an hour more", {"overlap": 3_600})}
    rotated = msgspec.structs.replace(_MADE, secrets=2)
    return _of_one(
        "rotateWebhookSecret",
        "Give a webhook another secret. The old ones sign beside it for a day, or as long as overlap says. Needs the "
        "scope admin.",
        "With the new secret, which is not shown again.",
        {"rotated": Example("Two secrets sign", rotated)},
        (*BODY_CODES, *_CODES_OF_ONE, TOO_MANY_SECRETS),
        _CHANGING,
    ) | {"requestBody": body(bodies.RotateSecret, asked, is_required=False)}


def _test() -> Node:
    taken = bodies.WebhookTest(
        event_id="test_7236514482193408001", delivered=True, response_code=204, milliseconds=38, error=None
    )
    return _of_one(
        "testWebhook",
        "Send an event of type webhook.test now. Needs the scope admin.",
        "How it was taken.",
        {"taken": Example("Taken", taken)},
        (*_CODES_OF_ONE, BUSY),
        kind=bodies.WebhookTest,
    )


def _deliveries() -> Node:
    shown = {"last": Example("There is no more", bodies.WebhookDeliveryPage(data=[_DELIVERY]))}
    webhook = "$request.path.id"
    links = {
        "next": link(
            "listWebhookDeliveries", "The next page, where next_cursor is not null.", id=webhook, cursor=NEXT_CURSOR
        ),
        "replay": link(
            "replayWebhookDelivery", "Send one once more.", id=webhook, event_id="$response.body#/data/0/event_id"
        ),
    }
    return _operation(
        "listWebhookDeliveries",
        "Events of the last thirty days at a webhook, each with its last attempt; the newest first.",
        {
            "200": answer("A page.", bodies.WebhookDeliveryPage, shown, links=links),
            **refusals((*_CODES_OF_ONE, INVALID, BUSY)),
        },
    ) | {"parameters": [_ID, *paging()[:2]]}


def _replay() -> Node:
    queued = answer("It is queued.", bodies.WebhookDelivery, {"queued": Example("Queued", _REPLAYED)})
    return _operation(
        "replayWebhookDelivery",
        "Send an event once more, from the first attempt on; its id stays the same. Needs the scope admin.",
        {"202": queued, **refusals(_CODES_OF_ONE)},
    ) | {"parameters": [_ID, _EVENT]}


def _of_one(
    name: str,
    summary: str,
    description: str,
    examples: Mapping[str, Example],
    codes: tuple[Code, ...],
    reasons: tuple[Reason, ...] = (),
    *,
    kind: type[msgspec.Struct] = bodies.Webhook,
) -> Node:
    responses = {"200": answer(description, kind, examples), **refusals(codes, reasons)}
    return _operation(name, summary, responses) | {"parameters": [_ID]}


def _operation(name: str, summary: str, responses: Node) -> Node:
    return {"operationId": name, "tags": [TAG], "summary": summary, "responses": responses}
