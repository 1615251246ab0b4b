"""The part of the OpenAPI document that describes /v1/webhooks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

import msgspec

from smscd.core.reasons import Reason
from smscd.ingress.http import webhook_bodies as bodies
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

_CODES: Final = (UNAUTHORIZED, METHOD_NOT_ALLOWED, INTERNAL, UNAVAILABLE)
_CHANGING: Final = (Reason.RATE_LIMITED,)
_ONE: Final = (*_CODES, NOT_FOUND)
_ID: Final[Mapping[str, Any]] = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[1-9][0-9]{0,18}$"},
}
_EVENT: Final[Mapping[str, Any]] = {
    "name": "event_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": f"^{bodies.EVENT_ID.pattern}$"},
}


class Writer(Protocol):
    """How the whole document writes its parts: smscd.ingress.http.openapi, which imports this."""

    @property
    def body_codes(self) -> tuple[Code, ...]: ...

    def answer(self, description: str, kind: type[msgspec.Struct]) -> dict[str, Any]: ...

    def refusals(self, codes: tuple[Code, ...], reasons: tuple[Reason, ...] = ()) -> dict[str, Any]: ...

    def body(self, kind: type[msgspec.Struct], *, is_required: bool = True) -> dict[str, Any]: ...

    def paging(self) -> list[dict[str, Any]]: ...


def paths(write: Writer) -> dict[str, Any]:
    """The paths of the resource."""
    one = f"{PATH}/{{id}}"
    named = {"parameters": [_ID]}
    return {
        PATH: {
            "get": _operation(
                "listWebhooks", "All webhooks of the account.", write, 200, "They.", bodies.WebhookList, _CODES
            ),
            "post": _created(write),
        },
        one: {
            "get": named | _operation("getWebhook", "A webhook.", write, 200, "It.", bodies.Webhook, _ONE),
            "patch": named
            | _operation(
                "changeWebhook",
                "Change a webhook, or disable or enable it.",
                write,
                200,
                "As it is now.",
                bodies.Webhook,
                (*write.body_codes, *_ONE),
                _CHANGING,
            )
            | {"requestBody": write.body(bodies.ChangeWebhook)},
            "delete": named
            | _operation(
                "deleteWebhook", "Delete a webhook.", write, 200, "It is gone.", bodies.DeletedWebhook, _ONE, _CHANGING
            ),
        },
        f"{one}/rotate": {
            "post": named
            | _operation(
                "rotateWebhookSecret",
                "Give a webhook another secret. The old ones sign beside it for a day, or as long as overlap says.",
                write,
                200,
                "With the new secret, which is not shown again.",
                bodies.Webhook,
                (*write.body_codes, *_ONE, TOO_MANY_SECRETS),
                _CHANGING,
            )
            | {"requestBody": write.body(bodies.RotateSecret, is_required=False)}
        },
        f"{one}/test": {
            "post": named
            | _operation(
                "testWebhook",
                "Send an event of type webhook.test now.",
                write,
                200,
                "How it was taken.",
                bodies.WebhookTest,
                (*_ONE, BUSY),
            )
        },
        f"{one}/deliveries": {
            "get": _operation(
                "listWebhookDeliveries",
                "Events of the last thirty days at a webhook, each with its last attempt; the newest first.",
                write,
                200,
                "A page.",
                bodies.WebhookDeliveryPage,
                (*_ONE, INVALID, BUSY),
            )
            | {"parameters": [_ID, *write.paging()]}
        },
        f"{one}/deliveries/{{event_id}}/replay": {
            "post": _operation(
                "replayWebhookDelivery",
                "Send an event once more, from the first attempt on; its id stays the same.",
                write,
                202,
                "It is queued.",
                bodies.WebhookDelivery,
                _ONE,
            )
            | {"parameters": [_ID, _EVENT]}
        },
    }


def _created(write: Writer) -> dict[str, Any]:
    operation = _operation(
        "createWebhook",
        "Have events sent to a URL. They are signed as Standard Webhooks has it.",
        write,
        201,
        "With the secret, which is not shown again.",
        bodies.Webhook,
        (*write.body_codes, *_CODES, TOO_MANY_WEBHOOKS),
        _CHANGING,
    )
    named = {"parameters": {"id": "$response.body#/id"}}
    operation["responses"]["201"]["headers"] = {"Location": {"$ref": "#/components/headers/Location"}}
    operation["responses"]["201"]["links"] = {
        name: {"operationId": name, **named} for name in ("getWebhook", "listWebhookDeliveries", "deleteWebhook")
    }
    return {**operation, "requestBody": write.body(bodies.CreateWebhook)}


def _operation(
    name: str,
    summary: str,
    write: Writer,
    status: int,
    description: str,
    kind: type[msgspec.Struct],
    codes: tuple[Code, ...],
    reasons: tuple[Reason, ...] = (),
) -> dict[str, Any]:
    return {
        "operationId": name,
        "tags": ["webhooks"],
        "summary": summary,
        "responses": {str(status): write.answer(description, kind), **write.refusals(codes, reasons)},
    }
