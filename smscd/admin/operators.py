"""Operators' tokens: made, shown once, stored as a hash, and told apart in constant time."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import Final

from storage.postgres import operators
from storage.postgres.operators import OperatorRole, Token
from storage.postgres.pool import Database, acquired

TOKEN_PREFIX: Final = "smo_"
TOKEN_CHARACTERS_MAX: Final = 100
KNOWN_SECONDS: Final = 1.0
UNKNOWN_SECONDS: Final = 0.1
NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")


def new_token() -> str:
    """256 random bits."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def token_hash(token: str) -> bytes:
    """How a token is stored: 256 random bits need no more than SHA-256."""
    return sha256(token.encode("utf-8", "surrogateescape")).digest()


class Operators:
    """Who a token is. PostgreSQL is believed for a second, and asked ten times in one at most, whoever guesses.

    clock: monotonic seconds.
    """

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self._tokens: list[Token] = []
        self._asked_at = float("-inf")

    async def who(self, token: str) -> Token | None:
        """The operator of a token, unless it was revoked more than a second ago. Raises what PostgreSQL does."""
        if not token.startswith(TOKEN_PREFIX) or len(token) > TOKEN_CHARACTERS_MAX:
            return None
        digest = token_hash(token)
        found = self._known(digest)
        if self._clock() - self._asked_at >= (KNOWN_SECONDS if found is not None else UNKNOWN_SECONDS):
            self._tokens = await operators.tokens(self._database)
            self._asked_at = self._clock()
            found = self._known(digest)
        return found

    def _known(self, digest: bytes) -> Token | None:
        """All are compared, each in constant time."""
        found = None
        for known in self._tokens:
            if hmac.compare_digest(known.token_hash, digest):
                found = known
        return found


async def add(name: str, role: OperatorRole, by: str, database: Database) -> str | None:
    """Make an operator; the token, which nobody can be shown again. None when the name was ever given before."""
    token = new_token()
    async with acquired(database) as connection, connection.transaction():
        if not await operators.add_operator(connection, name, token_hash(token), role):
            return None
        await operators.log(connection, by, "operator.add", name, new={"role": role})
    return token


async def revoke(name: str, by: str, database: Database) -> bool:
    """Revoke an operator's token for good; False when there is no such operator, or no longer."""
    async with acquired(database) as connection, connection.transaction():
        if not await operators.revoke_operator(connection, name):
            return False
        await operators.log(
            connection, by, "operator.revoke", name, old={"is_revoked": False}, new={"is_revoked": True}
        )
    return True
