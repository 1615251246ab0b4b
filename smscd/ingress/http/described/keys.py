"""The account's keys as the OpenAPI document has them."""

from __future__ import annotations

from typing import Final

from smscd.ingress.http.account_keys import PATH, KeyList, KeyRequest, KeyView, NewKey, RevokedKey
from smscd.ingress.http.described.parts import BODY_CODES, Example, Node, answer, body, link, refusals
from smscd.ingress.http.problems import (
    BUSY,
    INTERNAL,
    KEY_NOT_VALID,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    TOO_MANY_KEYS,
    UNAUTHORIZED,
    UNAVAILABLE,
)

KINDS: Final = (KeyRequest, KeyList, NewKey, RevokedKey)
TAG: Final = "keys"
_KEEPING: Final = (UNAUTHORIZED, METHOD_NOT_ALLOWED, INTERNAL, BUSY, UNAVAILABLE)
_CREATED: Final = "2026-11-22T14:48:34.504Z"

REQUESTS: Final = {
    "sending": Example("A key that sends", {"label": "shop", "scopes": ["send"]}),
    "plain": Example("A key that sends and reads", {"label": "back office"}),
}
LISTS: Final = {
    "one": Example(
        "One key",
        KeyList(
            data=[
                KeyView(
                    key="smk_live_Zq3x",
                    label="shop",
                    scopes=["send"],
                    status="valid",
                    created_at=_CREATED,
                    expires_at=None,
                    last_used_at=None,
                )
            ]
        ),
    )
}
MADE: Final = {
    "sending": Example(
        "A key that sends",
        NewKey(
            key="smk_live_Zq3x",
            api_key="smk_live_Zq3xgI6W0Vd4v1bqjvPY0xk6xQnZ0m4yJ4eYtC1oT2s",
            label="shop",
            scopes=["send"],
            expires_at=None,
        ),
    )
}
REVOKED: Final = {"now": Example("It was valid until now", RevokedKey(key="smk_live_Zq3x", changed=True))}


def paths() -> Node:
    """The paths of this group."""
    return {PATH: {"get": _list(), "post": _make()}, PATH + "/{id}": {"delete": _revoke()}}


def _list() -> Node:
    return {
        "operationId": "listKeys",
        "tags": [TAG],
        "summary": "The account's keys, oldest first. Needs the scope admin.",
        "responses": {"200": answer("The keys.", KeyList, LISTS), **refusals(_KEEPING)},
    }


def _make() -> Node:
    links = {"revoke": link("revokeKey", "End it again.", id="$response.body#/key")}
    codes = (*BODY_CODES, *_KEEPING, NOT_FOUND, KEY_NOT_VALID, TOO_MANY_KEYS)
    return {
        "operationId": "makeKey",
        "tags": [TAG],
        "summary": "Make a key, or one in the place of another. Needs the scope admin.",
        "description": "Asking twice makes two keys, whatever X-Request-ID says: to give the same answer again the key "
        "would have to be kept. When no answer came, end what `GET /v1/keys` shows and you do not know, and ask again.",
        "requestBody": body(KeyRequest, REQUESTS),
        "responses": {
            "201": answer("The key, which is shown only now.", NewKey, MADE, links=links),
            **refusals(codes),
        },
    }


def _revoke() -> Node:
    return {
        "operationId": "revokeKey",
        "tags": [TAG],
        "summary": "End a key at once and for good. Needs the scope admin.",
        "parameters": [
            {
                "name": "id",
                "in": "path",
                "required": True,
                "description": "The name of the key, which is how it begins.",
                "schema": {"type": "string", "maxLength": 100},
            },
        ],
        "responses": {
            "200": answer("It is not valid any more.", RevokedKey, REVOKED),
            **refusals((*_KEEPING, NOT_FOUND)),
        },
    }
