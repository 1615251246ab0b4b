"""What /v1/webhooks takes and shows, as types: the same that validate, and that the document is made from."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from smscd.core.webhook_events import EVENTS, SELECTORS, TEST
from smscd.ingress.http.messages import CALLBACK_URL_MAX, is_callback_url
from smscd.ingress.http.problems import Problem
from smscd.ingress.http.strict_bodies import read_strict
from smscd.ingress.http.views import Digits

DESCRIPTION_MAX: Final = 200
OVERLAP_SECONDS: Final = 86_400
OVERLAP_SECONDS_MAX: Final = 604_800
DELIVERY_STATUSES: Final = ("pending", "delivered", "dead")
DISABLED_REASONS: Final = ("gone", "requested")
EVENT_ID: Final = re.compile(r"[a-z]{2,4}_[0-9]{1,19}(_[a-z]{1,20})?")
_MOMENT: Final[dict[str, Any]] = {"format": "date-time"}

Body = TypeVar("Body", bound=msgspec.Struct)
_Url = Annotated[
    str,
    Meta(
        max_length=CALLBACK_URL_MAX,
        pattern=r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s\x00-\x1f\x7f]+$",
        description="Where events are posted: an absolute http(s) URL that leads to a public address.",
        examples=["https://app.example/sms-events"],
    ),
]
_Events = Annotated[
    list[Annotated[str, Meta(extra_json_schema={"enum": list(SELECTORS)})]],
    Meta(
        min_length=1,
        max_length=len(SELECTORS),
        description="The types of events that it gets; message.* is all that begin so, * is all.",
        examples=[["message.*"]],
    ),
]
_Text = Annotated[
    Annotated[str, Meta(max_length=DESCRIPTION_MAX, pattern=r"^[^\x00-\x1f\x7f]*$")] | None,
    Meta(description="A note of your own.", examples=["Production"]),
]


class CreateWebhook(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An endpoint to be made."""

    url: _Url
    events: _Events = msgspec.field(default_factory=lambda: ["*"])
    description: _Text = None


class ChangeWebhook(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is to be changed of an endpoint; what is left out stays."""

    url: _Url | UnsetType = UNSET
    events: _Events | UnsetType = UNSET
    description: _Text | UnsetType = UNSET
    enabled: (
        Annotated[
            bool,
            Meta(description="false: it gets nothing, and what waits for it becomes dead letters.", examples=[True]),
        ]
        | UnsetType
    ) = UNSET


class RotateSecret(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How a secret is exchanged."""

    overlap: Annotated[
        int,
        Meta(
            ge=0,
            le=OVERLAP_SECONDS_MAX,
            description="For how many seconds the secrets of before sign beside the new one; 0: not at all.",
            examples=[OVERLAP_SECONDS],
        ),
    ] = OVERLAP_SECONDS


class Webhook(msgspec.Struct, kw_only=True):
    """An endpoint. secret is shown once, when it is made."""

    id: Annotated[Digits, Meta(examples=["7236514482193408001"])]
    url: Annotated[str, Meta(examples=["https://app.example/sms-events"])]
    events: Annotated[list[str], Meta(examples=[["message.*"]])]
    description: str | None = None
    enabled: bool
    disabled_reason: Annotated[
        str | None,
        Meta(
            description="gone: it answered 410. requested: you asked for it.",
            extra_json_schema={"enum": [*DISABLED_REASONS, None]},
        ),
    ] = None
    secrets: Annotated[int, Meta(ge=1, description="How many secrets sign now; more than one after a rotation.")]
    created_at: Annotated[str, Meta(extra_json_schema=_MOMENT)]
    changed_at: Annotated[str, Meta(extra_json_schema=_MOMENT)]
    secret: Annotated[
        str | UnsetType,
        Meta(
            description="What its events are signed with (Standard Webhooks); keep it, it is not shown again.",
            examples=["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"],
        ),
    ] = UNSET


class WebhookList(msgspec.Struct, kw_only=True):
    """All endpoints of the account, oldest first."""

    data: list[Webhook]


class DeletedWebhook(msgspec.Struct, kw_only=True):
    """An endpoint that is no more."""

    id: Annotated[Digits, Meta(examples=["7236514482193408001"])]
    deleted: Annotated[bool, Meta(extra_json_schema={"const": True})] = True


class WebhookTest(msgspec.Struct, kw_only=True):
    """How an endpoint took an event of type webhook.test."""

    event_id: Annotated[str, Meta(examples=["test_7236514482193408001"])]
    type: Annotated[str, Meta(extra_json_schema={"const": TEST})] = TEST
    delivered: Annotated[bool, Meta(description="It answered 2xx.")]
    response_code: Annotated[int | None, Meta(description="What it answered; null: nothing.", examples=[204])]
    milliseconds: Annotated[int, Meta(ge=0, description="How long it took.", examples=[38])]
    error: Annotated[str | None, Meta(description="What failed, where it did not answer.", examples=["time-out"])]


class WebhookDelivery(msgspec.Struct, kw_only=True):
    """An event at an endpoint, and its last attempt."""

    event_id: Annotated[str, Meta(examples=["msg_7236514482193408001_delivered"])]
    type: Annotated[str, Meta(extra_json_schema={"enum": list(EVENTS)})]
    status: Annotated[str, Meta(extra_json_schema={"enum": list(DELIVERY_STATUSES)})]
    attempt: Annotated[int, Meta(ge=0, description="Attempts so far; the tenth is the last.", examples=[1])]
    response_code: Annotated[int | None, Meta(description="Of the last attempt; null: no answer.", examples=[204])]
    error: Annotated[str | None, Meta(description="What failed at the last attempt.", examples=["time-out"])]
    created_at: Annotated[str, Meta(extra_json_schema=_MOMENT)]
    attempted_at: Annotated[str | None, Meta(extra_json_schema=_MOMENT)]
    next_attempt_at: Annotated[str | None, Meta(description="Not before then; null: none.", extra_json_schema=_MOMENT)]


class WebhookDeliveryPage(msgspec.Struct, kw_only=True):
    """Events at an endpoint, the newest first. There is more as long as next_cursor is not null."""

    data: list[WebhookDelivery]
    next_cursor: Annotated[str | None, Meta(description="Hand it back as cursor.", examples=["AQAAAAAAAAAq"])] = None


KINDS: Final = (
    CreateWebhook,
    ChangeWebhook,
    RotateSecret,
    Webhook,
    WebhookList,
    DeletedWebhook,
    WebhookTest,
    WebhookDelivery,
    WebhookDeliveryPage,
)
RULES: Final[Mapping[str, str]] = {
    "url": f"must be an absolute http or https URL of up to {CALLBACK_URL_MAX:,} characters",
    "events": f"must be a list of types of events: {', '.join(SELECTORS)}",
    "description": f"must be null or a string of up to {DESCRIPTION_MAX} characters without control characters",
    "enabled": "must be true or false",
    "overlap": f"must be a whole number of seconds from 0 to {OVERLAP_SECONDS_MAX:,}",
}


def read(body: bytes, kind: type[Body]) -> Body | Problem:
    """A body as one of the types above, or everything that is wrong with it."""
    return read_strict(body, kind, RULES, _CHECKS)


_CHECKS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "url": is_callback_url,
    "events": lambda names: set(names) <= set(SELECTORS),
}
