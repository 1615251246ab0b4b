"""What admission says of each planned message, and the interface through which the ingresses ask for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeAlias

import msgspec

from smscd.core.reasons import Reason

if TYPE_CHECKING:
    from smscd.core.planning import Planned


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """Admitted: on disk and paid for. price_micros is the price of the whole message."""

    id: int
    price_micros: int
    segments: int


class Duplicate(msgspec.Struct, frozen=True, gc=False):
    """The request key was used before: what the first one was answered.

    same_body: False means that the key stands for another message (IDEMPOTENCY_KEY_REUSED), and nothing was admitted.
    """

    id: int
    price_micros: int
    segments: int
    data_coding: int
    same_body: bool


class Refused(msgspec.Struct, frozen=True, gc=False):
    """Not admitted, nothing charged. retry_after_seconds: 0 where waiting is of no known use."""

    reason: Reason
    retry_after_seconds: float = 0.0


Verdict: TypeAlias = Accepted | Duplicate | Refused

VerdictSink: TypeAlias = Callable[[int, list[Verdict]], None]
"""Called with the index (in the list given to submit) of the first verdict, and verdicts in the order of that list."""


class Admitter(Protocol):
    """Makes planned messages durable and paid for, in batches."""

    def submit(self, planned: list[Planned], on_verdicts: VerdictSink) -> None:
        """Take planned messages for admission; return at once.

        on_verdicts is called one or several times, now or later, until each message has had its verdict, in order,
        each exactly once. When storage does not answer in time the verdicts are Refused(Reason.STORAGE_UNAVAILABLE).
        """
        ...
