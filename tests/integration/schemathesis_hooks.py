"""What JSON Schema cannot say of a valid request, put right before schemathesis sends it.

Only requests that are meant to be taken are touched: every other answer than a success is then a finding.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import schemathesis
from schemathesis import Case, HookContext

from smscd.ingress.http.messages import is_callback_url
from smscd.ingress.http.queries import read_moment
from smscd.ingress.http.request_keys import REQUEST_KEY_MAX

TEXT_MAX: Final = 600
_TLVS: Final = {"dlt_entity_id": "1101234567890", "campaign": 7, "trace": "00ff"}


@schemathesis.hook
def before_call(context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    """Called by schemathesis for each request."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if case.headers:
        _give_one_fresh_key(case)
    if case.query:
        _put_in_order(case.query)
    if isinstance(case.body, dict):
        _mend_key(case.body)
        for message in case.body.get("messages", [case.body]):
            _mend_message(message)


def _give_one_fresh_key(case: Case) -> None:
    """Two keys must not differ, and one key is for one body."""
    if "X-Request-ID" in case.headers:
        case.headers.pop("Idempotency-Key", None)
    for name in ("X-Request-ID", "Idempotency-Key"):
        if name in case.headers:
            unique = secrets.token_hex(8)
            case.headers[name] = f"{case.headers[name][: REQUEST_KEY_MAX - len(unique)]}{unique}"


def _put_in_order(query: dict[str, Any]) -> None:
    """A time begins before it ends."""
    after, before = (read_moment(str(query.get(name, ""))) for name in ("created_after", "created_before"))
    if after is not None and before is not None:
        if after > before:
            query["created_after"], query["created_before"] = query["created_before"], query["created_after"]
        elif after == before:
            del query["created_before"]


def _mend_key(body: dict[str, Any]) -> None:
    """It ends in days to come, and one that replaces another has the other's label and scopes."""
    if body.get("expires_at") is not None:
        body["expires_at"] = (datetime.now(UTC) + timedelta(days=9)).isoformat()
    if body.get("replaces") is not None:
        body.pop("label", None)
        body.pop("scopes", None)


def _mend_message(body: dict[str, Any]) -> None:
    """Ten segments at most, in an encoding that has the characters, not too far ahead, with TLVs that the route has.

    A whole number has no fraction: 7.0 is one to JSON Schema.
    """
    for name, value in body.items():
        if isinstance(value, float) and value.is_integer():
            body[name] = int(value)
    text = body.get("text")
    if isinstance(text, str):
        body["text"] = text[:TEXT_MAX]
    if "encoding" in body:
        body["encoding"] = "auto"
    if body.get("send_at") is not None:
        body["send_at"] = min(body["send_at"], (datetime.now(UTC) + timedelta(days=13)).isoformat())
    for name in ("callback_url", "url"):
        if body.get(name) is not None and not is_callback_url(body[name]):
            body[name] = "https://app.example/dlr"
    if body.get("tlvs"):
        body["tlvs"] = dict(_TLVS)
