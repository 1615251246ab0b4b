"""What POST /v1/messages/batch takes and gives: the types that validate and document it."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from smscd.ingress.http.messages import SendRequest
from smscd.ingress.http.problems import TYPE_BASE, FieldError, Problem, ProblemDocument
from smscd.ingress.http.views import Message

MESSAGES_MAX: Final = 1_000
BATCH_BYTES_MAX: Final = 1_048_576


class BatchRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Messages to send, each by itself: one that is refused does not keep the others."""

    messages: Annotated[
        list[SendRequest],
        Meta(
            min_length=1,
            max_length=MESSAGES_MAX,
            description="Each as POST /v1/messages takes it.",
        ),
    ]


class ItemProblem(msgspec.Struct, kw_only=True, frozen=True, rename={"kind": "type"}):
    """Why one message of a batch was refused: what it would have been answered by itself.

    errors: their pointers begin at the message. retry_after: seconds; null where waiting is of no known use.
    """

    kind: str
    title: str
    status: int
    code: str
    detail: str
    errors: tuple[FieldError, ...] = ()
    retry_after: int | None = None


class BatchItem(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What became of one message: either it was accepted, or there is a problem.

    is_replayed: it was accepted when the request came first.
    """

    message: Message | UnsetType = UNSET
    problem: ItemProblem | UnsetType = UNSET
    is_replayed: Annotated[bool, Meta(examples=[True])] = False


class BatchAnswer(msgspec.Struct, kw_only=True):
    """What became of the messages, in the order of the request."""

    accepted: Annotated[int, Meta(ge=0, le=MESSAGES_MAX, examples=[2])]
    refused: Annotated[int, Meta(ge=0, le=MESSAGES_MAX, examples=[0])]
    results: list[BatchItem]


class BatchProblem(ProblemDocument, kw_only=True, rename={"kind": "type"}):
    """A refusal of a batch. results: when each message was refused for itself, what of each; else empty."""

    results: list[BatchItem] = msgspec.field(default_factory=list)


def item_problem(found: Problem, errors_max: int) -> BatchItem:
    """A refusal as the result of one message."""
    retry_after = next((int(value) for name, value in found.headers if name == "Retry-After"), None)
    return BatchItem(
        problem=ItemProblem(
            kind=TYPE_BASE + found.code,
            title=found.title,
            status=found.status,
            code=found.code,
            detail=found.detail,
            errors=found.errors[:errors_max],
            retry_after=retry_after,
        )
    )
