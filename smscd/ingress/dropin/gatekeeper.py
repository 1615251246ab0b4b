"""Who sends: the user and password that Kannel's and Jasmin's customers write into each request.

They are an account's SMPP credentials, or a system_id or account and one of its API keys, which then needs the scope.
Both are good only from where the account's requests over HTTP may come, and its SMPP credentials only from where it may
bind too. Wrong ones are counted by the pair of peer and user in this process, as those of binds are, and a pair with
too many is refused whatever it says.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final

from smscd.core.directory_index import AccountEntry, DirectoryIndex
from smscd.core.networks import normalised, peer_group
from smscd.ingress.http.keys import KeyUses, found_key
from smscd.ingress.smpp.auth import Authenticator, BindOutcome, FailureLimiter

USER_MAX: Final = 63
"""As long as an account's name; a system_id is shorter."""


class Denied(Enum):
    """Why somebody is not let in: his credentials are worth nothing, or his key does not have the scope."""

    CREDENTIALS = "credentials"
    SCOPE = "scope"


class Gatekeeper:
    """The credentials of one process. guesses_max: wrong ones of a pair in a window. clock: monotonic seconds.

    now_ms: milliseconds since the Unix epoch. uses: where it is noted when keys were used.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        directory: Callable[[], DirectoryIndex],
        clock: Callable[[], float],
        *,
        guesses_max: int,
        window_seconds: float,
        now_ms: Callable[[], int],
        uses: KeyUses,
    ) -> None:
        self._authenticator = authenticator
        self._directory = directory
        self._clock = clock
        self._guesses_max = guesses_max
        self._guesses = FailureLimiter(window_seconds)
        self._now_ms = now_ms
        self._uses = uses

    def account(self, address: str, user: bytes, password: bytes, scope: int) -> AccountEntry | Denied:
        """Whose credentials these are; CREDENTIALS for wrong ones, and for too many wrong ones before.

        A suspended account is found, and refused as such later.
        """
        if len(user) > USER_MAX:
            return Denied.CREDENTIALS  # nobody's, and not to be remembered
        peer, now = peer_group(address), self._clock()
        if self._guesses.count(peer, user, now) >= self._guesses_max:
            return Denied.CREDENTIALS
        found = self._found(normalised(address), user, password, scope)
        if found is Denied.CREDENTIALS:
            self._guesses.failed(peer, user, now)
        else:
            self._guesses.succeeded(peer, user)
        return found

    def _found(self, address: str, user: bytes, password: bytes, scope: int) -> AccountEntry | Denied:
        directory = self._directory()
        worth = self._authenticator.evaluate(directory, address, user, password)
        if worth.outcome in (BindOutcome.ACCEPTED, BindOutcome.SUSPENDED):
            entry = directory.entry(worth.account)
            return entry if entry is not None and entry.http_networks.allows(address) else Denied.CREDENTIALS
        key, now_ms = found_key(directory, password), self._now_ms()
        if key is None or 0 < key.expires_ms <= now_ms or not key.entry.http_networks.allows(address):
            return Denied.CREDENTIALS
        account, credential = key.entry.account.id, directory.credential(user)
        if user != account.encode() and (credential is None or credential.account != account):
            return Denied.CREDENTIALS
        if not key.scopes & scope:
            return Denied.SCOPE
        self._uses.note(key.key_hash, now_ms)
        return key.entry
