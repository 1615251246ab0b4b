"""What /v1/webhooks takes, and how a secret is exchanged."""

from __future__ import annotations

import json
from typing import Any

import pytest

from smscd.core.directory import WebhookEndpoint
from smscd.core.webhook_events import OLD_SECRETS_MAX, SELECTORS
from smscd.ingress.http.problems import Problem
from smscd.ingress.http.webhook_bodies import EVENT_ID, ChangeWebhook, CreateWebhook, RotateSecret, read
from smscd.ingress.http.webhooks import rotated_endpoint

HOUR_MS = 3_600_000
URL = "https://app.example/in?token=x"


def refused(body: Any, kind: Any = CreateWebhook) -> list[str]:
    found = read(json.dumps(body).encode(), kind)
    assert isinstance(found, Problem)
    assert found.status == 422
    return [error.pointer for error in found.errors]


def test_a_body_is_read_and_its_defaults_are_filled_in() -> None:
    found = read(json.dumps({"url": URL}).encode(), CreateWebhook)
    assert (found.url, found.events, found.description) == (URL, ["*"], None)  # type: ignore[union-attr]
    for selector in SELECTORS:
        assert isinstance(read(json.dumps({"url": URL, "events": [selector]}).encode(), CreateWebhook), CreateWebhook)
    assert read(b"{}", RotateSecret).overlap == 86_400  # type: ignore[union-attr]
    assert isinstance(read(b"{}", ChangeWebhook), ChangeWebhook)


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/url"]),
        ([], [""]),
        ("x", [""]),
        ({"url": "app.example"}, ["/url"]),
        ({"url": "https://app.example:99999/"}, ["/url"]),
        ({"url": 7, "events": "*", "description": 7}, ["/url", "/events", "/description"]),
        ({"url": URL, "events": ["message.sent"]}, ["/events"]),
        ({"url": URL, "events": [*SELECTORS, "*"]}, ["/events"]),
        ({"url": URL, "description": "x\u0000"}, ["/description"]),
        ({"url": URL, "a/b": 1, "secret": ""}, ["/a~1b", "/secret"]),
    ],
)
def test_every_field_at_fault_is_named(body: Any, pointers: list[str]) -> None:
    assert refused(body) == pointers


def test_an_overlap_has_bounds() -> None:
    for overlap in (-1, 604_801, 1.5, "60", None):
        assert refused({"overlap": overlap}, RotateSecret) == ["/overlap"]


def test_ids_of_events_are_those_that_are_told() -> None:
    for event in ("msg_1_delivered", "mo_9223372036854775807", "acct_5"):
        assert EVENT_ID.fullmatch(event)
    for event in ("msg_", "x" * 100, "msg_1_Delivered", "msg_1_delivered/..", "test_1'"):
        assert not EVENT_ID.fullmatch(event)


def test_no_rotation_lets_an_old_secret_sign_longer() -> None:
    endpoint = WebhookEndpoint(id=1, account="acme", url=URL, secret="1")
    once = rotated_endpoint(endpoint, "2", 0, HOUR_MS)
    assert once is not None
    assert (once.secret, once.old_secrets, once.old_until_ms) == ("2", ("1",), (HOUR_MS,))
    twice = rotated_endpoint(once, "3", HOUR_MS // 2, HOUR_MS)
    assert twice is not None
    assert (twice.old_secrets, twice.old_until_ms) == (("2", "1"), (HOUR_MS * 3 // 2, HOUR_MS))
    shorter = rotated_endpoint(twice, "4", HOUR_MS // 2, 1)
    assert shorter is not None
    assert set(shorter.old_until_ms) == {HOUR_MS // 2 + 1}
    at_once = rotated_endpoint(shorter, "5", HOUR_MS // 2, 0)
    assert at_once is not None
    assert (at_once.secret, at_once.old_secrets) == ("5", ())
    later = rotated_endpoint(twice, "4", 2 * HOUR_MS, HOUR_MS)
    assert later is not None
    assert later.old_secrets == ("3",)


def test_so_many_old_secrets_and_no_more() -> None:
    endpoint: WebhookEndpoint | None = WebhookEndpoint(id=1, account="acme", url=URL, secret="0")
    for number in range(OLD_SECRETS_MAX):
        assert endpoint is not None
        endpoint = rotated_endpoint(endpoint, str(number + 1), 0, HOUR_MS)
    assert endpoint is not None
    assert len(endpoint.old_secrets) == OLD_SECRETS_MAX
    assert rotated_endpoint(endpoint, "x", 0, HOUR_MS) is None
    assert rotated_endpoint(endpoint, "x", 0, 0) is not None
