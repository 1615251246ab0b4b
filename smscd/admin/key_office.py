"""The keys of an account as its own administrators see and change them: smscd.admin.keys in the words of /v1/keys."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

import msgspec

from smscd.admin import keys
from smscd.admin.orders import Refusal
from smscd.ingress.http.account_keys import RULES, KeyList, KeyRequest, NewKey, RevokedKey
from smscd.ingress.http.problems import (
    KEY_NOT_VALID,
    NOT_FOUND,
    TOO_MANY_KEYS,
    FieldError,
    Problem,
    invalid,
    problem,
)
from storage.postgres.pool import Database

_CODES: Final = {code.code: code for code in (NOT_FOUND, KEY_NOT_VALID, TOO_MANY_KEYS)}


class Office:
    """database: opens the pool when it is first needed. tell: has all processes read the configuration again."""

    def __init__(self, database: Callable[[], Database], tell: Callable[[], Awaitable[None]]) -> None:
        self._database = database
        self._tell = tell

    async def listed(self, account: str) -> KeyList:
        """All keys of an account."""
        found = await keys.listed(account, self._database(), _now())
        return msgspec.convert({"data": [] if isinstance(found, Refusal) else found}, KeyList)

    async def make(self, account: str, asked: KeyRequest, by: str) -> NewKey | Problem:
        """Make a key, or one in the place of another."""
        now = _now()
        terms = keys.terms_of(asked.label, asked.scopes, asked.expires_at, now)
        if isinstance(terms, Refusal):
            return _problem(terms)
        who, database = _who(by), self._database()
        if asked.replaces is None:
            made = await keys.create(account, terms, who, database, self._tell, now)
        else:
            made = await keys.rotate(
                account, asked.replaces, asked.grace_seconds, asked.expires_at, who, database, self._tell, now
            )
        if isinstance(made, Refusal):
            return _problem(made)
        return msgspec.convert(keys.shown_made(made), NewKey)

    async def revoke(self, account: str, key: str, by: str) -> RevokedKey | Problem:
        """End a key."""
        found = await keys.revoke(account, key, _who(by), self._database(), self._tell)
        return _problem(found) if isinstance(found, Refusal) else RevokedKey(key=found.key, changed=found.has_changed)


def _problem(refusal: Refusal) -> Problem:
    """A refusal in a customer's words: he has no commands. What is left of a body to refuse is when the key ends."""
    code = _CODES.get(refusal.code)
    if code is None:
        return invalid([FieldError("/expires_at", RULES["expires_at"])])
    return problem(code, "The account has no key of this name." if code is NOT_FOUND else "")


def _who(by: str) -> str:
    return f"key:{by}"


def _now() -> datetime:
    return datetime.now(UTC)
