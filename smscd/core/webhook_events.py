"""The events that customers are told over webhooks, and which endpoints of an account get one: pure.

A message's own callback_url comes first. Without one, every enabled endpoint of the account gets the event that asks
for it; only an account without any endpoint has its webhook_url used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from smscd.core.callback_records import CallbackKind, CallbackRecord
from smscd.core.directory import WebhookEndpoint
from smscd.core.records import State

ENDPOINTS_MAX: Final = 16
OLD_SECRETS_MAX: Final = 4
RECEIVED: Final = "message.received"
LOW_BALANCE: Final = "account.low_balance"
TEST: Final = "webhook.test"
STATUS_EVENTS: Final = tuple(f"message.{state.name.lower()}" for state in State if state.is_final)
EVENTS: Final = (*STATUS_EVENTS, RECEIVED, LOW_BALANCE)
ALL: Final = "*"
ALL_OF_MESSAGES: Final = "message.*"
SELECTORS: Final = (ALL, ALL_OF_MESSAGES, *EVENTS)
"""What an endpoint may ask for."""


def event_type(record: CallbackRecord) -> str:
    """The type of the event that a callback tells."""
    if record.kind == CallbackKind.INBOUND:
        return RECEIVED
    if record.kind == CallbackKind.LOW_BALANCE:
        return LOW_BALANCE
    return f"message.{State(record.state).name.lower()}"


def wants(endpoint: WebhookEndpoint, kind: str) -> bool:
    """True when an endpoint is enabled and asks for events of this type."""
    if not endpoint.is_enabled:
        return False
    events = endpoint.events
    return kind in events or ALL in events or (ALL_OF_MESSAGES in events and kind.startswith("message."))


class Endpoints:
    """All endpoints of a directory: by id, and those of each account."""

    def __init__(self, endpoints: Iterable[WebhookEndpoint]) -> None:
        self._by_id: dict[int, WebhookEndpoint] = {}
        by_account: dict[str, list[WebhookEndpoint]] = {}
        for endpoint in endpoints:
            self._by_id[endpoint.id] = endpoint
            by_account.setdefault(endpoint.account, []).append(endpoint)
        self._by_account: Mapping[str, list[WebhookEndpoint]] = by_account

    def get(self, endpoint: int) -> WebhookEndpoint | None:
        """The one with this id, enabled or not."""
        return self._by_id.get(endpoint)

    def of(self, account: str) -> list[WebhookEndpoint]:
        """Those of an account, enabled or not."""
        return self._by_account.get(account, [])

    def tells_states(self, account: str) -> bool | None:
        """Whether an account is told how its messages end; None when it has no endpoint at all."""
        mine = self._by_account.get(account)
        if mine is None:
            return None
        return any(wants(endpoint, kind) for endpoint in mine for kind in STATUS_EVENTS)
