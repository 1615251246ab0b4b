"""Who sends: the user and password that Kannel's and Jasmin's customers write into each request.

They are an account's SMPP credentials, or a system_id or account and one of its API keys. Wrong ones are counted by the
pair of peer and user in this process, as those of binds are, and a pair with too many is refused whatever it says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from smscd.core.directory_index import AccountEntry, DirectoryIndex
from smscd.core.networks import normalised, peer_group
from smscd.ingress.http.keys import entry_of_key
from smscd.ingress.smpp.auth import Authenticator, BindOutcome, FailureLimiter

USER_MAX: Final = 63
"""As long as an account's name; a system_id is shorter."""


class Gatekeeper:
    """The credentials of one process. guesses_max: wrong ones of a pair in a window. clock: monotonic seconds."""

    def __init__(
        self,
        authenticator: Authenticator,
        directory: Callable[[], DirectoryIndex],
        clock: Callable[[], float],
        *,
        guesses_max: int,
        window_seconds: float,
    ) -> None:
        self._authenticator = authenticator
        self._directory = directory
        self._clock = clock
        self._guesses_max = guesses_max
        self._guesses = FailureLimiter(window_seconds)

    def account(self, address: str, user: bytes, password: bytes) -> AccountEntry | None:
        """Whose credentials these are; None for wrong ones, and for too many wrong ones before.

        A suspended account is found, and refused as such later.
        """
        if len(user) > USER_MAX:
            return None  # nobody's, and not to be remembered
        peer, now = peer_group(address), self._clock()
        if self._guesses.count(peer, user, now) >= self._guesses_max:
            return None
        found = self._found(normalised(address), user, password)
        if found is None:
            self._guesses.failed(peer, user, now)
        else:
            self._guesses.succeeded(peer, user)
        return found

    def _found(self, address: str, user: bytes, password: bytes) -> AccountEntry | None:
        directory = self._directory()
        worth = self._authenticator.evaluate(directory, address, user, password)
        if worth.outcome in (BindOutcome.ACCEPTED, BindOutcome.SUSPENDED):
            return directory.entry(worth.account)
        entry = entry_of_key(directory, password)
        if entry is None:
            return None
        credential = directory.credential(user)
        is_its_own = user == entry.account.id.encode() or (
            credential is not None and credential.account == entry.account.id
        )
        return entry if is_its_own else None
