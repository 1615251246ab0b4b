"""Whose an HTTP key is, what may be done with it, and when it was used."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from hashlib import sha256
from typing import Final

from aiohttp import web

from smscd.core.directory_index import AccountEntry, DirectoryIndex, KeyEntry
from smscd.core.networks import is_address
from smscd.core.scopes import name_of
from smscd.ingress.http.client_addresses import ClientAddresses
from smscd.ingress.http.problems import (
    ADDRESS_NOT_ALLOWED,
    KEY_EXPIRED,
    SCOPE_MISSING,
    UNAUTHORIZED,
    Problem,
    problem,
)

CHALLENGE: Final = (("WWW-Authenticate", 'X-Api-Key realm="smscd"'),)


def found_key(directory: DirectoryIndex, key: bytes) -> KeyEntry | None:
    """A key that is not revoked.

    The look-up is by SHA-256 of a random key, and the last comparison takes constant time.
    """
    if not key:
        return None
    digest = sha256(key).digest()
    found = directory.key(digest)
    if found is None or not hmac.compare_digest(found.key_hash, digest):
        return None
    return found


class KeyUses:
    """When keys were last used in this process, by their hashes; taken now and then, to be written down."""

    __slots__ = ("_at_ms",)

    def __init__(self) -> None:
        self._at_ms: dict[bytes, int] = {}

    def note(self, key_hash: bytes, now_ms: int) -> None:
        """A key that is known was used."""
        self._at_ms[key_hash] = now_ms

    def take(self) -> dict[bytes, int]:
        """What was noted since the last time."""
        taken, self._at_ms = self._at_ms, {}
        return taken

    def put_back(self, taken: dict[bytes, int]) -> None:
        """What could not be written down; what was noted meanwhile is later."""
        self._at_ms = taken | self._at_ms


class Keys:
    """The keys as requests show them.

    now_ms: milliseconds since the Unix epoch. uses: where it is noted. addresses: where requests come from.
    """

    def __init__(
        self,
        directory: Callable[[], DirectoryIndex],
        now_ms: Callable[[], int],
        uses: KeyUses,
        addresses: ClientAddresses,
    ) -> None:
        self._directory = directory
        self._now_ms = now_ms
        self._uses = uses
        self._addresses = addresses

    def admitted(self, request: web.BaseRequest, scope: int) -> AccountEntry | Problem:
        """The account of a request that may do what needs this scope, or why it may not."""
        key = found_key(self._directory(), request.headers.get("X-Api-Key", "").encode("utf-8", "surrogateescape"))
        if key is None:
            return problem(UNAUTHORIZED, headers=CHALLENGE)
        now_ms, entry = self._now_ms(), key.entry
        if 0 < key.expires_ms <= now_ms:
            return problem(KEY_EXPIRED, headers=CHALLENGE)
        if not entry.http_networks.is_open:
            address = self._addresses.of(request)
            if not entry.http_networks.allows(address):
                return problem(ADDRESS_NOT_ALLOWED, f"Requests of this account may not come from {shown(address)}.")
        if not key.scopes & scope:
            return problem(SCOPE_MISSING, f"This needs a key with the scope {name_of(scope)}.")
        self._uses.note(key.key_hash, now_ms)
        return entry


def shown(address: str) -> str:
    """An address in a sentence; whatever a proxy passed on in its place is not quoted."""
    return address if is_address(address) else "an address that cannot be read"
