"""Who may bind: passwords compared in constant time, and guesses limited by the pair of address and system_id.

The system_id alone is never locked: a stranger could shut its owner out.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from enum import Enum
from hashlib import sha256
from typing import Final

from smscd.core.directory import Account
from smscd.core.directory_index import DirectoryIndex

ADDRESSES_MAX: Final = 10_000
SYSTEM_IDS_PER_ADDRESS_MAX: Final = 64

_NO_PASSWORD: Final = bytes(32)
_OTHERS: Final = b"\x00others"


class BindOutcome(Enum):
    """What became of a bind request."""

    ACCEPTED = "accepted"
    WRONG = "wrong_credentials"
    LOCKED = "locked"
    SUSPENDED = "suspended"
    TOO_MANY = "too_many_binds"


def password_hmac(pepper: bytes, password: bytes) -> bytes:
    """What is stored of a password: HMAC-SHA256 with the pepper, which is not in the database."""
    return hmac.digest(pepper, password, sha256)


class FailureLimiter:
    """Counts failed attempts by (address, system_id): after `failures_max` in a window the pair is locked to its end.

    Bounded: at most ADDRESSES_MAX addresses, the longest unused forgotten first; of each address
    SYSTEM_IDS_PER_ADDRESS_MAX system_ids, the rest counted together, so that inventing ids gives no fresh guesses.
    """

    def __init__(self, failures_max: int = 10, window_seconds: float = 900.0) -> None:
        self._failures_max = failures_max
        self._window_seconds = window_seconds
        self._addresses: OrderedDict[str, dict[bytes, tuple[int, float]]] = OrderedDict()

    def is_locked(self, address: str, system_id: bytes, now: float) -> bool:
        """True when no further attempt of this pair is to be looked at."""
        pairs = self._addresses.get(address)
        if pairs is None:
            return False
        count, began = pairs.get(_key(pairs, system_id), (0, now))
        return count >= self._failures_max and now - began < self._window_seconds

    def failed(self, address: str, system_id: bytes, now: float) -> bool:
        """Count a failure; True when this one locked the pair."""
        pairs = self._addresses.get(address)
        if pairs is None:
            if len(self._addresses) >= ADDRESSES_MAX:
                self._addresses.popitem(last=False)
            pairs = self._addresses[address] = {}
        self._addresses.move_to_end(address)
        if len(pairs) >= SYSTEM_IDS_PER_ADDRESS_MAX and system_id not in pairs:
            self._forget_old(pairs, now)
        key = _key(pairs, system_id)
        count, began = pairs.get(key, (0, now))
        if now - began >= self._window_seconds:
            count, began = 0, now
        pairs[key] = (count + 1, began)
        return count + 1 == self._failures_max

    def succeeded(self, address: str, system_id: bytes) -> None:
        """Forget the failures of this pair."""
        pairs = self._addresses.get(address)
        if pairs is not None and pairs.pop(system_id, None) is not None and not pairs:
            del self._addresses[address]

    def _forget_old(self, pairs: dict[bytes, tuple[int, float]], now: float) -> None:
        for system_id in [key for key, (_, began) in pairs.items() if now - began >= self._window_seconds]:
            del pairs[system_id]


class Authenticator:
    """Decides on bind requests. pepper: the secret that passwords are hashed with."""

    def __init__(self, pepper: bytes, limiter: FailureLimiter | None = None) -> None:
        self._pepper = pepper
        self._limiter = limiter or FailureLimiter()

    def check(
        self, directory: DirectoryIndex, address: str, system_id: bytes, password: bytes, now: float
    ) -> tuple[BindOutcome, Account | None, bool]:
        """The outcome, the account when it is ACCEPTED, and whether this attempt locked the pair.

        An unknown system_id takes the same steps as a wrong password. now: monotonic seconds.
        """
        if self._limiter.is_locked(address, system_id, now):
            return BindOutcome.LOCKED, None, False
        credential = directory.credential(system_id)
        given = password_hmac(self._pepper, password)
        expected = credential.password_hmac if credential is not None else _NO_PASSWORD
        if not hmac.compare_digest(given, expected) or credential is None:
            return BindOutcome.WRONG, None, self._limiter.failed(address, system_id, now)
        self._limiter.succeeded(address, system_id)
        account = directory.account(credential.account)
        if account is None or account.is_suspended:
            return BindOutcome.SUSPENDED, None, False
        return BindOutcome.ACCEPTED, account, False


def _key(pairs: dict[bytes, tuple[int, float]], system_id: bytes) -> bytes:
    if system_id in pairs or len(pairs) < SYSTEM_IDS_PER_ADDRESS_MAX:
        return system_id
    return _OTHERS
