"""What the HTTP interface shows: the answers as types, and how money and time are written."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from smscd.core.callbacks import ENCODINGS
from smscd.core.money import money as money
from smscd.core.records import State

UNHEALTHY: Final = "unhealthy"
STATUSES: Final = tuple(state.name.lower() for state in State)
DIRECTIONS: Final = ("outbound", "inbound")
Digits = Annotated[str, Meta(pattern="^[0-9]{1,19}$")]


class Money(msgspec.Struct, frozen=True):
    """An amount as a decimal string."""

    amount: Annotated[str, Meta(pattern=r"^-?[0-9]+\.[0-9]{4,6}$", examples=["0.0100"])]
    currency: Annotated[str, Meta(examples=["EUR"])]


class MessageError(msgspec.Struct, frozen=True):
    """Why a message ended without being delivered."""

    code: str
    detail: str


class Message(msgspec.Struct, kw_only=True, rename={"sender": "from"}):
    """A message as the customer sees it."""

    id: Annotated[Digits, Meta(description="A 64-bit number as a decimal string.", examples=["7236514482193408001"])]
    status: Annotated[str, Meta(examples=["queued"], extra_json_schema={"enum": list(STATUSES)})]
    direction: Annotated[str, Meta(extra_json_schema={"enum": list(DIRECTIONS)})] = "outbound"
    to: str
    sender: str
    encoding: Annotated[str, Meta(extra_json_schema={"enum": list(ENCODINGS)})]
    segments: Annotated[int, Meta(ge=1)]
    price: Money
    client_ref: str | None = None
    error: MessageError | None = None
    created_at: Annotated[str, Meta(extra_json_schema={"format": "date-time"}, examples=["2026-11-22T14:48:34.504Z"])]
    send_at: Annotated[
        str | UnsetType,
        Meta(
            description="When it is or was to be sent, of a scheduled message.",
            extra_json_schema={"format": "date-time"},
            examples=["2027-01-31T08:00:00.000Z"],
        ),
    ] = UNSET


class Estimate(msgspec.Struct, kw_only=True, rename={"sender": "from"}):
    """What a message would be, and what it would be charged, if it were sent at this moment."""

    to: str
    sender: str
    encoding: Annotated[str, Meta(extra_json_schema={"enum": list(ENCODINGS)})]
    segments: Annotated[int, Meta(ge=1)]
    price: Annotated[Money, Meta(description="Of all segments.")]


class TimelineItem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One thing that happened to a message. segment counts from 0."""

    at: Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
    what: Annotated[str, Meta(examples=["admitted", "sent", "receipt", "callback delivered"])]
    segment: int | None = None
    attempt: int | None = None
    upstream: str | None = None
    detail: str | None = None


class MessageDetail(Message, kw_only=True, rename={"sender": "from"}):
    """A message with all that happened to it, oldest first."""

    done_at: Annotated[str | None, Meta(extra_json_schema={"format": "date-time"})] = None
    metadata: dict[str, str] | None = None
    timeline: list[TimelineItem]


class Balance(msgspec.Struct, kw_only=True):
    """What an account may still spend: balance plus credit_limit."""

    account: str
    balance: Money
    credit_limit: Money


class Health(msgspec.Struct, kw_only=True):
    """Whether messages can be accepted (healthy, degraded) or not (unhealthy, with status 503)."""

    status: Annotated[str, Meta(extra_json_schema={"enum": ["healthy", "degraded", UNHEALTHY]})]
    version: str
    checks: dict[str, dict[str, Any]]


def moment(ms: int) -> str:
    """Milliseconds since the Unix epoch as RFC 3339 in UTC."""
    seconds, rest = divmod(ms, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
