"""Who may bind: passwords compared in constant time, and guesses limited by the pair of peer and system_id.

The system_id alone is never locked: a stranger could shut its owner out.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from enum import Enum
from hashlib import sha256
from typing import Final, NamedTuple

from protocols.smpp.constants import CommandStatus
from smscd.core.directory import Account, Credential
from smscd.core.directory_index import DirectoryIndex
from smscd.core.networks import Networks
from smscd.transport.tls import PeerCertificate

PEERS_MAX: Final = 10_000
SYSTEM_IDS_PER_PEER_MAX: Final = 64

_NO_PASSWORD: Final = bytes(32)
_NO_NETWORKS: Final = Networks()
_OTHERS: Final = b"\x00others"


class BindOutcome(Enum):
    """What became of a bind request; the values are labels of a metric."""

    ACCEPTED = "accepted"
    WRONG = "wrong_credentials"
    ADDRESS = "address_not_allowed"
    CERTIFICATE = "certificate_not_allowed"
    LOCKED = "locked"
    SUSPENDED = "suspended"
    TOO_MANY = "too_many_binds"
    TOO_MANY_OF_TYPE = "too_many_binds_of_type"
    TYPE_NOT_ALLOWED = "bind_type_not_allowed"
    RATE_LIMITED = "too_fast"
    ABANDONED = "connection_gone"


GUESSED: Final = frozenset((BindOutcome.WRONG, BindOutcome.ADDRESS, BindOutcome.CERTIFICATE))
SECRET: Final = GUESSED | {BindOutcome.LOCKED}
"""Outcomes that a peer must not be able to tell apart: the same answer after the same time."""
REFUSALS: Final = {
    BindOutcome.WRONG: int(CommandStatus.ESME_RINVPASWD),
    BindOutcome.ADDRESS: int(CommandStatus.ESME_RINVPASWD),
    BindOutcome.CERTIFICATE: int(CommandStatus.ESME_RINVPASWD),
    BindOutcome.LOCKED: int(CommandStatus.ESME_RINVPASWD),
    BindOutcome.SUSPENDED: int(CommandStatus.ESME_RBINDFAIL),
    BindOutcome.TOO_MANY: int(CommandStatus.ESME_RALYBND),
    BindOutcome.TOO_MANY_OF_TYPE: int(CommandStatus.ESME_RALYBND),
    BindOutcome.TYPE_NOT_ALLOWED: int(CommandStatus.ESME_RBINDFAIL),
    BindOutcome.RATE_LIMITED: int(CommandStatus.ESME_RTHROTTLED),
}
"""The command_status that says no."""


class Evaluation(NamedTuple):
    """outcome: ACCEPTED, SUSPENDED or one of GUESSED. account: its id, with a right password only."""

    outcome: BindOutcome
    account: str = ""


def password_hmac(pepper: bytes, password: bytes) -> bytes:
    """What is stored of a password: HMAC-SHA256 with the pepper, which is not in the database."""
    return hmac.digest(pepper, password, sha256)


class Authenticator:
    """Compares what an ESME binds with. pepper: the secret that passwords are hashed with."""

    def __init__(self, pepper: bytes) -> None:
        self._pepper = pepper

    def evaluate(
        self,
        directory: DirectoryIndex,
        address: str,
        system_id: bytes,
        password: bytes,
        certificate: PeerCertificate | None = None,
    ) -> Evaluation:
        """What the credentials are worth, guesses and numbers of binds aside.

        An unknown system_id takes the same steps as a wrong password, and an address or a certificate that is not
        allowed takes them too. address: as networks.normalised() gives it.
        """
        credential = directory.credential(system_id)
        given = password_hmac(self._pepper, password)
        expected = credential.password_hmac if credential is not None else _NO_PASSWORD
        is_right = hmac.compare_digest(given, expected) and credential is not None
        entry = directory.entry(credential.account) if credential is not None else None
        if not (entry.networks if entry is not None else _NO_NETWORKS).allows(address):
            return Evaluation(BindOutcome.ADDRESS)
        if credential is None or not is_right:
            return Evaluation(BindOutcome.WRONG)
        if not _shows(certificate, credential):
            return Evaluation(BindOutcome.CERTIFICATE)
        if entry is None or entry.account.is_suspended:
            return Evaluation(BindOutcome.SUSPENDED, credential.account)
        return Evaluation(BindOutcome.ACCEPTED, credential.account)


def _shows(certificate: PeerCertificate | None, credential: Credential) -> bool:
    """True when the peer has shown the certificate that the credential asks for, if it asks for one."""
    wanted = credential.client_certificate
    if not wanted:
        return True
    if certificate is None:
        return False
    if wanted.startswith("CN="):
        return bool(certificate.common_name) and wanted == "CN=" + certificate.common_name
    return hmac.compare_digest(certificate.sha256, wanted)


def accepts(account: Account | None, kind: int) -> bool:
    """True when the account may have binds of this type (1 tx, 2 rx, 3 trx) at all."""
    return account is not None and bind_limits(account)[kind] != 0


def bind_limits(account: Account) -> tuple[int, int, int, int]:
    """How many binds there may be: in all, then tx, rx and trx; -1 is no limit."""
    kinds = (account.binds_tx_max, account.binds_rx_max, account.binds_trx_max)
    tx, rx, trx = (-1 if limit is None else limit for limit in kinds)
    return account.binds_max, tx, rx, trx


class FailureLimiter:
    """Counts wrong passwords by (peer, system_id) in one process; a pair's window begins with its first one.

    Bounded: at most PEERS_MAX peers, the longest unused forgotten first; of each peer SYSTEM_IDS_PER_PEER_MAX
    system_ids, the rest counted together, so that inventing ids gives no fresh guesses.
    """

    def __init__(self, window_seconds: float = 900.0) -> None:
        self._window_seconds = window_seconds
        self._peers: OrderedDict[str, dict[bytes, tuple[int, float]]] = OrderedDict()

    def count(self, peer: str, system_id: bytes, now: float) -> int:
        """The wrong passwords of this pair in its window."""
        pairs = self._peers.get(peer)
        if pairs is None:
            return 0
        count, began = pairs.get(_key(pairs, system_id), (0, now))
        return count if now - began < self._window_seconds else 0

    def failed(self, peer: str, system_id: bytes, now: float) -> int:
        """Count one more; returns how many there are."""
        pairs = self._pairs(peer, system_id, now)
        key = _key(pairs, system_id)
        count, began = pairs.get(key, (0, now))
        if now - began >= self._window_seconds:
            count, began = 0, now
        pairs[key] = (count + 1, began)
        return count + 1

    def learned(self, peer: str, system_id: bytes, count: int, seconds_left: float, now: float) -> None:
        """All workers together have counted so many, in a window that ends then."""
        pairs = self._pairs(peer, system_id, now)
        pairs[_key(pairs, system_id)] = (count, now + seconds_left - self._window_seconds)

    def succeeded(self, peer: str, system_id: bytes) -> None:
        """Forget the wrong passwords of this pair."""
        pairs = self._peers.get(peer)
        if pairs is not None and pairs.pop(system_id, None) is not None and not pairs:
            del self._peers[peer]

    def _pairs(self, peer: str, system_id: bytes, now: float) -> dict[bytes, tuple[int, float]]:
        pairs = self._peers.get(peer)
        if pairs is None:
            if len(self._peers) >= PEERS_MAX:
                self._peers.popitem(last=False)
            pairs = self._peers[peer] = {}
        self._peers.move_to_end(peer)
        if len(pairs) >= SYSTEM_IDS_PER_PEER_MAX and system_id not in pairs:
            for old in [key for key, (_, began) in pairs.items() if now - began >= self._window_seconds]:
                del pairs[old]
        return pairs


def _key(pairs: dict[bytes, tuple[int, float]], system_id: bytes) -> bytes:
    if system_id in pairs or len(pairs) < SYSTEM_IDS_PER_PEER_MAX:
        return system_id
    return _OTHERS
