"""Which endpoints an event is for, and what signs it when."""

from __future__ import annotations

import pytest

from smscd.core.callback_records import CallbackKind
from smscd.core.callbacks import event_id_of, trial_event, webhook_event
from smscd.core.directory import Account, Snapshot, WebhookEndpoint
from smscd.core.directory_index import DirectoryIndex
from smscd.core.records import State
from smscd.core.webhook_events import EVENTS, SELECTORS, Endpoints, event_type, wants
from tests.unit.smscd.egress.webhook_fixture import callback


def endpoint(number: int = 1, account: str = "acme", **changed: object) -> WebhookEndpoint:
    values: dict[str, object] = {"id": number, "account": account, "url": "https://x.example/", "secret": "whsec_x"}
    return WebhookEndpoint(**{**values, **changed})  # type: ignore[arg-type]  # the test's own values


@pytest.mark.parametrize(
    ("events", "wanted"),
    [
        ({"*"}, set(EVENTS)),
        ({"message.*"}, {kind for kind in EVENTS if kind.startswith("message.")}),
        ({"message.failed", "account.low_balance"}, {"message.failed", "account.low_balance"}),
        ({"message.received"}, {"message.received"}),
    ],
)
def test_an_endpoint_gets_the_types_that_it_asks_for(events: set[str], wanted: set[str]) -> None:
    one = endpoint(events=frozenset(events))
    assert {kind for kind in EVENTS if wants(one, kind)} == wanted
    assert events <= set(SELECTORS)
    assert not any(wants(endpoint(events=frozenset(events), is_enabled=False), kind) for kind in EVENTS)


def test_every_event_says_its_type_and_id_as_its_body_does() -> None:
    record = callback(7)
    for state in (state for state in State if state.is_final):
        record.state = int(state)
        kind = f"message.{state.name.lower()}"
        assert event_type(record) == kind
        assert kind in EVENTS
        event = webhook_event(record)
        assert (event.id, event_id_of(record)) == (f"msg_7_{state.name.lower()}",) * 2
        assert f'"type":"{kind}"'.encode() in event.body
    for kind_of, event_id, name in (
        (CallbackKind.INBOUND, "mo_7", "message.received"),
        (CallbackKind.LOW_BALANCE, "acct_7", "account.low_balance"),
    ):
        record.kind, record.body = int(kind_of), b"{}"
        assert (event_id_of(record), event_type(record), webhook_event(record).id) == (event_id, name, event_id)
    assert b'"type":"webhook.test"' in trial_event("test_1", 5, 0).body


def test_an_account_is_told_of_states_by_its_endpoints_and_without_any_by_its_url() -> None:
    def has_webhook(url: str | None, *endpoints: WebhookEndpoint) -> bool:
        index = DirectoryIndex(Snapshot(accounts=(Account(id="acme", webhook_url=url),), webhook_endpoints=endpoints))
        entry = index.entry("acme")
        assert entry is not None
        return entry.has_webhook

    inbound_only = endpoint(events=frozenset({"message.received"}))
    assert has_webhook("https://x.example/")
    assert not has_webhook(None)
    assert has_webhook(None, endpoint())
    assert has_webhook(None, inbound_only, endpoint(2, events=frozenset({"message.failed"})))
    assert not has_webhook("https://x.example/", inbound_only)
    assert not has_webhook("https://x.example/", endpoint(is_enabled=False))
    assert not has_webhook(None, endpoint(account="other"))


def test_endpoints_are_found_by_id_and_by_account() -> None:
    one, two, foreign = endpoint(1), endpoint(2, is_enabled=False), endpoint(3, "other")
    found = Endpoints((one, two, foreign))
    assert (found.get(2), found.get(9)) == (two, None)
    assert (found.of("acme"), found.of("nobody")) == ([one, two], [])


def test_old_secrets_sign_until_their_moment() -> None:
    one = endpoint(secret="new", old_secrets=("old", "older"), old_until_ms=(2_000, 1_000))
    assert [one.secrets(at) for at in (0, 1_000, 1_999, 2_000)] == [
        ("new", "old", "older"), ("new", "old"), ("new", "old"), ("new",),
    ]  # fmt: skip
