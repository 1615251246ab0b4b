"""Whom a callback goes to, and what the journal is told of it on the way: pure but for what 410 has taught."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from smscd.core.callback_records import CallbackOutcome, CallbackRecord, CallbackResult
from smscd.core.callbacks import event_id_of
from smscd.core.directory import WebhookEndpoint
from smscd.core.directory_index import DirectoryIndex
from smscd.core.webhook_events import event_type, wants

NO_ENDPOINT: Final = "endpoint deleted"
DISABLED: Final = "endpoint disabled"
GONE_MAX: Final = 10_000

encode = msgspec.msgpack.Encoder().encode


class Receivers:
    """The endpoints of a directory that changes, without those that have answered 410 since it was loaded."""

    def __init__(self) -> None:
        self._gone: dict[int, int] = {}

    def gone(self, endpoint: int, revision: int) -> None:
        """It answered 410: nothing more is sent to it until it is changed."""
        if len(self._gone) >= GONE_MAX:
            del self._gone[next(iter(self._gone))]
        self._gone[endpoint] = revision

    def find(self, endpoint: int, directory: DirectoryIndex) -> WebhookEndpoint | str:
        """The endpoint that a callback is for, or why it is not sent there."""
        found = directory.endpoints.get(endpoint)
        if found is None:
            return NO_ENDPOINT
        return found if found.is_enabled and self._gone.get(endpoint) != found.revision else DISABLED

    def of(self, record: CallbackRecord, directory: DirectoryIndex) -> list[int] | None:
        """The endpoints that get a callback that nobody was looked for yet; None when it goes where it says itself.

        That is its own URL, its endpoint, or the webhook_url of an account without endpoints.
        """
        if record.endpoint or record.url is not None:
            return None
        mine = directory.endpoints.of(record.account)
        if not mine:
            return None
        kind = event_type(record)
        return [
            endpoint.id
            for endpoint in mine
            if wants(endpoint, kind) and self._gone.get(endpoint.id) != endpoint.revision
        ]


def fanned(record: CallbackRecord, endpoints: Sequence[int], now_ms: int) -> tuple[list[CallbackRecord], list[bytes]]:
    """A callback for several endpoints, or for none: those of each, due now, and what the journal is told."""
    split = CallbackResult(record.id, record.kind, record.account, int(CallbackOutcome.FANNED), now_ms, len(endpoints))
    split.is_replay = record.is_replay
    records = [msgspec.structs.replace(record, endpoint=endpoint) for endpoint in endpoints]
    return records, [
        encode(split),
        *(encode(step(one, CallbackOutcome.PENDING, now_ms, next_ms=now_ms)) for one in records),
    ]


def step(
    record: CallbackRecord,
    outcome: CallbackOutcome,
    at_ms: int,
    *,
    code: int = 0,
    detail: str = "",
    next_ms: int = 0,
    revision: int = 0,
) -> CallbackResult:
    """What the journal is told of a callback for an endpoint. record: with the attempts that were made."""
    return CallbackResult(
        record.id,
        record.kind,
        record.account,
        int(outcome),
        at_ms,
        record.attempt,
        detail,
        record.endpoint,
        event_id_of(record),
        event_type(record),
        code,
        next_ms,
        revision,
        record.is_replay,
        encode(record),
    )
